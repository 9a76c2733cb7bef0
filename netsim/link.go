package netsim

import (
	"fmt"
	"time"
)

// Link describes one direction of a path between two hosts. The zero value is a perfect link without delay.
type Link struct {
	// Latency is the least one-way delay. Default 0.
	Latency time.Duration
	// Jitter is added to Latency: each segment draws from 0 to Jitter, uniformly. Segments of one direction
	// of one connection never overtake each other. Default 0.
	Jitter time.Duration
	// Delay is added to Latency as Jitter is, for any other distribution; one of the two must be zero. Pure
	// acknowledgements draw nothing and take its median. Default: none.
	Delay Delay
	// Loss is the probability, 0 to 1, that a segment is lost. Lost segments are sent again after the
	// retransmission timeout, so that loss is delay (and at last ETIMEDOUT), never missing bytes.
	Loss float64
	// Bandwidth is in bytes per second, for each direction by itself. Default 0: no limit.
	Bandwidth int64
	// Sharing says who has to share Bandwidth and Queue. Default: each connection has its own.
	Sharing Sharing
	// Queue is how many bytes may wait for Bandwidth in one direction: a segment that finds more than that
	// before it is lost (tail drop), as is a SYN; it is sent again after the retransmission timeout. What is
	// being sent waits too. Default 0: no limit. Without Bandwidth nothing waits.
	Queue int64
}

// Sharing says which connections compete for the bandwidth of a link, first come, first served. The two
// directions of a path never compete with each other.
type Sharing uint8

const (
	// OwnBandwidth gives each connection all of it: a limit of the connection, not of the path.
	OwnBandwidth Sharing = iota
	// ShareByHosts lets the connections between the same two hosts compete.
	ShareByHosts
	// ShareByLink lets all connections compete that the description fits: SetLink("*", "b", link) is then the
	// one cable of b, with all that b receives on one side and all that b sends on the other. With "*" on
	// both sides, or one host, there is no other side: everything is in one queue.
	ShareByLink
)

func (l Link) check() {
	wrong := func(format string, args ...any) { panic("netsim: Link." + fmt.Sprintf(format, args...)) }
	switch {
	case l.Latency < 0:
		wrong("Latency is 0 or more, not %v", l.Latency)
	case l.Jitter < 0:
		wrong("Jitter is 0 or more, not %v", l.Jitter)
	case !(l.Loss >= 0 && l.Loss <= 1):
		wrong("Loss is a probability from 0 to 1, not %v", l.Loss)
	case l.Bandwidth < 0:
		wrong("Bandwidth is 0 (no limit) or more, not %d", l.Bandwidth)
	case l.Queue < 0:
		wrong("Queue is 0 or more, not %d", l.Queue)
	case l.Jitter > 0 && l.Delay != (Delay{}):
		wrong("Jitter (%v) and Link.Delay are both set; one of them says how latency varies", l.Jitter)
	case l.Sharing > ShareByLink:
		wrong("Sharing is OwnBandwidth, ShareByHosts or ShareByLink, not %d", l.Sharing)
	case l.Bandwidth == 0 && l.Queue > 0:
		wrong("Queue (%d) needs a Bandwidth", l.Queue)
	case l.Bandwidth == 0 && l.Sharing != OwnBandwidth:
		wrong("Sharing needs a Bandwidth to share")
	}
}

// typical is the delay that nothing random is added to.
func (l *Link) typical() int64 { return int64(l.Latency + l.Delay.Median()) }

type linkRule struct {
	a, b   string
	oneWay bool
	link   Link
	necks  map[neckKey]*bottleneck // of a shared link; made as they are needed
}

// is tells whether the rule was set for these two, in this order.
func (r *linkRule) is(from, to string) bool { return r.a == from && r.b == to }

// SetLink describes the path between a and b, both ways, from now on. a and b are names of hosts or their
// addresses; "*" is any host. When several descriptions fit, the last one set holds, by SetLink or
// SetLinkOneWay. Segments under way keep their arrival; a new description begins with nothing waiting.
func (s *Sim) SetLink(a, b string, l Link) {
	s.setLink(linkRule{a: a, b: b, link: l})
}

// SetLinkOneWay describes the path from one host to another and leaves the way back as it is. Otherwise it
// is as SetLink.
func (s *Sim) SetLinkOneWay(from, to string, l Link) {
	s.setLink(linkRule{a: from, b: to, oneWay: true, link: l})
}

func (s *Sim) setLink(n linkRule) {
	n.link.check()
	if n.link.Sharing != OwnBandwidth {
		n.necks = make(map[neckKey]*bottleneck)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.links[:0]
	for _, r := range s.links {
		// What the new one hides for good goes away, so that a link may be set again and again.
		hidden := r.is(n.a, n.b) && (r.oneWay || !n.oneWay) || !n.oneWay && r.is(n.b, n.a)
		if !hidden {
			kept = append(kept, r)
		}
	}
	clear(s.links[len(kept):])
	s.links = append(kept, n)
	s.linkGen++
}

// linkOf finds the description of the path from one host to another, and what it shares with others there
// or nil. to is nil for an address without a host. A host's path to itself has no delay unless a description
// names the host on both sides.
func (s *Sim) linkOf(from, to *Host) (Link, *bottleneck) {
	for i := len(s.links) - 1; i >= 0; i-- {
		r := &s.links[i]
		if from == to && (r.a == anyHost || r.b == anyHost) {
			continue
		}
		switch {
		case matches(r.a, from) && matches(r.b, to):
			return r.link, r.neck(from, to, false)
		case !r.oneWay && matches(r.a, to) && matches(r.b, from):
			return r.link, r.neck(from, to, true)
		}
	}
	if from == to {
		return Link{}, nil
	}
	return Link{Latency: s.cfg.Latency, Jitter: s.cfg.Jitter}, nil
}

const anyHost = "*"

// matches tells whether the selector means the host.
func matches(selector string, h *Host) bool {
	return selector == anyHost || h != nil && (selector == h.name || selector == h.addr)
}
