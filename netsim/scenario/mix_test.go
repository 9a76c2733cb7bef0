package scenario

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// three writes three backends that have some keys more.
func three(more string) string {
	return "[{address: '10.0.0.1:80'" + more + "}, {address: '10.0.0.2:80'" + more + "}, {address: '10.0.0.3:80'" + more + "}]"
}

// execute runs the small scenario and gives its verdict, whatever it is.
func execute(t *testing.T, keep bool, replace ...string) *Verdict {
	t.Helper()
	sc, err := Parse("small.yaml", []byte(smallText(replace...)))
	require.NoError(t, err)
	v, err := Execute(sc, Options{KeepTrace: keep})
	require.NoError(t, err)
	return v
}

func TestAMixAsksForItsKindsByTheirWeights(t *testing.T) {
	c := Client{Requests: []Request{{Weight: 7, Path: "/a"}, {Weight: 2, Path: "/b"}, {Weight: 1, Path: "/c", Body: Sizes{10, 20}}}}
	m := c.mix()
	require.Equal(t, 20, m.largest())
	seen, sizes := map[string]int{}, map[int]int{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		kind, size := m.draw(rnd)
		seen[kind.Path]++
		if kind.Path == "/c" {
			sizes[size]++
		} else {
			require.Zero(t, size)
		}
	}
	require.InDelta(t, 7000, seen["/a"], 150)
	require.InDelta(t, 2000, seen["/b"], 150)
	require.InDelta(t, 1000, seen["/c"], 100)
	require.Len(t, sizes, 11, "both ends included")
	require.Positive(t, sizes[10])
	require.Positive(t, sizes[20])
}

func TestAClientsMixReachesTheBackendsPaths(t *testing.T) {
	const clients = "[{name: web, arrivals: ARRIVALS, requests: [{weight: 3, path: /a}, " +
		"{weight: 1, method: POST, path: '/slow/x?y=1', body_bytes: {uniform: {min: 1KiB, max: 90KiB}}}]}]"
	for _, arrivals := range []string{"{poisson: 60/s}", "{users: 20, think: 200ms}"} {
		v := runSmall(t, "clients", strings.Replace(clients, "ARRIVALS", arrivals, 1), "backends",
			three(", paths: [{prefix: /slow, service: 300ms}]"), "expect", "[failed == 0, p50 <= 20ms, p99 >= 300ms, leaks == 0]")
		slow := 0
		for _, at := range v.Series.P99 {
			if at > 0.3 {
				slow++
			}
		}
		require.Greater(t, slow, 15, "in nearly every second somebody asks for it")
	}
}

func TestPathsHaveTheirOwnErrorsAndBodies(t *testing.T) {
	const clients = "[{name: web, arrivals: {constant: 50/s}, requests: [{path: /a}, {weight: 3, path: /b}]}]"
	v := runSmall(t, "clients", clients, "backends", three(", error_rate: 100%, paths: [{prefix: /a, error_rate: 0, body_bytes: 0}]"))
	require.InDelta(t, v.Requests*3/4, v.Failed["status_503"], 80)
	v = runSmall(t, "clients", clients, "backends", three(", body_bytes: 0, paths: [{prefix: /a, body_bytes: 400KiB}]"),
		"expect", "[failed == 0, p50 <= 9ms, p90 >= 12ms]")
	require.Positive(t, v.Answered)
}

func TestAPrefixFitsWholeSegments(t *testing.T) {
	for path, want := range map[string]bool{"/slow": true, "/slow/": true, "/slow/1": true, "/slow?x": true, "/slower": false,
		"/slo": false, "/": false, "": false, "/Slow": false} {
		require.Equal(t, want, under([]byte(path), "/slow"), path)
	}
	require.True(t, under([]byte("/any"), "/"))
	require.True(t, under([]byte("/a/b"), "/a/"))
	require.False(t, under([]byte("/a"), "/a/"))
}

func TestAColdServiceIsSlowAfterItsStartAndAfterEachRestart(t *testing.T) {
	cold := Cold{For: 10 * time.Second, Factor: 11}
	for age, want := range map[time.Duration]time.Duration{0: 110 * time.Millisecond, 5 * time.Second: 60 * time.Millisecond,
		9 * time.Second: 20 * time.Millisecond, 10 * time.Second: 10 * time.Millisecond, time.Hour: 10 * time.Millisecond} {
		require.Equal(t, want, cold.stretch(10*time.Millisecond, age), "%v", age)
	}
	var off Cold
	require.Equal(t, time.Second, off.stretch(time.Second, 0))

	v := runSmall(t, "duration", "30s", "backends", three(", service: 10ms, cold: {for: 5s, factor: 30}"), "faults",
		"[{at: 15s, for: 1s, kill: {host: 10.0.0.1}}]", "expect", "[failed == 0]")
	slow := func(from, to int) (worst float64) {
		for i := from; i < to; i++ {
			worst = max(worst, v.Series.P99[i])
		}
		return worst
	}
	require.Greater(t, slow(0, 2), 0.2, "all are cold at first")
	require.Less(t, slow(6, 15), 0.02, "then warm")
	require.Greater(t, slow(16, 19), 0.1, "one is cold again")
	require.Less(t, slow(23, 30), 0.02)
}

func TestErrorsTakeTheirOwnTime(t *testing.T) {
	const errors = ", error_rate: 50%, service: 10ms"
	quick := execute(t, false, "backends", three(errors+", error_service: 0s"), "clients", "[{name: web, arrivals: {users: 9, think: 0s}}]")
	usual := execute(t, false, "backends", three(errors), "clients", "[{name: web, arrivals: {users: 9, think: 0s}}]")
	slow := execute(t, false, "backends", three(errors+", error_service: 100ms"), "clients", "[{name: web, arrivals: {users: 9, think: 0s}}]")
	require.Greater(t, quick.Requests, usual.Requests*5/4)
	require.Less(t, slow.Requests, usual.Requests/2)
}

// The proxy has bytes of the answer, so neither response_timeout nor a retry helps: as long as the client stays, the connection
// is held until a minute has passed without another byte.
func TestAnAnswerThatStallsHoldsItsConnectionAndItsPlace(t *testing.T) {
	v := execute(t, false, "duration", "90s", "backends", three(", stall_rate: 2%, concurrency: 4"), "clients",
		"[{name: web, arrivals: {poisson: 10/s}, timeout: 2m}]")
	require.Positive(t, v.Failed["client_reset"], "the proxy can tell it only by breaking the answer off: %v", v.Failed)
	require.Positive(t, v.Failed["backend_timeout"], "those behind the stalled wait for a place: %v", v.Failed)
	require.Zero(t, v.Failed[FailWrongNonce])
	for _, f := range v.Figures() {
		if f.Name == "leaks" || f.Name == metricConservation {
			require.Zero(t, f.Value, f.Name)
		}
	}
}

// figure is one figure of a verdict.
func figure(v *Verdict, name string) float64 {
	for _, f := range v.Figures() {
		if f.Name == name {
			return f.Value
		}
	}
	return math.NaN()
}

func TestARetriedRequestCountsOnceAndIsJudgedByItsLastTry(t *testing.T) {
	const client = "[{name: web, arrivals: {poisson: 50/s}, timeout: 1s, retries: RETRIES, backoff: 10ms}]"
	with := func(retries string, more ...string) *Verdict {
		clients := strings.Replace(client, "RETRIES", retries, 1)
		if retries == "0" {
			clients = "[{name: web, arrivals: {poisson: 50/s}, timeout: 1s}]"
		}
		return execute(t, false, append([]string{"clients", clients, "backends", three(", error_rate: 30%")}, more...)...)
	}
	none, two := with("0"), with("2")
	require.Equal(t, none.Requests, two.Requests, "tries are no requests")
	require.InDelta(t, 0.3, float64(none.Failed["status_503"])/float64(none.Requests), 0.05)
	require.InDelta(t, 0.3*0.3*0.3, float64(two.Failed["status_503"])/float64(two.Requests), 0.015)
	require.Zero(t, figure(none, "client_retries"))
	require.InDelta(t, (0.3+0.09)*float64(two.Requests), figure(two, "client_retries"), 60)
	require.InDelta(t, 0.065, figure(two, "p99"), 0.06, "the tries and the waits between them count")

	// Each try has the timeout for itself, and a backend that hears from nobody is asked three times.
	v := execute(t, true, "clients", "[{name: web, arrivals: {constant: 1/s}, timeout: 500ms, retries: 2, backoff: 200ms}]",
		"faults", "[{at: 2s, for: 5s, silent_drop: {between: [web, proxy]}}]")
	require.Positive(t, v.Failed[FailTimeout])
	worst := 0.0
	for _, s := range v.failedAfter() {
		worst = max(worst, s)
	}
	require.InDelta(t, 3*0.5+0.2+0.4, worst, 0.01)
}

func TestARetryBudgetBoundsTheRetriesToItsShare(t *testing.T) {
	with := func(budget string) *Verdict {
		return execute(t, false, "backends", three(", error_rate: 100%"), "clients",
			"[{name: web, arrivals: {constant: 50/s}, retries: 3"+budget+"}]")
	}
	none, some := with(""), with(", retry_budget: 20%")
	require.Equal(t, 3*none.Requests, int(figure(none, "client_retries")))
	require.Equal(t, some.Requests, none.Requests)
	require.InDelta(t, float64(some.Requests)*0.2+maxPurse, figure(some, "client_retries"), 2, "a full purse, and a fifth of the requests")
}

// failedAfter lists how long the failed requests took, in seconds, as the trace tells it.
func (v *Verdict) failedAfter() (out []float64) {
	first := map[string]int64{}
	for _, e := range v.Trace.Events {
		n, _, _ := strings.Cut(e.Detail, " ")
		switch {
		case e.Actor == "web" && e.Kind == "retry" && first[n] == 0:
			first[n] = e.At - int64(500*time.Millisecond)
		case e.Actor == "web" && e.Kind == "failed" && first[n] > 0:
			out = append(out, time.Duration(e.At-first[n]).Seconds())
		}
	}
	return out
}

func TestASlowReaderTakesItsTimeAndNobodyElses(t *testing.T) {
	v := execute(t, false, "backends", three(", body_bytes: 100KiB"), "clients",
		"[{name: slow, arrivals: {constant: 1/s}, read_rate: 50KiB/s, timeout: 5s}]", "expect", "[failed == 0, p50 >= 1900ms, p99 <= 2100ms]")
	require.True(t, v.OK(), "%s", v.Text())
	v = execute(t, false, "backends", three(", body_bytes: 100KiB"), "clients",
		"[{name: slow, arrivals: {constant: 1/s}, read_rate: 50KiB/s, timeout: 1s}]")
	require.Equal(t, v.Requests, v.Failed[FailTimeout])
}

func TestMistakesAboutClientsAndBackendsAreToldOnce(t *testing.T) {
	client := func(keys string) []string {
		return []string{"clients", "[{name: web, arrivals: {users: 2}, " + keys + "}]"}
	}
	backend := func(keys string) []string { return []string{"backends", three(", " + keys)} }
	for _, tc := range []struct {
		replace []string
		want    string
	}{
		{client("path: /a, requests: [{path: /b}]"), "clients[0].path: stands beside requests; give it to each of them"},
		{client("requests: [{weight: 0}]"), "clients[0].requests[0].weight: must be between 1 and 1000; got 0"},
		{client("requests: [{weight: 1001}]"), "clients[0].requests[0].weight: must be between 1 and 1000; got 1001"},
		{client("requests: [{weight: 1000, body_bytes: 16MiB}]"), ""},
		{client("requests: [{method: HEAD}]"), "clients[0].requests[0].method: HEAD is not simulated"},
		{client("requests: [{body_bytes: 16777217}]"), "clients[0].requests[0].body_bytes: must be between 0 and 16MiB"},
		{client("requests: [{body_bytes: {uniform: {min: 2KiB, max: 1KiB}}}]"),
			"clients[0].requests[0].body_bytes.uniform.min: is more than max (2048 > 1024)"},
		{client("requests: [{body_bytes: {uniform: {max: 17MiB}}}]"), "clients[0].requests[0].body_bytes: must be between 0 and 16MiB"},
		{client("requests: [{paht: /}]"), "clients[0].requests[0].paht: unknown key; did you mean path?"},
		{client("retries: 11"), "clients[0].retries: must be between 0 and 10; got 11"},
		{client("retries: 10, backoff: 1h"), ""},
		{client("retries: 1, backoff: 61m"), "clients[0].backoff.constant: must be between 0s and 1h; got 1h1m"},
		{client("backoff: 1s"), "clients[0].backoff: means nothing without retries"},
		{client("retry_budget: 20%"), "clients[0].retry_budget: means nothing without retries"},
		{client("retries: 1, retry_budget: 101%"), "clients[0].retry_budget: want a share from 0 to 1"},
		{client("retries: 1, retry_budget: 100%"), ""},
		{client("read_rate: 10KiB"), "clients[0].read_rate: want bytes per second, such as 10KiB/s"},
		{client("read_rate: 0/s"), "clients[0].read_rate: must be between 1 and 1GiB; got 0"},
		{client("read_rate: 1GiB/s"), ""},
		{client("read_rate: 1073741825/s"), "clients[0].read_rate: must be between 1 and 1GiB; got 1073741825"},
		{client("requests: [" + strings.Repeat("{}, ", 100) + "]"), ""},
		{client("requests: [" + strings.Repeat("{}, ", 101) + "]"), "clients[0].requests: holds 101 items; at most 100 are allowed"},
		{backend("stall_rate: 101%"), "backends[0].stall_rate: want a share from 0 to 1"},
		{backend("cold: {for: 1s}"), "backends[0].cold.factor: is required beside the other one"},
		{backend("cold: {factor: 3}"), "backends[0].cold.for: is required beside the other one"},
		{backend("cold: {for: 1s, factor: 0.9}"), "backends[0].cold.factor: want a number from 1 to 1000"},
		{backend("cold: {for: 1s, factor: 1001}"), "backends[0].cold.factor: want a number from 1 to 1000"},
		{backend("cold: {for: 1s, factor: 1000}"), ""},
		{backend("error_service: {uniform: {min: 2s, max: 1s}}"), "backends[0].error_service.uniform.min: is more than max (2s > 1s)"},
		{backend("paths: [{service: 1s}]"), "backends[0].paths[0].prefix: want a beginning of paths, such as /slow"},
		{backend("paths: [{prefix: /a}, {prefix: /a/b}]"), "backends[0].paths[1].prefix: is never reached: paths[0] takes everything under /a"},
		{backend("paths: [{prefix: /a/b}, {prefix: /a}]"), ""},
		{backend("paths: [{prefix: /a, body_bytes: 17MiB}]"), "backends[0].paths[0].body_bytes: must be between 0 and 16MiB; got 17MiB"},
	} {
		_, err := Parse("small.yaml", []byte(smallText(tc.replace...)))
		if tc.want == "" {
			require.NoError(t, err, "%v", tc.replace)
			continue
		}
		require.ErrorContains(t, err, ": "+tc.want, "%v", tc.replace)
		for line := range strings.Lines(err.Error()) {
			_, at, _ := strings.Cut(tc.want, "[0]")
			at, _, _ = strings.Cut(at, ":")
			require.Contains(t, line, at, "nothing else is told: %v", err)
		}
	}
}
