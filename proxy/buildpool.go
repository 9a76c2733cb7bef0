package proxy

import (
	"net"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/config"
)

// poolConfig translates the settings of a group's pools. What identifies a pool is filled in by the upstream; its ways of
// failing alone (patience, pauses between dials, waiters) have no keys, since the upstream's queue and judge stand in
// their place.
func (s *Server) poolConfig(c *config.Pool, greets bool) pool.Config {
	pc := pool.Config{
		MaxConnections: c.MaxConnections, MinIdle: c.MinIdle, MaxIdle: c.MaxIdle,
		IdleTimeout: c.IdleTimeout, MaxLifetime: c.MaxLifetime, LifetimeSpread: spread(c.LifetimeJitterPercent), MaxUses: c.MaxUses,
		ValidateAfter: c.ValidateAfter, Greets: greets, Order: orderNamed(c.Order),
		DialTimeout: c.ConnectTimeout, MinDialTimeout: c.MinConnectTimeout, MaxDials: c.MaxDials,
		TrimEvery: c.TrimEvery, Predict: predictNamed(c.Predict), PredictEvery: c.PredictEvery,
		UserTimeout: c.TCPUserTimeout, LeakAfter: c.LeakAfter, Shards: s.shards,
	}
	if pc.MaxIdle >= pc.MaxConnections {
		pc.MaxIdle = 0 // no bound of its own
	}
	if k := c.KeepAlive; k != nil {
		pc.KeepAlive = net.KeepAliveConfig{Enable: k.Idle != config.Off, Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	return pc
}

// orderNamed and predictNamed find the value of a word, which the settings have checked.
func orderNamed(word string) pool.Order {
	for _, o := range pool.Orders() {
		if o.String() == word {
			return o
		}
	}
	return pool.OrderRecent
}

func predictNamed(word string) pool.Predict {
	for _, p := range pool.Predicts() {
		if p.String() == word {
			return p
		}
	}
	return pool.PredictOff
}

// spread turns the percentage of the settings into the pool's share, which is below one.
func spread(percent int) float64 {
	if percent == config.Off {
		return -1
	}
	return min(float64(percent)/100, 0.99)
}
