package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health/probe"
)

// A schedule out of range would be one without any checks, and an agent that nobody asks.
func TestTimesOfChecksAndAgentsThatAreOutOfRangeAreRefused(t *testing.T) {
	for name, set := range map[string]func(c *Config, to time.Duration){
		"Check: probe: Interval": func(c *Config, to time.Duration) { c.Check.Interval = to },
		"Check: probe: Timeout":  func(c *Config, to time.Duration) { c.Check.Timeout = to },
		"Check: probe: Fast":     func(c *Config, to time.Duration) { c.Check.FastInterval = to },
		"Check: probe: Down":     func(c *Config, to time.Duration) { c.Check.DownInterval = to },
		"Check: probe: Slow":     func(c *Config, to time.Duration) { c.Check.SlowInterval = to },
		"Agent: probe: Interval": func(c *Config, to time.Duration) { c.Agent.Port, c.Agent.Interval = 1, to },
		"Agent: probe: Timeout":  func(c *Config, to time.Duration) { c.Agent.Port, c.Agent.Timeout = 1, to },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Name: "web", Backends: group(1), Check: Check{Prober: &switchboard{}}}
			set(&cfg, probe.MaxTime)
			u, err := New(cfg)
			require.NoError(t, err)
			defer u.Close()
			for _, bad := range []time.Duration{probe.MaxTime + 1, -1} {
				set(&cfg, bad)
				_, err = New(cfg)
				require.ErrorContains(t, err, name)
				require.ErrorContains(t, u.Apply(cfg, 0), name)
			}
		})
	}
}
