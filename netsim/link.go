package netsim

import "time"

// Link describes one direction of a path between two hosts. The zero value is a perfect link without delay.
type Link struct {
	// Latency is the one-way delay. Default 0.
	Latency time.Duration
	// Jitter is added to Latency: each segment draws from 0 to Jitter, uniformly. Segments of one direction
	// of one connection never overtake each other.
	Jitter time.Duration
	// Loss is the probability, 0 to 1, that a segment is lost. Lost segments are sent again after the
	// retransmission timeout, so that loss is delay (and at last ETIMEDOUT), never missing bytes.
	Loss float64
	// Bandwidth is in bytes per second and holds for each direction of each connection by itself. Default
	// 0: no limit.
	Bandwidth int64
}

func (l Link) check() {
	if l.Latency < 0 || l.Jitter < 0 || l.Bandwidth < 0 || !(l.Loss >= 0 && l.Loss <= 1) {
		panic("netsim: a Link needs Latency, Jitter and Bandwidth of 0 or more, and Loss from 0 to 1")
	}
}

type linkRule struct {
	a, b string
	link Link
}

// SetLink describes the path between a and b, both ways, from now on. a and b are names of hosts or their
// addresses; "*" is any host. When several descriptions fit, the last one set holds. Segments under way
// keep their arrival.
func (s *Sim) SetLink(a, b string, l Link) {
	l.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.links {
		if r.a == a && r.b == b || r.a == b && r.b == a {
			s.links = append(s.links[:i], s.links[i+1:]...)
			break
		}
	}
	s.links = append(s.links, linkRule{a, b, l})
	s.linkGen++
}

// linkOf finds the description of the path from one host to another. to is nil for an address without a
// host. A host's path to itself has no delay unless a description names the host on both sides.
func (s *Sim) linkOf(from, to *Host) Link {
	for i := len(s.links) - 1; i >= 0; i-- {
		r := &s.links[i]
		if from == to && (r.a == anyHost || r.b == anyHost) {
			continue
		}
		if matches(r.a, from) && matches(r.b, to) || matches(r.a, to) && matches(r.b, from) {
			return r.link
		}
	}
	if from == to {
		return Link{}
	}
	return Link{Latency: s.cfg.Latency, Jitter: s.cfg.Jitter}
}

const anyHost = "*"

// matches tells whether the selector means the host.
func matches(selector string, h *Host) bool {
	return selector == anyHost || h != nil && (selector == h.name || selector == h.addr)
}
