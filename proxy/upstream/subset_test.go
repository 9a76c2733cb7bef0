package upstream

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/pool"
)

// subsetOf are the members that are not in the reserve, in order.
func subsetOf(u *Upstream) (all []string) {
	for _, b := range u.Stats().Backends {
		if !b.Reserve && !b.Leaving {
			all = append(all, b.Address)
		}
	}
	slices.Sort(all)
	return all
}

// usedBy are the backends that so many requests go to, in order.
func usedBy(t *testing.T, u *Upstream, requests int) (all []string) {
	t.Helper()
	for range requests {
		a := begin(t, u)
		if !slices.Contains(all, a.Address) {
			all = append(all, a.Address)
		}
		answered(u, a)
	}
	slices.Sort(all)
	return all
}

func TestOnlyTheSubsetIsUsedDialledAndChecked(t *testing.T) {
	s := &switchboard{}
	cfg := checked(s)
	cfg.Instance, cfg.SubsetSize, cfg.Pool = "proxy-1", 3, pool.Config{MinIdle: 1}
	inBubble(t, 10, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		subset := subsetOf(u)
		require.Len(t, subset, 3)
		require.Equal(t, subset, usedBy(t, u, 60))
		u.clk.Sleep(time.Minute)
		for i, b := range u.Stats().Backends {
			require.Equal(t, b.Reserve, f.dialsTo(addr(i)) == 0, b.Address)
			require.Equal(t, b.Reserve, b.Checks == 0, b.Address)
		}
	})
}

func TestTheReserveIsUsedWhileFewerThanHalfOfTheSubsetAreAvailable(t *testing.T) {
	cfg := Config{Instance: "proxy-1", SubsetSize: 4, Check: Check{Prober: &switchboard{}, Interval: time.Hour}}
	cfg.Health.Rise, cfg.Health.Fall = 1, 1
	inBubble(t, 10, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		subset := subsetOf(u)
		turn := func(i int, err error) {
			b := u.findLocked(subset[i])
			u.checkDone(u.Now(), b, err)
		}
		turn(0, errRefused)
		turn(1, errRefused)
		require.Equal(t, subset[2:], usedBy(t, u, 60), "half of it is enough")
		turn(2, errRefused)
		require.Len(t, usedBy(t, u, 100), 7)
		turn(2, nil)
		require.Equal(t, subset[2:], usedBy(t, u, 60))
		require.NoError(t, u.DrainBackend(subset[2]))
		require.NoError(t, u.DrainBackend(subset[3]))
		require.Len(t, usedBy(t, u, 100), 6, "a drained one is not available either")
	})
}

func TestASubsetIsOfEachTierAndOfTheOwnZoneFirst(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 3, Zone: "a"}
	for i := range 12 {
		cfg.Backends = append(cfg.Backends, Backend{Address: addr(i), Priority: i / 6, Zone: []string{"a", "a", "b"}[i%3]})
	}
	inBubble(t, 12, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		var by [2]int
		for i, b := range u.Stats().Backends {
			if !b.Reserve {
				by[b.Priority]++
				require.Equal(t, "a", cfg.Backends[i].Zone)
			}
		}
		require.Equal(t, [2]int{3, 3}, by)
	})
}

func TestASubsetChangesByOneAtMostWhenTheFleetDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 30).Draw(t, "backends"), rapid.IntRange(1, 12).Draw(t, "size")
		u, err := New(Config{Name: "web", Backends: group(n), Instance: rapid.StringN(1, 8, 8).Draw(t, "instance"), SubsetSize: size})
		require.NoError(t, err)
		defer u.Close()
		before := subsetOf(u)
		require.Len(t, before, min(n, size))
		joined := addr(100)
		require.NoError(t, u.AddBackend(Backend{Address: joined}))
		with := subsetOf(u)
		require.Len(t, with, min(n+1, size))
		for _, a := range with {
			require.True(t, a == joined || slices.Contains(before, a), "nobody else comes in for it")
		}
		require.NoError(t, u.RemoveBackend(joined, 0))
		require.Equal(t, before, subsetOf(u))
	})
}

// Of 100 proxies that use 20 of 100 backends each, every backend should have 20. Scores are chance: it has so with a deviation of four, and
// the more proxies there are to a backend, the less that matters.
func TestSubsetsOfManyProxiesAreSpreadOverTheBackends(t *testing.T) {
	for _, c := range []struct {
		proxies, backends, size int
		least, most             float64
	}{{100, 100, 20, 0.4, 1.9}, {1000, 100, 20, 0.8, 1.2}, {200, 100, 50, 0.7, 1.35}} {
		count := map[string]int{}
		for p := range c.proxies {
			scores := make([]string, c.backends)
			for i := range scores {
				scores[i] = addr(i)
			}
			slices.SortFunc(scores, func(a, b string) int {
				x, y := scoreOf(fmt.Sprintf("proxy-%d", p), a), scoreOf(fmt.Sprintf("proxy-%d", p), b)
				if x > y {
					return -1
				}
				return 1
			})
			for _, a := range scores[:c.size] {
				count[a]++
			}
		}
		mean, least, most := float64(c.proxies*c.size)/float64(c.backends), c.proxies, 0
		for i := range c.backends {
			least, most = min(least, count[addr(i)]), max(most, count[addr(i)])
		}
		t.Logf("%d proxies, %d of %d: %d to %d, %.2f to %.2f of the mean", c.proxies, c.size, c.backends, least, most, float64(least)/mean, float64(most)/mean)
		require.Less(t, float64(most)/mean, c.most)
		require.Greater(t, float64(least)/mean, c.least)
	}
}

func TestAReloadChangesSubsetsUnderLoad(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 1, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 4, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		apply := func(instance string, size int) {
			next := u.cfg
			next.Instance, next.SubsetSize = instance, size
			require.NoError(t, u.Apply(next, time.Second))
		}
		held := begin(t, u)
		waits := start(t, u, &Attempt{})
		require.False(t, waits.returned())
		apply("p", 2)
		require.NoError(t, waits.end(), "who waits is served by whoever joins")
		answered(u, held)
		answered(u, waits.Attempt)
		apply("", 0)
		require.Len(t, usedBy(t, u, 40), 4)
		held = begin(t, u)
		apply("another", 1)
		require.Len(t, subsetOf(u), 1)
		answered(u, held)
		require.Equal(t, subsetOf(u), usedBy(t, u, 10))
		bad := u.cfg
		bad.Instance = ""
		require.ErrorContains(t, u.Apply(bad, 0), "SubsetSize")
	})
}

func TestTheReserveOfATierIsUsedBeforeTheNextTier(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 2, Check: Check{Prober: &switchboard{}, Interval: time.Hour}}
	cfg.Health.Rise, cfg.Health.Fall = 1, 1
	for i := range 12 {
		cfg.Backends = append(cfg.Backends, Backend{Address: addr(i), Priority: i / 6})
	}
	inBubble(t, 12, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		var down []*backend
		for _, b := range u.members {
			if !b.reserve && b.tier == 0 {
				down = append(down, b)
			}
		}
		require.Len(t, down, 2)
		for _, b := range down {
			u.checkDone(u.Now(), b, errRefused)
		}
		for _, a := range usedBy(t, u, 60) {
			require.Zero(t, u.findLocked(a).tier, a)
		}
	})
}

func TestATierThatIsDownDoesNotSpreadAnother(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 2, Check: Check{Prober: &switchboard{}, Interval: time.Hour}}
	cfg.Health.Rise, cfg.Health.Fall = 1, 1
	for i := range 18 {
		cfg.Backends = append(cfg.Backends, Backend{Address: addr(i), Priority: i / 6})
	}
	inBubble(t, 18, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		for _, b := range u.members {
			if !b.reserve && b.tier > 0 {
				u.checkDone(u.Now(), b, errRefused)
			}
		}
		require.Len(t, usedBy(t, u, 60), 2)
	})
}

func TestABackendThatJoinsTheReserveIsNotDialled(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 1, Pool: pool.Config{MinIdle: 2}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(time.Second)
		wereIn := 1
		for i := 1; i < 20; i++ {
			require.NoError(t, u.AddBackend(Backend{Address: addr(i)}))
			if slices.Contains(subsetOf(u), addr(i)) {
				wereIn++
			}
		}
		u.clk.Sleep(time.Second)
		dials := 0
		for i := range 20 {
			dials += f.dialsTo(addr(i))
		}
		require.LessOrEqual(t, dials, 2*wereIn, "only those who were in the subset for a time have been")
	})
}

func TestASubsetOfALargeFleetIsChosenAnewWithoutScoringAllOfIt(t *testing.T) {
	u, err := New(Config{Name: "web", Backends: group(1000), Instance: "p", SubsetSize: 20})
	require.NoError(t, err)
	defer u.Close()
	require.LessOrEqual(t, testing.AllocsPerRun(5, u.chooseLocked), 20.0, "a score takes an allocation")
}

// Two of four are as many as may be ejected. Who comes in for a third one does so before that goes, so that they are never two of three.
func TestABackendThatLeavesTheSubsetPardonsNobody(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 4}
	cfg.Health.Passive.Consecutive5xx = 1
	inBubble(t, 10, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		subset := subsetOf(u)
		for i, ejected := range []int{1, 2, 2} {
			u.evidence(u.Now(), u.findLocked(subset[i]), OutcomeAnswered5xx)
			require.Equal(t, ejected, u.judge.EjectedCount())
		}
		require.Equal(t, subset[2:], usedBy(t, u, 60), "the reserve is for when there are fewer than half")
		require.NoError(t, u.RemoveBackend(subset[3], 0))
		require.Equal(t, []int{2, 2}, []int{u.judge.EjectedCount(), u.judge.AvailableCount()})
	})
}

func TestTheReserveIsUsedBeforeTheGroupPanics(t *testing.T) {
	cfg := Config{Instance: "p", SubsetSize: 10, Check: Check{Prober: &switchboard{}, Interval: time.Hour}}
	cfg.Health.Rise, cfg.Health.Fall, cfg.Health.PanicPercent = 1, 1, 80
	inBubble(t, 40, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		subset := subsetOf(u)
		for i, used := range []int{9, 8, 37} {
			u.checkDone(u.Now(), u.findLocked(subset[i]), errRefused)
			require.Len(t, usedBy(t, u, 400), used)
			require.False(t, u.Stats().Panicking)
		}
		for _, b := range u.Stats().Backends {
			if b.Reserve && u.judge.InService() > 15 {
				require.NoError(t, u.DrainBackend(b.Address))
			}
		}
		require.Equal(t, []int{15, 12}, []int{u.judge.InService(), u.judge.AvailableCount()})
		require.False(t, u.Stats().Panicking)
		u.checkDone(u.Now(), u.findLocked(subset[3]), errRefused)
		require.True(t, u.Stats().Panicking, "11 of 15, where 12 would do")
		require.Len(t, usedBy(t, u, 400), 15)
	})
}
