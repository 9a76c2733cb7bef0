package proxy

import (
	"math"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// newUpstream turns the plain settings of a group into the running thing.
func (s *Server) newUpstream(c *config.Upstream) (*upstream.Upstream, error) {
	uc := upstream.Config{
		Name: c.Name, Strategy: c.Strategy,
		Pool: pool.Config{
			MaxConnections: c.Pool.MaxConnections, MinIdle: c.Pool.MinIdle, IdleTimeout: c.Pool.IdleTimeout,
			MaxLifetime: c.Pool.MaxLifetime, DialTimeout: c.Pool.ConnectTimeout,
			ValidateAfter: c.Pool.ValidateAfter, LifetimeSpread: spread(c.Pool.LifetimeJitterPercent),
			Shards: s.shards(),
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
	for _, b := range c.Backends {
		uc.Backends = append(uc.Backends, upstream.Backend{Address: b.Address, Weight: b.Weight})
	}
	if a := c.Health.Active; a != nil {
		uc.Health.Rise, uc.Health.Fall = a.Rise, a.Fall
		uc.Check = upstream.Check{Interval: a.Interval, Timeout: a.Timeout}
		prober, err := s.newProber(a)
		if err != nil {
			return nil, err
		}
		uc.Check.Prober = prober
	}
	return upstream.New(uc)
}

func (s *Server) newProber(a *config.Active) (probe.Prober, error) {
	if a.HTTP == nil {
		return probe.TCP(s.cfg.Dialer), nil
	}
	return probe.HTTP(s.cfg.Dialer, probe.HTTPConfig{
		Path: a.HTTP.Path, Host: a.HTTP.Host,
		ExpectStatus: probe.StatusRange{Min: a.HTTP.Status.Low, Max: a.HTTP.Status.High},
	})
}

// shards is the number of idle lists in every pool: a worker's number is its shard.
func (s *Server) shards() int {
	n := 1
	for i := range s.settings.Listeners {
		n = max(n, s.settings.Listeners[i].Workers)
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
