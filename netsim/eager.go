package netsim

import (
	"context"
	"errors"
	"net"
)

// This file is what connections need that are given to a library which writes while it holds a lock, or
// whose goroutines race within one instant for who writes first: net/http's HTTP/2 does both. A connection
// with eager writes never lets Write wait, and joins all that is written in one instant. There is no goroutine
// behind it: the queue is emptied by an event.

// evFlush sends what eager writes have queued. Kinds of events count in the order of ties, and this number stands apart
// so that new kinds leave it as it is.
const evFlush eventKind = 100

// DefaultEagerLimit is the limit of SetEagerWrites(0), in bytes.
const DefaultEagerLimit = 16 << 20

// ErrEagerFull is what Write gives, in a *net.OpError, when the bytes would go over the limit of
// SetEagerWrites. Nothing of them was taken. Who gets it has a peer that does not read, or needs a larger
// limit.
var ErrEagerFull = errors.New("netsim: the peer has not taken as much as the limit of eager writes allows")

// eager is the state of one end with eager writes. A nil one is that of an ordinary end. Sim.mu guards it.
type eager struct {
	limit int
	queue []byte // written and not sent yet
	flush event
}

// SetEagerWrites has Write take everything at once and never wait, as a library needs that holds a lock over
// its Writes: in a bubble such a Write, waiting for room, would hang all others for ever.
// What is written within one instant leaves together at an instant of its own right after, so that the order in
// which a library's goroutines race for the connection does not show. From then on the trace takes the lengths
// of both ends of the connection for rough ones (Event.Rough), because a library that writes so often decides
// by the same race how many TLS records or HTTP/2 frames of its own it makes. For the same reason nothing else
// depends on these lengths: what leaves together is one segment however long it is, and the peer's receive window
// does not hold it up. Only a Link.Bandwidth still counts bytes, and such a run may not repeat exactly.
//
// limit bounds the bytes that the peer has not acknowledged or not read: a Write that would exceed it gets
// ErrEagerFull. It takes the place of the send buffer and of the window. 0 means DefaultEagerLimit; a negative
// one panics. Close and CloseWrite send what was written before together with the FIN; a Close that resets the
// connection forgets what was written in its instant. Errors of the network come with the next Write, as they do
// when a send buffer has room. SetEagerWrites must be called before a Write waits, best before the first one; it
// cannot be undone, and calling it again changes the limit. After Close it gives net.ErrClosed.
func (c *Conn) SetEagerWrites(limit int) error {
	checkEagerLimit(limit)
	setDefault(&limit, DefaultEagerLimit)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case c.closed:
		return c.optionError()
	case c.writing:
		panic("netsim: SetEagerWrites while a Write waits")
	case c.eager == nil:
		c.eager = &eager{}
		c.eager.flush.init(c, evFlush, c.actor.hash)
		c.actor.rough, c.in.src.actor.rough = true, true
		c.out.window += 1 << 40 // out of the way: the limit bounds what is under way
	}
	c.eager.limit = limit
	return nil
}

// DialFunc is the shape of DialContext.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// EagerDial gives a dial function whose connections have eager writes: see Conn.SetEagerWrites, also for
// limit. dial must dial connections of this package, as Host.DialContext does; it panics on others. It fits
// below crypto/tls.
func EagerDial(dial DialFunc, limit int) DialFunc {
	checkEagerLimit(limit)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return madeEager(limit)(dial(ctx, network, address))
	}
}

// EagerListener gives a listener whose connections have eager writes: see Conn.SetEagerWrites, also for limit.
// l must accept connections of this package, as those of Host.Listen do; it panics on others. It fits below
// tls.NewListener.
func EagerListener(l net.Listener, limit int) net.Listener {
	checkEagerLimit(limit)
	return eagerListener{l, limit}
}

func checkEagerLimit(limit int) {
	if limit < 0 {
		panic("netsim: the limit of eager writes is 0 or more")
	}
}

type eagerListener struct {
	net.Listener
	limit int
}

func (l eagerListener) Accept() (net.Conn, error) { return madeEager(l.limit)(l.Listener.Accept()) }

// madeEager makes connections eager. One that was closed meanwhile, by the end of its host, says so itself.
func madeEager(limit int) func(c net.Conn, err error) (net.Conn, error) {
	return func(c net.Conn, err error) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		conn, ok := c.(*Conn)
		if !ok {
			panic("netsim: eager writes need a connection of this package")
		}
		_ = conn.SetEagerWrites(limit)
		return conn, nil
	}
}

// writeEagerly is Write. Sim.mu is held.
func (c *Conn) writeEagerly(b []byte) (int, error) {
	if err := c.writeError(); err != nil {
		return 0, err
	}
	e, now := c.eager, c.s.now()
	c.out.settle(now)
	if len(b) > e.limit-c.out.outstanding()-len(e.queue) {
		return 0, c.opError("write", ErrEagerFull)
	}
	if len(b) == 0 {
		return 0, nil
	}
	e.queue = append(e.queue, b...)
	if !e.flush.queued() {
		c.s.schedule(&e.flush, now, now)
	}
	return len(b), nil
}

// outstanding counts the bytes that were sent and are not yet both acknowledged and read, each once: those that have
// arrived and whose acknowledgement has not are not under way any more. Sim.mu is held.
func (p *pipe) outstanding() int {
	under := p.buffered - p.noAckLen
	for _, a := range p.acks {
		under -= a.bytes
	}
	return max(p.buffered, under+p.ready)
}

// sendQueued lets go what eager writes have queued. Sim.mu is held.
func (c *Conn) sendQueued(now int64) {
	e := c.eager
	if e == nil || len(e.queue) == 0 {
		return
	}
	c.s.cancel(&e.flush)
	if !c.dead {
		c.out.writeWhole(e.queue, now)
	}
	e.queue = e.queue[:0]
}

// sendLast sends the FIN after everything that was written. What eager writes have queued goes with it, as TCP does it
// too: when a library closes a connection while others of its goroutines write, the race between them decides whether
// there is anything, and this must not show as a packet. Sim.mu is held.
func (c *Conn) sendLast(now int64) {
	e := c.eager
	if e == nil || len(e.queue) == 0 {
		c.out.sendFIN(now)
		return
	}
	c.s.cancel(&e.flush)
	c.out.buffered += len(e.queue)
	c.s.trace.add(now, &c.actor, "fin", "", int64(len(e.queue)))
	c.out.hold(c.s.segments.get(PacketFIN, e.queue))
	c.out.push(now)
	e.queue = e.queue[:0]
}

// takeLast takes in the bytes that came with a FIN and tells how many they are. Nothing tells the peer when nobody will
// read them.
func (p *pipe) takeLast(g *segment) int64 {
	n := g.size()
	if n == 0 || p.dst.closed {
		p.s.segments.put(g)
		return int64(n)
	}
	p.ready += n
	p.recv.push(g)
	return int64(n)
}

// writeWhole sends b as one segment, however long it is, because the number of segments would show its exact length.
func (p *pipe) writeWhole(b []byte, now int64) {
	p.buffered += len(b)
	p.hold(p.s.segments.get(PacketData, b))
	p.s.trace.add(now, &p.src.actor, "send", "", int64(len(b)))
	p.push(now)
}
