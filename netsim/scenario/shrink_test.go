package scenario

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const toShrink = `# What it is about.
name: many
duration: 10m
proxy:
  listeners: [{address: ":8080", upstream: web}]
  upstreams: {web: {backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}}
dns: {api.internal: [10.0.0.1]}
backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]
clients:
  - {name: a, arrivals: {poisson: 50/s}}
  - {name: b, arrivals: {poisson: 50/s}} # the one that matters
  - {name: c, arrivals: {poisson: 50/s}}
faults:
  - {at: 10s, for: 5s, crash: {host: 10.0.0.1}}
  - {at: 1m, for: 90s, silent_drop: {between: [proxy, 10.0.0.2]}} # needed
  - {at: 2m, reset: {between: [proxy, 10.0.0.1]}}
  - {at: 3m, for: 5s, kill: {host: 10.0.0.2}} # needed too
  - {at: 4m, for: 5s, refuse: {host: 10.0.0.2}}
expect: [success_rate == 100%, p99 <= 1s]
`

// shrinks runs Shrink against a dumb judge, and parses what comes out.
func shrinks(t *testing.T, fails func(*Scenario) bool) (*Shrunk, *Scenario, error) {
	t.Helper()
	s, err := Shrink("many.yaml", []byte(toShrink), 77, []string{"p99 <= 1s"}, func(data []byte) bool {
		sc, err := Parse("many.yaml", data)
		require.NoError(t, err, "only whole scenarios are tried")
		require.EqualValues(t, 77, sc.Seed)
		return fails(sc)
	})
	if err != nil {
		return nil, nil, err
	}
	sc, err := Parse("many.yaml", s.Data)
	require.NoError(t, err)
	return s, sc, nil
}

func has(sc *Scenario, kind string) bool {
	return slices.ContainsFunc(sc.Faults, func(f Fault) bool { return f.Kind == kind })
}

func TestShrinkKeepsWhatTheFailureNeedsAndNothingElse(t *testing.T) {
	s, sc, err := shrinks(t, func(sc *Scenario) bool {
		return has(sc, SilentDrop) && has(sc, Kill) && sc.Duration >= 40*time.Second &&
			slices.ContainsFunc(sc.Clients, func(c Client) bool { return c.Name == "b" })
	})
	require.NoError(t, err)
	require.Len(t, sc.Faults, 2)
	require.True(t, has(sc, SilentDrop) && has(sc, Kill))
	require.Len(t, sc.Clients, 1)
	require.Equal(t, "b", sc.Clients[0].Name)
	require.InDelta(t, 40, sc.Duration.Seconds(), 3, "within a twentieth")
	require.GreaterOrEqual(t, sc.Duration, 40*time.Second)
	require.LessOrEqual(t, sc.Faults[0].At+sc.Faults[0].For, 5*time.Second, "a fault that may be short is")
	require.Equal(t, []string{"p99 <= 1s"}, []string{sc.Expect[0].String()}, "only what fails is expected")
	require.Equal(t, [2]int{5, 2}, s.Faults)
	require.Equal(t, [2]int{3, 1}, s.Clients)
	require.Equal(t, [2]time.Duration{10 * time.Minute, sc.Duration}, s.Duration)
	require.Less(t, s.Tried, 100)
	require.Contains(t, string(s.Data), "# the one that matters", "comments stay with what they are about")
	require.Contains(t, s.String(), "faults 5 -> 2, clients 3 -> 1, 10m0s -> 4")
}

// What an expectation is about cannot be taken away, since the question would be gone with it.
func TestShrinkKeepsTheFaultAndTheClientThatTheExpectationNames(t *testing.T) {
	const want = "p99 of c <= 1s after gone"
	text := strings.Replace(strings.Replace(toShrink, "p99 <= 1s]", want+"]", 1), "{at: 3m, for: 5s,", "{at: 3m, for: 5s, name: gone,", 1)
	s, err := Shrink("many.yaml", []byte(text), 77, []string{want}, func([]byte) bool { return true })
	require.NoError(t, err)
	sc, err := Parse("many.yaml", s.Data)
	require.NoError(t, err)
	require.Len(t, sc.Faults, 1)
	require.Equal(t, "gone", sc.Faults[0].Name)
	require.Len(t, sc.Clients, 1)
	require.Equal(t, "c", sc.Clients[0].Name)
	require.Equal(t, want, sc.Expect[0].String())
	require.Less(t, sc.Duration, time.Minute)
}

func TestShrinkLeavesAtLeastOneClientAndOneSecond(t *testing.T) {
	_, sc, err := shrinks(t, func(*Scenario) bool { return true })
	require.NoError(t, err)
	require.Empty(t, sc.Faults)
	require.Len(t, sc.Clients, 1)
	require.LessOrEqual(t, sc.Duration, 2*time.Second)
}

func TestShrinkSaysWhenThereIsNothingToShrink(t *testing.T) {
	_, _, err := shrinks(t, func(*Scenario) bool { return false })
	require.ErrorIs(t, err, ErrDoesNotFail)
	_, err = Shrink("bad.yaml", []byte("name: x\n"), 1, nil, nil)
	require.ErrorContains(t, err, "bad.yaml:1: duration: is required")
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "1s", 2 * time.Minute: "2m", 90 * time.Second: "1m30s",
		time.Hour: "1h", 70 * time.Minute: "1h10m", 20 * time.Second: "20s"} {
		require.Equal(t, want, shortDuration(d))
	}
}

func TestAVerdictHasAFigureForEveryMetric(t *testing.T) {
	sc, err := Parse("x.yaml", []byte(strings.Replace(toShrink, "duration: 10m", "duration: 5m", 1)))
	require.NoError(t, err)
	sc.Duration, sc.Faults = 2*time.Second, nil
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Len(t, v.Figures(), len(Metrics()))
	for i, f := range v.Figures() {
		require.Equal(t, Metrics()[i], f.Name)
		higher, known := BetterWhenHigher(f.Name)
		require.False(t, higher && !known)
		switch f.Name {
		case "success_rate":
			require.Equal(t, "100.00 %", f.String())
		case "requests":
			require.EqualValues(t, v.Requests, f.Value)
		case metricRecovery, metricFailover:
			require.True(t, math.IsNaN(f.Value), "there was no fault")
		}
	}
	require.Panics(t, func() { FormatFigure("no such", 1) })
}

// Every kind is described, and its example is a fault as the file wants it.
func TestEveryKindOfFaultIsExplained(t *testing.T) {
	var f Fault
	var kinds []string
	for _, k := range f.form().(oneOf).kinds {
		kinds = append(kinds, k.Key)
	}
	var explained []string
	for _, k := range FaultKinds() {
		explained = append(explained, k.Name)
		require.Greater(t, len(k.About), 100, k.Name)
		text := strings.Split(toShrink, "faults:")[0] + "faults:\n  - " + k.Example + "\n"
		if k.Name == GoAway {
			text = strings.Replace(text, "\nbackends: [{", "\nbackends: [{protocol: http2, ", 1)
		}
		sc, err := Parse("x.yaml", []byte(text))
		require.NoError(t, err, k.Name)
		require.Equal(t, k.Name, sc.Faults[0].Kind)
	}
	require.True(t, slices.IsSorted(explained))
	require.ElementsMatch(t, kinds, explained)
}
