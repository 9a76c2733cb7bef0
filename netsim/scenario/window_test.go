package scenario

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAnExpectationMayHaveAWindowAndAClient(t *testing.T) {
	const s = time.Second
	for text, want := range map[string]Expectation{
		"success_rate >= 99.9% during":             {Metric: "success_rate", Op: ">=", Value: 0.999, Window: Window{Kind: During}},
		"p99<=100ms   after":                       {Metric: "p99", Op: "<=", Value: 0.1, Window: Window{Kind: After}},
		"dials <= 10 before":                       {Metric: "dials", Op: "<=", Value: 10, Window: Window{Kind: Before}},
		"success_rate == 100 % during first-one":   {Metric: "success_rate", Op: "==", Value: 1, Window: Window{Kind: During, Fault: "first-one"}},
		"failed == 0 after silent_drop":            {Metric: "failed", Op: "==", Window: Window{Kind: After, Fault: "silent_drop"}},
		"p50 < 1s from 30s to 1m30s":               {Metric: "p50", Op: "<", Value: 1, Window: Window{Kind: Between, From: 30 * s, To: 90 * s}},
		"p50 < 1s from 120s":                       {Metric: "p50", Op: "<", Value: 1, Window: Window{Kind: Between, From: 120 * s}},
		"p50 < 1s from 0s to 24h":                  {Metric: "p50", Op: "<", Value: 1, Window: Window{Kind: Between, To: day}},
		"success_rate  of web >= 99%":              {Metric: "success_rate", Client: "web", Op: ">=", Value: 0.99},
		"max_in_flight of of <= 9 during during":   {Metric: "max_in_flight", Client: "of", Op: "<=", Value: 9, Window: Window{Kind: During, Fault: During}},
		"load_spread <= 150%":                      {Metric: "load_spread", Op: "<=", Value: 1.5},
		"retry_amplification <= 1.2x after":        {Metric: "retry_amplification", Op: "<=", Value: 1.2, Window: Window{Kind: After}},
		"retry_amplification <= 1.25":              {Metric: "retry_amplification", Op: "<=", Value: 1.25},
		"requests_per_second of web >= 90/s":       {Metric: "requests_per_second", Client: "web", Op: ">=", Value: 90},
		"answered_per_second > 30/m during":        {Metric: "answered_per_second", Op: ">", Value: 0.5, Window: Window{Kind: During}},
		"pool_utilization_peak < 100% from 1s":     {Metric: "pool_utilization_peak", Op: "<", Value: 1, Window: Window{Kind: Between, From: s}},
		"wrong_nonce of web == 0 before partition": {Metric: "wrong_nonce", Client: "web", Op: "==", Window: Window{Kind: Before, Fault: Partition}},
	} {
		got, err := ParseExpectation(text)
		require.NoError(t, err, text)
		again, err := ParseExpectation(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, got, again)
		require.InDelta(t, want.Value, got.Value, 1e-12, text)
		got.Value, got.text, want.Value = 0, "", 0
		require.Equal(t, want, got, text)
	}
}

func TestBadWindowsAndClientsAreRefusedWithAReason(t *testing.T) {
	for text, want := range map[string]string{
		"p99 <= 1s durring":                `unknown window "durring"; did you mean during?`,
		"p99 <= 1s someday":                `unknown window "someday"; want before, during or after`,
		"p99 <= 1s to 30s":                 `unknown window "to"`,
		"success_rate >= 9 % befor":        `unknown window "befor"; did you mean before?`,
		"p99 <= 1s during a b":             `too much behind "during a": a window has the name of one fault`,
		"p99 <= 1s from":                   "want from T to T, such as from 30s to 60s, or from T for the rest",
		"p99 <= 1s from 3s 4s":             "want from T to T",
		"p99 <= 1s from 3s till 4s":        "want from T to T",
		"p99 <= 1s from 30 to 60":          `want a time with its unit, such as from 30s to 60s; got "30"`,
		"p99 <= 1s from 3s to -4s":         `got "-4s"`,
		"p99 <= 1s from 3s to 24h1s":       `got "24h1s"`,
		"p99 <= 1s from 1500ms to 2s":      `a window begins and ends at whole seconds; got "1500ms"`,
		"p99 <= 1s from 3s to 3s":          "the window ends (3s) before it begins (3s)",
		"p99 <= during":                    `want a duration with its unit, such as 100ms; got ""`,
		"leaks == 0 during":                "leaks is of the whole run and has no window; those that have one: success_rate, p50",
		"time_to_failover <= 3s after":     "time_to_failover is of the whole run",
		"time_to_recovery of web <= 3s":    "time_to_recovery is not told of one client; what is: success_rate",
		"conservation == 0 before":         "conservation is of the whole run",
		"dials of web <= 3":                "dials is not told of one client",
		"p99 for web <= 3s":                `want p99, or p99 of CLIENT; got "p99 for web"`,
		"p99 of <= 3s":                     `want p99, or p99 of CLIENT; got "p99 of"`,
		"p99 of web during <= 3s":          "a window stands behind the value: p99 of web <= VALUE during",
		"p98 of web <= 3s":                 `unknown metric "p98"; did you mean p9`,
		"retry_amplification <= -1":        "want a number such as 1.2, or 1.2x",
		"load_spread <= 1":                 "want a value in percent, such as 10%",
		"requests_per_second >= 100":       "want a rate with its unit, such as 100/s",
		"pool_utilization_mean <= 100.01%": "want a share in percent",
	} {
		_, err := ParseExpectation(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestWindowsAreTheTimesThatTheirWordsSay(t *testing.T) {
	const s = time.Second
	drop := func(name string, at, lasts time.Duration) Fault {
		return Fault{Name: name, At: at, For: lasts, Kind: SilentDrop}
	}
	reset := func(at time.Duration) Fault { return Fault{At: at, For: -1, Kind: Reset} }
	several := []Fault{drop("b", 40*s, 10*s), drop("", 10*s, 5*s), drop("b", 12*s, 8*s), reset(60 * s)}
	for name, tc := range map[string]struct {
		faults []Fault
		window Window
		want   []span
	}{
		"the whole run":                       {nil, Window{}, []span{{0, 100 * s}}},
		"from and to":                         {nil, Window{Kind: Between, From: 30 * s, To: 60 * s}, []span{{30 * s, 60 * s}}},
		"from to the end":                     {nil, Window{Kind: Between, From: 99 * s}, []span{{99 * s, 100 * s}}},
		"to the very end":                     {nil, Window{Kind: Between, To: 100 * s}, []span{{0, 100 * s}}},
		"before the first":                    {several, Window{Kind: Before}, []span{{0, 10 * s}}},
		"faults that overlap are one stretch": {several, Window{Kind: During}, []span{{10 * s, 20 * s}, {40 * s, 50 * s}, {60 * s, 61 * s}}},
		"after the last":                      {several, Window{Kind: After}, []span{{61 * s, 100 * s}}},
		"one name for two":                    {several, Window{Kind: During, Fault: "b"}, []span{{12 * s, 20 * s}, {40 * s, 50 * s}}},
		"before a name":                       {several, Window{Kind: Before, Fault: "b"}, []span{{0, 12 * s}}},
		"after a name":                        {several, Window{Kind: After, Fault: "b"}, []span{{50 * s, 100 * s}}},
		"a fault without a name has its kind": {several, Window{Kind: During, Fault: SilentDrop}, []span{{10 * s, 15 * s}}},
		"an instant lasts for a second":       {several, Window{Kind: During, Fault: Reset}, []span{{60 * s, 61 * s}}},
		"or until the next fault": {[]Fault{reset(5 * s), drop("", 5*s+300*time.Millisecond, s)}, Window{Kind: During, Fault: Reset},
			[]span{{5 * s, 5*s + 300*time.Millisecond}}},
		"or until the end":    {[]Fault{reset(99*s + 500*time.Millisecond)}, Window{Kind: During}, []span{{99*s + 500*time.Millisecond, 100 * s}}},
		"a fault without end": {[]Fault{drop("", 90*s, -1)}, Window{Kind: During}, []span{{90 * s, 100 * s}}},
	} {
		got, err := tc.window.spans(tc.faults, 100*s)
		require.NoError(t, err, name)
		require.Equal(t, tc.want, got, name)
	}
	for _, tc := range []struct {
		faults []Fault
		window Window
		want   string
	}{
		{nil, Window{Kind: During}, "during needs a fault"},
		{nil, Window{Kind: After, Fault: "x"}, "after needs a fault"},
		{several, Window{Kind: During, Fault: "silent-drop"}, `no fault has the name "silent-drop"; did you mean silent_drop?`},
		{several, Window{Kind: During, Fault: "zzz"}, `no fault has the name "zzz"; there are b, silent_drop, reset`},
		{[]Fault{drop("", 0, s)}, Window{Kind: Before}, "there is nothing before a fault that begins at 0s"},
		{[]Fault{drop("", 5*s, -1)}, Window{Kind: After}, "there is nothing after a fault that lasts to the end of the scenario"},
		{nil, Window{Kind: Between, From: 100 * s}, "goes beyond the duration of the scenario (1m40s)"},
		{nil, Window{Kind: Between, From: s, To: 101 * s}, "goes beyond the duration of the scenario (1m40s)"},
	} {
		_, err := tc.window.spans(tc.faults, 100*s)
		require.ErrorContains(t, err, tc.want)
	}
}

func TestWindowsAreInOrderApartAndWithinTheRun(t *testing.T) {
	const total = 100 * time.Second
	rapid.Check(t, func(rt *rapid.T) {
		var faults []Fault
		for range rapid.IntRange(1, 8).Draw(rt, "faults") {
			f := Fault{At: time.Duration(rapid.IntRange(0, 99).Draw(rt, "at")) * time.Second, Kind: Crash,
				For: time.Duration(rapid.IntRange(1, 40).Draw(rt, "for")) * time.Second, Name: rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "name")}
			if rapid.Bool().Draw(rt, "instant") {
				f.Kind, f.For = Reset, -1
			}
			faults = append(faults, f)
		}
		name := rapid.SampledFrom([]string{"", "a", Reset}).Draw(rt, "of")
		var last time.Duration
		for _, kind := range []string{Before, During, After} {
			spans, err := Window{Kind: kind, Fault: name}.spans(faults, total)
			if err != nil {
				continue
			}
			for _, s := range spans {
				require.GreaterOrEqual(rt, s.from, last)
				require.Greater(rt, s.to, s.from)
				last = s.to
			}
			for i := range faults {
				if f := &faults[i]; f.named(name) {
					require.Equal(rt, kind == During, within(spans, f.At))
				}
			}
		}
		require.LessOrEqual(rt, last, total)
	})
}

func TestAScenarioRefusesWindowsAndClientsThatItDoesNotHave(t *testing.T) {
	for _, tc := range []struct{ faults, expect, want string }{
		{"[]", "p99 <= 1s during", "small.yaml:11: expect: p99 <= 1s during: during needs a fault"},
		{"[{at: 5s, for: 5s, name: cut, crash: {host: 10.0.0.1}}]", "p99 <= 1s during cat", `no fault has the name "cat"; did you mean cut?`},
		{"[{at: 5s, for: 5s, crash: {host: 10.0.0.1}}]", "p99 of wep <= 1s", `small.yaml:11: expect: p99 of wep <= 1s: there is no client "wep"; did you mean web?`},
		{"[]", "p99 <= 1s from 5s to 21s", "goes beyond the duration of the scenario (20s)"},
		{"[{at: 5s, name: 'a b', crash: {host: 10.0.0.1}}]", "p99 <= 1s", "small.yaml:10: faults[0].name: want 1 to 64 letters"},
	} {
		_, err := Parse("small.yaml", []byte(smallText("faults", tc.faults, "expect", "["+tc.expect+"]")))
		require.ErrorContains(t, err, tc.want)
	}
	_, err := Parse("small.yaml", []byte(smallText("expect", "[p99 of web <= 1s from 5s to 20s]")))
	require.NoError(t, err, "just as long as the scenario")
}

// A part of a run is what a dumb filter over its requests gives, and the parts add up to the whole.
func TestTheFiguresOfAWindowAreThoseOfTheRequestsThatBeganInIt(t *testing.T) {
	const s = time.Second
	rapid.Check(t, func(rt *rapid.T) {
		total := 20 * s
		o := outcome{failed: map[string]int{}}
		for range rapid.IntRange(0, 60).Draw(rt, "requests") {
			q := request{began: time.Duration(rapid.Int64Range(0, int64(total)-1).Draw(rt, "began")),
				took:   time.Duration(rapid.IntRange(1, 3000).Draw(rt, "took")) * time.Millisecond,
				client: int32(rapid.IntRange(0, 2).Draw(rt, "client"))}
			if rapid.Bool().Draw(rt, "fails") {
				q.failure = FailTimeout
			}
			o.all = append(o.all, q)
		}
		at := rapid.Int64Range(1, 19).Draw(rt, "from")
		to := rapid.Int64Range(at+1, 20).Draw(rt, "to")
		spans := []span{{time.Duration(at) * s, time.Duration(to) * s}}
		client := rapid.IntRange(-1, 2).Draw(rt, "of")
		p := o.part(spans, client, tally{})
		requests, failed, flight := 0, 0, 0
		mine := func(q request) bool { return client < 0 || int(q.client) == client }
		for _, q := range o.all {
			if mine(q) && q.began >= spans[0].from && q.began < spans[0].to {
				requests++
				if q.failure != "" {
					failed++
				}
			}
			n := 0 // how many are under way when this one begins, or when the window does
			for _, other := range o.all {
				at := max(q.began, spans[0].from)
				if mine(q) && mine(other) && at < min(spans[0].to, q.began+q.took) && other.began <= at && other.began+other.took > at {
					n++
				}
			}
			flight = max(flight, n)
		}
		require.Equal(rt, requests, p.requests)
		require.Equal(rt, failed, p.failed[FailTimeout])
		require.Equal(rt, requests-failed, p.answered)
		require.Len(rt, p.latencies, p.answered)
		require.Equal(rt, flight, p.maxInFlight())
		require.InDelta(rt, float64(requests)/float64(to-at), p.rate(p.requests), 1e-9)

		sum := 0
		for _, w := range []span{{0, spans[0].from}, spans[0], {spans[0].to, total}} {
			sum += o.part([]span{w}, -1, tally{}).requests
		}
		require.Equal(rt, len(o.all), sum)
	})
	empty := (&outcome{}).part(nil, -1, tally{})
	for _, m := range metrics {
		x := m.value(empty)
		if strings.HasPrefix(m.name, "queue_wait") {
			require.Zero(t, x, "nobody waited")
		} else if m.unit != count {
			require.True(t, math.IsNaN(x), m.name)
		}
	}
}
