package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden verdicts of the stock scenarios anew")

const stockDir = "../../testdata/scenarios"

func stock(t *testing.T) []string {
	files, err := filepath.Glob(filepath.Join(stockDir, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// The golden verdicts hold the trace hash, so that a review sees every change of behaviour:
// go test ./netsim/scenario -run Golden -rewrite.
func TestStockScenariosGiveTheirGoldenVerdicts(t *testing.T) {
	if underRace {
		t.Skip("a seed gives the same verdict under the race detector: .ci/scenarios plays each with and without it")
	}
	for _, file := range stock(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel() // a simulation keeps one core busy
			v := Run(t, file)
			require.Positive(t, v.WallSeconds)
			v.WallSeconds = 0
			golden := filepath.Join(stockDir, "golden", strings.TrimSuffix(filepath.Base(file), ".yaml")+".json")
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			require.NoError(t, enc.Encode(v))
			text := strings.Replace(got.String(), "  \"wall_seconds\": 0,\n", "", 1)
			require.NotContains(t, text, "wall_seconds")
			if *rewrite {
				require.NoError(t, os.WriteFile(golden, []byte(text), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), text, "if the change is meant: go test ./netsim/scenario -run Golden -rewrite")
		})
	}
}

// goldenHash is the trace hash that a run without the race detector has written.
func goldenHash(t *testing.T, name string) string {
	raw, err := os.ReadFile(filepath.Join(stockDir, "golden", name+".json"))
	require.NoError(t, err)
	var v Verdict
	require.NoError(t, json.Unmarshal(raw, &v))
	require.Len(t, v.TraceHash, 16)
	return v.TraceHash
}

func TestStockScenariosRepeatExactlyWhateverTheNumberOfProcessors(t *testing.T) {
	if underRace {
		t.Skip("three runs of each take too long; .ci/determinism does it under the race detector too")
	}
	counts := []int{1, 2, 4}
	for _, file := range stock(t) {
		sc, err := Load(file)
		require.NoError(t, err)
		var first *Verdict
		for _, procs := range counts {
			before := runtime.GOMAXPROCS(procs)
			v, err := Execute(sc, Options{KeepTrace: true})
			runtime.GOMAXPROCS(before)
			require.NoError(t, err)
			if first == nil {
				first = v
			}
			demandEqualRuns(t, first, v, file)
			require.Equal(t, goldenHash(t, sc.Name), v.TraceHash, file)
		}
	}
}

func TestStockScenariosHoldForOtherSeedsWhichGiveOtherTraces(t *testing.T) {
	if underRace {
		t.Skip("other seeds race no differently than the golden one")
	}
	for _, file := range stock(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			sc, err := Load(file)
			require.NoError(t, err)
			hashes := map[string]bool{goldenHash(t, sc.Name): true}
			for seed := range uint64(3) {
				sc.Seed = seed + 1
				v, err := Execute(sc, Options{})
				require.NoError(t, err)
				require.True(t, v.OK(), "%s", v.Text())
				require.LessOrEqual(t, v.Requests, 20_000)
				require.False(t, hashes[v.TraceHash])
				hashes[v.TraceHash] = true
			}
		})
	}
}

func TestStockScenariosOpenWithWhatTheyTeach(t *testing.T) {
	for _, file := range stock(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		head, _, _ := strings.Cut(string(text), "\nname: ")
		require.Contains(t, head, "What it teaches: ", file)
		sc, err := Load(file)
		require.NoError(t, err)
		require.Equal(t, strings.TrimSuffix(filepath.Base(file), ".yaml"), sc.Name)
		require.NotEmpty(t, sc.About)
		require.NotEmpty(t, sc.Expect)
	}
}

// The lesson of the scenario, drawn: a pool that forgets sooner than the middlebox loses nothing.
func TestAShorterIdleTimeoutCuresTheForgetfulMiddlebox(t *testing.T) {
	sc, err := Load(filepath.Join(stockDir, "middlebox-idle-forget.yaml"))
	require.NoError(t, err)
	sc.Settings.Upstreams[0].Pool.IdleTimeout = 15 * time.Second
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Empty(t, v.Failed)
	require.Equal(t, v.Requests, v.Answered)
}

func TestTakingAFaultAwayDoesNotChangeWhenRequestsArrive(t *testing.T) {
	arrivals := func(faults string) (int, []string) {
		sc, err := Parse("small.yaml", []byte(smallText("faults", faults)))
		require.NoError(t, err)
		v, err := Execute(sc, Options{KeepTrace: true})
		require.NoError(t, err)
		var answers []string
		for _, e := range v.Trace.Events {
			if e.Actor == "web" && e.At < int64(5*time.Second) {
				answers = append(answers, e.String())
			}
		}
		return v.Requests, answers
	}
	with, early := arrivals("[{at: 5s, for: 5s, crash: {host: 10.0.0.2}}]")
	without, same := arrivals("[]")
	require.Equal(t, without, with)
	require.Equal(t, same, early)
	require.Greater(t, len(same), 150)
}

func TestARunThatCannotStartOrBreaksOffStillHasAVerdict(t *testing.T) {
	text := smallText("listener", "{address: '10.9.9.9:80', upstream: web}, {address: '10.9.9.8:80', upstream: web}")
	sc, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.False(t, v.OK())
	require.Equal(t, "the proxy starts", v.Expectations[0].Expect)
	require.Contains(t, v.Text(), "FAIL  the proxy starts")
	require.NotEmpty(t, v.BrokeOff)
	require.Empty(t, v.Figures())

	v, err = Execute(&Scenario{Name: "hollow", Duration: time.Second}, Options{})
	require.ErrorContains(t, err, "nil pointer")
	require.False(t, v.OK())
	require.Equal(t, "hollow", v.Name)
	require.Contains(t, v.Timeline[0].Text, "startProxy")
	require.Regexp(t, `^hollow  seed 0   broke off( at \S+ of simulated time)?\n  FAIL  the run ends in order +.*nil pointer`, v.Text())
}

func TestTheTextShowsTheTimelineUnderTheFirstExpectationThatFails(t *testing.T) {
	v := &Verdict{Name: "demo", Seed: 42, TraceHash: "9f3a61c200000000", VirtualSeconds: 180.2, WallSeconds: 0.91,
		Requests: 18012, Answered: 17998, Failed: map[string]int{"client_reset": 2, "backend_timeout": 12}, ReuseRate: 0.9997,
		Expectations: []Judged{{"success_rate >= 99.9%", "99.92 %", true}, {"p99 <= 1s", "2.00 s", false}, {"leaks == 0", "1", false}},
		Timeline:     []Moment{{60, "silent_drop proxy <-> 10.0.0.1 begins"}, {63.2001, "web/10.0.0.1:80 backend_down"}},
		notes:        []string{"failover 3.20 s"}}
	require.False(t, v.OK())
	require.Equal(t, `demo  seed 42   3m0s simulated in 0.9s   trace 9f3a61c2
  18,012 requests   17,998 answered   14 failed: backend_timeout 12, client_reset 2
  reuse 99.97 %   failover 3.20 s
  ok    success_rate >= 99.9%   99.92 %
  FAIL  p99 <= 1s               2.00 s
        1m00.000s  silent_drop proxy <-> 10.0.0.1 begins
        1m03.200s  web/10.0.0.1:80 backend_down
  FAIL  leaks == 0              1
`, v.Text())
	for range 30 {
		v.Timeline = append(v.Timeline, Moment{70, "more"})
	}
	require.Contains(t, v.Text(), "... and 8 more moments")
}

func TestTheVerdictHasItsJSONFieldsAndNoOthers(t *testing.T) {
	raw, err := json.Marshal(&Verdict{Expectations: []Judged{{}}, Timeline: []Moment{{}}})
	require.NoError(t, err)
	require.Equal(t, `{"name":"","seed":0,"trace_hash":"","virtual_seconds":0,"wall_seconds":0,"events":0,"requests":0,"answered":0,`+
		`"failed":null,"reuse_rate":0,"expectations":[{"expect":"","value":"","ok":false}],"timeline":[{"at":0,"text":""}]}`, string(raw))
}

// Programs may count on these fields in the verdict of any run, also of one that broke off.
func TestTheJSONOfAVerdictIsWholeForEveryRun(t *testing.T) {
	fields := map[string]string{"name": "string", "seed": "float64", "trace_hash": "string", "virtual_seconds": "float64",
		"wall_seconds": "float64", "events": "float64", "requests": "float64", "answered": "float64",
		"failed": "map[string]interface {}", "reuse_rate": "float64", "expectations": "[]interface {}", "timeline": "[]interface {}"}
	for _, v := range []*Verdict{failing(t), runSmall(t), Broken("x", 3, "it died")} {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, json.Unmarshal(raw, &got))
		for name, kind := range fields {
			require.Contains(t, got, name)
			require.Equal(t, kind, fmt.Sprintf("%T", got[name]), name)
		}
		broke, said := got["broke_off"]
		require.Equal(t, v.BrokeOff != "", said)
		require.Len(t, got, len(fields)+map[bool]int{said: 1}[true])
		if said {
			require.Equal(t, "it died", broke)
			continue
		}
		require.Positive(t, got["virtual_seconds"])
		require.Positive(t, got["events"])
	}
}

// The lesson of the scenario: without a limit on the queue, those who are answered are fewer and wait for longer.
func TestAQueueWithoutALimitMakesOverloadWorse(t *testing.T) {
	sc, err := Load(filepath.Join(stockDir, "overload.yaml"))
	require.NoError(t, err)
	limited, err := Execute(sc, Options{})
	require.NoError(t, err)
	sc.Settings.Upstreams[0].Queue.Timeout = time.Minute
	endless, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Less(t, endless.Answered, limited.Answered-500)
	require.Zero(t, endless.Series.Answered[58], "in the end nobody is answered in time")
	require.Greater(t, limited.Series.Answered[58], 150, "at full capacity")
}
