package scenario

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var repeat = flag.Int("repeat", 1, "how often the proxy runs for each seed and number of processors")

const (
	seedsFile  = "testdata/determinism.txt"
	proxySeeds = 20
)

// manyUnderWay is the proxy under a load of some 100 requests under way, of which each backend in turn lets go of a
// third at once: one crashes, one is killed, the connections of one are reset. At the end the proxy drains.
func manyUnderWay() string {
	slow := "[{address: '10.0.0.1:80', service: 300ms}, {address: '10.0.0.2:80', service: 300ms}, " +
		"{address: '10.0.0.3:80', service: 300ms}]"
	return smallText("duration", "4s", "backends", slow,
		"clients", "[{name: web, arrivals: {poisson: 350/s}, timeout: 1s}]",
		"faults", "[{at: 1s, for: 1s, crash: {host: 10.0.0.1}}, {at: 2s, for: 1s, kill: {host: 10.0.0.2}}, "+
			"{at: 3s, reset: {between: [proxy, 10.0.0.3]}}]")
}

// Every mode of running - with and without -race, on one processor and on two - must give the hashes of the one file:
// go test ./netsim/scenario -run EverySeed. After a change that is meant: the same with -rewrite.
func TestTheProxyGivesItsGoldenTraceForEverySeed(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	sc, err := Parse("many.yaml", []byte(manyUnderWay()))
	require.NoError(t, err)
	var b strings.Builder
	seeds := uint64(proxySeeds)
	if underRace && *repeat == 1 {
		seeds = 3 // it takes a second each; .ci/determinism runs all
	}
	for seed := range seeds {
		sc.Seed = seed + 1
		var first *Verdict
		for n := range 2 * *repeat {
			runtime.GOMAXPROCS(1 + n%2)
			v, err := Execute(sc, Options{KeepTrace: true})
			require.NoError(t, err)
			if n == 0 {
				first = v
				require.Greater(t, total(v.Failed)+v.Answered, 1200)
			}
			demandEqualRuns(t, first, v, fmt.Sprintf("seed %d, run %d", sc.Seed, n+1))
		}
		require.NotContains(t, b.String(), first.TraceHash, "another seed's trace")
		fmt.Fprintf(&b, "proxy %d %s %d requests, %d failed\n", sc.Seed, first.TraceHash, first.Requests, total(first.Failed))
	}
	if *rewrite && seeds == proxySeeds {
		require.NoError(t, os.WriteFile(seedsFile, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(seedsFile)
	require.NoError(t, err)
	if seeds < proxySeeds {
		want = []byte(strings.Join(strings.SplitAfter(string(want), "\n")[:seeds], ""))
	}
	require.Equal(t, string(want), b.String(), "if the change is meant: go test ./netsim/scenario -run EverySeed -rewrite")
}
