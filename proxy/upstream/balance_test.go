package upstream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// keyFor is a key of which backend i is the best.
func keyFor(u *Upstream, i int) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := uint64(1); ; key++ {
		at := u.picker.Pick(u.Now(), &lb.Query{Key: key})
		u.picker.Done(at, lb.Abandoned, 0)
		if at == i {
			return key
		}
	}
}

// finish ends attempts that were answered, and lets what follows come to rest.
func finish(u *Upstream, all ...*Attempt) {
	for _, a := range all {
		answered(u, a)
		synctest.Wait()
	}
}

func beginWith(t *testing.T, u *Upstream, key uint64) *Attempt {
	t.Helper()
	a := &Attempt{Key: key}
	require.NoError(t, u.Begin(t.Context(), a))
	synctest.Wait()
	return a
}

var byKey = Config{Strategy: "maglev", BalanceFactor: -1, Pool: pool.Config{MaxConnections: 2}}

func TestARequestWithAKeyWaitsForItsBackendThoughAnotherIsFree(t *testing.T) {
	inBubble(t, 2, byKey, func(t *testing.T, u *Upstream, f *fakeNet) {
		key := keyFor(u, 1)
		other := beginWith(t, u, keyFor(u, 0))
		f.setDelay(addr(1), time.Second)
		w := start(t, u, &Attempt{Key: key})
		anybodys := start(t, u, &Attempt{})
		finish(u, other)
		require.False(t, w.returned(), "the connection that is idle there is not what it waits for")
		require.True(t, anybodys.returned(), "a request without a key takes it")
		require.NoError(t, w.end())
		require.Equal(t, addr(1), w.Address)
		require.Equal(t, time.Second, w.Waited)
		finish(u, anybodys.Attempt, w.Attempt)
		again := beginWith(t, u, key)
		require.Equal(t, addr(1), again.Address)
		require.Zero(t, again.Waited)
		finish(u, again)
	})
}

func TestAKeyWhoseBackendIsFullGoesToItsNextBestAndTakesWhateverIsFreeWhenAllAre(t *testing.T) {
	inBubble(t, 3, byKey, func(t *testing.T, u *Upstream, f *fakeNet) {
		key := keyFor(u, 1)
		var all []*Attempt
		at := map[string]int{}
		for range 6 {
			a := beginWith(t, u, key)
			at[a.Address]++
			all = append(all, a)
			if len(all) == 2 {
				require.Equal(t, 2, at[addr(1)], "its own comes first")
			}
		}
		require.Equal(t, map[string]int{addr(0): 2, addr(1): 2, addr(2): 2}, at)
		w := start(t, u, &Attempt{Key: key})
		require.False(t, w.returned())
		finish(u, all[5])
		require.True(t, w.returned())
		require.Equal(t, all[5].Address, w.Address)
		finish(u, append(all[:5], w.Attempt)...)
	})
}

func TestARetryGoesToTheNextBestOfItsKey(t *testing.T) {
	inBubble(t, 4, byKey, func(t *testing.T, u *Upstream, f *fakeNet) {
		key, next := keyFor(u, 2), ""
		for range 3 {
			a := beginWith(t, u, key)
			require.Equal(t, addr(2), a.Address)
			failed(u, a, OutcomeReset)
			require.True(t, u.MayRetry(a, OnReset))
			require.NoError(t, u.Begin(t.Context(), a))
			require.NotEqual(t, addr(2), a.Address)
			if next == "" {
				next = a.Address
			}
			require.Equal(t, next, a.Address, "always to the same one")
			finish(u, a)
		}
	})
}

func TestTheTableIsMadeAnewWhenTheGroupChanges(t *testing.T) {
	inBubble(t, 3, byKey, func(t *testing.T, u *Upstream, f *fakeNet) {
		current := func() bool {
			synctest.Wait()
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.picker.Rebuild() == nil
		}
		require.True(t, current())
		u.Start()
		require.NoError(t, u.AddBackend(Backend{Address: addr(3)}))
		require.True(t, current())
		require.Positive(t, keyFor(u, 3))
		require.NoError(t, u.SetWeight(addr(3), 9))
		require.True(t, current())
		held := beginWith(t, u, keyFor(u, 0))
		require.NoError(t, u.RemoveBackend(addr(0), time.Hour))
		require.NotEqual(t, 0, func() int { a := beginWith(t, u, 7); finish(u, a); return a.Backend }())
		finish(u, held)
		require.Len(t, u.Stats().Backends, 3)
		require.True(t, current())
		next := u.cfg
		next.Backends = []Backend{{Address: addr(1)}, {Address: addr(7), Priority: 1}, {Address: addr(8)}}
		next.BalanceFactor = 150
		require.NoError(t, u.Apply(next, time.Hour))
		require.True(t, current())
		next.Strategy = "ring-hash"
		require.NoError(t, u.Apply(next, time.Hour))
		require.True(t, current())
		require.Positive(t, keyFor(u, u.findLocked(addr(8)).index))
	})
}

// tiers are two backends of which the second is a backup.
func tiers(most int) Config {
	return Config{
		Backends: []Backend{{Address: addr(0)}, {Address: addr(1), Priority: 1}}, Pool: pool.Config{MaxConnections: most},
	}
}

func TestABackupServesWhileNoOtherCan(t *testing.T) {
	for _, strategy := range lb.Strategies() {
		cfg := tiers(2)
		cfg.Strategy = strategy
		inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
			a, b, c := begin(t, u), begin(t, u), begin(t, u)
			require.Equal(t, []int{0, 0, 1}, []int{a.Backend, b.Backend, c.Backend}, "filled, then the backup")
			finish(u, a)
			a = begin(t, u)
			require.Equal(t, 0, a.Backend)
			finish(u, a, b, c)
			require.NoError(t, u.DrainBackend(addr(0)))
			a = begin(t, u)
			require.Equal(t, 1, a.Backend)
			require.NoError(t, u.UndrainBackend(addr(0)))
			b = begin(t, u)
			require.Equal(t, 0, b.Backend)
			failed(u, b, OutcomeReset)
			require.True(t, u.MayRetry(b, OnReset))
			require.NoError(t, u.Begin(t.Context(), b))
			require.Equal(t, 1, b.Backend, "the next tier comes before a second visit")
			finish(u, a, b)
			require.Equal(t, []int{0, 1}, []int{u.Members()[0].Priority, u.Members()[1].Priority})
		})
	}
}

func TestWhoWaitsForADialOfItsTierIsNotGivenABackup(t *testing.T) {
	inBubble(t, 2, tiers(3), func(t *testing.T, u *Upstream, f *fakeNet) {
		require.NoError(t, u.DrainBackend(addr(0)))
		backup := begin(t, u)
		f.setDelay(addr(1), time.Minute)
		onBackup := start(t, u, &Attempt{})
		require.NoError(t, u.UndrainBackend(addr(0)))
		f.setDelay(addr(0), time.Second)
		w := start(t, u, &Attempt{})
		finish(u, backup)
		require.True(t, onBackup.returned(), "whoever counts on the backup takes what is free there")
		finish(u, onBackup.Attempt)
		require.False(t, w.returned(), "who does not, does not")
		require.NoError(t, w.end())
		require.Equal(t, []any{0, time.Second}, []any{w.Backend, w.Waited})

		require.NoError(t, u.DrainBackend(addr(0)))
		backup = begin(t, u)
		onBackup = start(t, u, &Attempt{})
		require.Equal(t, 2, u.Stats().Backends[1].InFlight)
		require.NoError(t, u.UndrainBackend(addr(0)))
		finish(u, w.Attempt, begin(t, u)) // the drain has closed the first
		require.True(t, onBackup.returned(), "a better one will do")
		require.Equal(t, 0, onBackup.Backend)
		finish(u, backup, onBackup.Attempt)
	})
}

func TestAPriorityChangesAtWork(t *testing.T) {
	var events diary
	cfg := tiers(2)
	cfg.Observer = events.add
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := begin(t, u)
		next := u.cfg
		next.Backends = []Backend{{Address: addr(0), Priority: 15}, {Address: addr(1)}}
		require.NoError(t, u.Apply(next, time.Hour))
		a := begin(t, u)
		require.Equal(t, []int{0, 1}, []int{held.Backend, a.Backend})
		finish(u, held, a)
		for _, priority := range []int{-1, MaxPriority + 1} {
			next.Backends = []Backend{{Address: addr(0), Priority: priority}}
			require.ErrorContains(t, u.Apply(next, time.Hour), "is not within 0 and 15")
			require.ErrorContains(t, u.AddBackend(Backend{Address: "c:80", Priority: priority}), "is not between 0 and 15")
		}
		require.Equal(t, []int{15, 0}, []int{u.Members()[0].Priority, u.Members()[1].Priority})
	})
	var told []string
	for _, e := range events.all {
		if e.Reason == OpReweight.String() {
			told = append(told, e.Entity+" "+e.Detail)
		}
	}
	require.Equal(t, []string{"web/" + addr(0) + " priority 15 instead of 0", "web/" + addr(1) + " priority 0 instead of 1"}, told)
}

// share is the part of so many requests, one after the other, that a backend gets.
func share(t *testing.T, u *Upstream, i, n int) float64 {
	own := 0
	for range n {
		a := begin(t, u)
		if a.Backend == i {
			own++
		}
		finish(u, a)
	}
	return float64(own) / float64(n)
}

func TestABackendThatComesBackStartsSlowlyAndNobodyDoesAtBoot(t *testing.T) {
	inBubble(t, 2, Config{SlowStart: 100 * time.Second}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), 0)
		f.setDelay(addr(1), 0)
		f.setDelay(addr(2), 0)
		u.Start()
		require.InDelta(t, 0.5, share(t, u, 1, 100), 0.01, "at boot")
		require.NoError(t, u.DrainBackend(addr(1)))
		require.Zero(t, share(t, u, 1, 10))
		require.NoError(t, u.UndrainBackend(addr(1)))
		require.InDelta(t, 1.0/11, share(t, u, 1, 110), 0.01)
		u.clk.Sleep(50 * time.Second)
		require.InDelta(t, 0.55/1.55, share(t, u, 1, 155), 0.02)
		u.clk.Sleep(50 * time.Second)
		require.InDelta(t, 0.5, share(t, u, 1, 100), 0.01)
		require.NoError(t, u.AddBackend(Backend{Address: addr(2)}))
		require.InDelta(t, 1.0/21, share(t, u, 2, 210), 0.01, "one that is added")
		next := u.cfg
		next.SlowStart, next.Backends = 0, group(3)
		require.NoError(t, u.Apply(next, time.Hour))
		require.InDelta(t, 1.0/3, share(t, u, 2, 99), 0.01, "it is off")
	})
}
