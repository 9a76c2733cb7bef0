package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestEachSettingOfHealthReachesTheJudge(t *testing.T) {
	plain := config.DefaultUpstream("web").Health
	base := judgeOf(&plain)
	require.Equal(t, health.Config{Passive: health.Passive{
		Consecutive5xx: 5, ConsecutiveFailures: 5, BaseEjectionTime: 30 * time.Second, MaxEjectionTime: 5 * time.Minute,
		MaxEjectionPercent: 50,
	}}, base, "the defaults of the file are those of the judge")
	type cfg = health.Config
	for _, c := range []struct {
		key  string
		set  func(*config.Health)
		want func(*cfg)
	}{
		{"consecutive_5xx", func(h *config.Health) { h.Passive.Consecutive5xx = 7 }, func(c *cfg) { c.Passive.Consecutive5xx = 7 }},
		{"consecutive_gateway_errors", func(h *config.Health) { h.Passive.ConsecutiveGatewayErrors = 7 },
			func(c *cfg) { c.Passive.ConsecutiveGatewayErrors = 7 }},
		{"consecutive_failures: off", func(h *config.Health) { h.Passive.ConsecutiveFailures = config.Off },
			func(c *cfg) { c.Passive.ConsecutiveFailures = -1 }},
		{"base_ejection_time", func(h *config.Health) { h.Passive.BaseEjectionTime = 7 }, func(c *cfg) { c.Passive.BaseEjectionTime = 7 }},
		{"max_ejection_time", func(h *config.Health) { h.Passive.MaxEjectionTime = 7 }, func(c *cfg) { c.Passive.MaxEjectionTime = 7 }},
		{"ejection_jitter_percent", func(h *config.Health) { h.Passive.EjectionJitterPercent = 25 },
			func(c *cfg) { c.Passive.EjectionJitter = 0.25 }},
		{"max_ejection_percent", func(h *config.Health) { h.Passive.MaxEjectionPercent = 7 },
			func(c *cfg) { c.Passive.MaxEjectionPercent = 7 }},
		{"outliers", func(h *config.Health) {
			h.Passive.Outliers = &config.Outliers{SuccessRate: 1, Latency: 2, Interval: 3, MinBackends: 4, MinRequests: 5}
		}, func(c *cfg) {
			c.Passive.Outliers = health.Outliers{SuccessRate: 1, Latency: 2, Interval: 3, MinBackends: 4, MinRequests: 5}
		}},
		{"breaker", func(h *config.Health) {
			h.Breaker = &config.Breaker{ErrorPercent: 1, SlowPercent: 2, SlowAfter: 3, Window: 4, MinRequests: 5, OpenTime: 6, Probes: 7}
		}, func(c *cfg) {
			c.Breaker = health.Breaker{ErrorPercent: 1, SlowPercent: 2, SlowAfter: 3, Window: 4, MinRequests: 5, OpenTime: 6, Probes: 7}
		}},
		{"breaker: {error_percent: off}", func(h *config.Health) { h.Breaker = &config.Breaker{ErrorPercent: config.Off, SlowPercent: 1} },
			func(c *cfg) { c.Breaker = health.Breaker{SlowPercent: 1} }},
		{"panic_threshold", func(h *config.Health) { h.PanicThreshold = 30 }, func(c *cfg) { c.PanicPercent = 30 }},
		{"on_no_backend", func(h *config.Health) { h.OnNoBackend = config.NoBackendFailOpen }, func(c *cfg) { c.FailOpen = true }},
	} {
		h, want := plain, base
		c.set(&h)
		c.want(&want)
		require.Equal(t, want, judgeOf(&h), c.key)
	}
}
