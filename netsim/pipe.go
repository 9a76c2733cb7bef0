package netsim

import "syscall"

// pipe is one direction of a connection, with the sender's and the receiver's part of its state. A segment
// lives in one of five queues on its way: held (the window is shut, or an earlier one is lost), entering (a
// shared bottleneck), flight, lost (waits to be sent again), recv. Acknowledgements and window updates need no
// event of their own: they are noted with the instant at which they take effect and looked at when the sender
// wants to know; only when somebody waits for one it becomes an event. Sim.mu guards everything.
type pipe struct {
	s        *Sim
	src, dst *Conn
	link     Link
	linkGen  int
	neck     *bottleneck // that it shares with others, or nil
	own      bottleneck  // of bandwidth that it need not share
	packets  uint64      // counts what was judged, and so places the draws
	exact    bool        // the last verdict was Deliver: no link counts
	overflow bool        // the last verdict was Drop, as its queue is full

	// The sender's part.
	held     segQueue
	seq      uint64 // of the last segment made
	sendCap  int
	buffered int // bytes accepted and not known to have been acknowledged
	window   int // bytes that the receiver has room for, as the sender knows
	acks     []ack
	acked    event
	allowed  uint64 // of a paused host: the last segment that was written before the pause

	// On the way.
	drip     *Fault   // whose rule lets bytes drip; nil = none
	rate     int64    // of drip, in bytes per second
	dripAt   int64    // when the next piece is through; 0 = none is under way
	flip     uint64   // of the packet that was judged last: see segment
	entering segQueue // before a shared bottleneck, for some hundred nanoseconds
	turn     event
	flight   segQueue
	lastAt   int64 // arrival of the last one in flight
	arrive   event

	// Recovery: see recover.go.
	lost     segQueue
	retry    event
	tries    int
	wait     int64 // the current retransmission timeout
	since    int64 // when the trouble began
	noAck    int   // segments that arrived and whose acknowledgement was lost
	noAckLen int   // their bytes
	noCredit int   // window updates that were lost, in bytes
	soft     syscall.Errno
	shut     event // only with a user timeout
	moved    int64 // when a segment left, or had to stay
	starved  bool  // the sender gave up before a shut window

	// The receiver's part.
	recv  segQueue
	ready int // bytes in recv
	fin   bool
}

// ack is news for the sender that takes effect at the instant at.
type ack struct {
	at     int64
	bytes  int // acknowledged
	credit int // added to the window
}

func (p *pipe) init(s *Sim, src, dst *Conn) {
	p.s, p.src, p.dst = s, src, dst
	p.linkGen = -1 // not looked up yet
	p.sendCap, p.window = s.cfg.SendBuffer, s.cfg.RecvBuffer
	key := src.actor.hash
	p.turn.init(p, evTurn, key)
	p.shut.init(p, evShut, key)
	p.arrive.init(p, evArrive, key)
	p.acked.init(p, evAcked, key)
	p.retry.init(p, evRetransmit, key)
}

func (p *pipe) flow() *flow { return p.src.flow }

// reverse is the other direction of the connection.
func (p *pipe) reverse() *pipe { return p.dst.out }

func (p *pipe) fire(k eventKind, now int64) {
	switch k {
	case evArrive:
		if p.drip != nil && p.dripping(now) {
			return
		}
		g := p.flight.pop()
		if next := p.flight.head; next != nil {
			p.s.scheduleExactly(&p.arrive, next.at, next.tie)
		}
		p.deliver(g, now)
	case evAcked:
		p.push(now)
		if 3*p.space(now) >= p.sendCap {
			p.src.space.wakeOne()
		}
		p.expectAck(now)
	case evRetransmit:
		p.retransmit(now)
	case evTurn:
		p.pass(now)
	case evShut:
		p.windowShut(now)
	}
}

// space tells how many bytes the send buffer has room for.
func (p *pipe) space(now int64) int {
	p.settle(now)
	return p.sendCap - p.buffered
}

// settle takes in the acknowledgements that have reached the sender.
func (p *pipe) settle(now int64) {
	n := 0
	for n < len(p.acks) && p.acks[n].at <= now {
		p.buffered -= p.acks[n].bytes
		p.window += p.acks[n].credit
		p.src.heard = max(p.src.heard, p.acks[n].at)
		n++
	}
	if n > 0 {
		p.acks = append(p.acks[:0], p.acks[n:]...)
	}
}

// maxAcks bounds the list of acknowledgements under way; beyond it they merge, taking effect with the later
// one.
const maxAcks = 64

func (p *pipe) addAck(a ack) {
	if n := len(p.acks); n > 0 {
		last := &p.acks[n-1]
		a.at = max(a.at, last.at)
		if n >= maxAcks || last.at == a.at {
			last.at = a.at
			last.bytes += a.bytes
			last.credit += a.credit
			return
		}
	}
	p.acks = append(p.acks, a)
}

// expectAck makes the next acknowledgement an event if the sender waits for one: for the window, or for its
// buffer.
func (p *pipe) expectAck(now int64) {
	waits := p.src.space.head != nil || !p.held.empty() && p.lost.empty()
	if waits && len(p.acks) > 0 && !p.acked.queued() {
		p.s.schedule(&p.acked, p.acks[0].at, now)
	}
}

// write accepts as much of b as the send buffer holds and sends what it may. It returns how much it took.
func (p *pipe) write(b []byte, now int64) int {
	done := 0
	for done < len(b) {
		n := min(p.space(now), len(b)-done, maxSegment, p.s.cfg.RecvBuffer)
		if n <= 0 {
			break
		}
		p.buffered += n
		p.hold(p.s.segments.get(PacketData, b[done:done+n]))
		p.s.trace.add(now, &p.src.actor, "send", "", int64(n))
		done += n
	}
	p.push(now)
	return done
}

// sendOpen sends the client's part of the end of the handshake.
func (p *pipe) sendOpen(now int64) { p.mark(PacketOpen, now) }

// sendFIN ends the direction, after everything that was written.
func (p *pipe) sendFIN(now int64) {
	p.s.trace.add(now, &p.src.actor, "fin", "", 0)
	p.mark(PacketFIN, now)
}

func (p *pipe) mark(kind PacketKind, now int64) {
	p.hold(p.s.segments.get(kind, nil))
	p.push(now)
}

// hold gives a new segment its place in the stream.
func (p *pipe) hold(g *segment) {
	p.seq++
	g.seq = p.seq
	p.held.push(g)
}

// sendRST goes out at once, ahead of everything that is not under way yet. It is not repeated if it is lost; left tells
// whether it is under way.
func (p *pipe) sendRST(now int64) (left bool) { return p.send(p.newRST(), now) == Pass }

func (p *pipe) newRST() *segment {
	g := p.s.segments.get(PacketRST, nil)
	g.seq = 0
	return g
}

// push sends held segments as far as the window allows and unless a lost one has to go first.
func (p *pipe) push(now int64) {
	if p.held.empty() {
		return
	}
	p.settle(now)
	for p.lost.empty() && !p.held.empty() && p.held.head.size() <= p.window && !p.paused(p.held.head) {
		g := p.held.pop()
		p.window -= g.size()
		p.send(g, now)
		p.moved = now
	}
	if !p.held.empty() && p.lost.empty() {
		p.expectAck(now)
		p.probeIfNeeded(now)
		p.watchWindow(now)
	}
}

// send lets one segment go and tells the verdict about it.
func (p *pipe) send(g *segment, now int64) Action {
	verdict, delay := p.s.judge(p, g.kind, g.size(), now)
	switch verdict {
	case Pass:
		g.flip = p.flip
		if shared := p.neck != nil && !p.exact; shared || !p.entering.empty() {
			p.enter(g, delay, shared, now)
		} else {
			p.fly(g, now+delay)
		}
	case Reset:
		// Until the RST arrives the sender takes the segment for lost, and nothing after it may overtake it.
		p.bounce(g.kind, g.size(), delay, now)
		p.lose(g, now)
	default:
		why := g.kind.String()
		if p.overflow {
			why = queueFull
		}
		p.s.trace.add(now, &p.src.actor, verdict.lost(), why, int64(g.size()))
		if verdict == Unreachable {
			p.soft = syscall.EHOSTUNREACH
		}
		p.lose(g, now)
	}
	return verdict
}

// fly puts a segment on its way. Its instant is nudged here, as only the first in flight stands in the
// event queue.
func (p *pipe) fly(g *segment, at int64) {
	if g.flip != 0 {
		p.corrupt(g)
	}
	shift, tie := nudge(p.s.cfg.Seed, p.arrive.key, at)
	p.lastAt = max(at+shift, p.lastAt)
	g.at, g.tie = p.lastAt, tie
	first := p.flight.empty()
	p.flight.push(g)
	if first {
		p.s.scheduleExactly(&p.arrive, g.at, tie)
	}
}

// bounce has a middlebox answer the sender with a RST.
func (p *pipe) bounce(kind PacketKind, size int, delay, now int64) {
	p.s.trace.add(now, &p.src.actor, "bounced", kind.String(), int64(size))
	if kind != PacketRST {
		p.reverse().fly(p.newRST(), now+delay)
	}
}

// deliver is a segment's arrival at the other end.
func (p *pipe) deliver(g *segment, now int64) {
	dst := p.dst
	if dst.host.state == hostCrashed || g.kind != PacketRST && !p.lost.empty() && p.lost.head.seq < g.seq {
		// Nobody is there, or an earlier segment is missing and all after it come again (go-back-N).
		p.lose(g, now)
		return
	}
	dst.heard = now
	if g.kind == PacketRST {
		p.s.segments.put(g)
		dst.onReset(now)
		return
	}
	if dst.deaf(g.kind) {
		p.s.trace.add(now, &dst.actor, "refuses", g.kind.String(), int64(g.size()))
		dst.die(now)
		if dst.out.sendRST(now) {
			p.s.segments.put(g)
		} else {
			p.lose(g, now) // not told, the sender sends it again, and is answered again
		}
		return
	}
	p.acknowledge(g.size(), now)
	switch g.kind {
	case PacketOpen:
		p.s.segments.put(g)
		dst.onOpen(now)
	case PacketFIN:
		n := p.takeLast(g)
		p.fin = true
		p.s.trace.add(now, &dst.actor, "eof", "", n)
		dst.readers.wakeOne()
		p.src.forget()
		dst.forget()
	default:
		p.s.trace.add(now, &dst.actor, "recv", "", int64(g.size()))
		p.ready += g.size()
		p.recv.push(g)
		dst.readers.wakeOne()
	}
}

// acknowledge sends the receiver's acknowledgement of n bytes, or of a mark.
func (p *pipe) acknowledge(n int, now int64) {
	verdict, delay := p.s.judgeBare(p.reverse(), PacketACK, now)
	if verdict != Pass {
		p.noAck++
		p.noAckLen += n
		p.startRetry(now)
		return
	}
	p.acknowledged(n, now+delay, now)
}

// read copies received bytes out and tells the sender that there is room again.
func (p *pipe) read(b []byte, now int64) int {
	n := 0
	for n < len(b) && !p.recv.empty() {
		g := p.recv.head
		m := copy(b[n:], g.buf[g.off:])
		g.off += m
		n += m
		if g.off == len(g.buf) {
			p.recv.pop()
			p.s.segments.put(g)
		}
	}
	p.ready -= n
	if p.src.dead {
		if p.starved {
			p.refuseUpdate(now)
		}
		return n
	}
	verdict, delay := p.s.judgeBare(p.reverse(), PacketACK, now)
	if verdict != Pass {
		p.noCredit += n
		p.probeIfNeeded(now)
		return n
	}
	p.addAck(ack{at: now + delay, credit: n + p.noCredit})
	p.noCredit = 0
	p.expectAck(now)
	return n
}

// peek copies received bytes without taking them.
func (p *pipe) peek(b []byte) int {
	n := 0
	for g := p.recv.head; g != nil && n < len(b); g = g.next {
		n += copy(b[n:], g.buf[g.off:])
	}
	return n
}

// opening tells whether the end of the handshake is under way.
func (p *pipe) opening() bool {
	if p.flow().half == nil {
		return false
	}
	for _, q := range []*segQueue{&p.entering, &p.flight} {
		for g := q.head; g != nil; g = g.next {
			if g.kind == PacketOpen {
				return true
			}
		}
	}
	return false
}

// purge forgets what the sender has not sent. What is in flight stays in flight.
func (p *pipe) purge() {
	p.s.segments.putAll(&p.held)
	p.s.segments.putAll(&p.lost)
	p.s.cancel(&p.retry)
	p.s.cancel(&p.acked)
	p.s.cancel(&p.shut)
	p.acks = nil
}
