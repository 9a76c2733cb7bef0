package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// A backend whose packets vanish keeps what it was asked until health knows: that is after fall checks, and not after the
// response timeout.
func TestRequestsAtABackendThatHealthTakesDownComeBackWithItsChecks(t *testing.T) {
	const (
		interval, timeout, fall = time.Second, 500 * time.Millisecond, 2
		service, begin          = 3 * time.Second, 500 * time.Millisecond
	)
	tune := func(c *config.Config) {
		u := &c.Upstreams[0]
		u.ResponseTimeout = 30 * time.Second
		u.Health.Active = &config.Active{Interval: interval, Timeout: timeout, Rise: 2, Fall: fall}
		u.Health.Passive.ConsecutiveFailures = config.Off
		u.Retry.PerTryTimeout = config.Off
	}
	operated(t, 3, tune, func(t *testing.T, w *simWorld) {
		for _, b := range w.backends {
			b.service = service
		}
		since := w.clk.Now()
		answered := w.during(t, gets(24, 1, time.Millisecond), begin, func() { w.sim.SilentDrop("proxy", "backend-1") })
		took := w.clk.Since(since)
		require.Equal(t, 24, answered)
		require.Less(t, took, begin+fall*interval+timeout+service+interval/2)
		require.Greater(t, took, begin+interval+service, "they had to wait for the checks")
		st := w.server.Stats().Upstreams[0]
		require.Equal(t, health.Down, st.Backends[0].Health.Status)
		require.EqualValues(t, 8, st.Backends[0].Outcomes[upstream.OutcomeLost], "a fifth of 24 is less")
		require.EqualValues(t, 8, st.Retries)
	})
}

func TestRequestsAtABackendThatGoesDownStayThereWhereThatIsAskedFor(t *testing.T) {
	tune := func(c *config.Config) {
		u := &c.Upstreams[0]
		u.ResponseTimeout = 5 * time.Second
		u.Health.Active = &config.Active{Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 1}
		u.Retry.On = []string{"reset"}
	}
	operated(t, 3, tune, func(t *testing.T, w *simWorld) {
		for _, b := range w.backends {
			b.service = 3 * time.Second
		}
		answered := w.during(t, gets(24, 1, time.Millisecond), 500*time.Millisecond,
			func() { w.sim.SilentDrop("proxy", "backend-1") })
		require.Equal(t, 16, answered)
		st := w.server.Stats().Upstreams[0]
		require.EqualValues(t, 8, st.Backends[0].Outcomes[upstream.OutcomeTimeout])
	})
}

// Of forty requests thirteen are at the silent backend; a fifth of those under way may be tried elsewhere at a time.
func TestTheBudgetBoundsWhatAPerTryTimeoutSendsElsewhere(t *testing.T) {
	tune := func(c *config.Config) {
		u := &c.Upstreams[0]
		u.ResponseTimeout = 8 * time.Second
		u.Health.Passive.ConsecutiveFailures = config.Off
		u.Retry.PerTryTimeout = time.Second
	}
	operated(t, 3, tune, func(t *testing.T, w *simWorld) {
		for _, b := range w.backends {
			b.service = 500 * time.Millisecond
		}
		w.backends[0].service = 5 * time.Second
		answered := w.during(t, gets(40, 1, 0), 1500*time.Millisecond, func() {
			st := w.server.Stats().Upstreams[0]
			require.EqualValues(t, 3, st.Retries+uint64(st.InFlight)-14, "what is left of forty, and three retries: %+v", st)
			require.EqualValues(t, 11, st.OverBudget)
		})
		require.Equal(t, 40, answered, "the others wait for the first backend, and are answered there")
		st := w.server.Stats().Upstreams[0]
		require.EqualValues(t, 3, st.Retries)
		require.EqualValues(t, 3, st.Backends[0].Outcomes[upstream.OutcomeTimeout])
	})
}
