package probe

import (
	"context"
	"errors"
	"net"
)

// usesOfOne is how many checks in a row a kept connection serves: every fourth check is made on a fresh one. A kept one says
// nothing of whether the backend takes new ones: it refuses them, its backlog is full, or their SYN is dropped.
const usesOfOne = 4

// Renewer is what the connection of a dialer implements that stands for one exchange, such as a stream of HTTP/2: it is made
// ready for another one. An error says that there can be none, and the connection is then closed.
type Renewer interface{ Renew() error }

// errIdle is the refusal of an answer that may have been sent before the request: who closes a connection because nothing came may say
// so (RFC 9110 section 15.5.9).
var errIdle = errors.New("status 408, the request took too long")

// exchanger is a Prober that makes one exchange on a connection, and says whether another one may follow on it.
type exchanger interface {
	Prober
	door() Dialer
	// exchange makes one. With keep it leaves the connection as the next one must find it, where that is possible. The
	// context's end closes the connection.
	exchange(ctx context.Context, conn net.Conn, address string, keep bool) (again bool, err error)
}

// fresh makes a check on a connection of its own.
func fresh(ctx context.Context, x exchanger, address string) error {
	conn, err := x.door().DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, Connect, err)
	}
	defer guard(ctx, conn)()
	_, err = x.exchange(ctx, conn, address, false)
	return err
}

// keeping is a Prober of one backend that keeps its connection for the next checks. It belongs to one goroutine.
type keeping struct {
	x     exchanger
	conn  net.Conn // nil: there is none
	uses  int      // checks that conn has served
	stale bool     // the last check failed on a connection that was kept, and not by an answer to it
}

// Probe implements Prober. A failure on a kept connection may be the fault of that alone: see stale.
func (k *keeping) Probe(ctx context.Context, address string) (err error) {
	k.stale = false
	kept := k.ready()
	if !kept {
		if k.conn, err = k.x.door().DialContext(ctx, "tcp", address); err != nil {
			k.conn = nil
			return failure(ctx, Connect, err)
		}
		k.uses = 0
	}
	k.uses++
	release := hold(ctx, k.conn)
	again, err := k.x.exchange(ctx, k.conn, address, true)
	if !release(again) {
		k.conn = nil
	}
	if e, ok := err.(*Error); ok && kept {
		k.stale = e.Kind == BadAnswer || e.Kind == Timeout || e.Err == errIdle
	}
	return err
}

// ready reports whether there is a connection that may serve another check. One that has served enough is closed, and so is one
// that has ended, or on which something has come since its last answer: see idleLook. That is no evidence against the backend.
func (k *keeping) ready() bool {
	if k.conn == nil {
		return false
	}
	if k.uses < usesOfOne && k.sound() {
		return true
	}
	k.Close()
	return false
}

// sound looks at the connection. What stands for one exchange of many looks itself.
func (k *keeping) sound() bool {
	if r, ok := k.conn.(Renewer); ok {
		return r.Renew() == nil
	}
	return idleLook(k.conn) == nil
}

// Close closes the connection that is kept.
func (k *keeping) Close() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}
