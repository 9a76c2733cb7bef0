package netsim

import (
	"net"
	"syscall"
)

// This file is the life of a connection's end: how it closes, and what the other end can do to it. Sim.mu
// is held in all of the lower-case methods.

func (c *Conn) fire(k eventKind, now int64) {
	switch k {
	case evReadDue:
		c.readExpired = true
		c.rel.all(&c.readers, now)
	case evWriteDue:
		c.writeExpired = true
		c.rel.all(&c.space, now)
		c.rel.all(&c.writers, now)
	case evKeepAlive:
		c.keepAliveDue(now)
	case evFlush:
		c.sendQueued(now)
	}
}

// Close ends the connection: with a FIN after what was written, or at once with a RST when received bytes
// are unread or after SetLinger(0). It does not wait. Blocked operations end with net.ErrClosed, one by
// one. A second Close gives net.ErrClosed.
func (c *Conn) Close() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.end(c.s.now(), endKill)
	return nil
}

// end closes the socket: as Close does, or without a packet when its machine is gone.
func (c *Conn) end(now int64, how endKind) {
	if c.closed {
		if how == endSilent {
			c.die(now) // an orphan that still had something to send
		}
		return
	}
	c.closed = true
	c.endKeepAlive()
	c.s.cancel(&c.readDue)
	c.s.cancel(&c.writeDue)
	c.s.trace.add(now, &c.actor, "close", "", 0)
	unread := c.in.ready > 0
	c.s.segments.putAll(&c.in.recv)
	c.in.ready = 0
	switch {
	case how == endSilent:
		c.die(now)
	case c.dead:
	case c.linger0 || unread:
		c.s.trace.add(now, &c.actor, "rst", "", 0)
		c.die(now)
		c.sendRST(now)
	case !c.sentFIN:
		c.sentFIN = true
		c.sendLast(now)
	}
	c.releaseAll(now)
	c.forget()
}

func (c *Conn) releaseAll(now int64) {
	c.rel.all(&c.readers, now)
	c.rel.all(&c.space, now)
	c.rel.all(&c.writers, now)
}

// CloseWrite sends the FIN after everything that was written; reading goes on. It may be repeated while the
// connection lives; after a RST it gives ENOTCONN, after Close net.ErrClosed.
func (c *Conn) CloseWrite() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.shutdownError(); err != nil {
		return err
	}
	if !c.sentFIN {
		now := c.s.now()
		c.sentFIN = true
		c.sendLast(now)
		c.rel.all(&c.space, now)
		c.rel.all(&c.writers, now)
	}
	return nil
}

// CloseRead makes Read give io.EOF when nothing is there. As in Linux, bytes that arrive later can still be
// read.
func (c *Conn) CloseRead() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.shutdownError(); err != nil {
		return err
	}
	c.readEnd = true
	c.rel.all(&c.readers, c.s.now())
	return nil
}

func (c *Conn) shutdownError() error {
	switch {
	case c.closed:
		return c.opError("close", net.ErrClosed)
	case c.dead || c.in.fin && c.out.fin:
		return c.callError("close", "shutdown", syscall.ENOTCONN)
	}
	return nil
}

// SetLinger with 0 seconds makes Close send a RST and forget what was not sent; any other value restores
// the usual Close, which here never waits.
func (c *Conn) SetLinger(sec int) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.optionError()
	}
	c.linger0 = sec == 0
	return nil
}

// SetWriteBuffer sets how many bytes Write takes before the peer has acknowledged them. A library
// that writes under a mutex needs SetEagerWrites instead. It panics if bytes is not
// positive.
func (c *Conn) SetWriteBuffer(bytes int) error {
	if bytes <= 0 {
		panic("netsim: SetWriteBuffer needs a positive size")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.optionError()
	}
	c.out.sendCap = bytes
	c.rel.all(&c.space, c.s.now())
	return nil
}

// SetReadBuffer has no effect: the receive window is Config.RecvBuffer.
func (c *Conn) SetReadBuffer(int) error { return c.noOption() }

// SetNoDelay has no effect: Nagle's algorithm is not modelled, every Write is sent at once.
func (c *Conn) SetNoDelay(bool) error { return c.noOption() }

func (c *Conn) noOption() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.optionError()
	}
	return nil
}

func (c *Conn) optionError() error { return c.opError("set", net.ErrClosed) }

// onOpen is the end of the handshake at the server's end.
func (c *Conn) onOpen(now int64) {
	l := c.flow.half
	c.flow.established()
	if l == nil || l.closed {
		c.s.trace.add(now, &c.actor, "refuses", "open", 0)
		c.die(now)
		c.out.sendRST(now)
		return
	}
	c.s.trace.add(now, &c.actor, "open", "", 0)
	l.arrived(c)
}

// onReset is the arrival of a RST. Bytes that arrived before it can still be read, and after a FIN readers
// do not see it.
func (c *Conn) onReset(now int64) {
	if c.dead {
		return
	}
	errno := syscall.ECONNRESET
	if c.in.fin {
		errno = syscall.EPIPE
	}
	c.fail(errno, "reset", now)
}

// fail ends the connection with an error that the next operation gets.
func (c *Conn) fail(errno syscall.Errno, kind string, now int64) {
	if c.dead {
		return
	}
	c.errno = errno
	c.s.trace.add(now, &c.actor, kind, "", 0)
	c.die(now)
}

// deaf tells whether a segment of this kind finds no socket that could take it.
func (c *Conn) deaf(kind PacketKind) bool { return c.dead || c.closed && kind == PacketData }

// die ends all sending and receiving. Nothing goes out.
func (c *Conn) die(now int64) {
	if c.dead {
		return
	}
	c.dead = true
	c.endKeepAlive()
	c.out.purge()
	if c == &c.flow.client && !c.out.opening() {
		c.flow.established() // what is under way opens the other end all the same, before it ends it
	}
	c.releaseAll(now)
	c.forget()
	c.out.dst.forget()
	c.in.probeIfNeeded(now) // the other end may wait for a window that will never open
}

// forget takes the end off its host's list of open connections when it is over: dead, or closed both ways. One that
// was closed and waits for the FIN of a dead peer is over too: it will never come. (Linux waits for it for a minute.)
func (c *Conn) forget() {
	if c.place != 0 && (c.dead || c.closed && c.out.fin && (c.in.fin || c.in.src.dead)) {
		c.host.dropConn(c)
	}
}
