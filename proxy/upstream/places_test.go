package upstream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
)

// A breaker that minds slowness alone does not open for a dial that fails: the request that wanted it has proved nothing, and
// its place is free again.
func TestAProbeWhoseFreshDialFailsKeepsNoPlace(t *testing.T) {
	cfg := breaking()
	cfg.Health.Breaker = health.Breaker{SlowPercent: 100, SlowAfter: time.Second, MinRequests: 1, OpenTime: time.Hour, Probes: 1}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		slow := begin(t, u)
		u.clk.Sleep(time.Second)
		answered(u, slow)
		require.Equal(t, health.Open, u.Stats().Backends[0].Health.Circuit)
		u.clk.Sleep(time.Hour + 1)
		a := begin(t, u)
		failed(u, a, OutcomeStale)
		f.setFail(addr(0), true)
		require.Error(t, u.BeginFresh(t.Context(), a))
		synctest.Wait()
		f.setFail(addr(0), false)
		require.Equal(t, health.HalfOpen, u.Stats().Backends[0].Health.Circuit)
		answered(u, begin(t, u))
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
	})
}

// Who finds no connection is no probe, and takes nobody's place even for an instant.
func TestANewcomerDoesNotFailThoseWhoWaitForAHalfOpenBackend(t *testing.T) {
	var events diary
	cfg := breaking()
	cfg.Observer = events.add
	flips := func() int {
		synctest.Wait()
		events.mu.Lock()
		defer events.mu.Unlock()
		n := 0
		for _, e := range events.all {
			if e.Kind == KindUp || e.Kind == KindDown {
				n++
			}
		}
		return n
	}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		opened(t, u)
		f.peerClosesAll(addr(0))
		f.setDelay(addr(0), 100*time.Millisecond)
		before := flips()
		u.clk.Sleep(time.Second + 1)
		var calls []*call
		for range 5 {
			calls = append(calls, start(t, u, &Attempt{}))
			u.clk.Sleep(10 * time.Millisecond)
			require.False(t, calls[0].returned(), "it is the first one in line")
		}
		u.clk.Sleep(time.Second / 2)
		require.NoError(t, calls[0].end(), "it came first")
		require.Equal(t, 2, flips()-before, "half open, and then its probe")
		answered(u, calls[0].Attempt)
		for _, c := range calls[1:] {
			if c.end() == nil {
				answered(u, c.Attempt)
			}
		}
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
	})
}

// Streams and tunnels last. Were their ends waited for, a breaker would stay half-open for as long, and admit its few probes
// once in an open time.
func TestABreakerClosesWhenTheAnswersOfItsProbesHaveBegun(t *testing.T) {
	inBubble(t, 1, breaking(), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		opened(t, u)
		u.clk.Sleep(time.Second + 1)
		stream := begin(t, u)
		u.Proved(stream, u.Now())
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
		answered(u, begin(t, u))
		failed(u, stream, OutcomeReset) // a request like any other: one failure of two
		failed(u, begin(t, u), OutcomeReset)
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
	})
}

func TestAProbeWhoseAnswerBeginsLateOpensTheBreakerAgain(t *testing.T) {
	cfg := breaking()
	cfg.Health.Breaker.SlowPercent, cfg.Health.Breaker.SlowAfter = 100, time.Second/2
	for _, untimed := range []bool{false, true} {
		inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
			u.Start()
			opened(t, u)
			u.clk.Sleep(time.Second + 1)
			stream := begin(t, u)
			u.clk.Sleep(time.Second / 2)
			stream.Untimed = untimed
			u.Proved(stream, u.Now())
			want := map[bool]health.Circuit{false: health.Open, true: health.Closed}[untimed]
			require.Equal(t, want, u.Stats().Backends[0].Health.Circuit)
			answered(u, stream)
			require.Equal(t, want, u.Stats().Backends[0].Health.Circuit)
		})
	}
}
