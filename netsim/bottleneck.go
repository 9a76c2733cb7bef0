package netsim

import "math"

// This file is bandwidth and the queue before it. A connection with bandwidth of its own has one bottleneck
// for each direction inside its pipe, used at the moment of sending. A shared one must not depend on which of
// two goroutines of one instant sends first, so segments enter it by an event of their direction: each
// direction at an instant of its own, in an order that the seed decides, as deliveries have. What only looks
// (SYN, acknowledgement, probe) need not wait for that, because what it sees changes at those instants alone.

// queueFull is why a segment is dropped, in the trace.
const queueFull = "queue full"

// bottleneck is one queue before one line: when the last of what waits will have left. Sim.mu guards it.
type bottleneck struct{ busy int64 }

// neckKey names one of the bottlenecks of a description: the hosts, or the side.
type neckKey struct {
	from, to *Host
	back     bool
}

// neck gives the bottleneck that the path from one host to another has in a shared link.
func (r *linkRule) neck(from, to *Host, back bool) *bottleneck {
	key := neckKey{from: from, to: to}
	switch r.link.Sharing {
	case OwnBandwidth:
		return nil
	case ShareByLink:
		key = neckKey{back: back}
	}
	n := r.necks[key]
	if n == nil {
		n = new(bottleneck)
		r.necks[key] = n
	}
	return n
}

// waits is how long a packet waits that comes now.
func (n *bottleneck) waits(now int64) int64 { return max(0, n.busy-now) }

// full tells whether a packet that comes now is lost.
func (n *bottleneck) full(l *Link, now int64) bool {
	return l.Queue > 0 && n.waits(now) > timeOf(l.Queue, l.Bandwidth)
}

// take lets size bytes through and says how long that takes from now.
func (n *bottleneck) take(size int, l *Link, now int64) int64 {
	n.busy = max(n.busy, now) + timeOf(int64(size), l.Bandwidth)
	return n.busy - now
}

// timeOf is how long bytes take at a bandwidth, rounded up.
func timeOf(bytes, bandwidth int64) int64 {
	return int64(min(math.Ceil(float64(bytes)/float64(bandwidth)*1e9), math.MaxInt64/4))
}

// enter has a segment wait for its direction's turn at the shared bottleneck; delay is the rest of its way.
// A segment for which the bottleneck does not count goes through here too when others wait before it.
func (p *pipe) enter(g *segment, delay int64, shared bool, now int64) {
	g.delay, g.shared = delay, shared
	p.entering.push(g)
	if !p.turn.queued() {
		p.s.schedule(&p.turn, now, now)
	}
}

// pass is the direction's turn: all that waits goes into the bottleneck, as far as there is room.
func (p *pipe) pass(now int64) {
	p.look()
	for g := p.entering.pop(); g != nil; g = p.entering.pop() {
		switch {
		case !g.shared || p.neck == nil:
			p.fly(g, now+g.delay)
		case g.kind != PacketRST && p.neck.full(&p.link, now): // whoever sends a RST does not hear that it is lost
			p.s.trace.add(now, &p.src.actor, "drop", queueFull, int64(g.size()))
			p.lose(g, now)
		default:
			p.fly(g, now+g.delay+p.neck.take(g.size(), &p.link, now))
		}
	}
}
