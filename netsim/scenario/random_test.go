package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// randomText is the small scenario with random faults.
func randomText(random string, replace ...string) string {
	return smallText(replace...) + "random_faults: " + random + "\n"
}

func parseRandom(t *testing.T, random string, replace ...string) *Scenario {
	t.Helper()
	sc, err := Parse("small.yaml", []byte(randomText(random, replace...)))
	require.NoError(t, err)
	return sc
}

func TestRandomFaultsAreDrawnFromTheSeedWithinTheirBounds(t *testing.T) {
	sc := parseRandom(t, "{rate: 30/m, kinds: [reset, silent_drop, partition_one_way, kill], on: [10.0.0.1, 10.0.0.3], "+
		"lasting: {uniform: {min: 1s, max: 10s}}, from: 10s, to: 80s}", "duration", "90s")
	kinds, hosts, number := map[string]int{}, map[string]int{}, 0
	for seed := range uint64(50) {
		faults := sc.drawn(seed)
		require.Equal(t, faults, sc.drawn(seed))
		number += len(faults)
		require.True(t, slices.IsSortedFunc(faults, func(a, b Fault) int { return int(a.At - b.At) }))
		for _, f := range faults {
			require.GreaterOrEqual(t, f.At, 10*time.Second)
			require.Zero(t, f.At%time.Millisecond)
			kinds[f.Kind]++
			hosts[f.Host+f.Between[0]+f.Between[1]]++
			if f.Kind == Reset {
				require.EqualValues(t, -1, f.For)
				continue
			}
			require.LessOrEqual(t, f.At+f.For, 80*time.Second)
			require.LessOrEqual(t, f.For, 10*time.Second)
			require.GreaterOrEqual(t, f.For, min(time.Second, 80*time.Second-f.At))
		}
	}
	require.InDelta(t, 50*35, number, 150, "a rate of one in two seconds over seventy")
	require.Len(t, kinds, 4)
	for kind, n := range kinds {
		require.InDelta(t, number/4, n, 80, kind)
	}
	require.Len(t, hosts, 6, "two machines, two paths to them, two paths from them: %v", hosts)
	for where := range hosts {
		require.NotContains(t, where, "10.0.0.2")
	}
	require.NotEqual(t, sc.drawn(1), sc.drawn(2))
}

func TestRandomFaultsWithoutBoundsLastToTheEndOfTheScenario(t *testing.T) {
	sc := parseRandom(t, "{rate: 10/s, kinds: [pause], lasting: 1h}")
	faults := sc.drawn(3)
	require.InDelta(t, 200, len(faults), 60)
	hosts := map[string]bool{}
	for _, f := range faults {
		require.EqualValues(t, -1, f.For)
		hosts[f.Host] = true
	}
	require.Len(t, hosts, 3, "every backend's machine")
	sc = parseRandom(t, "{rate: 10/s, kinds: [pause]}", "duration", "10m")
	require.Len(t, sc.drawn(3), maxItems, "as many as a file may have")
}

// Each fault has its own stream, so that other settings do not shift where and when the later ones begin.
func TestWhatOneRandomFaultIsDoesNotShiftTheNext(t *testing.T) {
	starts := func(random string) (out []time.Duration) {
		for _, f := range parseRandom(t, random).drawn(9) {
			out = append(out, f.At)
		}
		return out
	}
	a := starts("{rate: 1/s, kinds: [pause, reset], lasting: 1s}")
	require.Equal(t, a, starts("{rate: 1/s, kinds: [kill], lasting: {lognormal: {median: 1s, p99: 3s}}, on: [10.0.0.2]}"))
	require.Greater(t, len(a), 9)
}

func TestDrawnFaultsStandInTheTimelineLikeOthersAndRepeat(t *testing.T) {
	sc := parseRandom(t, "{rate: 30/m, kinds: [kill, silent_drop, reset], lasting: {uniform: {min: 1s, max: 3s}}, from: 2s, to: 15s}",
		"expect", "[success_rate >= 90%, time_to_failover <= 5s, time_to_recovery <= 6s]", "faults",
		"[{at: 1s, for: 1s, refuse: {host: 10.0.0.2}}]")
	sc.Seed = 4
	a, err := Execute(sc, Options{KeepTrace: true})
	require.NoError(t, err)
	require.True(t, a.OK(), "%s%v", a.Text(), a.Timeline)
	drawn := sc.drawn(4)
	require.Greater(t, len(drawn), 3)
	for _, f := range drawn {
		text := f.String() + " begins"
		if f.Kind == Reset {
			text = f.String() + ": "
		}
		at := says(t, a, text)
		require.LessOrEqual(t, at, f.At.Seconds()+0.01)
	}
	says(t, a, "refuse 10.0.0.2 begins")
	require.Len(t, sc.Faults, 1, "a run does not change its scenario")
	require.Len(t, a.faults, 1+len(drawn), "the report draws them")
	b, err := Execute(sc, Options{KeepTrace: true})
	require.NoError(t, err)
	demandEqualRuns(t, a, b, "random faults")
}

func TestASeedThatDrawsNoFaultHasNothingToRecoverFrom(t *testing.T) {
	sc := parseRandom(t, "{rate: 1/m, kinds: [kill], from: 19s, to: 19500ms}", "expect",
		"[failed == 0, time_to_failover == 0s, time_to_recovery == 0s]")
	require.Empty(t, sc.drawn(1))
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.True(t, v.OK(), "%s", v.Text())
}

func TestMistakesAboutRandomFaultsAreToldWithTheirLine(t *testing.T) {
	for random, want := range map[string]string{
		"{kinds: [kill]}":                       "random_faults.rate: is required: how often a fault begins, such as 2/m",
		"{rate: 2, kinds: [kill]}":              "random_faults.rate: want a rate with its unit, such as 100/s or 30/m",
		"{rate: 601/m, kinds: [kill]}":          "random_faults.rate: must be at most 10/s",
		"{rate: 2/m}":                           "random_faults.kinds: is required: a list of reset, silent_drop",
		"{rate: 2/m, kinds: kill}":              "random_faults.kinds: want a list of 1 to 1000 words",
		"{rate: 2/m, kinds: [{a: b}]}":          "random_faults.kinds: want a list of words",
		"{rate: 2/m, kinds: [silent_drip]}":     "random_faults.kinds: \"silent_drip\" cannot be drawn; did you mean silent_drop?",
		"{rate: 2/m, kinds: [drip]}":            "random_faults.kinds: \"drip\" cannot be drawn; ",
		"{rate: 2/m, kinds: [kill], on: [web]}": "random_faults.on: there is no machine \"web\"; one of 10.0.0.1, 10.0.0.2, 10.0.0.3",
		"{rate: 2/m, kinds: [kill], lasting: {uniform: {min: 2s, max: 1s}}}": "random_faults.lasting.uniform.min: is more than max (2s > 1s)",
		"{rate: 2/m, kinds: [kill], from: 20s}":                              "random_faults.from: is not within the duration of the scenario (20s)",
		"{rate: 2/m, kinds: [kill], to: 20001ms}":                            "random_faults.to: is after the end of the scenario (20s)",
		"{rate: 2/m, kinds: [kill], from: 5s, to: 5s}":                       "random_faults.to: is not after from (5s <= 5s)",
		"{rate: 2/m, kinds: [kill], kind: [kill]}":                           "random_faults.kind: unknown key; did you mean kinds?",
		"{rate: 600/m, kinds: [kill], from: 19999ms, to: 20s}":               "",
	} {
		_, err := Parse("small.yaml", []byte(randomText(random)))
		if want == "" {
			require.NoError(t, err, random)
			continue
		}
		require.ErrorContains(t, err, ": "+want, random)
		require.NotContains(t, err.Error(), "\n", "told once")
	}
}

func TestShrinkWritesRandomFaultsOutAndKeepsTheFewThatMatter(t *testing.T) {
	text := randomText("{rate: 30/m, kinds: [kill, silent_drop, reset, pause], lasting: 2s, to: 15s}", "expect", "[failed == 0]",
		"faults", "[{at: 1s, for: 1s, refuse: {host: 10.0.0.2}}]")
	sc, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	const seed = 5
	drawn := sc.drawn(seed)
	require.Greater(t, len(drawn), 3)
	execute := func(data []byte) *Verdict {
		sc, err := Parse("small.yaml", data)
		require.NoError(t, err)
		v, err := Execute(sc, Options{})
		require.NoError(t, err)
		return v
	}
	var first *Verdict
	s, err := Shrink("small.yaml", []byte(text), seed, []string{"failed == 0"}, func(data []byte) bool {
		v := execute(data)
		if first == nil {
			first = v
			require.NotContains(t, string(data), "random_faults")
		}
		return !v.OK()
	})
	require.NoError(t, err)
	sc.Seed = seed
	whole, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Equal(t, whole.TraceHash, first.TraceHash, "written out, the faults are the same")
	require.Equal(t, [2]int{1 + len(drawn), 1}, s.Faults)
	require.False(t, execute(s.Data).OK())
	require.Equal(t, 1, strings.Count(string(s.Data), "{at: "), "%s", s.Data)

	bare := randomText("{rate: 30/m, kinds: [kill], to: 15s}")
	bare = strings.Replace(bare, "faults: []\n", "", 1)
	s, err = Shrink("small.yaml", []byte(bare), seed, nil, func([]byte) bool { return true })
	require.NoError(t, err)
	require.Positive(t, s.Faults[0])
	require.Zero(t, s.Faults[1])
}
