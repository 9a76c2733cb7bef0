package proxy

import (
	"net/netip"
	"sync"

	"github.com/wavepool/wavepool/proxy/upstream"
)

// KindClientRefused is the kind of event that a server tells when a source comes to its limit of connections; those
// beyond it are counted, not told one by one. Its Entity is the listener's address, its Reason one of those
// below, and its Detail the source.
const KindClientRefused = "client_refused"

// The reasons for which a client is refused.
const (
	// RefusedPerSource: its source has as many connections as max_connections_per_source allows.
	RefusedPerSource = "too_many_of_source"
	// RefusedHeader: it should have begun with a header of the PROXY protocol and did not, or not in time. The event's Detail
	// says what was wrong.
	RefusedHeader = "bad_proxy_header"
	// RefusedFlood: its connection of HTTP/2 asks for too much and brings too little. The event's Detail says of what.
	RefusedFlood = "http2_flood"
)

// sources counts the open connections of a listener by where they come from. It is used only while there is a limit.
type sources struct {
	mu   sync.Mutex
	open map[netip.Addr]sourceCount // nothing walks it
}

type sourceCount struct {
	n    int
	told bool // that it has met the limit
}

// sourceOf is what counts as one source: an IPv4 address, or the /64 network of an IPv6 address, which is the least that a
// subscriber gets.
func sourceOf(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		p, _ := ip.Prefix(64) // no address is too short for it
		return p.Addr()
	}
	return ip
}

// enter counts one more connection of a source, unless there are as many as may be. News says that this is the first one
// too many since there was room.
func (s *sources) enter(from netip.Addr, limit int) (ok, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[from]
	if c.n >= limit {
		news = !c.told
		c.told = true
		s.open[from] = c
		return false, news
	}
	if s.open == nil {
		s.open = map[netip.Addr]sourceCount{}
	}
	s.open[from] = sourceCount{n: c.n + 1}
	return true, false
}

// leave takes one away.
func (s *sources) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[from]
	if c.n <= 1 {
		delete(s.open, from)
		return
	}
	s.open[from] = sourceCount{n: c.n - 1}
}

// welcome says whether a new connection may stay: whether its source has fewer than it may have. Those of trusted proxies
// may always.
func (l *listener) welcome(c *client) bool {
	p := l.plan.Load()
	limit := p.cfg.MaxConnectionsPerSource
	if limit <= 0 {
		return true
	}
	ip := c.address()
	if !ip.IsValid() || p.edge.trusts(ip) {
		return true
	}
	from := sourceOf(ip)
	ok, news := l.sources.enter(from, limit)
	if ok {
		c.source = from
		return true
	}
	l.s.counters.refused.Add(1)
	if news {
		l.s.tell(upstream.Event{Entity: l.name, Kind: KindClientRefused, Reason: RefusedPerSource, Detail: from.String()})
	}
	return false
}

// forgetSource undoes welcome.
func (c *client) forgetSource() {
	if c.source.IsValid() {
		c.l.sources.leave(c.source)
	}
}
