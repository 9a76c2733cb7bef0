package proxy

import (
	"fmt"
	"math"
	"slices"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// group is an upstream with what it was made from.
type group struct {
	up     *upstream.Upstream
	name   string
	prober probe.Prober        // nil: there are no checks. Server.mu guards it
	tls    *config.UpstreamTLS // what back was made from
	back   *certs.Back         // nil: cleartext
	speaks string              // the protocol that its connections were made for
	sends  string              // the PROXY protocol likewise
	sticky *sticker            // nil: no cookies
	gone   bool                // it is not in the settings any more
}

// newGroup turns the plain settings of a group into the running thing.
func (s *Server) newGroup(settings *config.Config, c *config.Upstream, next *shared) (*group, error) {
	g := &group{name: c.Name, tls: c.TLS, speaks: c.Protocol, sends: c.SendProxy}
	var err error
	if g.back, err = s.backOf(c, next); err != nil {
		return nil, err
	}
	if g.sticky, err = s.newSticker(c); err != nil {
		return nil, err
	}
	uc, err := s.upstreamConfig(settings, c, g, next)
	if err != nil {
		return nil, err
	}
	g.prober = uc.Check.Prober
	g.up, err = upstream.New(uc)
	return g, err
}

// upstreamConfig translates the settings of a group. A prober that would be made as before stays the same one.
func (s *Server) upstreamConfig(settings *config.Config, c *config.Upstream, g *group, next *shared) (upstream.Config, error) {
	uc := upstream.Config{
		Name: c.Name, Strategy: c.Strategy, SlowStart: c.SlowStart, Zone: settings.Zone, MinZonePercent: c.MinZonePercent,
		SubsetSize: c.SubsetSize, Instance: settings.Instance,
		Pool:     s.poolConfig(&c.Pool, tunnelsOnly(settings, c.Name)),
		Health:   judgeOf(&c.Health),
		Attempts: c.Retry.Attempts, BudgetPercent: c.Retry.BudgetPercent,
		RetryOn: conditions(c.Retry.On), PerTryTimeout: c.Retry.PerTryTimeout,
		MaxWaiting: c.Queue.MaxWaiting, MaxWaitingPerBackend: c.Queue.MaxWaitingPerBackend, QueueTimeout: c.Queue.Timeout, // Off is negative there too
		QueueTarget: c.Queue.Target, QueueInterval: c.Queue.Interval,
		Dialer: s.cfg.Dialer, Clock: s.clk, Rand: s.cfg.Rand, Observer: s.observe, Checkers: s.checkers,
	}
	if c.Hash != nil {
		uc.BalanceFactor = c.Hash.BalanceFactor // Off is negative there too
	}
	if b := c.Concurrency; b != nil {
		uc.Concurrency = health.Concurrency{Min: b.Min, Max: b.Max}
	}
	if c.Retry.BudgetPercent == config.Off {
		uc.BudgetPercent, uc.BudgetMin = 0, math.MaxInt
	}
	if c.SendProxy == config.SendProxyOff { // else there is nothing to be set up before a client is known
		uc.Setup = s.setUp(c, g.back)
	}
	if c.Protocol == config.UpstreamHTTP2 {
		uc.Pool.LoansExpected = 100 // RFC 9113 section 6.5.2 wants backends to allow no fewer
	}
	for _, b := range c.Backends {
		uc.Backends = append(uc.Backends, upstream.Backend{Address: b.Address, Weight: b.Weight, Priority: b.Priority, Zone: b.Zone})
	}
	if a := c.Health.Agent; a != nil {
		send, err := config.ParseBytes(a.Send)
		if err != nil {
			return uc, fmt.Errorf("proxy: upstream %s: %w", c.Name, err)
		}
		uc.Agent = upstream.Agent{Port: a.Port, Send: string(send), Interval: a.Interval, Timeout: a.Timeout}
	}
	if a := c.Health.Active; a != nil {
		uc.Health.Rise, uc.Health.Fall = a.Rise, a.Fall
		uc.Check = upstream.Check{
			Interval: a.Interval, Timeout: a.Timeout, MaxConcurrent: a.MaxConcurrent,
			FastInterval: a.FastInterval, DownInterval: a.DownInterval, SlowInterval: a.SlowInterval,
			Reuse: a.Reuse == config.SwitchOn,
		}
		var err error
		if uc.Check.Prober, err = s.proberOf(c, g.back, next); err != nil {
			return uc, err
		}
	}
	return uc, nil
}

// tunnelsOnly says whether the clients of an upstream are those of TCP listeners alone. Then its backends may greet before
// they are asked: a connection made ready beforehand is good with unread bytes on it. Where HTTP listeners share the
// upstream, its backends speak HTTP, and a byte that no request has asked for would be taken for the next answer.
func tunnelsOnly(settings *config.Config, name string) bool {
	tunnels := false
	for i := range settings.Listeners {
		l := &settings.Listeners[i]
		if l.Protocol == config.ProtocolTCP {
			tunnels = tunnels || l.Upstream == name || slices.ContainsFunc(l.Routes, func(r config.Route) bool { return r.Upstream == name })
			continue
		}
		for j := range l.Routes {
			if l.Routes[j].Upstream == name {
				return false
			}
		}
	}
	return tunnels
}

// conditions turns the words of the settings into a set. A test sees to it that both rooms know the same words.
func conditions(words []string) upstream.Condition {
	set := upstream.OnNothing
	for _, word := range words {
		set |= upstream.ConditionNamed(word)
	}
	return set
}

// shardsFor is the number of idle lists in every pool: a worker's number is its shard.
func shardsFor(settings *config.Config) int {
	n := 1
	for i := range settings.Listeners {
		n = max(n, settings.Listeners[i].Workers)
	}
	return n
}
