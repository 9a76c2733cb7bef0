package upstream

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// zoned are backends in these zones, a letter each; a proxy in zone a.
func zoned(zones string) Config {
	cfg := Config{Zone: "a"}
	for i, z := range zones {
		cfg.Backends = append(cfg.Backends, Backend{Address: addr(i), Zone: string(z)})
	}
	return cfg
}

// visited are the backends of so many requests, one after the other.
func visited(t *testing.T, u *Upstream, n int) (all []int) {
	for range n {
		a := begin(t, u)
		if !slices.Contains(all, a.Backend) {
			all = append(all, a.Backend)
		}
		finish(u, a)
	}
	slices.Sort(all)
	return all
}

func TestTheOwnZoneIsPreferredWhileItHasEnough(t *testing.T) {
	inBubble(t, 0, zoned("aaaabb"), func(t *testing.T, u *Upstream, f *fakeNet) {
		require.Equal(t, []int{0, 1, 2, 3}, visited(t, u, 12))
		require.NoError(t, u.DrainBackend(addr(0)))
		require.Equal(t, []int{1, 2, 3}, visited(t, u, 12), "three of four are 75 %")
		require.NoError(t, u.DrainBackend(addr(1)))
		require.Equal(t, []int{2, 3, 4, 5}, visited(t, u, 12), "half is not enough: they are not left alone with it")
		require.NoError(t, u.UndrainBackend(addr(1)))
		require.Equal(t, []int{1, 2, 3}, visited(t, u, 12))
		require.NoError(t, u.SetWeight(addr(0), 3))
		require.Equal(t, []int{1, 2, 3, 4, 5}, visited(t, u, 15), "three of six, by weight")
		require.NoError(t, u.RemoveBackend(addr(0), time.Second))
		require.Equal(t, []int{1, 2, 3}, visited(t, u, 12), "what is removed is not missed")
		require.NoError(t, u.AddBackend(Backend{Address: "c:80", Zone: "a"}))
		require.Len(t, visited(t, u, 12), 4)
	})
}

func TestARetryLeavesTheZoneWhenItHasNobodyElse(t *testing.T) {
	inBubble(t, 0, zoned("ab"), func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		require.Equal(t, 0, a.Backend)
		failed(u, a, OutcomeReset)
		require.True(t, u.MayRetry(a, OnReset))
		require.NoError(t, u.Begin(t.Context(), a))
		require.Equal(t, 1, a.Backend)
		finish(u, a)
	})
}

func TestZonesChangeAtWork(t *testing.T) {
	var events diary
	cfg := zoned("ab")
	cfg.Observer = events.add
	inBubble(t, 0, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		next := u.cfg
		next.Zone = "b"
		require.NoError(t, u.Apply(next, time.Second))
		require.Equal(t, []int{1}, visited(t, u, 4))
		next.Backends = []Backend{{Address: addr(0), Zone: "b"}, {Address: addr(1)}}
		require.NoError(t, u.Apply(next, time.Second))
		require.Equal(t, []int{0}, visited(t, u, 4))
		require.Equal(t, []string{"b", ""}, []string{u.Members()[0].Zone, u.Members()[1].Zone})
		next.MinZonePercent = -1
		require.NoError(t, u.Apply(next, time.Second))
		require.Equal(t, []int{0, 1}, visited(t, u, 4))
		next.MinZonePercent, next.Zone = 0, "nowhere"
		require.NoError(t, u.Apply(next, time.Second))
		require.Equal(t, []int{0, 1}, visited(t, u, 4), "in a zone without backends all are alike")
	})
	var told []string
	for _, e := range events.all {
		if e.Reason == OpReweight.String() {
			told = append(told, e.Detail)
		}
	}
	require.Equal(t, []string{`zone "b" instead of "a"`, `zone "" instead of "b"`}, told)
}

// A dumb account of who may be picked, of random groups.
func TestTiersAndZonesAgreeWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Name: "web", Zone: "a", MinZonePercent: rapid.IntRange(1, 100).Draw(t, "percent"), Rand: seeded, Dialer: newFakeNet()}
		n := rapid.IntRange(1, 8).Draw(t, "backends")
		for i := range n {
			cfg.Backends = append(cfg.Backends, Backend{Address: addr(i), Weight: rapid.IntRange(1, 4).Draw(t, "weight"),
				Priority: rapid.IntRange(0, 2).Draw(t, "priority"), Zone: rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "zone")})
		}
		u, err := New(cfg)
		require.NoError(t, err)
		defer u.Close()
		out := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 20).Draw(t, "drained or not") {
			if out[i] = !out[i]; out[i] {
				require.NoError(t, u.DrainBackend(addr(i)))
			} else {
				require.NoError(t, u.UndrainBackend(addr(i)))
			}
			may := mayBePicked(&cfg, out)
			u.mu.Lock()
			got := u.picker.Pick(u.Now(), nil)
			if got >= 0 {
				u.picker.Done(got, 0, 0)
			}
			u.mu.Unlock()
			if len(may) == 0 {
				require.Equal(t, -1, got)
			} else {
				require.Contains(t, may, got)
			}
		}
	})
}

func mayBePicked(cfg *Config, out map[int]bool) []int {
	for tier := range MaxPriority + 1 {
		var own, others []int
		all, up := 0, 0
		for i, b := range cfg.Backends {
			if b.Priority != tier {
				continue
			}
			if b.Zone == cfg.Zone {
				all += b.Weight
			}
			switch {
			case out[i]:
			case b.Zone == cfg.Zone:
				up += b.Weight
				own = append(own, i)
			default:
				others = append(others, i)
			}
		}
		if all > 0 && 100*up >= cfg.MinZonePercent*all && len(own) > 0 {
			return own
		}
		if both := append(own, others...); len(both) > 0 {
			return both
		}
	}
	return nil
}
