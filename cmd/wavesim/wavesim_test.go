package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/netsim/scenario"
)

const tinyProxy = `listeners: [{address: ":8080", upstream: web}]
upstreams: {web: {backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}], strategy: random}}
`

const tiny = `name: tiny
about: Two backends and nothing wrong.
seed: 3
duration: 3s
proxy:
  listeners: [{address: ":8080", upstream: web}]
  upstreams: {web: {backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}}
backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]
clients: [{name: web, arrivals: {poisson: 50/s}}]
expect: [success_rate == 100%]
`

// write puts a file into a folder of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// wavesim runs the program and returns its exit code and what it wrote.
func wavesim(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestTheExitCodeSaysWhetherAllHeld(t *testing.T) {
	good := write(t, "good.yaml", tiny)
	bad := write(t, "bad.yaml", strings.Replace(tiny, "== 100%", "< 100%", 1))
	broken := write(t, "broken.yaml", "name: x\n")

	code, stdout, stderr := wavesim("run", good)
	require.Equal(t, exitOK, code, stdout+stderr)
	require.Contains(t, stdout, "tiny  seed 3   3s simulated")
	require.Empty(t, stderr)

	code, stdout, _ = wavesim("run", bad, good)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "FAIL  success_rate < 100%")
	require.Contains(t, stdout, "\n\ntiny  seed 3", "one bad verdict does not keep the next from running")

	code, stdout, stderr = wavesim("run", broken, good)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "broken.yaml:1: duration: is required")
	require.Contains(t, stdout, "tiny")

	code, _, stderr = wavesim("run", filepath.Join(t.TempDir(), "none.yaml"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no such file")
}

func TestAChildThatBreaksOffFailsItsScenarioOnly(t *testing.T) {
	t.Setenv(misdeed, "exit")
	code, stdout, stderr := wavesim("run", "-json", write(t, "x.yaml", tiny))
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "I leave.")
	var v scenario.Verdict
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	require.Equal(t, "tiny", v.Name)
	require.False(t, v.OK())
}

func TestFlagsMayStandBeforeAndAfterTheFiles(t *testing.T) {
	file := write(t, "x.yaml", tiny)
	hash := func(args ...string) string {
		code, stdout, stderr := wavesim(append([]string{"run", "-json"}, args...)...)
		require.Equal(t, exitOK, code, stderr)
		require.NotContains(t, stdout, `\u003`)
		var v scenario.Verdict
		require.NoError(t, json.Unmarshal([]byte(stdout), &v))
		return v.TraceHash
	}
	own := hash(file)
	require.Equal(t, own, hash(file, "-seed", "3"))
	require.Equal(t, own, hash("--check", file))
	require.NotEqual(t, own, hash(file, "-seed=4"))
	require.Equal(t, hash("-seed", "0", file), hash(file, "-seed", "0"), "0 is a seed too")
	require.NotEqual(t, own, hash("-config", write(t, "p.yaml", tinyProxy), file), "another configuration")
}

func TestCheckRunsTwiceAndSaysSo(t *testing.T) {
	code, stdout, _ := wavesim("run", write(t, "x.yaml", tiny), "-check")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "ok    a second run has the same trace")

	a := &netsim.Trace{Hash: 1, Total: 1, Events: []netsim.Event{{Actor: "web", Kind: "answered"}}}
	b := &netsim.Trace{Hash: 2, Total: 1, Events: []netsim.Event{{Actor: "web", Kind: "failed"}}}
	j := compareTraces(a, b)
	require.False(t, j.OK)
	require.Contains(t, j.Value, "event 1 differs")
}

func TestTheTraceIsWrittenWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.txt")
	code, stdout, _ := wavesim("run", "-json", "-trace", file, write(t, "x.yaml", tiny))
	require.Equal(t, exitOK, code)
	var v scenario.Verdict
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, v.Events+1, uint64(strings.Count(string(text), "\n")))
	require.Contains(t, string(text), v.TraceHash)

	code, _, stderr := wavesim("run", "-trace", filepath.Join(file, "x"), write(t, "x.yaml", tiny))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "not a directory")
}

func TestBadCommandLinesAreRefusedWithAHint(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "usage: wavesim run",
		"rn":                               "did you mean run?",
		"dance":                            "unknown command \"dance\"; it is one of run, sweep",
		"run":                              "needs a scenario file",
		"run -sed 3 x.yaml":                "did you mean -seed?",
		"run -seed x x.yaml":               "invalid value",
		"run -seed -1 x.yaml":              "invalid value",
		"run -trace t a.yaml b.yaml":       "one scenario at a time",
		"run a.yaml -seeds 1-3":            "-seeds; it is a flag of sweep, compare (",
		"run a.yaml -shard 1/2":            "-shard; it is a flag of sweep (",
		"sweep a.yaml -report x.html":      "-report; it is a flag of run (",
		"merge -config a.yaml":             "-config; it is a flag of run, sweep, shrink, compare (",
		"run -limit 5 a.yaml":              "want a duration with its unit, such as 30s",
		"run -seed 1-3 a.yaml":             "a range is -seeds, of sweep and compare",
		"run -limit 0s a.yaml":             "is not positive",
		"list a b":                         "list takes one folder",
		"list /no/such/folder":             "there is no scenario",
		"run -config none.yaml x.yaml":     "no such file",
		"sweep":                            "sweep needs a scenario file",
		"sweep a.yaml b.yaml":              "sweep takes one scenario at a time",
		"sweep a.yaml -seeds 9-1":          "want a range such as 1-1000",
		"sweep a.yaml -shard 3/2":          "want i/n",
		"sweep a.yaml -parallel 0":         "want 1 to 1024",
		"sweep a.yaml -seeds 3 -shard 2/2": "no seed of 3",
		"compare a.yaml -config b.yaml":    "-config twice or more",
		"shrink a.yaml":                    "shrink needs -seed",
		"shrink none.yaml -seed 1":         "no such file",
		"merge":                            "merge needs the files",
		"completion":                       "the name of the shell",
		"run -plot -json a.yaml":           "which -json does not print",
		"sweep a.yaml -plot":               "-plot; it is a flag of run (",
		"run a.yaml -expect x":             "-expect; it is a flag of shrink (",
		"shrink a.yaml -expct x":           "did you mean -expect?",
	} {
		code, _, stderr := wavesim(strings.Fields(line)...)
		require.Equal(t, exitUsage, code, line)
		require.Contains(t, stderr, want, line)
	}
}

func TestHelpAndVersionGoToStandardOutput(t *testing.T) {
	for _, line := range []string{"-h", "--help", "help", "run -h", "list -h", "sweep -h", "shrink -h", "compare -h", "merge -h", "explain -h", "completion -h"} {
		code, stdout, stderr := wavesim(strings.Fields(line)...)
		require.Equal(t, exitOK, code)
		require.Contains(t, stdout, "exit codes:")
		require.Empty(t, stderr)
	}
	code, stdout, _ := wavesim("-version")
	require.Equal(t, exitOK, code)
	require.True(t, strings.HasPrefix(stdout, "wavesim "))
}

func TestTheHelpOfACommandIsAboutThatCommand(t *testing.T) {
	for command, want := range map[string]struct{ has, lacks []string }{
		"run":        {[]string{"usage: wavesim run FILE...", "run -seed 7 -check", "\n  -seed N         the seed", "-limit"}, []string{"-shard", "-expect", "merge part"}},
		"sweep":      {[]string{"run one with many seeds", "-shard I/N      only every", "-limit"}, []string{"-trace", "-expect"}},
		"compare":    {[]string{"-config A -config B", "compare wants two"}, []string{"-trace", "-shard"}},
		"list":       {[]string{"usage: wavesim list [DIR]"}, []string{"flags may stand", "-seed"}},
		"explain":    {[]string{"what a fault does"}, []string{"-seed"}},
		"completion": {[]string{"bash|zsh|fish"}, []string{"-seed"}},
	} {
		code, stdout, _ := wavesim(command, "-h")
		require.Equal(t, exitOK, code)
		for _, part := range want.has {
			require.Contains(t, stdout, part, command)
		}
		for _, part := range want.lacks {
			require.NotContains(t, stdout, part, command)
		}
	}
	_, all, _ := wavesim("-h")
	require.Equal(t, usage, all)
}

func TestListShowsWhatEachScenarioIsAbout(t *testing.T) {
	code, stdout, _ := wavesim("list", filepath.Join("..", "..", "testdata", "scenarios"))
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "silent-drop.yaml")
	require.Contains(t, stdout, "One of three backends")
	dir := filepath.Dir(write(t, "bad.yaml", "?"))
	code, stdout, _ = wavesim("list", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "not a scenario")
}

func TestColourIsForTerminalsOnly(t *testing.T) {
	text := "demo  seed 1   1s\n  ok    a == 1   1\n  FAIL  b == 1   2\n        1m00.000s  ok\n"
	require.Equal(t, text, paint(text, false))
	require.Equal(t, "\x1b[1mdemo\x1b[0m  seed 1   1s\n  \x1b[32mok\x1b[0m    a == 1   1\n  \x1b[1;31mFAIL\x1b[0m  b == 1   2\n"+
		"        1m00.000s  ok\n", paint(text, true))
	require.Equal(t, "  \x1b[1;31m✗ backend_timeout ▁▂\x1b[0m\n", paint("\n  ✗ backend_timeout ▁▂\n", true)[1:])
	require.False(t, isTerminal(&bytes.Buffer{}))
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, isTerminal(null))
	t.Setenv("NO_COLOR", "1")
	o, err := parseRun([]string{"x.yaml"})
	require.NoError(t, err)
	require.True(t, o.noColor)
}

func TestAPlotIsDrawnWhereItIsAskedForAndFits(t *testing.T) {
	file := write(t, "x.yaml", tiny)
	_, plain, _ := wavesim("run", file)
	require.NotContains(t, plain, "answered  █", "nobody looks at a terminal here")
	for columns, width := range map[string]int{"": 80, "100": 100, "20": scenario.MinPlotWidth, "9999": maxWidth, "many": 80, "-3": 80} {
		t.Setenv("COLUMNS", columns)
		code, stdout, stderr := wavesim("run", file, "-plot")
		require.Equal(t, exitOK, code, stderr)
		table, plot, ok := strings.Cut(stdout, "\n\n")
		require.True(t, ok)
		require.Contains(t, table, "ok    success_rate == 100%")
		require.Contains(t, plot, "  answered ")
		require.NotContains(t, plot, "\x1b")
		widest := 0
		for _, line := range strings.Split(plot, "\n") {
			widest = max(widest, utf8.RuneCountInString(line))
		}
		require.LessOrEqual(t, widest, width, columns)
		require.Greater(t, widest, width-10, columns)
	}
	_, off, _ := wavesim("run", file, "-plot=false")
	require.NotContains(t, off, "  answered ")

	t.Setenv(misdeed, "exit")
	_, stdout, _ := wavesim("run", "-plot", file)
	require.Equal(t, "tiny  seed 3   broke off\n", stdout[:strings.Index(stdout, "\n")+1])
	require.NotContains(t, stdout, "trace")
	require.NotContains(t, stdout, "answered")
}
