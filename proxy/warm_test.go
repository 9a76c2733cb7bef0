package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// A backend that closes idle connections sooner than the proxy does is the commonest trouble of all proxies. Here the
// connections are kept warm, so that one may die before its first use, and nobody looks at them before they are lent.
func TestAWarmConnectionThatItsBackendClosedCostsNoRequest(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 7, Latency: time.Millisecond}, func(s *netsim.Sim) {
		w := newSimWorld(t, s, 1, func(c *config.Config) {
			u := &c.Upstreams[0]
			u.Pool.MinIdle, u.Pool.ValidateAfter = 1, config.Off
			u.Retry.Attempts = 1
			u.Health.Active = nil
		})
		w.backends[0].closeIdle = 50 * time.Millisecond
		var work []simRequest
		for k := range 40 {
			work = append(work, simRequest{method: "GET", nonce: fmt.Sprintf("c0-%d", k), pause: 500 * time.Millisecond})
		}
		for _, a := range w.runClients(5*time.Second, [][]simRequest{work})[0] {
			require.Equal(t, 200, a.status, "%+v", a)
		}
		require.NotZero(t, w.server.Stats().Repeated, "no connection died before its use: the test shows nothing")
		w.stop()
	})
}
