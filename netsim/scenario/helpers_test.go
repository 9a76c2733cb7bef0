package scenario

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
)

// small is a scenario of three backends and a light load, whose parts a test replaces. Each part is one line.
var small = map[string]string{
	"duration": "20s",
	"upstream": "{backends: [{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}], strategy: round-robin, " +
		"response_timeout: 1s, pool: {connect_timeout: 500ms}, " + uncured +
		"health: {active: {interval: 1s, timeout: 500ms, rise: 1, fall: 1, http: {path: /healthz}}}}",
	"listener": "{address: ':8080', upstream: web}",
	"backends": "[{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}]",
	"network":  "{default: {latency: 500us, jitter: 100us}}",
	"clients":  "[{name: web, arrivals: {poisson: 50/s}, timeout: 3s}]",
	"faults":   "[]",
	"expect":   "[]",
}

// uncured keeps the proxy from asking another backend before a fault has shown what it does.
const uncured = "retry: {on: [connect_failure, reset]}, "

// smallText writes the scenario with some parts replaced, given as pairs of key and text.
func smallText(replace ...string) string {
	parts := make(map[string]string)
	for k, v := range small {
		parts[k] = v
	}
	for i := 0; i < len(replace); i += 2 {
		if _, known := parts[replace[i]]; !known {
			panic("small has no part " + replace[i])
		}
		parts[replace[i]] = replace[i+1]
	}
	text := "name: small\nseed: 1\nduration: DURATION\nproxy:\n  listeners: [LISTENER]\n  upstreams: {web: UPSTREAM}\n" +
		"backends: BACKENDS\nnetwork: NETWORK\nclients: CLIENTS\nfaults: FAULTS\nexpect: EXPECT\n"
	for k, v := range parts {
		text = strings.Replace(text, strings.ToUpper(k), v, 1)
	}
	return text
}

// runSmall runs it and wants the run itself, and every expectation, in order.
func runSmall(t *testing.T, replace ...string) *Verdict {
	t.Helper()
	sc, err := Parse("small.yaml", []byte(smallText(replace...)))
	require.NoError(t, err)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.True(t, v.OK(), "%s%v", v.Text(), v.Timeline)
	require.Positive(t, v.Requests)
	require.Equal(t, v.Requests, v.Answered+total(v.Failed))
	return v
}

func total(failed map[string]int) int {
	n := 0
	for _, k := range failed {
		n += k
	}
	return n
}

// says wants a moment with that text and returns when it first was.
func says(t *testing.T, v *Verdict, text string) float64 {
	t.Helper()
	for _, m := range v.Timeline {
		if strings.Contains(m.Text, text) {
			return m.At
		}
	}
	require.Fail(t, "the timeline does not say "+text, "%v", v.Timeline)
	return 0
}

// demandEqualRuns wants two verdicts with one trace.
func demandEqualRuns(t *testing.T, a, b *Verdict, about string) {
	t.Helper()
	require.Empty(t, netsim.Diff(a.Trace, b.Trace), about)
	require.Equal(t, a.TraceHash, b.TraceHash, about)
	require.Equal(t, a.Timeline, b.Timeline, about)
	require.Equal(t, a.Failed, b.Failed, about)
}
