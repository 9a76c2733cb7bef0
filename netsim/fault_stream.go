package netsim

import (
	"strconv"
	"time"
)

// Drip lets data between a and b through at so many bytes a second, in both directions and for each
// connection by itself, as a peer does that sends one small piece at a time: pieces are of a tenth of a second
// and of at least one byte, and each is readable when it is there. Nothing but data is slowed. A piece that
// is half through when the fault stops comes at its time, and the rest with it. It panics when
// bytesPerSecond is not positive.
func (s *Sim) Drip(a, b string, bytesPerSecond int64) *Fault {
	if bytesPerSecond <= 0 {
		panic("netsim: Drip needs a positive number of bytes a second")
	}
	return s.addFault("drip("+a+","+b+","+argument(bytesPerSecond)+")", func(p *Packet) Verdict {
		if p.Kind == PacketData && matchPath(a, b, p) {
			return Verdict{Drip: bytesPerSecond}
		}
		return Verdict{}
	}, a, b)
}

// Corrupt flips one bit of a data segment between a and b, with the given probability for each segment: the
// receiver reads wrong bytes and is told nothing. TCP's checksum lets few of such errors through, so this
// stands for broken middleboxes and machines. The trace tells each one as "corrupt", with the number of the
// bit. A probability of 0 corrupts nothing, of 1 every segment; it panics on anything outside.
func (s *Sim) Corrupt(a, b string, probability float64) *Fault {
	if !(probability >= 0 && probability <= 1) {
		panic("netsim: Corrupt needs a probability from 0 to 1")
	}
	what := "corrupt(" + a + "," + b + "," + strconv.FormatFloat(probability, 'g', -1, 64) + ")"
	return s.addFault(what, func(p *Packet) Verdict {
		if p.Kind == PacketData && matchPath(a, b, p) {
			return Verdict{Corrupt: probability}
		}
		return Verdict{}
	}, a, b)
}

// ConntrackLoss puts a middlebox between a and b that has lost its table of connections this moment, as a
// firewall after a failover: packets of connections that were asked for before are dropped or, with reset,
// answered by a RST to whoever sends. New connections go through, and so does the repeated SYN of one that
// was being dialled. Neither end is told when it happens.
func (s *Sim) ConntrackLoss(a, b string, reset bool) *Fault {
	verdict, how := Verdict{Action: Drop}, "drop"
	if reset {
		verdict, how = Verdict{Action: Reset}, "reset"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	since := duration(s.now())
	return s.addFaultLocked("conntrack-loss("+a+","+b+","+how+")", func(p *Packet) Verdict {
		if p.Kind != PacketSYN && p.At-p.Age <= since && matchPath(a, b, p) {
			return verdict
		}
		return Verdict{}
	}, a, b)
}

// alter takes in what a rule wants to be done with the bytes of a packet that passes.
func (p *pipe) alter(f *Fault, v *Verdict, kind PacketKind, size int) {
	if kind != PacketData || size == 0 {
		return
	}
	if v.Drip > 0 && (p.drip == nil || v.Drip < p.rate) {
		p.drip, p.rate = f, v.Drip
	}
	if v.Corrupt > 0 && p.draw(f.key) < v.Corrupt {
		p.flip = mix(f.key^p.packets) | 1<<63
	}
}

// corrupt turns the bit that was drawn when the segment was judged, now that nothing can keep it from
// arriving: what is sent again is sent whole.
func (p *pipe) corrupt(g *segment) {
	bit := g.flip % uint64(8*g.size())
	g.buf[bit/8] ^= 1 << (bit % 8)
	g.flip = 0
	p.s.trace.add(p.s.now(), &p.src.actor, "corrupt", "", int64(bit))
}

// dripping hands out the next piece of the segment that is due and tells whether there is more to wait for;
// if not, what is left of the segment is to be delivered as usual.
func (p *pipe) dripping(now int64) bool {
	g := p.flight.head
	if g.kind != PacketData {
		return false
	}
	if p.drip.stopped {
		p.drip, p.dripAt = nil, 0
		return false
	}
	n := int(min(max(1, p.rate/10), int64(g.size())))
	if p.dripAt != 0 && now >= p.dripAt {
		p.dripAt = 0
		if n == g.size() {
			return false
		}
		piece := p.s.segments.get(PacketData, g.buf[:n])
		piece.seq = g.seq
		g.buf = g.buf[:copy(g.buf, g.buf[n:])]
		n = min(n, g.size())
		defer p.deliver(piece, now)
	}
	if p.dripAt == 0 {
		p.dripAt = now + int64(float64(n)/float64(p.rate)*float64(time.Second))
	}
	p.s.scheduleExactly(&p.arrive, max(p.dripAt, now+1), g.tie)
	return true
}
