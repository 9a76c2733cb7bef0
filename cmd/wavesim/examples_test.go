package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// example reads the documents of a file of testdata/examples.
func example(t *testing.T, name string) (docs []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "examples", name))
	require.NoError(t, err)
	for dec := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		require.NoError(t, err)
		docs = append(docs, doc)
	}
}

// at follows keys and indexes.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, key := range path {
		switch k := key.(type) {
		case string:
			require.Contains(t, v, k)
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v
}

// shardsOf runs an example's command in a real shell once for each shard, with a wavesim that only says its arguments, and
// returns what wavesim would understand by them.
func shardsOf(t *testing.T, command string, shards int, env func(i int) []string, fill func(command string, i int) string) (all []*sweepOptions) {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "wavesim"), []byte("#!/bin/sh\necho \"$@\"\nexit 1\n"), 0o700))
	for i := range shards {
		cmd := exec.Command("sh", "-c", fill(command, i))
		cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")), env(i)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "a sweep in which seeds fail is a sweep that was done: %s", out)
		words := strings.Fields(string(out))
		require.Equal(t, "sweep", words[0])
		o, err := parseSweep(words[1:])
		require.NoError(t, err, "%s", out)
		all = append(all, o)
	}
	return all
}

// demandWhole wants the shards to be the whole sweep, each with a file of its own that merge finds.
func demandWhole(t *testing.T, all []*sweepOptions, merge string) {
	t.Helper()
	seen, files := map[uint64]bool{}, map[string]bool{}
	for _, o := range all {
		for _, seed := range o.seeds.seeds(o.shard) {
			require.False(t, seen[seed])
			seen[seed] = true
		}
		files[o.out] = true
		pattern := strings.Fields(merge)[2]
		ok, err := filepath.Match(pattern, o.out)
		require.NoError(t, err)
		require.True(t, ok, "%s is not among %s", o.out, pattern)
	}
	require.Len(t, seen, 10_000)
	require.Len(t, files, len(all))
}

func TestTheKubernetesExampleSharesAWholeSweep(t *testing.T) {
	docs := example(t, "sweep-job.yaml")
	spec := at(t, docs[1], "spec")
	require.Equal(t, "Indexed", at(t, spec, "completionMode"))
	pods := at(t, spec, "completions").(int)
	require.Equal(t, pods, at(t, spec, "parallelism"))
	box := at(t, spec, "template", "spec", "containers", 0)
	vars := []string{}
	for _, v := range at(t, box, "env").([]any) {
		vars = append(vars, fmt.Sprintf("%v=%v", at(t, v, "name"), at(t, v, "value")))
	}
	require.Contains(t, vars, fmt.Sprintf("SHARDS=%d", pods))
	all := shardsOf(t, at(t, box, "args", 0).(string), pods,
		func(i int) []string { return append(vars, fmt.Sprintf("JOB_COMPLETION_INDEX=%d", i)) },
		func(command string, _ int) string { return command })
	require.Equal(t, true, at(t, docs[2], "spec", "suspend"))
	merge := at(t, docs[2], "spec", "template", "spec", "containers", 0, "args", 0).(string)
	demandWhole(t, all, merge)
}

func TestTheMatrixExampleSharesAWholeSweep(t *testing.T) {
	jobs := at(t, example(t, "sweep-matrix.yaml")[0], "jobs")
	shards := at(t, jobs, "sweep", "strategy", "matrix", "shard").([]any)
	find := func(job, verb string) (command string) {
		for _, step := range at(t, jobs, job, "steps").([]any) {
			if run, ok := step.(map[string]any)["run"].(string); ok && strings.HasPrefix(run, "wavesim "+verb) {
				command = run
			}
		}
		require.NotEmpty(t, command)
		return command
	}
	all := shardsOf(t, find("sweep", "sweep"), len(shards), func(int) []string { return nil },
		func(command string, i int) string {
			return strings.ReplaceAll(command, "${{ matrix.shard }}", fmt.Sprint(shards[i]))
		})
	demandWhole(t, all, find("merge", "merge"))
}

// The README tells of a question and its answer; whoever follows it must come to the same end.
func TestTheStoryOfTheReadmeEndsWell(t *testing.T) {
	failover := func(config string) float64 {
		sc, err := scenario.Load(filepath.Join("..", "..", "testdata", "examples", "silent-backend.yaml"))
		require.NoError(t, err)
		require.NoError(t, sc.UseConfig(filepath.Join("..", "..", "testdata", config)))
		v, err := scenario.Execute(sc, scenario.Options{})
		require.NoError(t, err)
		require.Empty(t, v.BrokeOff)
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		var told struct {
			Expectations []struct {
				Expect, Value string
				OK            bool
			}
		}
		require.NoError(t, json.Unmarshal(raw, &told))
		for _, e := range told.Expectations {
			if took, err := time.ParseDuration(strings.ReplaceAll(e.Value, " ", "")); err == nil && strings.HasPrefix(e.Expect, "time_to_failover") {
				return took.Seconds()
			}
		}
		t.Fatalf("no time to failover: %s", raw)
		return 0
	}
	now, next := failover("configs/three-backends.yaml"), failover("examples/quicker.yaml")
	require.LessOrEqual(t, next, 2.0, "as hoped for")
	require.LessOrEqual(t, next, now)
}
