package netsim

import (
	"context"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// firstListenPort is where ports for Listen on port 0 begin, apart from those of dialers.
const firstListenPort = 20001

// Listener accepts connections to one port of one host. All methods may be called concurrently.
type Listener struct {
	s     *Sim
	host  *Host
	addr  *net.TCPAddr
	actor actor
	life  int // of its host, to which it belongs

	// Sim.mu guards what follows.
	queue     []*Conn // handshake done, not accepted yet
	halfOpen  int     // SYN answered, handshake not done yet
	accepters waitList
	rel       releaser
	due       event
	expired   bool
	closed    bool
}

var _ net.Listener = (*Listener)(nil)

// Listen announces on a port of the host. The address is ":80", "10.0.0.1:80" or "name:80", where IP or
// name must be the host's own; port 0 picks the next free one. ctx counts only if it has ended already. A
// port in use gives EADDRINUSE, a foreign address EADDRNOTAVAIL, a host that is down ErrHostDown, all in a
// *net.OpError.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	addr, at, err := h.own(network, address)
	fail := func(err error) (net.Listener, error) {
		e := &net.OpError{Op: "listen", Net: network, Err: err}
		if addr != nil {
			e.Addr = addr
		}
		return nil, e
	}
	switch {
	case err != nil:
		return fail(err)
	case ctx.Err() != nil:
		return fail(contextError(ctx.Err()))
	case h.state != hostUp:
		return fail(ErrHostDown)
	case at != h:
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	if addr.Port == 0 {
		for h.listeners[h.nextPort] != nil {
			h.nextPort++
		}
		addr.Port = h.nextPort
		h.nextPort++
	}
	if h.listeners[addr.Port] != nil {
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &Listener{s: h.s, host: h, addr: addr, life: h.life,
		actor: newActor(h.name + ":" + strconv.Itoa(addr.Port))}
	l.rel.init(h.s, l.actor.hash)
	l.due.init(l, evAcceptDue, l.actor.hash)
	h.listeners[addr.Port] = l
	h.s.note(&l.actor, "listen", "", 0)
	return l, nil
}

// Accept waits for the next connection. After Close it gives net.ErrClosed and after the deadline
// os.ErrDeadlineExceeded, both in a *net.OpError.
func (l *Listener) Accept() (net.Conn, error) {
	l.s.mu.Lock()
	for {
		l.host.stopHere(l.life)
		switch {
		case l.closed:
			l.s.mu.Unlock()
			return nil, l.acceptError(net.ErrClosed)
		case l.expired:
			l.s.mu.Unlock()
			return nil, l.acceptError(os.ErrDeadlineExceeded)
		case len(l.queue) > 0 && !l.host.unserved:
			c := l.queue[0]
			l.queue[0] = nil
			l.queue = l.queue[1:]
			if len(l.queue) > 0 {
				l.rel.one(&l.accepters, l.s.now())
			}
			l.s.note(&c.actor, "accept", "", 0)
			l.s.mu.Unlock()
			return c, nil
		}
		w := newWaiter()
		l.accepters.push(w)
		l.s.mu.Unlock()
		<-w.ch
		l.s.mu.Lock()
	}
}

func (l *Listener) acceptError(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: err}
}

// Addr returns the listener's address, a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return l.addr }

// SetDeadline sets the instant after which Accept fails with os.ErrDeadlineExceeded; the zero time means
// none.
func (l *Listener) SetDeadline(t time.Time) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "set", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	l.s.setDeadline(&l.due, &l.expired, l.host.trueTime(t), &l.rel, &l.accepters)
	return nil
}

// Close stops listening. Blocked Accepts end one by one, each at its own instant; connections that nobody
// has accepted are reset. A second Close gives net.ErrClosed.
func (l *Listener) Close() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	l.end(l.s.now(), endKill)
	return nil
}

// end closes the listener; silently when its machine crashed.
func (l *Listener) end(now int64, how endKind) {
	l.closed = true
	delete(l.host.listeners, l.addr.Port)
	l.s.cancel(&l.due)
	l.rel.all(&l.accepters, now)
	l.s.trace.add(now, &l.actor, "unlisten", "", 0)
	for _, c := range l.queue {
		if how == endKill {
			c.linger0 = true
		}
		c.end(now, how)
	}
	l.queue = nil
}

// arrived takes in a connection whose handshake is done.
func (l *Listener) arrived(c *Conn) {
	l.host.addConn(c)
	l.queue = append(l.queue, c)
	l.accepters.wakeOne()
}

func (l *Listener) full() bool { return len(l.queue)+l.halfOpen >= l.s.cfg.Backlog }

func (l *Listener) fire(_ eventKind, now int64) {
	l.expired = true
	l.rel.all(&l.accepters, now)
}
