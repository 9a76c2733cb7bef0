package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run the test with -rewrite if the change is meant")
}

// sample is a result in which everything happened.
func sample() *result {
	d := distribution{Count: 1499990, P50: 0.0011, P90: 0.00213, P95: 0.003, P99: 0.0456, P999: 0.5, Max: 1.25, Mean: 0.00134}
	errs := map[string]uint64{}
	for _, w := range reasonWords {
		errs[w] = 0
	}
	errs["timeout"], errs["status_5xx"] = 3, 7
	return &result{
		Target: "http://localhost:8080/", Method: "GET", LoadTest: true, Clients: 200, Reuse: true, Timeout: 5,
		Ended: endedDuration, Duration: 80.0123, Requests: 1500000, Succeeded: 1499990, Failed: 10, Unfinished: 2,
		PerSecond: 18747.1, BodyBytes: 7500000, BytesPerSecond: 93735.6, Latency: d, Connect: d,
		Connections: connections{203, 1, 1500002, 1499799, 0.999865}, Status: map[string]uint64{"503": 7, "200": 1499990},
		Errors: errs, FirstErrors: map[string]string{"timeout": "read tcp: i/o timeout"},
		Backends:      []backendShare{{"demo-1", 999997, 2.0 / 3}, {"demo\x9b2", 500000, 1.0 / 3}},
		BackendUntold: 3, Phases: []phaseResult{{"ramp-up", 10, 99, 0, 9.94, d}, {"test", 60, 1000000, 10, 16666.6, d}},
		Caveat: caveat,
	}
}

func TestTheReportIsTheGoldenOne(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().writeText(&b))
	empty := &result{Target: "http://localhost:8080/", Method: "GET", Clients: 1, Timeout: 0.25, Ended: endedUnreachable,
		Errors: map[string]uint64{"connect": 1}, FirstErrors: map[string]string{"connect": "refused"}, Failed: 1, Requests: 1,
		Caveat: caveat}
	b.WriteByte('\n')
	require.NoError(t, empty.writeText(&b))
	golden(t, "report.txt", b.String())
}

// TestTheKeysOfTheJSONStay holds every key that programs may read, at every depth; lists stand for their first element.
func TestTheKeysOfTheJSONStay(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().writeJSON(&b))
	var v any
	require.NoError(t, json.Unmarshal(b.Bytes(), &v))
	var keys []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, sub := range v {
				walk(at+"."+k, sub)
			}
		case []any:
			walk(at+"[]", v[0])
		default:
			keys = append(keys, strings.TrimPrefix(at, "."))
		}
	}
	walk("", v)
	slices.Sort(keys)
	golden(t, "json_keys.txt", strings.Join(keys, "\n")+"\n")
}

func TestAFailingOutputIsAFailure(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, hello)
	for _, more := range [][]string{nil, {"-json"}} {
		var stderr bytes.Buffer
		args := append([]string{"-server", o.URL, "-clients", "1", "-requests", "1"}, more...)
		require.Equal(t, exitFailed, run(args, brokenPipe{}, &stderr, nil))
		require.Contains(t, stderr.String(), "could not be written")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestNumbersAreWrittenToBeRead(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, grouped(n))
	}
	for d, want := range map[time.Duration]string{0: "0s", 512: "512ns", 1234567: "1.23ms",
		61234 * time.Millisecond: "1m1.2s"} {
		require.Equal(t, want, short(d))
	}
	require.Equal(t, "99.99%", percent(0.99999), "nearly all is not all")
	require.Equal(t, "100.00%", percent(1))
	require.Equal(t, "9.9", rate(9.94))
	require.Zero(t, perSecond(5, 0))
}

func TestProgressTellsOneLineForEachInterval(t *testing.T) {
	tl := newTally(time.Second)
	begin := time.Unix(100, 0)
	var b bytes.Buffer
	p := newProgress(&b, true)
	p.begin(begin)
	require.Equal(t, begin.Add(tellOnPipe), p.due)
	for range 10 {
		tl.answer(&answer{status: 200}, 2*time.Millisecond)
	}
	tl.fail(reasonReset, nil)
	p.tell(p.due, 7, tl)
	require.Equal(t, "   5s  7 clients  2 req/s  1 error  p99 2ms\n", b.String())
	p.tell(begin.Add(17*time.Second), 7, tl) // late
	require.Equal(t, begin.Add(20*time.Second), p.due)
	require.Contains(t, b.String(), "  17s  7 clients  0 req/s  1 error")
	p.end()

	b.Reset()
	p = &progress{w: &b, terminal: true, every: tellOnTerminal}
	p.begin(begin)
	p.tell(begin.Add(time.Second), 123456, tl)
	first := b.Len()
	p.tell(begin.Add(2*time.Second), 7, tl)
	require.NotContains(t, b.String(), "\n")
	require.Equal(t, 2, strings.Count(b.String(), "\r"))
	require.Equal(t, 2*first, b.Len(), "a shorter line covers the longer one")
	p.end()
	require.True(t, strings.HasSuffix(b.String(), " \r"))

	b.Reset()
	p = newProgress(&b, false)
	p.begin(begin)
	require.Greater(t, p.due.Sub(begin), 24*time.Hour, "silent")
	require.Empty(t, b.String())
}
