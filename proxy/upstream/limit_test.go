package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

var limiting = Config{Concurrency: health.Concurrency{Min: 2, Max: 2}, Pool: pool.Config{MaxConnections: 10}}

func TestConnectionPoolManagerABackendAtItsLimitIsPassedOverAndWhoLeavesMakesRoom(t *testing.T) {
	inBubble(t, 2, limiting, func(t *testing.T, u *Upstream, f *fakeNet) {
		var held []*Attempt
		for range 4 {
			held = append(held, begin(t, u))
		}
		s := u.Stats()
		require.Equal(t, []int{2, 2}, []int{s.Backends[0].InFlight, s.Backends[1].InFlight})
		require.Equal(t, []int{2, 2}, []int{s.Backends[0].Limit, s.Backends[1].Limit})
		first, second := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		require.False(t, first.returned(), "there are sixteen connections to be had, and no place")
		answered(u, held[2])
		require.NoError(t, first.end())
		require.Equal(t, held[2].Backend, first.Backend)
		failed(u, held[1], OutcomeReset)
		require.NoError(t, second.end(), "the place counts, not the connection")
		require.Equal(t, held[1].Backend, second.Backend)
		for _, a := range []*Attempt{held[0], held[3], first.Attempt, second.Attempt} {
			answered(u, a)
		}
		require.LessOrEqual(t, f.dialsTo(addr(0))+f.dialsTo(addr(1)), 5)
	})
}

// The one that waited for its dial was counted, and nothing of the pool's tells that it has left.
func TestConnectionPoolManagerAPlaceThatAWaiterGivesUpIsUsedByTheNext(t *testing.T) {
	cfg := limiting
	cfg.Concurrency.Max, cfg.Concurrency.Min = 1, 1
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), time.Second)
		gone, next := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		require.Equal(t, 1, u.Stats().Backends[0].InFlight)
		gone.cancel()
		require.Error(t, gone.end())
		u.clk.Sleep(time.Millisecond)
		require.Equal(t, 1, u.Stats().Backends[0].InFlight, "the next counts on the dial now")
		require.NoError(t, next.end())
		require.Less(t, next.Waited, 1100*time.Millisecond)
		answered(u, next.Attempt)
	})
}

func TestConnectionPoolManagerAtItsLimitABackendServesThoseWhoAreCountedThere(t *testing.T) {
	cfg := limiting
	cfg.Concurrency.Max = 3
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		f.setDelay(addr(0), time.Minute)
		counted := start(t, u, &Attempt{})
		other := start(t, u, &Attempt{})
		answered(u, a)
		require.NoError(t, counted.end())
		require.False(t, other.returned())
		answered(u, counted.Attempt)
		require.NoError(t, other.end())
		answered(u, other.Attempt)
	})
}

func TestConnectionPoolManagerAReloadSwitchesLimitsOnAndOffUnderLoad(t *testing.T) {
	inBubble(t, 2, limiting, func(t *testing.T, u *Upstream, f *fakeNet) {
		apply := func(c health.Concurrency) {
			cfg := u.cfg
			cfg.Concurrency = c
			require.NoError(t, u.Apply(cfg, time.Second))
		}
		var held []*Attempt
		for range 4 {
			held = append(held, begin(t, u))
		}
		waits := start(t, u, &Attempt{})
		require.False(t, waits.returned())
		apply(health.Concurrency{})
		require.NoError(t, waits.end(), "without a limit there is room")
		held = append(held, waits.Attempt, begin(t, u))
		require.Zero(t, u.Stats().Backends[0].Limit)
		apply(health.Concurrency{Min: 1, Max: 1})
		last := start(t, u, &Attempt{})
		for i, a := range held {
			require.False(t, last.returned(), "%d are in flight at the two", len(held)-i)
			if answered(u, a); i == len(held)-2 {
				break
			}
		}
		require.NoError(t, last.end())
		answered(u, held[len(held)-1])
		answered(u, last.Attempt)
		more := []*Attempt{begin(t, u), begin(t, u)}
		waits = start(t, u, &Attempt{})
		require.False(t, waits.returned())
		apply(health.Concurrency{Min: 2, Max: 2})
		require.NoError(t, waits.end(), "a limit that grows is used at once")
		for _, a := range append(more, waits.Attempt) {
			answered(u, a)
		}
		bad := u.cfg
		bad.Concurrency = health.Concurrency{Min: 3, Max: 2}
		require.ErrorContains(t, u.Apply(bad, time.Second), "Concurrency.Min")
	})
}

func TestConnectionPoolManagerTheLimitIsLearnedFromAnswersAndNotFromTunnels(t *testing.T) {
	cfg := Config{Concurrency: health.Concurrency{Min: 3, Max: 100}, Pool: pool.Config{MaxConnections: 200}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		rounds := func(untimed bool) {
			for range 200 {
				var all []*Attempt
				for range u.Stats().Backends[0].Limit {
					all = append(all, begin(t, u))
				}
				u.clk.Sleep(20 * time.Millisecond)
				for _, a := range all {
					a.Untimed = untimed
					answered(u, a)
				}
			}
		}
		rounds(true)
		require.Equal(t, 20, u.Stats().Backends[0].Limit)
		rounds(false)
		require.Greater(t, u.Stats().Backends[0].Limit, 40, "all are answered as quickly as the first")
	})
}

func TestConnectionPoolManagerALimitThatSinksBelowWhatIsInFlightHoldsAtOnce(t *testing.T) {
	cfg := Config{Concurrency: health.Concurrency{Min: 1, Max: 20}, Pool: pool.Config{MaxConnections: 100}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		var held []*Attempt
		for range 16 {
			held = append(held, begin(t, u))
		}
		for range 10_000 {
			u.clk.Sleep(time.Millisecond)
			answered(u, held[0])
			held = held[1:]
			s := u.Stats().Backends[0]
			if s.Limit < s.InFlight { // for one window, to learn the time without load anew
				break
			}
			held = append(held, begin(t, u))
		}
		require.Equal(t, 10, u.Stats().Backends[0].Limit)
		require.Len(t, held, 15)
		waits := start(t, u, &Attempt{})
		require.False(t, waits.returned())
		for _, a := range held {
			answered(u, a)
		}
		require.NoError(t, waits.end())
		answered(u, waits.Attempt)
	})
}
