package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/http1"
)

const (
	// connectPause is how long a client rests after it got no connection: without it a server that is down would be
	// asked as often as the machine can.
	connectPause = 50 * time.Millisecond
	// maxInterim bounds the 1xx answers before the final one.
	maxInterim = 16
)

// limits are those of the http1 package.
var limits http1.Limits

// wire is what reads the answers of one connection. It stays with it from borrower to borrower.
type wire struct {
	rd   http1.Reader
	resp http1.Response
	body http1.Body
}

// answer is what a client keeps of a complete answer. Backend aliases the connection's buffer: it is gone with the loan.
type answer struct {
	status  int
	body    uint64
	backend []byte // nil: no X-Backend field
	again   bool   // the connection may carry another exchange
}

// client sends one request after the other. Its methods but cut belong to its goroutine.
type client struct {
	g     *generator
	rec   *recorder
	until time.Time // its end; zero: that of the run

	mu    sync.Mutex
	under net.Conn // the connection of the exchange under way
	gone  bool     // the run was cut off
}

// loop runs the client from the present instant to its end.
func (c *client) loop(now time.Time) {
	for n := 1; ; n++ {
		if c.leaving(now) {
			return
		}
		last := n == c.g.plan.requests
		now = c.one(now, last)
		if last {
			return
		}
	}
}

// leaving says whether the client's time is over.
func (c *client) leaving(now time.Time) bool {
	return c.g.stopping.Load() || !c.until.IsZero() && !now.Before(c.until)
}

// one sends one request, records what came of it, and returns the instant after it. A connection that this client will
// not need again is closed instead of kept, so that connections go where clients go.
func (c *client) one(begin time.Time, last bool) time.Time {
	conn, err := c.lend(begin)
	if err != nil {
		return c.noConnection(err)
	}
	w, _ := conn.Aux().(*wire)
	if w == nil {
		w = new(wire)
		w.rd.Reset(conn.NetConn())
		conn.SetAux(w)
	}
	var a answer
	err = errCut
	if c.arm(conn.NetConn(), begin.Add(c.g.timeout)) {
		err = exchange(conn.NetConn(), w, c.g.request, c.g.method, &a)
		c.disarm()
	}
	now := time.Now()
	switch {
	case err == nil:
		c.rec.answer(&a, now.Sub(begin), now)
		switch {
		case w.rd.Buffered() > 0:
			w.discard(conn, pool.ReasonUnexpectedData)
		case !a.again || !c.g.reuse:
			w.discard(conn, pool.ReasonNotReusable)
		case last || c.leaving(now):
			w.discard(conn, pool.ReasonExcess)
		default:
			conn.ReleaseAt(now)
		}
	case c.wasCut():
		c.rec.cutOff()
		w.discard(conn, pool.ReasonAborted)
	default:
		why := reasonOfExchange(err, w.rd.Started(), conn.Reused())
		c.rec.fail(why, err, now)
		w.discard(conn, pool.ReasonBroken)
	}
	return now
}

// errCut stands for an exchange that did not begin because the run had been cut off.
var errCut = errors.New("the run was cut off")

// lend borrows a connection, at once if one is idle.
func (c *client) lend(now time.Time) (pool.Conn, error) {
	if conn, ok := c.g.pool.TryLend(now, 0); ok {
		return conn, nil
	}
	ctx, cancel := context.WithDeadline(c.g.ctx, now.Add(c.g.timeout))
	defer cancel()
	return c.g.pool.Lend(ctx)
}

// noConnection records that none was lent, and rests.
func (c *client) noConnection(err error) time.Time {
	if c.g.ctx.Err() != nil {
		c.rec.cutOff()
		return time.Now()
	}
	why := reasonOfLend(err)
	var dial *pool.DialError
	if errors.As(err, &dial) {
		err = dial.Err // which names the address itself
	}
	c.rec.fail(why, err, time.Now())
	c.g.connectFailed()
	pause := time.NewTimer(connectPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.g.stop:
	}
	return time.Now()
}

// arm puts the connection under the request's deadline and within reach of cut. It returns false if the run was cut
// off.
func (c *client) arm(nc net.Conn, deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.under = nc
	_ = nc.SetDeadline(deadline) // an error here is one of the connection, and the exchange will meet it
	return true
}

func (c *client) disarm() {
	c.mu.Lock()
	c.under = nil
	c.mu.Unlock()
}

// cut ends the exchange under way, from any goroutine.
func (c *client) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.under != nil {
		_ = c.under.SetDeadline(time.Unix(1, 0))
	}
}

func (c *client) wasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// discard ends the loan and the connection; the reader's buffer goes back.
func (w *wire) discard(conn pool.Conn, why pool.Reason) {
	w.rd.Reset(nil)
	conn.Discard(why)
}

// exchange sends the request and reads its whole answer.
func exchange(nc net.Conn, w *wire, request, method []byte, a *answer) error {
	// A write that fails does not end it: a server may answer and close before it has read all, and the answer tells
	// more.
	_, sendErr := nc.Write(request)
	for n := 0; ; n++ {
		if err := w.rd.ReadResponse(&w.resp, method, &limits); err != nil {
			if sendErr != nil && !w.rd.Started() {
				return sendErr
			}
			return err
		}
		if w.resp.Status >= 200 {
			break
		}
		if w.resp.Status == 101 || n == maxInterim {
			return errNotFinal
		}
	}
	a.status, a.again = w.resp.Status, w.resp.KeepAlive && sendErr == nil
	a.backend = w.resp.Get("X-Backend")
	w.body.Start(&w.rd, w.resp.Framing, w.resp.ContentLength, &limits)
	for {
		run, err := w.body.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		a.body += uint64(len(run))
	}
}
