package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// completed asks a real bash what it would offer for the last word of a line.
func completed(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	_, script, _ := wavesim("completion", "bash")
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + w + "'"
	}
	cmd := exec.Command("bash", "-c", script+"\nCOMP_WORDS=("+strings.Join(quoted, " ")+"); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); "+
		"_wavesim; printf '%s\\n' \"${COMPREPLY[@]}\"")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	offers := strings.Fields(string(out))
	slices.Sort(offers)
	return offers
}

func TestTheShellOffersWhatACommandTakes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	file := write(t, "mine.yaml", tiny)
	dir := filepath.Dir(file)
	offer := func(words ...string) []string { return completed(t, dir, append([]string{"wavesim"}, words...)...) }

	require.Equal(t, slices.Sorted(slices.Values(commands)), offer(""))
	require.Equal(t, []string{"shrink"}, offer("sh"))
	require.Equal(t, []string{"-check", "-config", "-json", "-limit", "-plot", "-report", "-seed", "-trace"}, offer("run", "-"))
	require.Equal(t, []string{"-config", "-expect", "-limit", "-out", "-seed"}, offer("shrink", "mine.yaml", "-"))
	require.Equal(t, []string{"-seeds", "-shard"}, offer("sweep", "mine.yaml", "-s"))
	require.Equal(t, []string{"silent_drop", "slow"}, offer("explain", "s"))
	require.Equal(t, []string{"bash", "fish", "zsh"}, offer("completion", ""))
	require.Equal(t, []string{"mine.yaml"}, offer("run", ""))
	require.Equal(t, []string{"mine.yaml"}, offer("compare", "x.yaml", "-config", ""))
	require.Empty(t, offer("run", "-seed", ""))
	require.Empty(t, offer("version", ""))
}

// The other two shells may not be there; their scripts have the same facts.
func TestEveryShellKnowsEveryFlagOfEveryCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, _ := wavesim("completion", shell)
		require.Equal(t, exitOK, code)
		require.NotContains(t, script, "@", "every place is filled in: %s", shell)
		for _, c := range commands {
			require.Contains(t, script, c)
			for _, f := range flagsOf(c) {
				require.True(t, strings.Contains(script, "-o "+f[1:]) || strings.Contains(script, f), "%s %s", c, f)
			}
		}
		require.Contains(t, script, "partition_one_way")
		if path, err := exec.LookPath(shell); err == nil {
			out, err := exec.Command(path, "-n", write(t, "script", script)).CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
	}
	code, _, _ := wavesim("completion", "tcsh")
	require.Equal(t, exitUsage, code)
}

// A flag that is described nowhere, or takes a value that the scripts do not know of, is a mistake.
func TestEveryFlagIsInTheUsageAndOfAKnownKind(t *testing.T) {
	for _, c := range commands {
		for _, f := range flagsOf(c) {
			require.Contains(t, usage, "\n  "+f+" ", f)
			b, isBool := flagSets()[c].Lookup(f[1:]).Value.(interface{ IsBoolFlag() bool })
			alone := isBool && b.IsBoolFlag()
			require.Equal(t, !alone, slices.Contains(fileFlags, f) || slices.Contains(valueFlags, f), f)
		}
	}
	for _, f := range append(slices.Clone(fileFlags), valueFlags...) {
		require.NotEmpty(t, commandsOf(f[1:]), f)
	}
}
