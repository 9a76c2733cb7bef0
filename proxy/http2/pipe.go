package http2

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/benbjohnson/clock"
)

// pipeSize is how many bytes may be under way in one direction before a writer waits.
const pipeSize = 64 << 10

// pipe makes the two ends of a connection in memory. Like a TCP connection it holds some bytes, has deadlines and half-close,
// and resets: an end that is closed with unread bytes, or written to after its peer has closed, fails as a socket does.
func pipe(clk clock.Clock, near, far net.Addr) (*pipeConn, *pipeConn) {
	a, b := &flow{clk: clk}, &flow{clk: clk}
	one := &pipeConn{clk: clk, in: a, out: b, local: near, remote: far}
	two := &pipeConn{clk: clk, in: b, out: a, local: far, remote: near, peer: one}
	one.peer = two
	return one, two
}

// flow is one direction.
type flow struct {
	clk clock.Clock

	mu       sync.Mutex // never held over a wait
	bytes    []byte
	ended    bool  // the writer has written all
	broken   bool  // the reader has gone, or the writer has given up
	cause    error // what the reader is told of that; nil: a reset
	readBy   time.Time
	writeBy  time.Time
	reading  chan struct{} // closed to wake the reader that waits; nil: none does
	writing  chan struct{}
	shut     bool // the reading end was closed
	shutSend bool // the writing end was closed
}

// wakeLocked takes the sleepers to be woken once the lock has been given back.
func (f *flow) wakeLocked(who *chan struct{}) chan struct{} {
	ch := *who
	*who = nil
	return ch
}

// rouse wakes a sleeper, and in a simulation gives it this instant for itself.
func rouse(clk clock.Clock, ch chan struct{}) {
	if ch != nil {
		rest := apart(clk)
		close(ch)
		rest()
	}
}

// wakeSoon is rouse for a caller that must not wait.
func wakeSoon(clk clock.Clock, ch chan struct{}) {
	if ch == nil {
		return
	}
	if _, simulated := clk.(reserver); simulated {
		clk.AfterFunc(0, func() { close(ch) })
		return
	}
	close(ch)
}

// sleep waits until woken or until the limit.
func sleep(clk clock.Clock, ch chan struct{}, limit time.Time) {
	if limit.IsZero() {
		<-ch
		return
	}
	t := clk.Timer(clk.Until(limit))
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	}
}

// past says whether a deadline is over.
func past(clk clock.Clock, limit time.Time) bool { return !limit.IsZero() && !clk.Now().Before(limit) }

// await waits for bytes or an end. It returns with the lock held.
func (f *flow) await() error {
	for {
		f.mu.Lock()
		switch {
		case f.shut:
			return net.ErrClosed
		case past(f.clk, f.readBy):
			return os.ErrDeadlineExceeded
		case len(f.bytes) > 0:
			return nil
		case f.broken && f.cause != nil:
			return f.cause
		case f.broken:
			return syscall.ECONNRESET
		case f.ended:
			return io.EOF
		}
		if f.reading == nil {
			f.reading = make(chan struct{})
		}
		ch, limit := f.reading, f.readBy
		f.mu.Unlock()
		sleep(f.clk, ch, limit)
	}
}

func (f *flow) read(p []byte) (int, error) {
	if err := f.await(); err != nil {
		f.mu.Unlock()
		return 0, err
	}
	n := copy(p, f.bytes)
	if f.bytes = f.bytes[n:]; len(f.bytes) == 0 {
		f.bytes = nil
	}
	ch := f.wakeLocked(&f.writing)
	f.mu.Unlock()
	rouse(f.clk, ch)
	return n, nil
}

func (f *flow) write(p []byte) (n int, err error) {
	for {
		f.mu.Lock()
		switch {
		case f.shutSend || f.ended:
			err = net.ErrClosed
		case past(f.clk, f.writeBy):
			err = os.ErrDeadlineExceeded
		case f.broken:
			err = syscall.EPIPE
		}
		if err != nil {
			f.mu.Unlock()
			return n, err
		}
		if room := pipeSize - len(f.bytes); room > 0 {
			part := p[n:min(len(p), n+room)]
			f.bytes = append(f.bytes, part...)
			n += len(part)
			ch := f.wakeLocked(&f.reading)
			f.mu.Unlock()
			rouse(f.clk, ch)
			if n == len(p) {
				return n, nil
			}
			continue
		}
		if f.writing == nil {
			f.writing = make(chan struct{})
		}
		ch, limit := f.writing, f.writeBy
		f.mu.Unlock()
		sleep(f.clk, ch, limit)
	}
}

// change changes the state and wakes both sides, which look at it again.
func (f *flow) change(what func()) {
	f.mu.Lock()
	what()
	reader, writer := f.wakeLocked(&f.reading), f.wakeLocked(&f.writing)
	f.mu.Unlock()
	rouse(f.clk, reader)
	rouse(f.clk, writer)
}

// pipeConn is one end.
type pipeConn struct {
	clk           clock.Clock
	in, out       *flow
	local, remote net.Addr
	peer          *pipeConn

	mu     sync.Mutex // guards what follows
	lost   func()
	isLost bool
}

// OnReset arranges for f to be called, in a goroutine of its own, if the stream behind the other end is reset: waiting for
// that end to write something, or to take it, is in vain.
func (c *pipeConn) OnReset(f func()) {
	c.mu.Lock()
	c.lost = f
	late := c.isLost
	c.mu.Unlock()
	if late {
		launch(c.clk, f)
	}
}

// reset is an abort that the peer's OnReset tells of.
func (c *pipeConn) reset() {
	c.abort()
	p := c.peer
	p.mu.Lock()
	p.isLost = true
	f := p.lost
	p.mu.Unlock()
	if f != nil {
		f()
	}
}

func (c *pipeConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// Read implements net.Conn.
func (c *pipeConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.read(p)
	return n, c.opError("read", err)
}

// WaitReadable waits until a read would not block, without a buffer.
func (c *pipeConn) WaitReadable() error {
	err := c.in.await()
	c.in.mu.Unlock()
	if err == io.EOF || err == syscall.ECONNRESET {
		return nil // which the read will tell
	}
	return c.opError("read", err)
}

// Write implements net.Conn.
func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.opError("write", err)
}

// CloseWrite ends what this end sends.
func (c *pipeConn) CloseWrite() error {
	c.out.change(func() { c.out.ended = true })
	return nil
}

// Peek looks at what has come without reading it and without waiting: the pool's Peeker.
func (c *pipeConn) Peek(p []byte) (int, error) {
	f := c.in
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.shut:
		return 0, c.opError("peek", net.ErrClosed)
	case len(f.bytes) > 0:
		return copy(p, f.bytes), nil
	case f.broken:
		return 0, c.opError("peek", syscall.ECONNRESET)
	case f.ended:
		return 0, io.EOF
	}
	return 0, nil
}

// quiet says whether whoever reads now waits.
func (c *pipeConn) quiet() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.bytes) == 0 && !c.in.shut && !c.in.broken && !c.in.ended
}

// Close implements net.Conn. What the peer has sent and nobody has read makes it a reset, as with a socket; but what was
// written before is not lost with it, as a kernel would lose it: the peer reads that first.
func (c *pipeConn) Close() error {
	unread := false
	c.in.change(func() { unread, c.in.shut, c.in.broken, c.in.bytes = len(c.in.bytes) > 0, true, true, nil })
	c.out.change(func() {
		c.out.shutSend = true
		if unread {
			c.out.broken = true
		} else {
			c.out.ended = true
		}
	})
	return nil
}

// abort is a Close that the peer learns of as a reset, whatever is under way.
func (c *pipeConn) abort() {
	c.in.change(func() { c.in.shut, c.in.broken, c.in.bytes = true, true, nil })
	c.out.change(func() { c.out.shutSend, c.out.broken, c.out.bytes = true, true, nil })
}

// fail is an abort whose reason the peer is told.
func (c *pipeConn) fail(why error) {
	c.in.change(func() { c.in.shut, c.in.broken, c.in.bytes = true, true, nil })
	c.out.change(func() { c.out.shutSend, c.out.broken, c.out.bytes, c.out.cause = true, true, nil, why })
}

// refuse takes no more of what the peer sends, and goes on sending.
func (c *pipeConn) refuse() {
	c.in.change(func() { c.in.shut, c.in.broken, c.in.bytes = true, true, nil })
}

// offer writes all of p if that needs no wait.
func (c *pipeConn) offer(p []byte) bool {
	c.out.mu.Lock()
	room := pipeSize - len(c.out.bytes)
	c.out.mu.Unlock()
	if len(p) > room {
		return false
	}
	_, err := c.Write(p)
	return err == nil
}

// LocalAddr implements net.Conn.
func (c *pipeConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *pipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *pipeConn) SetReadDeadline(t time.Time) error {
	return c.deadline(c.in, func() { c.in.readBy = t }, &c.in.shut)
}

// SetWriteDeadline implements net.Conn.
func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	return c.deadline(c.out, func() { c.out.writeBy = t }, &c.out.shutSend)
}

func (c *pipeConn) deadline(f *flow, set func(), closed *bool) error {
	f.mu.Lock()
	was := *closed
	if !was {
		set()
	}
	reader, writer := f.wakeLocked(&f.reading), f.wakeLocked(&f.writing)
	f.mu.Unlock()
	// Whoever sets a deadline may hold a lock, as one may with a socket: it must not wait here.
	wakeSoon(f.clk, reader)
	wakeSoon(f.clk, writer)
	if was {
		return c.opError("set", net.ErrClosed)
	}
	return nil
}
