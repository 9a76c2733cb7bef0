package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// picky fails for those seeds of 1-8 that draw many requests.
var picky = strings.Replace(tiny, "success_rate == 100%", "requests <= 150", 1)

// lines parses what a sweep has written.
func lines(t *testing.T, text string) []*result {
	t.Helper()
	file := write(t, "r.jsonl", text)
	rs, err := readResults(file)
	require.NoError(t, err)
	return rs
}

func TestASweepRunsEverySeedAndTellsThemInOrder(t *testing.T) {
	file := write(t, "x.yaml", picky)
	out := filepath.Join(t.TempDir(), "all.jsonl")
	code, stdout, stderr := wavesim("sweep", file, "-seeds", "1-8", "-json", "-out", out, "-parallel", "3")
	require.Equal(t, exitFailed, code, stderr)
	written, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, stdout, string(written))
	rs := lines(t, stdout)
	require.Len(t, rs, 8)
	failed := 0
	for i, r := range rs {
		require.EqualValues(t, i+1, r.Seed)
		n, ok := r.figure("requests")
		require.True(t, ok)
		require.Equal(t, n <= 150, r.OK)
		if !r.OK {
			failed++
			require.Equal(t, []failure{{"requests <= 150", fmt.Sprint(n)}}, r.Failed)
		}
		_, ok = r.figure("time_to_recovery")
		require.False(t, ok, "there is no fault")

		// A sweep's run of a seed is the same as run's.
		code, text, _ := wavesim("run", file, "-seed", fmt.Sprint(r.Seed), "-json")
		require.Equal(t, !r.OK, code == exitFailed)
		require.Contains(t, text, r.TraceHash)
	}
	require.Positive(t, failed)
	require.Less(t, failed, 8)
}

func TestASweepSumsUpAndNamesTheSeedsThatFail(t *testing.T) {
	file := write(t, "x.yaml", picky)
	code, stdout, stderr := wavesim("sweep", file, "-seeds", "1-8")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stderr, "no bar where nobody looks")
	require.Contains(t, stdout, "tiny  seeds 1-8   8 runs")
	require.Contains(t, stdout, "FAIL  requests <= 150   for ")
	require.Contains(t, stdout, "wavesim shrink "+file+" -seed ")

	_, stdout, _ = wavesim("sweep", write(t, "two.yaml", failing), "-seeds", "5")
	require.Contains(t, stdout, `-seed 5 -expect "requests <= 50"`, "where several fail, one is named")

	good := write(t, "good.yaml", tiny)
	code, stdout, _ = wavesim("sweep", good, "-seeds", "5")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "every expectation holds for every seed")
}

func TestShardsTogetherAreTheWholeSweep(t *testing.T) {
	file := write(t, "x.yaml", picky)
	_, whole, _ := wavesim("sweep", file, "-seeds", "1-8")
	dir := t.TempDir()
	var parts []string
	for i := 1; i <= 3; i++ {
		part := filepath.Join(dir, fmt.Sprintf("%d.jsonl", i))
		parts = append(parts, part)
		_, _, stderr := wavesim("sweep", file, "-seeds", "1-8", "-shard", fmt.Sprintf("%d/3", i), "-out", part)
		require.Empty(t, stderr)
	}
	code, merged, _ := wavesim(append([]string{"merge"}, parts...)...)
	require.Equal(t, exitFailed, code)
	_, wholeTable, _ := strings.Cut(whole, "\n")
	_, mergedTable, _ := strings.Cut(merged, "\n")
	require.Equal(t, wholeTable, strings.ReplaceAll(mergedTable, "FILE", file))

	code, _, stderr := wavesim("merge", parts[0], parts[0])
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "seed 1 is there twice")
	code, _, stderr = wavesim("merge", write(t, "no.jsonl", "{}\n"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no.jsonl:1: this is not a result")
	other := write(t, "other.jsonl", `{"name":"other","seed":99,"ok":true,"trace_hash":"0","figures":{}}`+"\n")
	_, _, stderr = wavesim("merge", parts[0], other)
	require.Contains(t, stderr, "do not belong together")
}

func TestASweepOfOneSeedIsOneRun(t *testing.T) {
	_, stdout, _ := wavesim("sweep", write(t, "x.yaml", tiny), "-seeds", "7")
	require.Contains(t, stdout, "tiny  seeds 7   1 run   0 failed")
}

func TestASeedThatBreaksOffFailsAndTheOthersRun(t *testing.T) {
	var rs []*result
	var broke []uint64
	s := &sweepRun{job: job{File: write(t, "x.yaml", tiny)}, seeds: []uint64{1, 2, 3, 4, 5, 6}, parallel: 1, limit: time.Minute,
		each:  func(_ int, r *result) { rs = append(rs, r) },
		broke: func(seed uint64, off *brokeOff) { broke = append(broke, seed) },
		env:   []string{misdeed + "=panic at seed 4"}}
	require.NoError(t, s.run())
	require.Equal(t, []uint64{4}, broke)
	require.Len(t, rs, 6)
	for i, r := range rs {
		require.EqualValues(t, i+1, r.Seed)
		require.Equal(t, r.Seed != 4, r.OK)
	}
	require.Equal(t, "the run ends in order", rs[3].Failed[0].Expect)
	raw, err := json.Marshal(rs[3])
	require.NoError(t, err)
	require.Equal(t, rs[3], lines(t, string(raw)+"\n")[0], "merge reads it, though it has no trace")
}

func TestCompareShowsSeveralConfigurationsOnTheSameSeeds(t *testing.T) {
	file := write(t, "x.yaml", tiny)
	a, b := write(t, "a.yaml", tinyProxy), write(t, "b.yaml", strings.Replace(tinyProxy, "random", "round-robin", 1))
	code, stdout, stderr := wavesim("compare", file, "-config", a, "-config", b, "-seeds", "1-3")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "tiny  seeds 1-3   median (least to greatest)")
	require.Contains(t, stdout, "1st : 2nd")
	require.Regexp(t, `p50 .* ms.* ms.*better, \d worse`, stdout)
	require.Regexp(t, `seeds that fail +0 of 3 +0 of 3`, stdout)

	code, stdout, _ = wavesim("compare", write(t, "picky.yaml", strings.Replace(picky, "150", "50", 1)), "-config", a, "-config", b, "-seeds", "1-3")
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `FAIL  requests <= 50 +3 of 3 +3 of 3`, stdout)

	code, stdout, _ = wavesim("compare", file, "-config", a, "-config", b, "-seeds", "1-3", "-json")
	require.Equal(t, exitOK, code)
	rs := lines(t, stdout)
	require.Len(t, rs, 6)
	require.Equal(t, []string{a, b}, []string{rs[0].Config, rs[5].Config})
	require.Equal(t, rs[0].Seed, rs[3].Seed)

	code, _, stderr = wavesim("compare", file, "-config", a, "-config", write(t, "c.yaml", "listeners: 3\n"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "c.yaml:1")
}

// failing expects three things, two of which do not hold with seed 5.
var failing = strings.Replace(strings.Replace(picky, "clients:", "faults:\n  - {at: 1s, reset: {between: [proxy, 10.0.0.1]}}\nclients:", 1),
	"requests <= 150", "requests <= 50, success_rate == 100%, requests <= 100", 1)

func TestShrinkWritesAScenarioThatRunAccepts(t *testing.T) {
	file := write(t, "x.yaml", failing)
	out := filepath.Join(filepath.Dir(file), "small.yaml")
	code, stdout, stderr := wavesim("shrink", file, "-seed", "5", "-out", out)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "faults 1 -> 0, clients 1 -> 1, 3s -> 1s")
	require.Contains(t, stdout, "still fails: requests <= 50\n", "and not what failed in the whole scenario only")
	require.Contains(t, stdout, "holds now:   requests <= 100 (-expect reduces")
	sc, err := scenario.Load(out)
	require.NoError(t, err)
	require.EqualValues(t, 5, sc.Seed)
	require.Empty(t, sc.Faults)
	code, stdout, _ = wavesim("run", out)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "FAIL  requests <= 50")

	code, _, stderr = wavesim("shrink", write(t, "good.yaml", tiny), "-seed", "5")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "there is nothing to shrink")
}

func TestShrinkReducesTheFailureThatItIsTold(t *testing.T) {
	file := write(t, "x.yaml", failing)
	out := filepath.Join(filepath.Dir(file), "small.yaml")
	for _, want := range []string{"requests<=100", "3"} {
		code, stdout, stderr := wavesim("shrink", file, "-seed", "5", "-out", out, "-expect", want)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, "still fails: requests <= 100\n")
		require.NotContains(t, stdout, "holds now")
		sc, err := scenario.Load(out)
		require.NoError(t, err)
		require.Len(t, sc.Expect, 1)
		require.GreaterOrEqual(t, sc.Duration, 2*time.Second, "a hundred requests take longer than fifty")
	}
	for want, says := range map[string]string{
		"0":                    "the scenario has the expectations 1 to 3",
		"4":                    "the scenario has the expectations 1 to 3",
		"success_rate == 100%": "success_rate == 100% holds with seed 5; what fails: requests <= 50; requests <= 100",
		"requests <= 51":       `does not expect "requests <= 51"; did you mean "requests <= 50"?`,
		"slow":                 "what fails: requests <= 50",
	} {
		code, _, stderr := wavesim("shrink", file, "-seed", "5", "-out", out, "-expect", want)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, says)
	}
}

func TestRunDrawsItsReportIntoAFile(t *testing.T) {
	out := filepath.Join(t.TempDir(), "page.html")
	code, _, stderr := wavesim("run", write(t, "x.yaml", tiny), "-report", out)
	require.Equal(t, exitOK, code, stderr)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "<title>tiny, seed 3: holds</title>")
	code, _, stderr = wavesim("run", write(t, "x.yaml", tiny), "-report", filepath.Join(out, "none"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "not a directory")
}

func TestExplainPrintsWhatItKnows(t *testing.T) {
	code, stdout, _ := wavesim("explain")
	require.Equal(t, exitOK, code)
	require.Equal(t, len(scenario.FaultKinds())+len(scenario.OperationKinds()), strings.Count(stdout, "\n"))
	_, stdout, _ = wavesim("explain", "silent_drop")
	require.Contains(t, stdout, "in a scenario:\n  faults:\n    - {at: 40s")
	code, _, stderr := wavesim("explain", "silentdrop")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "did you mean silent_drop?")
}

func TestRangesAndShardsAreReadStrictly(t *testing.T) {
	for text, want := range map[string]seedRange{"1-1000": {1, 1000}, "7": {7, 7}, "0-0": {0, 0}} {
		got, err := parseSeeds(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "-1", "5-1", "1-", "a-b", "0-10000000"} {
		_, err := parseSeeds(text)
		require.Error(t, err, text)
	}
	_, err := parseSeeds("0-9999999")
	require.NoError(t, err, "just as many as are allowed")
	for _, text := range []string{"0/2", "3/2", "1", "1/0", "x/y", "1/2/3"} {
		_, err := parseShard(text)
		require.Error(t, err, text)
	}
	var all []uint64
	for i := 1; i <= 4; i++ {
		all = append(all, seedRange{10, 19}.seeds(shard{i, 4})...)
	}
	require.ElementsMatch(t, []uint64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, all)
	top := uint64(1<<64 - 1)
	require.Equal(t, []uint64{top - 1, top}, seedRange{top - 1, top}.seeds(shard{1, 1}), "no way round")
}

func TestTheBarSaysHowFarAndHowLong(t *testing.T) {
	p := newProgress(&bytes.Buffer{}, 40)
	require.Nil(t, p.w, "a buffer is no terminal")
	for i := range 10 {
		p.step(i != 3)
	}
	require.Equal(t, "[#######.......................] 10/40  1 failed  30s left", p.line(10*time.Second))
}

func TestAFigureThatNeverHappenedStaysOneThroughJSON(t *testing.T) {
	r := &result{Name: "x", TraceHash: "0", Figures: map[string]*float64{"time_to_recovery": nil}}
	data, err := json.Marshal(r)
	require.NoError(t, err)
	back := lines(t, string(data)+"\n")[0]
	x, ok := back.figure("time_to_recovery")
	require.True(t, ok)
	require.Equal(t, "never", scenario.FormatFigure("time_to_recovery", x))
}
