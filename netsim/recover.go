package netsim

import "syscall"

// This file is the sender's recovery: what TCP does about segments and acknowledgements that do not arrive
// (RFC 6298). There is one timer for each direction. When it fires, everything lost goes again, oldest
// first, until one is lost again; each firing doubles the timeout, and an acknowledgement resets it. Fast
// retransmission is not modelled: each loss costs a timeout.

// lose takes in a segment that did not arrive.
func (p *pipe) lose(g *segment, now int64) {
	if g.kind == PacketRST || p.src.dead {
		if g.kind == PacketOpen {
			p.flow().established()
		}
		p.s.segments.put(g)
		return
	}
	p.lost.insert(g)
	p.startRetry(now)
}

// startRetry sets the retransmission timer unless it runs.
func (p *pipe) startRetry(now int64) {
	if p.retry.queued() || p.src.dead {
		return
	}
	if p.wait == 0 {
		p.since = now
		p.wait = p.firstRTO(now)
	}
	at := now + p.wait
	if limit := p.src.userTimeout; limit > 0 && p.tries > 0 {
		at = min(at, p.since+limit) // the last try is the user timeout's, as in Linux since 4.19
	}
	p.s.schedule(&p.retry, at, now)
}

// firstRTO is the timeout of an undisturbed connection: two round trips, with what waits at shared
// bottlenecks, but never less than the configured least.
func (p *pipe) firstRTO(now int64) int64 {
	there, ahead := p.s.linkOf(p.src.host, p.dst.host)
	back, behind := p.s.linkOf(p.dst.host, p.src.host)
	trip := there.typical() + back.typical()
	for _, n := range []*bottleneck{ahead, behind} {
		if n != nil {
			trip += n.waits(now)
		}
	}
	return max(int64(p.s.cfg.RTO), 2*trip)
}

// probeIfNeeded sets the timer when a zero-window probe (RFC 9293, 3.8.6.1) tells the sender what it would not hear
// otherwise.
func (p *pipe) probeIfNeeded(now int64) {
	if p.lost.empty() && p.probes() {
		p.startRetry(now)
	}
}

// probes tells whether the sender has something to send, the window is shut, and either the news that it is open was
// lost or nobody is there any more to open it. Probes that would only hear that it is still shut are left out.
func (p *pipe) probes() bool {
	return !p.held.empty() && (p.noCredit > 0 || p.dst.dead && p.held.head.size() > p.window)
}

// acknowledged notes that an acknowledgement of n more bytes will reach the sender at the instant at. It
// speaks for everything before it and carries the window.
func (p *pipe) acknowledged(n int, at, now int64) {
	p.addAck(ack{at: at, bytes: n + p.noAckLen, credit: p.noCredit})
	p.noAck, p.noAckLen, p.noCredit = 0, 0, 0
	p.tries, p.wait, p.soft = 0, 0, 0
	if p.lost.empty() {
		p.s.cancel(&p.retry)
	}
	p.expectAck(now)
}

// retransmit is the timer.
func (p *pipe) retransmit(now int64) {
	if p.src.dead || p.lost.empty() && p.noAck == 0 && !p.probes() {
		p.wait = 0
		return
	}
	p.tries++
	limit := p.src.userTimeout
	if p.tries > p.s.cfg.Retries || limit > 0 && now-p.since >= limit {
		errno := syscall.ETIMEDOUT
		if p.soft != 0 {
			errno = p.soft
		}
		p.src.fail(errno, "timed-out", now)
		return
	}
	if p.wait == 0 {
		p.wait, p.since = p.firstRTO(now), now
	} else {
		p.wait = min(2*p.wait, int64(p.s.cfg.MaxRTO))
	}
	p.s.trace.add(now, &p.src.actor, "retransmit", "", int64(p.tries))
	if p.lost.empty() {
		p.probe(now)
		return
	}
	p.resend(now)
}

// resend sends everything lost again, oldest first, until one is lost again.
func (p *pipe) resend(now int64) {
	again := p.lost
	p.lost = segQueue{}
	for !again.empty() && p.lost.empty() && !p.src.dead {
		p.send(again.pop(), now)
	}
	for !again.empty() {
		p.lost.push(again.pop())
	}
	p.push(now)
}

// probe repeats something that has arrived already, to be told so: it needs both directions.
func (p *pipe) probe(now int64) {
	verdict, there := p.s.judgeBare(p, PacketData, now)
	switch {
	case verdict == Reset:
		p.bounce(PacketData, 0, there, now)
	case verdict == Unreachable:
		p.soft = syscall.EHOSTUNREACH
	case verdict == Pass && p.dst.host.state != hostCrashed:
		reply := PacketACK
		if p.dst.dead {
			reply = PacketRST
		}
		verdict, back := p.s.judgeBare(p.reverse(), reply, now)
		switch {
		case verdict != Pass:
		case p.dst.dead:
			p.reverse().fly(p.newRST(), now+there+back)
			return
		default:
			p.acknowledged(0, now+there+back, now)
			p.push(now)
			return
		}
	}
	p.startRetry(now)
}

// watchWindow begins to count the user timeout when segments are held back. Linux counts data that cannot be
// sent as it counts data that nobody acknowledges.
func (p *pipe) watchWindow(now int64) {
	if limit := p.src.userTimeout; limit > 0 && !p.shut.queued() {
		p.moved = now
		p.s.schedule(&p.shut, now+limit, now)
	}
}

// windowShut looks whether the window has been shut all the time. While something is under way it is not
// known to be shut, and while something is lost the retransmission timer counts.
func (p *pipe) windowShut(now int64) {
	limit := p.src.userTimeout
	switch {
	case limit <= 0 || p.held.empty() || !p.lost.empty():
	case !p.flight.empty() || !p.entering.empty() || p.paused(p.held.head):
		p.s.schedule(&p.shut, now+limit, now)
	case now < p.moved+limit:
		p.s.schedule(&p.shut, p.moved+limit, now)
	default:
		p.starved = true
		p.src.fail(syscall.ETIMEDOUT, "timed-out", now) // the other end is not told, as in Linux
	}
}

// refuseUpdate is what becomes of the news that the window of a starved sender is open at last: nobody is
// there any more, and the receiver is told so.
func (p *pipe) refuseUpdate(now int64) {
	p.starved = false
	verdict, there := p.s.judgeBare(p.reverse(), PacketACK, now)
	if verdict != Pass || p.src.host.state == hostCrashed {
		return
	}
	if verdict, back := p.s.judgeBare(p, PacketRST, now); verdict == Pass {
		p.fly(p.newRST(), now+there+back)
	}
}
