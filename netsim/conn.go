package netsim

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Conn is one end of a simulated TCP connection. It behaves as a *net.TCPConn does for an application on
// Linux, to the errno. All methods may be called concurrently; concurrent Writes do not interleave.
type Conn struct {
	s             *Sim
	flow          *flow
	host          *Host // nil: nobody has the address
	local, remote *net.TCPAddr
	in, out       *pipe
	actor         actor
	place         int // in host.conns plus one; 0 = not open
	life          int // of its host, to which it belongs

	// Sim.mu guards what follows.
	readers waitList // wait for something to read
	space   waitList // the one writer whose turn it is waits for room
	writers waitList // wait for their turn
	writing bool     // somebody has the turn
	rel     releaser
	parkR   spot
	parkW   spot

	readDue, writeDue         event
	readExpired, writeExpired bool

	closed  bool // by Close, or because its host went down
	dead    bool // no packet leaves or is taken in any more
	readEnd bool // CloseRead
	sentFIN bool
	linger0 bool
	eager   *eager        // see eager.go
	errno   syscall.Errno // the next operation gets it, as with SO_ERROR

	heard       int64      // when something came from the other end, as far as the pipes have looked
	keep        *keepAlive // nil until it is asked for
	userTimeout int64      // 0 = none
}

var _ net.Conn = (*Conn)(nil)

func (c *Conn) init(s *Sim, f *flow, h *Host, local, remote *net.TCPAddr, name string) {
	c.s, c.flow, c.host, c.local, c.remote = s, f, h, local, remote
	c.actor = newActor(name)
	c.in, c.out = &f.down, &f.up
	if c == &f.server {
		c.in, c.out = c.out, c.in
	}
	c.userTimeout = int64(s.cfg.UserTimeout)
	c.rel.init(s, c.actor.hash)
	c.readDue.init(c, evReadDue, c.actor.hash)
	c.writeDue.init(c, evWriteDue, c.actor.hash)
}

func (c *Conn) addr() string {
	if c.host != nil {
		return c.host.addr
	}
	return c.local.IP.String()
}

// spot is a waiter kept with the connection for the usual case of one reader and one writer.
type spot struct {
	w    waiter
	used bool
}

// park puts the caller in a list and waits until it is let go. Sim.mu is held before and after, and not
// meanwhile.
func (c *Conn) park(l *waitList, sp *spot) {
	mine := sp != nil && !sp.used
	var w *waiter
	if mine {
		sp.used = true
		w = &sp.w
		if w.ch == nil {
			w.ch = make(chan struct{}, 1)
		}
	} else {
		w = newWaiter()
	}
	l.push(w)
	if l == &c.space {
		c.out.expectAck(c.s.now())
	}
	c.s.mu.Unlock()
	<-w.ch
	c.s.mu.Lock()
	if mine {
		sp.used = false
	}
}

// Name returns the connection's name in the trace, such as "client:32768>b1:80" at the dialer's end and
// "b1:80<client:32768" at the other. Names are never used again.
func (c *Conn) Name() string { return c.actor.name }

// LocalAddr returns the local *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the remote *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what has arrived, or waits for it. It gives io.EOF after the peer's FIN or after CloseRead,
// ECONNRESET once after a RST and ETIMEDOUT once after the sender gave up (then io.EOF), net.ErrClosed
// after Close and os.ErrDeadlineExceeded after the deadline. An empty b gives 0 and nil at once unless c is
// closed.
func (c *Conn) Read(b []byte) (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for {
		c.host.stopHere(c.life)
		n, err, now := c.readNow(b)
		if now {
			c.passOn()
			return n, err
		}
		c.park(&c.readers, &c.parkR)
	}
}

// readNow tries to read without waiting; ok is false when it has to wait. The order of the cases is the
// kernel's.
func (c *Conn) readNow(b []byte) (n int, err error, ok bool) {
	switch {
	case c.closed:
		return 0, c.opError("read", net.ErrClosed), true
	case len(b) == 0:
		return 0, nil, true
	case c.readExpired:
		return 0, c.opError("read", os.ErrDeadlineExceeded), true
	case c.in.ready > 0 && !c.host.stalled:
		return c.in.read(b, c.s.now()), nil, true
	case !c.readable():
		return 0, nil, false
	}
	return 0, c.takeReadError(), true
}

// readable tells whether a read would not wait, deadlines aside.
func (c *Conn) readable() bool {
	return c.closed || c.readEnd || !c.host.stalled && (c.in.ready > 0 || c.in.fin || c.dead)
}

// takeReadError is the result of a read when nothing is left to read. A FIN hides a later RST from readers,
// as in Linux.
func (c *Conn) takeReadError() error {
	if c.errno != 0 && !c.in.fin && !c.readEnd {
		errno := c.errno
		c.errno = 0
		return c.callError("read", "read", errno)
	}
	return io.EOF
}

// passOn lets the next reader go if there is something left for it.
func (c *Conn) passOn() {
	if c.readers.head != nil && c.readable() {
		c.rel.one(&c.readers, c.s.now())
	}
}

// Peek copies received bytes into p without taking them, and never waits: (n, nil) when there are n bytes,
// (0, nil) when there is nothing to read now, (0, io.EOF) after the peer's FIN, and Read's error after a
// RST or Close. It ignores deadlines. As with MSG_PEEK, an error that is told once is used up.
func (c *Conn) Peek(p []byte) (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.opError("read", net.ErrClosed)
	case len(p) == 0 || c.host.stalled || c.host.stopped(c.life):
		return 0, nil
	case c.in.ready > 0:
		return c.in.peek(p), nil
	case c.readable():
		return 0, c.takeReadError()
	}
	return 0, nil
}

// PeerEnded says whether the peer's FIN has arrived or the connection is broken, also while bytes that came before are
// still to be read. It takes nothing and never waits.
func (c *Conn) PeerEnded() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.closed || c.in.fin || c.dead
}

// WaitReadable waits until Read would not: nil when there are bytes, an EOF or an error to be read,
// net.ErrClosed after Close, os.ErrDeadlineExceeded after the read deadline. It takes nothing.
func (c *Conn) WaitReadable() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for {
		c.host.stopHere(c.life)
		switch {
		case c.closed:
			return c.opError("read", net.ErrClosed)
		case c.readExpired:
			return c.opError("read", os.ErrDeadlineExceeded)
		case c.readable():
			c.passOn()
			return nil
		}
		c.park(&c.readers, &c.parkR)
	}
}

// Write sends b. It returns when the send buffer has taken all of it, and waits while the buffer is full.
// After a RST the first operation gets ECONNRESET (EPIPE if the peer had sent its FIN before) and later
// ones EPIPE; so does a Write after CloseWrite. It gives net.ErrClosed after Close and
// os.ErrDeadlineExceeded after the deadline, with the number of bytes taken before. b is copied and not
// kept.
func (c *Conn) Write(b []byte) (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.eager != nil {
		return c.writeEagerly(b)
	}
	done, turn := 0, false
	for {
		if err := c.writeError(); err != nil {
			c.endTurn(turn)
			return done, err
		}
		if c.writing && !turn {
			c.park(&c.writers, nil)
			c.host.stopHere(c.life)
			continue
		}
		c.writing, turn = true, true
		done += c.out.write(b[done:], c.s.now())
		if done == len(b) {
			c.endTurn(turn)
			return done, nil
		}
		c.park(&c.space, &c.parkW)
		c.host.stopHere(c.life)
	}
}

// writeError tells why a write cannot go on, if so.
func (c *Conn) writeError() error {
	switch {
	case c.closed:
		return c.opError("write", net.ErrClosed)
	case c.writeExpired:
		return c.opError("write", os.ErrDeadlineExceeded)
	case c.errno != 0:
		errno := c.errno
		c.errno = 0
		return c.callError("write", "write", errno)
	case c.dead || c.sentFIN:
		return c.callError("write", "write", syscall.EPIPE)
	}
	return nil
}

// endTurn lets the next writer go.
func (c *Conn) endTurn(had bool) {
	if had {
		c.writing = false
	}
	if !c.writing {
		c.rel.one(&c.writers, c.s.now())
	}
}

// SetDeadline sets both deadlines, as for any net.Conn; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets the deadline of Read and WaitReadable.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.setError(net.ErrClosed)
	}
	t = c.host.trueTime(t)
	if read {
		c.s.setDeadline(&c.readDue, &c.readExpired, t, &c.rel, &c.readers)
	}
	if write {
		c.s.setDeadline(&c.writeDue, &c.writeExpired, t, &c.rel, &c.space, &c.writers)
	}
	return nil
}

// setDeadline moves a deadline. One that has passed lets all the waiters go, each at its own instant.
// Sim.mu is held.
func (s *Sim) setDeadline(ev *event, expired *bool, t time.Time, rel *releaser, lists ...*waitList) {
	s.cancel(ev)
	*expired = false
	if t.IsZero() {
		return
	}
	now := s.now()
	at := s.offset(t)
	if at > now {
		s.schedule(ev, min(at, 1<<62), now)
		return
	}
	*expired = true
	for _, l := range lists {
		rel.all(l, now)
	}
}
