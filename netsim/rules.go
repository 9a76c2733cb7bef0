package netsim

import "time"

// PacketKind says what a packet is for.
type PacketKind uint8

// The kinds of packets that rules see.
const (
	PacketSYN    PacketKind = iota + 1 // asks for a connection
	PacketSYNACK                       // grants it
	PacketOpen                         // ends the handshake: the client's first acknowledgement
	PacketData                         // carries bytes
	PacketACK                          // acknowledges or opens the window; is not subject to random loss
	PacketFIN                          // ends a direction
	PacketRST                          // ends the connection
	PacketProbe                        // asks whether the other end is still there: TCP keep-alive
)

var packetNames = [...]string{"", "syn", "synack", "open", "data", "ack", "fin", "rst", "probe"}

// String gives the word that the trace uses.
func (k PacketKind) String() string { return packetNames[k] }

// Packet is what a rule looks at.
type Packet struct {
	At       time.Duration // when it leaves, since the start
	From, To string        // names of the hosts; To is "" when nobody has the address
	FromAddr string        // the sender's IP address
	ToAddr   string        // the receiver's IP address
	FromPort int           // the sender's port
	ToPort   int           // the receiver's port
	Kind     PacketKind    // what it is for
	Size     int           // bytes of data
	Idle     time.Duration // since the last packet of the same connection that went through, either way
	Age      time.Duration // since the last SYN of the same connection; 0 for the SYN itself
	from, to *Host
}

// Action is what a rule wants to be done with a packet.
type Action uint8

// The actions of rules.
const (
	Pass        Action = iota // ask the next rule, and at last the link; Verdict.Add is put on top
	Deliver                   // deliver after exactly Verdict.Delay: no link, no later rule
	Drop                      // it vanishes
	Reset                     // it vanishes, and its sender gets a RST (for a SYN: connection refused)
	Unreachable               // it vanishes, and its sender gets an ICMP "host unreachable"
	Hold                      // it waits until the rule's fault stops, and is judged again then
)

// Verdict is a rule's answer.
type Verdict struct {
	Action Action        // what is to be done
	Delay  time.Duration // for Deliver
	Add    Link          // for Pass: latency, jitter, delay and loss on top of the link's; the rest is ignored
	// Drip, for Pass, lets bytes through at this many a second, in pieces of a tenth of a second and of at
	// least one byte; see Sim.Drip. Default 0: as they come.
	Drip int64
	// Corrupt, for Pass, is the probability, 0 to 1, that one bit of a data segment is flipped; see
	// Sim.Corrupt. Default 0.
	Corrupt float64
}

// matchPath tells whether a packet goes between a and b, in either direction.
func matchPath(a, b string, p *Packet) bool {
	return matches(a, p.from) && matches(b, p.to) || matches(a, p.to) && matches(b, p.from)
}

// judge asks all rules and the link about a packet that leaves now, and returns Pass with its delay or one
// of Drop, Hold, Reset and Unreachable with the delay of the path. Every draw depends on the direction, the
// number of its packet and the rule that asks, so a rule that goes away takes only its own draws with it.
// Sim.mu is held.
func (s *Sim) judge(p *pipe, kind PacketKind, size int, now int64) (Action, int64) {
	if kind != PacketACK {
		// Acknowledgements draw nothing, and how many there are depends on how the application reads.
		p.packets++
	}
	p.look()
	p.exact, p.overflow = false, false
	delay, loss := p.wayOf(&p.link, kind, drawJitter), p.link.Loss
	p.flip = 0
	if len(s.rules) > 0 {
		if kind == PacketData && size > 0 {
			p.drip = nil // a probe changes nothing for what is under way
		}
		s.describe(p, kind, size, now)
		for _, f := range s.rules {
			v := f.rule(&s.packet)
			switch v.Action {
			case Pass:
				delay += p.wayOf(&v.Add, kind, f.key)
				loss = 1 - (1-loss)*(1-v.Add.Loss)
				p.alter(f, &v, kind, size)
			case Hold:
				f.held.add(p, kind)
				return Hold, delay
			case Deliver:
				p.flow().last, p.exact = now, true
				return Pass, int64(v.Delay)
			default:
				return v.Action, delay
			}
		}
	}
	if loss > 0 && kind != PacketACK && p.draw(drawLoss) < loss {
		return Drop, delay
	}
	if p.neck == nil && p.link.Bandwidth > 0 && size > 0 {
		if p.overflow = p.own.full(&p.link, now); p.overflow {
			return Drop, delay
		}
		delay += p.own.take(size, &p.link, now)
	}
	p.flow().last = now
	return Pass, delay
}

// judgeBare judges a packet that is no segment of the stream and carries nothing. At a shared bottleneck it
// waits for what is there, and leaves no trace of itself; acknowledgements always find room.
func (s *Sim) judgeBare(p *pipe, kind PacketKind, now int64) (Action, int64) {
	verdict, delay := s.judge(p, kind, 0, now)
	if verdict != Pass || p.neck == nil || p.exact {
		return verdict, delay
	}
	if kind != PacketACK && p.neck.full(&p.link, now) {
		return Drop, delay
	}
	return Pass, delay + p.neck.waits(now)
}

// look finds the link of the direction, if links have changed.
func (p *pipe) look() {
	if p.linkGen != p.s.linkGen {
		p.link, p.neck = p.s.linkOf(p.src.host, p.dst.host)
		p.linkGen = p.s.linkGen
	}
}

// wayOf is how long a packet is under way on a link, bandwidth aside. One draw decides.
func (p *pipe) wayOf(l *Link, kind PacketKind, purpose uint64) int64 {
	switch {
	case kind == PacketACK:
		return l.typical()
	case l.Jitter > 0:
		return int64(l.Latency) + p.drawUpTo(l.Jitter, purpose)
	case l.Delay != (Delay{}):
		return int64(l.Latency + l.Delay.Quantile(p.draw(purpose)))
	}
	return int64(l.Latency)
}

// Purposes of draws; rules use the keys of their faults.
const (
	drawJitter = 1
	drawLoss   = 2
)

// draw gives a number from 0 up to 1 for one purpose of the current packet.
func (p *pipe) draw(purpose uint64) float64 {
	u := mix(p.src.actor.hash ^ mix(p.s.cfg.Seed^p.packets*0x9e3779b97f4a7c15) ^ purpose*0xbf58476d1ce4e5b9)
	return float64(u>>11) / (1 << 53)
}

func (p *pipe) drawUpTo(d time.Duration, purpose uint64) int64 {
	return int64(p.draw(purpose) * float64(d))
}

// describe fills the packet that rules look at.
func (s *Sim) describe(p *pipe, kind PacketKind, size int, now int64) {
	k := &s.packet
	*k = Packet{At: duration(now), Kind: kind, Size: size, Idle: duration(now - p.flow().last), Age: duration(now - p.flow().asked),
		FromAddr: p.src.addr(), ToAddr: p.dst.addr(), FromPort: p.src.local.Port, ToPort: p.dst.local.Port,
		from: p.src.host, to: p.dst.host}
	if k.from != nil {
		k.From = k.from.name
	}
	if k.to != nil {
		k.To = k.to.name
	}
}
