package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/config"
)

// An application's 500 may be the fault of a request that everybody would answer so; 502, 503 and 504 say that the backend cannot.
func TestGatewayErrorsEjectABackendThatItsOwn500sDoNot(t *testing.T) {
	tune := func(s *config.Config) {
		u := &s.Upstreams[0]
		u.Strategy = config.StrategyFirst
		u.Retry.On = []string{}
		u.Health.Passive = config.Passive{Consecutive5xx: config.Off, ConsecutiveGatewayErrors: 2, ConsecutiveFailures: config.Off,
			MaxEjectionPercent: 100, BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour}
	}
	converse(t, []conversation{{promise: "500 to 505", backends: 2, tune: tune, talk: func(c *talk) {
		c.lenient()
		client := c.client().send(get)
		backend := c.origins[0].accept()
		answer := func(status int) {
			backend.request()
			backend.send(fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", status))
			require.Equal(c.t, fmt.Sprintf("%d No", status), client.answer().start)
		}
		for i, status := range []int{500, 500, 502, 501, 503, 505, 504, 200, 502} {
			if i > 0 {
				client.send(get)
			}
			answer(status)
		}
		require.Equal(c.t, 2, c.server.Stats().Upstreams[0].Available, "no two of them in a row")
		client.send(get)
		answer(504)
		state := c.server.Stats().Upstreams[0].Backends[0].Health
		require.Equal(c.t, health.Ejected, state.Status)
		require.Equal(c.t, health.ConsecutiveGatewayErrors, state.Reason)
		client.send(get)
		other := c.origins[1].accept()
		other.request()
		other.send(okay)
		require.Equal(c.t, "ok", client.answer().body)
	}}})
}
