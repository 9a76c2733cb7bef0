package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

const file = `
listeners:
  - {address: "127.0.0.1:7000", protocol: http, workers: 2, upstream: web}
upstreams:
  web:
    strategy: random
    backends: [{address: "10.0.0.1:80", weight: 3}, {address: "10.0.0.2:80"}]
    pool: {max_connections: 7, idle_timeout: 9s}
    health: {active: {interval: 3s, timeout: 500ms}}
admin: {address: "127.0.0.1:9000"}
`

// made gives the settings that these flags make, over the file where they name one.
func made(t *testing.T, withFile bool, args ...string) *config.Config {
	t.Helper()
	if withFile {
		name := filepath.Join(t.TempDir(), "wavepool.yaml")
		require.NoError(t, os.WriteFile(name, []byte(file), 0o600))
		args = append([]string{"-config", name}, args...)
	}
	o, err := parseFlags(args, io.Discard)
	require.NoError(t, err)
	c, err := o.settings()
	require.NoError(t, err)
	require.NoError(t, c.WithDefaults().Validate())
	return c.WithDefaults()
}

func TestAFileAloneIsTakenAsItIs(t *testing.T) {
	c := made(t, true)
	require.Equal(t, "127.0.0.1:7000", c.Listeners[0].Address)
	require.Equal(t, 2, c.Listeners[0].Workers)
	u := c.Upstreams[0]
	require.Equal(t, "random", u.Strategy)
	require.Equal(t, []config.Backend{{Address: "10.0.0.1:80", Weight: 3}, {Address: "10.0.0.2:80", Weight: 1}}, u.Backends)
	require.Equal(t, 7, u.Pool.MaxConnections)
	require.Equal(t, 9*time.Second, u.Pool.IdleTimeout)
	require.Equal(t, 3*time.Second, u.Health.Active.Interval)
	require.Equal(t, "127.0.0.1:9000", c.Admin.Address)
}

func TestFlagsOverrideTheFile(t *testing.T) {
	c := made(t, true, "-port", "7001", "-backend", "b1:1,b2:2", "--backend", "b3:3", "-strategy", "least-connections",
		"-max-connections", "11", "-idle-timeout", "12s", "-health-interval", "200ms", "-health-path", "/up",
		"-workers", "5", "-admin", "off", "-access-log", "stdout")
	require.Equal(t, "127.0.0.1:7001", c.Listeners[0].Address, "the file's host is kept")
	require.Equal(t, 5, c.Listeners[0].Workers)
	u := c.Upstreams[0]
	require.Equal(t, "least-connections", u.Strategy)
	require.Equal(t, []config.Backend{{Address: "b1:1", Weight: 1}, {Address: "b2:2", Weight: 1}, {Address: "b3:3", Weight: 1}},
		u.Backends)
	require.Equal(t, 11, u.Pool.MaxConnections)
	require.Equal(t, 12*time.Second, u.Pool.IdleTimeout)
	require.Equal(t, 200*time.Millisecond, u.Health.Active.Interval)
	require.Equal(t, 200*time.Millisecond, u.Health.Active.Timeout, "a check ends before the next begins")
	require.Equal(t, "/up", u.Health.Active.HTTP.Path)
	require.Empty(t, c.Admin.Address)
	require.Equal(t, &config.AccessLog{Path: config.LogStdout, Format: config.LogJSON, Buffer: 1 << 20}, c.AccessLog)
	require.Nil(t, made(t, true, "-access-log", "off").AccessLog)

	c = made(t, true, "-listen", "[::1]:7002", "-port", "1", "-mode", "tcp")
	require.Equal(t, "[::1]:7002", c.Listeners[0].Address)
	require.Equal(t, config.ProtocolTCP, c.Listeners[0].Protocol)
	require.Equal(t, "web", c.Listeners[0].Upstream)
	require.Empty(t, c.Listeners[0].Routes)
}

func TestWithoutAFileTheDefaultsHold(t *testing.T) {
	c := made(t, false, "-backend", "b:1")
	require.Equal(t, ":8080", c.Listeners[0].Address)
	require.Equal(t, 4, c.Listeners[0].Workers)
	require.Equal(t, "127.0.0.1:9901", c.Admin.Address)
	u := c.Upstreams[0]
	require.Equal(t, config.StrategyPeakEWMA, u.Strategy)
	require.Equal(t, 50, u.Pool.MaxConnections)
	require.Equal(t, 30*time.Second, u.Pool.IdleTimeout)
	require.Equal(t, 5*time.Second, u.Health.Active.Interval)
	require.Nil(t, u.Health.Active.HTTP)
	require.Equal(t, ":7001", made(t, false, "-backend", "b:1", "-port", "7001").Listeners[0].Address)
}

func TestAListTakesCommasAndRepetitions(t *testing.T) {
	var l list
	require.NoError(t, l.Set("a:1, b:2"))
	require.NoError(t, l.Set("c:3"))
	require.Equal(t, list{"a:1", "b:2", "c:3"}, l)
	require.Equal(t, "a:1,b:2,c:3", l.String())
	require.Error(t, l.Set("d:4,"))
	require.Error(t, l.Set(""))
}

func TestNearlyAllIsNotShownAsAll(t *testing.T) {
	require.Equal(t, "100.00%", percent(1))
	require.Equal(t, "99.99%", percent(0.99999))
	require.Equal(t, "0.00%", percent(0))
}
