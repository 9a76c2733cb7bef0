package proxy

import (
	"math"
	"reflect"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// group is an upstream with what it was made from.
type group struct {
	up     *upstream.Upstream
	name   string
	active *config.Active // what prober was made from
	prober probe.Prober
	tls    *config.UpstreamTLS // what back was made from
	back   *certs.Back         // nil: cleartext
	gone   bool                // it is not in the settings any more
}

// newGroup turns the plain settings of a group into the running thing.
func (s *Server) newGroup(c *config.Upstream) (*group, error) {
	g := &group{name: c.Name, tls: c.TLS}
	var err error
	if g.back, err = s.newBack(c); err != nil {
		return nil, err
	}
	uc, err := s.upstreamConfig(c, g)
	if err != nil {
		return nil, err
	}
	g.active, g.prober = c.Health.Active, uc.Check.Prober
	g.up, err = upstream.New(uc)
	return g, err
}

// upstreamConfig translates the settings of a group. A prober that would be made as before stays the same one.
func (s *Server) upstreamConfig(c *config.Upstream, g *group) (upstream.Config, error) {
	uc := upstream.Config{
		Name: c.Name, Strategy: c.Strategy,
		Pool: pool.Config{
			MaxConnections: c.Pool.MaxConnections, MinIdle: c.Pool.MinIdle, IdleTimeout: c.Pool.IdleTimeout,
			MaxLifetime: c.Pool.MaxLifetime, DialTimeout: c.Pool.ConnectTimeout,
			ValidateAfter: c.Pool.ValidateAfter, LifetimeSpread: spread(c.Pool.LifetimeJitterPercent),
			Shards: s.shards,
		},
		Health: health.Config{Passive: health.Passive{
			Consecutive5xx: c.Health.Passive.Consecutive5xx, ConsecutiveFailures: c.Health.Passive.ConsecutiveFailures,
			BaseEjectionTime: c.Health.Passive.BaseEjectionTime, MaxEjectionPercent: c.Health.Passive.MaxEjectionPercent,
		}},
		Attempts: c.Retry.Attempts, BudgetPercent: c.Retry.BudgetPercent,
		MaxWaiting: c.Queue.MaxWaiting, QueueTimeout: c.Queue.Timeout,
		Dialer: s.cfg.Dialer, Clock: s.clk, Rand: s.cfg.Rand, Observer: s.observe,
	}
	if c.Retry.BudgetPercent == config.Off {
		uc.BudgetPercent, uc.BudgetMin = 0, math.MaxInt
	}
	if g.back != nil {
		uc.Setup = setUp(g.back)
	}
	for _, b := range c.Backends {
		uc.Backends = append(uc.Backends, upstream.Backend{Address: b.Address, Weight: b.Weight})
	}
	if a := c.Health.Active; a != nil {
		uc.Health.Rise, uc.Health.Fall = a.Rise, a.Fall
		uc.Check = upstream.Check{Interval: a.Interval, Timeout: a.Timeout}
		if uc.Check.Prober = g.prober; g.prober == nil || !reflect.DeepEqual(a, g.active) {
			prober, err := s.newProber(a, g.back)
			if err != nil {
				return uc, err
			}
			uc.Check.Prober = prober
		}
	}
	return uc, nil
}

func (s *Server) newProber(a *config.Active, back *certs.Back) (probe.Prober, error) {
	dialer := s.cfg.Dialer
	if back != nil {
		dialer = tlsDialer{dialer, back}
	}
	if a.HTTP == nil {
		return probe.TCP(dialer), nil
	}
	return probe.HTTP(dialer, probe.HTTPConfig{
		Path: a.HTTP.Path, Host: a.HTTP.Host,
		ExpectStatus: probe.StatusRange{Min: a.HTTP.Status.Low, Max: a.HTTP.Status.High},
	})
}

// shardsFor is the number of idle lists in every pool: a worker's number is its shard.
func shardsFor(settings *config.Config) int {
	n := 1
	for i := range settings.Listeners {
		n = max(n, settings.Listeners[i].Workers)
	}
	return n
}

// spread turns the percentage of the settings into the pool's share, which is below one.
func spread(percent int) float64 {
	if percent == config.Off {
		return -1
	}
	return min(float64(percent)/100, 0.99)
}
