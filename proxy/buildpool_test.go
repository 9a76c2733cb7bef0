package proxy

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestEachSettingOfAPoolReachesThePool(t *testing.T) {
	s := &Server{shards: 3}
	plain := config.DefaultUpstream("web").Pool
	base := s.poolConfig(&plain, false)
	for _, c := range []struct {
		key  string
		set  func(*config.Pool)
		want func(*pool.Config)
	}{
		{"max_connections", func(p *config.Pool) { p.MaxConnections = 7 }, func(c *pool.Config) { c.MaxConnections = 7 }},
		{"min_idle", func(p *config.Pool) { p.MinIdle = 7 }, func(c *pool.Config) { c.MinIdle = 7 }},
		{"max_idle", func(p *config.Pool) { p.MaxIdle = 7 }, func(c *pool.Config) { c.MaxIdle = 7 }},
		{"max_idle of all", func(p *config.Pool) { p.MaxIdle = 50 }, func(c *pool.Config) {}},
		{"idle_timeout", func(p *config.Pool) { p.IdleTimeout = 7 }, func(c *pool.Config) { c.IdleTimeout = 7 }},
		{"idle_timeout: off", func(p *config.Pool) { p.IdleTimeout = config.Off }, func(c *pool.Config) { c.IdleTimeout = -1 }},
		{"max_lifetime", func(p *config.Pool) { p.MaxLifetime = 7 }, func(c *pool.Config) { c.MaxLifetime = 7 }},
		{"lifetime_jitter_percent", func(p *config.Pool) { p.LifetimeJitterPercent = 7 },
			func(c *pool.Config) { c.LifetimeSpread = 0.07 }},
		{"lifetime_jitter_percent: off", func(p *config.Pool) { p.LifetimeJitterPercent = config.Off },
			func(c *pool.Config) { c.LifetimeSpread = -1 }},
		{"max_uses", func(p *config.Pool) { p.MaxUses = 7 }, func(c *pool.Config) { c.MaxUses = 7 }},
		{"validate_after", func(p *config.Pool) { p.ValidateAfter = 7 }, func(c *pool.Config) { c.ValidateAfter = 7 }},
		{"connect_timeout", func(p *config.Pool) { p.ConnectTimeout = 7 }, func(c *pool.Config) { c.DialTimeout = 7 }},
		{"min_connect_timeout", func(p *config.Pool) { p.MinConnectTimeout = 7 }, func(c *pool.Config) { c.MinDialTimeout = 7 }},
		{"min_connect_timeout: off", func(p *config.Pool) { p.MinConnectTimeout = config.Off },
			func(c *pool.Config) { c.MinDialTimeout = -1 }},
		{"max_dials", func(p *config.Pool) { p.MaxDials = 7 }, func(c *pool.Config) { c.MaxDials = 7 }},
		{"order", func(p *config.Pool) { p.Order = config.OrderFIFO }, func(c *pool.Config) { c.Order = pool.OrderFIFO }},
		{"trim_every", func(p *config.Pool) { p.TrimEvery = 7 }, func(c *pool.Config) { c.TrimEvery = 7 }},
		{"trim_every: off", func(p *config.Pool) { p.TrimEvery = config.Off }, func(c *pool.Config) { c.TrimEvery = -1 }},
		{"predict: reactive", func(p *config.Pool) { p.Predict = config.PredictReactive },
			func(c *pool.Config) { c.Predict = pool.PredictReactive }},
		{"predict: holt", func(p *config.Pool) { p.Predict = config.PredictHolt },
			func(c *pool.Config) { c.Predict = pool.PredictHolt }},
		{"predict_every", func(p *config.Pool) { p.PredictEvery = 7 }, func(c *pool.Config) { c.PredictEvery = 7 }},
		{"keep_alive", func(p *config.Pool) { p.KeepAlive = &config.KeepAlive{Idle: 7, Interval: 8, Count: 9} },
			func(c *pool.Config) { c.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 7, Interval: 8, Count: 9} }},
		{"keep_alive: {idle: off}", func(p *config.Pool) { p.KeepAlive = &config.KeepAlive{Idle: config.Off, Interval: 8, Count: 9} },
			func(c *pool.Config) { c.KeepAlive = net.KeepAliveConfig{Idle: -1, Interval: 8, Count: 9} }},
		{"tcp_user_timeout", func(p *config.Pool) { p.TCPUserTimeout = 7 }, func(c *pool.Config) { c.UserTimeout = 7 }},
		{"leak_after", func(p *config.Pool) { p.LeakAfter = 7 }, func(c *pool.Config) { c.LeakAfter = 7 }},
	} {
		p, want := plain, base
		c.set(&p)
		c.want(&want)
		require.Equal(t, want, s.poolConfig(&p, false), c.key)
	}
	require.Equal(t, 3, base.Shards)
	require.True(t, s.poolConfig(&plain, true).Greets)
}

// What the file leaves out must be what the pool does anyway, or its documentation would lie.
func TestTheDefaultsOfTheFileAreThoseThatThePoolDocuments(t *testing.T) {
	plain := config.DefaultUpstream("web").Pool
	require.Equal(t, pool.Config{
		MaxConnections: 50, IdleTimeout: 30 * time.Second, MaxLifetime: 30 * time.Minute, LifetimeSpread: 0.1,
		DialTimeout: 5 * time.Second, MinDialTimeout: 1500 * time.Millisecond, MaxDials: 16,
		ValidateAfter: time.Millisecond, TrimEvery: 5 * time.Second, PredictEvery: time.Second, Shards: 1,
	}, (&Server{shards: 1}).poolConfig(&plain, false))
}

func TestOnlyAnUpstreamOfTunnelsMayGreet(t *testing.T) {
	http := func(name string) config.Listener {
		return config.Listener{Protocol: config.ProtocolHTTP, Routes: []config.Route{{Upstream: "other"}, {Upstream: name}}}
	}
	tcp := func(name string) config.Listener {
		return config.Listener{Protocol: config.ProtocolTCP, Upstream: name}
	}
	for _, c := range []struct {
		promise   string
		listeners []config.Listener
		greets    bool
	}{
		{"tunnels alone", []config.Listener{tcp("web"), tcp("web"), http("db")}, true},
		{"requests alone", []config.Listener{http("web"), tcp("db")}, false},
		{"both", []config.Listener{tcp("web"), http("web")}, false},
		{"both, the other way round", []config.Listener{http("web"), tcp("web")}, false},
		{"nobody", []config.Listener{http("db")}, false},
	} {
		require.Equal(t, c.greets, tunnelsOnly(&config.Config{Listeners: c.listeners}, "web"), c.promise)
	}
}
