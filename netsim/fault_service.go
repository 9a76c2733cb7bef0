package netsim

import (
	"cmp"
	"slices"
)

// This file is about services that do not serve although their machines live. There are three degrees, and a
// kernel that goes on in all of them: it completes handshakes up to the backlog, acknowledges data up to the
// window, retransmits and answers. AcceptWithoutService leaves new connections in the backlog. Stall hands
// the service nothing that arrives. Pause stops the service whole, as SIGSTOP does.

// service is one of these faults.
type service struct {
	host                  string
	accept, arrive, pause bool // what does not happen
}

// AcceptWithoutService has the host's kernel accept connections that its service never gets: handshakes
// succeed until the backlog is full, and Accept waits until Stop. Connections that were accepted before are
// served. host is a name, an address, or "*" for all hosts.
func (s *Sim) AcceptWithoutService(host string) *Fault {
	return s.serviceFault("accept-without-service", service{host: host, accept: true})
}

// Stall has the host's service hang without closing anything: nothing that arrives is handed to it, neither
// new connections nor data, ends or resets of old ones, until Stop. Its own deadlines still pass, and what it
// writes of its own accord still leaves (and a Write learns of a reset). Peers are acknowledged until the window is full and get no answer.
func (s *Sim) Stall(host string) *Fault {
	return s.serviceFault("stall", service{host: host, accept: true, arrive: true})
}

// Pause stops the host's service as SIGSTOP does, until Stop: Read, WaitReadable, Accept, DialContext,
// lookups, blocked Writes, and Sleep and AfterFunc of Host.Clock do not return, whatever arrives and
// whichever deadline passes; Peek sees nothing. On Stop they go on one by one, in the order in which they
// would have gone on. A goroutine cannot be stopped from outside: one that computes goes on until its next such
// call, and timers and contexts of the clock still end. What it writes or closes meanwhile waits in its
// kernel: bytes, FINs and RSTs written after the fault began leave at Stop. Crash and Kill end what is
// paused; a restarted host is paused still.
func (s *Sim) Pause(host string) *Fault {
	return s.serviceFault("pause", service{host: host, pause: true})
}

func (s *Sim) serviceFault(kind string, v service) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.addFaultLocked(kind+"("+v.host+")", passAll, v.host)
	entry := &v
	s.services = append(s.services, entry)
	s.applyServices(s.now())
	f.ended = func(now int64) {
		s.services = slices.DeleteFunc(s.services, func(e *service) bool { return e == entry })
		s.applyServices(now)
	}
	return f
}

// passAll is the rule of faults that concern no packet. They are in the chain so that it lists all faults in
// force.
func passAll(*Packet) Verdict { return Verdict{} }

func (s *Sim) applyServices(now int64) {
	for _, h := range s.hosts {
		h.applyServices(now)
	}
}

// applyServices finds out what does not happen on the host, and lets go what waits for something that
// happens again.
func (h *Host) applyServices(now int64) {
	var v service
	for _, f := range h.s.services {
		if matches(f.host, h) {
			v.accept, v.arrive, v.pause = v.accept || f.accept, v.arrive || f.arrive, v.pause || f.pause
		}
	}
	served, told, runs := h.unserved && !v.accept, h.stalled && !v.arrive, h.pausing && !v.pause
	if v.pause && !h.pausing {
		for _, c := range h.conns {
			c.sendQueued(now)
			c.out.allowed = c.out.seq
		}
	}
	h.unserved, h.stalled, h.pausing = v.accept, v.arrive, v.pause
	if served {
		for _, port := range h.sortedPorts() {
			if l := h.listeners[port]; len(l.queue) > 0 {
				l.rel.one(&l.accepters, now)
			}
		}
	}
	if told {
		for _, c := range h.sortedConns() {
			if c.readable() {
				c.rel.one(&c.readers, now)
			}
		}
	}
	if runs {
		h.proceed(now)
	}
}

// proceed is the end of a pause.
func (h *Host) proceed(now int64) {
	h.gateway.all(&h.gate, now)
	for _, c := range h.sortedConns() {
		c.out.push(now)
	}
	resets := h.resets
	h.resets = nil
	slices.SortFunc(resets, func(a, b *Conn) int { return cmp.Compare(a.actor.name, b.actor.name) })
	for _, c := range resets {
		c.out.sendRST(now)
	}
}

// stopped tells whether the host's service is paused: a process that does not live cannot be.
// Nor can one that has ended, when the next one lives on the host already: life tells which.
func (h *Host) stopped(life int) bool { return h.pausing && h.state == hostUp && h.life == life }

// stopHere keeps the caller, who belongs to one life of the host, while it is paused. Sim.mu is held before and after,
// and not meanwhile.
func (h *Host) stopHere(life int) {
	for h.stopped(life) {
		w := newWaiter()
		h.gate.push(w)
		h.s.mu.Unlock()
		<-w.ch
		h.s.mu.Lock()
	}
}

// paused tells whether a segment was written by a service that is paused and waits for its end. The end of
// the handshake is the kernel's own.
func (p *pipe) paused(g *segment) bool {
	return p.src.host != nil && p.src.host.stopped(p.src.life) && g.seq > p.allowed && g.kind != PacketOpen
}

// sendRST sends the RST of a Close.
func (c *Conn) sendRST(now int64) {
	if c.host.stopped(c.life) {
		c.host.resets = append(c.host.resets, c)
		return
	}
	c.out.sendRST(now)
}

func (h *Host) sortedConns() []*Conn {
	conns := slices.Clone(h.conns)
	slices.SortFunc(conns, func(a, b *Conn) int { return cmp.Compare(a.actor.name, b.actor.name) })
	return conns
}

func (h *Host) sortedPorts() []int {
	ports := make([]int, 0, len(h.listeners))
	for port := range h.listeners { // sorted below
		ports = append(ports, port)
	}
	slices.Sort(ports)
	return ports
}
