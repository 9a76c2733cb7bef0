package scenario

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With every key of the edge on, chance (identities of requests), timers (the access log's) and limits take part in the run.
func TestARunWithEverythingOnAtTheEdgeRepeatsItsTrace(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	text := strings.Replace(manyUnderWay(), "proxy:\n", "proxy:\n  access_log: {path: access.log, buffer: 64KiB}\n", 1)
	text = strings.Replace(text, small["listener"], "{address: ':8080', upstream: web, trusted_proxies: [10.9.0.0/16], "+
		"forwarded: both, request_id: X-Request-ID, max_requests_per_connection: 5, max_connections_per_source: 200}", 1)
	text = strings.Replace(text, "{web: {backends", "{web: {host: backend, backends", 1)
	sc, err := Parse("edge.yaml", []byte(text))
	require.NoError(t, err)
	require.Equal(t, "backend", sc.Settings.Upstreams[0].Host)
	require.Equal(t, 200, sc.Settings.Listeners[0].MaxConnectionsPerSource)
	var first *Verdict
	for n := range 4 {
		runtime.GOMAXPROCS(1 + n%2)
		v, err := Execute(sc, Options{})
		require.NoError(t, err)
		require.Equal(t, v.Requests, v.Answered+total(v.Failed))
		if first == nil {
			first = v
		}
		require.Equal(t, first.Trace, v.Trace)
		require.Equal(t, first.Failed, v.Failed)
	}
	require.Greater(t, first.Answered, 500)
}
