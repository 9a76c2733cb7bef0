package netsim

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is holding: packets that neither vanish nor pass, but wait for the end of a fault. A held packet
// stays with its sender, which takes it for lost, as a kernel does that gets no acknowledgement: its
// retransmission timer runs, and a sender that gives up gives up. When the fault lets go, everything held is
// sent at once and in order, and is judged as if it left then.

// held is what a fault holds back.
type held struct {
	flows map[*flow]struct{}
	rsts  []*pipe // RSTs, which nobody sends again
}

func (h *held) add(p *pipe, kind PacketKind) {
	if kind == PacketRST && p.src.dead {
		h.rsts = append(h.rsts, p)
		return
	}
	if h.flows == nil {
		h.flows = make(map[*flow]struct{})
	}
	h.flows[p.flow()] = struct{}{}
}

// letGo sends what the fault holds, in an order that depends on names only. What another rule holds then
// stays with that one; so does what this one still wants held.
func (f *Fault) letGo(now int64) {
	flows, rsts := make([]*flow, 0, len(f.held.flows)), f.held.rsts
	for w := range f.held.flows { // sorted below
		flows = append(flows, w)
	}
	f.held = held{}
	slices.SortFunc(flows, func(a, b *flow) int { return cmp.Compare(a.client.actor.name, b.client.actor.name) })
	for _, w := range flows {
		w.resume(now)
	}
	slices.SortStableFunc(rsts, func(a, b *pipe) int { return cmp.Compare(a.src.actor.name, b.src.actor.name) })
	for _, p := range rsts {
		p.sendRST(now)
	}
}

// resume sends again, now, what this connection has sent in vain.
func (f *flow) resume(now int64) {
	if h := f.client.host; h != nil {
		for _, d := range h.dials {
			if d.flow == f && !d.syn.queued() && !d.answer.queued() {
				d.send(now)
				return
			}
		}
	}
	f.up.resume(now)
	f.down.resume(now)
}

func (p *pipe) resume(now int64) {
	switch {
	case p.src.dead:
	case !p.lost.empty():
		p.resend(now)
	case (p.noAck > 0 || p.noCredit > 0) && !p.dst.dead && p.dst.host.state != hostCrashed:
		// Only acknowledgements are missing; the last of them speaks for all.
		if verdict, delay := p.s.judgeBare(p.reverse(), PacketACK, now); verdict == Pass {
			p.acknowledged(0, now+delay, now)
		}
	}
}

// lost is the word for what becomes of a packet that does not arrive.
func (a Action) lost() string {
	if a == Hold {
		return "hold"
	}
	return "drop"
}

// Clog holds all packets between a and b, both ways, until Stop, which sends them on, all and in order: they
// arrive the link's delay after Stop. Nothing is lost, but senders that hear nothing for too long give up as
// they do in a Partition (dials after 127 s, connections after 924 s, by default).
func (s *Sim) Clog(a, b string) *Fault {
	return s.addFault("clog("+a+","+b+")", func(p *Packet) Verdict {
		if matchPath(a, b, p) {
			return Verdict{Action: Hold}
		}
		return Verdict{}
	}, a, b)
}

// Swizzle is FoundationDB's swizzle-clog: it clogs the links of the hosts one by one, the first now and one
// more after each time every, in an order drawn from the seed; when the last one has been clogged for the
// time hold, it restores them one by one, in another order. Packets from or to a clogged host are held and
// not lost, as in Clog; a host's connections to itself go on. The fault ends with the last restoration, or
// by Stop, which restores all at once. Each step is an event of the fault in the trace: "clogs", "restores".
// It panics when hosts is empty or names a host twice, every is not positive or hold is negative.
func (s *Sim) Swizzle(hosts []string, every, hold time.Duration) *Fault {
	if len(hosts) == 0 || every <= 0 || hold < 0 {
		panic("netsim: Swizzle needs hosts, a positive time between steps, and a time to hold of 0 or more")
	}
	sorted := slices.Sorted(slices.Values(hosts))
	if len(slices.Compact(slices.Clone(sorted))) != len(hosts) {
		panic("netsim: Swizzle: a host is named twice")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z := &swizzle{s: s, every: int64(every), hold: int64(hold), clogged: make(map[string]bool)}
	z.fault = s.addFaultLocked("swizzle("+strings.Join(hosts, ",")+","+every.String()+","+hold.String()+")", z.rule, hosts...)
	z.fault.ended = func(int64) { s.cancel(&z.ev) }
	z.ev.init(z, evSwizzle, z.fault.key)
	z.out, z.back = s.shuffled(sorted, z.fault.key), s.shuffled(sorted, z.fault.key+1)
	if len(hosts) > 1 && slices.Equal(z.out, z.back) {
		z.back = append(z.back[1:], z.back[0])
	}
	z.fire(evSwizzle, s.now())
	return z.fault
}

// shuffled gives a permutation of names that depends on the seed and the key only.
func (s *Sim) shuffled(names []string, key uint64) []string {
	out := slices.Clone(names)
	for i := len(out) - 1; i > 0; i-- {
		j := int(mix(mix(s.cfg.Seed^key)+uint64(i)) % uint64(i+1))
		out[i], out[j] = out[j], out[i]
	}
	return out
}

type swizzle struct {
	s           *Sim
	fault       *Fault
	out, back   []string // the orders of clogging and restoring
	done        int      // steps
	every, hold int64
	clogged     map[string]bool
	ev          event
}

func (z *swizzle) rule(p *Packet) Verdict {
	if p.from != p.to && (z.clogs(p.from) || z.clogs(p.to)) {
		return Verdict{Action: Hold}
	}
	return Verdict{}
}

func (z *swizzle) clogs(h *Host) bool { return h != nil && (z.clogged[h.name] || z.clogged[h.addr]) }

// fire is one step.
func (z *swizzle) fire(_ eventKind, now int64) {
	n, wait := len(z.out), z.every
	if z.done < n {
		host := z.out[z.done]
		z.clogged[host] = true
		z.s.trace.add(now, &z.fault.actor, "clogs", host, 0)
		if z.done == n-1 {
			wait = z.hold
		}
	} else {
		host := z.back[z.done-n]
		delete(z.clogged, host)
		z.s.trace.add(now, &z.fault.actor, "restores", host, 0)
		if z.done == 2*n-1 {
			z.fault.end(now)
			return
		}
		z.fault.letGo(now)
	}
	z.done++
	z.s.schedule(&z.ev, now+wait, now)
}

// argument gives a number as the names of faults show it.
func argument[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
