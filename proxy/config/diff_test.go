package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiffNamesEachChangeByItsKey(t *testing.T) {
	const before = `
listeners: [{address: ":8080", upstream: web}, {address: ":6380", protocol: tcp, upstream: cache}]
upstreams:
  web: {backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}
  cache: {backends: [{address: "10.0.1.1:6379"}]}
admin: {address: off}
`
	cases := []struct {
		name, after string
		want        []string
	}{
		{"nothing, though a default is spelled out", `
listeners: [{address: ":8080", upstream: web, workers: 4}, {address: ":6380", protocol: tcp, upstream: cache}]
upstreams:
  web: {strategy: peak-ewma, backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80", weight: 1}]}
  cache: {backends: [{address: "10.0.1.1:6379"}]}
admin: {address: off}
`, nil},
		{"all kinds", `
listeners:
- {address: ":8080", idle_timeout: 30s, routes: [{match: {path_prefix: /api}, upstream: api}, {upstream: web}]}
- {address: ":9090", upstream: web}
upstreams:
  web: {backends: [{address: "10.0.0.2:80", weight: 3}, {address: "10.0.0.3:80"}], health: {active: off}}
  api: {backends: [{address: "10.0.2.1:80"}]}
admin: {address: "127.0.0.1:9901"}
drain_timeout: 1m
`, []string{
			"listeners[:8080].routes[0].match.path_prefix: /api instead of /",
			"listeners[:8080].routes[0].upstream: api instead of web",
			"listeners[:8080].routes: [1] added",
			"listeners[:8080].idle_timeout: 30s instead of 1m",
			"listeners: :9090 added",
			"listeners: :6380 removed",
			"upstreams.web.backends[10.0.0.2:80].weight: 3 instead of 1",
			"upstreams.web.backends: 10.0.0.3:80 added",
			"upstreams.web.backends: 10.0.0.1:80 removed",
			"upstreams.web.health.active: off instead of {interval: 5s, fast_interval: off, down_interval: off, slow_interval: off, timeout: 1s, max_concurrent: 256, rise: 2, fall: 3, reuse: off}",
			"upstreams: api added",
			"upstreams: cache removed",
			"admin.address: 127.0.0.1:9901 instead of off",
			"drain_timeout: 1m instead of 30s",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			from, err := Parse("before.yaml", []byte(before))
			require.NoError(t, err)
			to, err := Parse("after.yaml", []byte(c.after))
			require.NoError(t, err)
			got, err := Diff(from, to)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
