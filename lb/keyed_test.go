package lb

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// eachByKey runs the test for every strategy that looks at keys.
func eachByKey(t *testing.T, test func(t *testing.T, strategy string)) {
	each(t, func(t *testing.T, strategy string) {
		if !ByKey(strategy) {
			t.Skip("it looks at no key")
		}
		test(t, strategy)
	})
}

// named are n backends with addresses for names.
func named(n int) []Backend {
	all := make([]Backend, n)
	for i := range all {
		all[i].Name = fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1)
	}
	return all
}

// owner is the backend of a key; nothing stays in flight there.
func owner(p Picker, key uint64, tried ...int) int {
	i := p.Pick(instant, &Query{Key: key, Tried: tried})
	if i >= 0 {
		p.Done(i, Success, 0)
	}
	return i
}

// keysFor are keys as clients have them.
func keysFor(n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = Hash(fmt.Sprintf("user-%d", i))
	}
	return all
}

func keyPicker(t require.TestingT, strategy string, backends []Backend) Picker {
	p, err := New(strategy, backends, nil)
	require.NoError(t, err)
	return p
}

func TestHashesNeverChange(t *testing.T) {
	for key, want := range map[string]uint64{
		"":                 0xf52a15e9a9b5e89b,
		"a":                0x02c0bdbf481420f8,
		"10.0.0.1:80":      0xdbbc907f21531a73,
		"/images/logo.png": 0x88cdf2fbc3addc02,
	} {
		require.Equal(t, want, Hash(key), "%q", key)
		require.Equal(t, want, Hash([]byte(key)), "%q", key)
	}
}

// A proxy of another version must find the same backends. Whoever changes these lists breaks that for all who upgrade
// one by one.
func TestChoicesByKeyNeverChange(t *testing.T) {
	for strategy, want := range map[string][]int{
		"ring-hash":  {2, 4, 7, 2, 1, 6, 2, 0, 2, 4, 2, 6, 5, 7, 2, 2},
		"maglev":     {2, 1, 2, 6, 2, 2, 2, 5, 0, 2, 6, 5, 4, 5, 2, 3},
		"rendezvous": {5, 6, 1, 5, 2, 3, 6, 7, 2, 2, 3, 2, 7, 1, 1, 0},
	} {
		backends := named(8)
		backends[2].Weight, backends[5].Weight = 3, 2
		p := keyPicker(t, strategy, backends)
		var got []int
		for _, key := range keysFor(16) {
			got = append(got, owner(p, key))
		}
		require.Equal(t, want, got, strategy)
	}
}

func TestProxiesThatListTheSameBackendsAgreeOnEveryKey(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		rapid.Check(t, func(t *rapid.T) {
			one := named(rapid.IntRange(1, 12).Draw(t, "backends"))
			for i := range one {
				one[i].Weight = rapid.IntRange(1, 4).Draw(t, "weight")
			}
			other := rapid.Permutation(one).Draw(t, "the other's order")
			a, b := keyPicker(t, strategy, one), keyPicker(t, strategy, other)
			out := rapid.SampledFrom(one).Draw(t, "unavailable")
			a.SetAvailable(slices.Index(one, out), false)
			b.SetAvailable(slices.Index(other, out), false)
			for range 20 {
				key := rapid.Uint64Min(1).Draw(t, "key")
				var triedA, triedB []int
				for range len(one) { // the best, the next best, and so on
					i, j := owner(a, key, triedA...), owner(b, key, triedB...)
					if i < 0 || j < 0 {
						require.Equal(t, i, j)
						break
					}
					require.Equal(t, one[i].Name, other[j].Name)
					triedA, triedB = append(triedA, i), append(triedB, j)
				}
			}
		})
	})
}

// moved counts the keys whose backend, by name, is another one after than before, but for those of one that is gone.
func moved(before, after []string, gone string) (n int) {
	for i := range before {
		if before[i] != gone && before[i] != after[i] {
			n++
		}
	}
	return n
}

func owners(p Picker, backends []Backend, keys []uint64) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = backends[owner(p, key)].Name
	}
	return all
}

func TestABackendThatIsOutMovesItsOwnKeysOnlyAndGetsThemBack(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		backends, keys := named(10), keysFor(5000)
		p := keyPicker(t, strategy, backends)
		before := owners(p, backends, keys)
		p.SetAvailable(3, false)
		p.SetReady(7, 0)
		for i, name := range owners(p, backends, keys) {
			if before[i] != backends[3].Name && before[i] != backends[7].Name {
				require.Equal(t, before[i], name)
			}
			require.NotEqual(t, backends[3].Name, name)
			require.NotEqual(t, backends[7].Name, name)
		}
		p.SetAvailable(3, true)
		p.SetReady(7, 1)
		require.Equal(t, before, owners(p, backends, keys))
	})
}

func TestTheKeysOfABackendThatIsOutSpreadOverAllOthers(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		backends, keys := named(10), keysFor(20_000)
		p := keyPicker(t, strategy, backends)
		before := owners(p, backends, keys)
		p.SetAvailable(3, false)
		after, got, sum := owners(p, backends, keys), map[string]int{}, 0
		for i := range keys {
			if before[i] == backends[3].Name {
				got[after[i]]++
				sum++
			}
		}
		slack := 0.25 * float64(sum) / 9
		if strategy == "ring-hash" { // a neighbour has them, and there are but 160
			slack *= 4
		}
		for i, b := range backends {
			if i != 3 {
				require.InDelta(t, sum/9, got[b.Name], slack, "at %s of %d", b.Name, sum)
			}
		}
	})
}

func TestFewKeysMoveBesideThoseOfABackendThatIsRemoved(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		for _, n := range []int{3, 10, 100} {
			backends, keys := named(n), keysFor(20_000)
			p := keyPicker(t, strategy, backends)
			before := owners(p, backends, keys)
			p.SetAvailable(1, false)
			p.Remove(1)
			RebuildNow(p)
			extra := float64(moved(before, owners(p, backends, keys), backends[1].Name)) / float64(len(keys))
			t.Logf("%d backends: %.2f %% of the keys moved that need not", n, 100*extra)
			if strategy == "maglev" {
				require.LessOrEqual(t, extra, 0.02)
			} else {
				require.Zero(t, extra)
			}
			p.Add(1, backends[1])
			RebuildNow(p)
			require.Equal(t, before, owners(p, backends, keys), "it is as if nothing had been")
		}
	})
}

func TestMaglevGivesEveryBackendItsSlots(t *testing.T) {
	for _, n := range []int{2, 10, 100, 1000} {
		counts := make([]int, n)
		for _, i := range core[*maglev](keyPicker(t, "maglev", named(n))).table {
			counts[i]++
		}
		mean := slots / float64(n)
		require.LessOrEqual(t, float64(slices.Max(counts))/mean, 1.02, "of %d", n)
		require.GreaterOrEqual(t, slices.Min(counts), int(mean))
	}
	backends := named(4)
	backends[0].Weight, backends[1].Weight = 1000, 10
	counts := make([]int, 4)
	for _, i := range core[*maglev](keyPicker(t, "maglev", backends)).table {
		counts[i]++
	}
	for i, weight := range []int{1000, 10, 1, 1} {
		require.InDelta(t, slots*weight/1012, counts[i], 4, "backend %d of weight %d", i, weight)
	}
}

// TestNobodyGetsMoreThanItsBound plays skewed keys that come and go, and looks at the bound after every pick.
func TestNobodyGetsMoreThanItsBound(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		rapid.Check(t, func(t *rapid.T) {
			backends := named(rapid.IntRange(1, 12).Draw(t, "backends"))
			weights := 0
			for i := range backends {
				backends[i].Weight = rapid.IntRange(1, 4).Draw(t, "weight")
				weights += backends[i].Weight
			}
			factor := rapid.IntRange(101, 300).Draw(t, "factor")
			p, err := NewWith(strategy, backends, nil, Options{BalanceFactor: factor})
			require.NoError(t, err)
			rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			var flying []int
			for range 400 {
				if len(flying) > 0 && rnd.IntN(5) < 2 {
					k := rnd.IntN(len(flying))
					p.Done(flying[k], Success, 0)
					flying = slices.Delete(flying, k, k+1)
					continue
				}
				i := p.Pick(instant, &Query{Key: 1 + rnd.Uint64N(3)}) // three keys are all there is
				flying = append(flying, i)
				most := math.Ceil(float64(factor) / 100 * float64(len(flying)) * float64(backends[i].Weight) / float64(weights))
				require.LessOrEqual(t, float64(p.InFlight(i)), most)
			}
		})
	})
}

func TestWithoutABoundAKeyStaysWhateverItsLoad(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		p, err := NewWith(strategy, named(5), nil, Options{BalanceFactor: -1})
		require.NoError(t, err)
		q := &Query{Key: Hash("alice")}
		first := p.Pick(instant, q)
		for range 1000 {
			require.Equal(t, first, p.Pick(instant, q))
		}
	})
}

// Where the bound leaves nobody, because those that are within it are tried or full, a backend is found nevertheless.
func TestTheBoundNeverRefusesARequest(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		p := keyPicker(t, strategy, named(3))
		for range 30 {
			p.Take(1)
		}
		require.Equal(t, 1, p.Pick(instant, &Query{Key: 5, Tried: []int{0, 2}}))
		p.SetReady(0, 0)
		require.Equal(t, 1, p.Pick(instant, &Query{Key: 5, Tried: []int{2}}))
		require.NotEqual(t, 1, p.Pick(instant, &Query{Key: 5}))
	})
}

// A table is made beside the picks, which go on by the old one until the new one is put to use, and an older one
// never replaces a newer one.
func TestATableIsMadeBesideThePicks(t *testing.T) {
	for _, strategy := range []string{"ring-hash", "maglev"} {
		p := keyPicker(t, strategy, named(3))
		require.Nil(t, p.Rebuild(), "there is nothing new")
		backends, keys := named(5), keysFor(2000)
		before := owners(p, backends, keys)
		p.Add(3, backends[3])
		install := p.Rebuild()()
		require.Equal(t, before, owners(p, backends, keys), "the old table serves")
		p.Add(4, backends[4])
		later := p.Rebuild()()
		later()
		after := owners(p, backends, keys)
		require.Contains(t, after, backends[4].Name)
		install()
		require.Equal(t, after, owners(p, backends, keys), "what is older comes too late")
		require.Nil(t, p.Rebuild())

		for i := range 3 {
			p.SetAvailable(i, false)
		}
		p.Add(5, Backend{})
		p.SetAvailable(3, false)
		p.SetAvailable(4, false)
		require.Equal(t, 5, owner(p, 1), "one that no table knows is found when no other is left")
	}
}

// The dumb second implementation: the highest -w/ln(u) of all.
func TestRendezvousTakesTheHighestOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := named(rapid.IntRange(1, 30).Draw(t, "backends"))
		for i := range backends {
			backends[i].Weight = rapid.IntRange(1, 5).Draw(t, "weight")
		}
		p := keyPicker(t, "rendezvous", backends)
		key := rapid.Uint64Min(1).Draw(t, "key")
		best, high := -1, -1.0
		for i, b := range backends {
			u := (float64(mix(mix(key)^Hash(b.Name))>>11) + 0.5) / (1 << 53)
			if score := float64(b.Weight) / -math.Log(u); score > high {
				best, high = i, score
			}
		}
		require.Equal(t, best, owner(p, key))
	})
}

func TestRequestsWithoutAKeyTakeTurnsOverAllBackends(t *testing.T) {
	eachByKey(t, func(t *testing.T, strategy string) {
		p := keyPicker(t, strategy, named(5))
		seen := map[int]bool{}
		for range 40 {
			i := p.Pick(instant, nil)
			p.Done(i, Success, time.Millisecond)
			seen[i] = true
		}
		require.Len(t, seen, 5)
	})
}

func FuzzHashNeverMeansNoKey(f *testing.F) {
	f.Add([]byte("")) // the empty key is a key
	f.Add([]byte("10.0.0.1"))
	f.Fuzz(func(t *testing.T, key []byte) {
		h := Hash(key)
		require.NotZero(t, h)
		require.Equal(t, h, Hash(string(key)))
	})
}
