package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
)

// watched is a test that is watched from outside.
type watched struct {
	testing.TB
	errors []string
	fatal  string
}

func (w *watched) Helper() {}
func (w *watched) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}
func (w *watched) Fatal(args ...any) {
	w.fatal = fmt.Sprint(args...)
	runtime.Goexit()
}

func (w *watched) run(path string) (v *Verdict) {
	var done sync.WaitGroup
	done.Go(func() { v = Run(w, path) })
	done.Wait()
	return v
}

func TestRunFailsTheTestThatItIsCalledInWithTheVerdict(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.yaml")
	write := func(replace ...string) {
		require.NoError(t, os.WriteFile(file, []byte(smallText(replace...)), 0o600))
	}
	write("expect", "[success_rate == 100%]")
	var good, bad, none, broken watched
	require.True(t, good.run(file).OK())
	require.Empty(t, good.errors)

	write("expect", "[success_rate < 100%]")
	require.False(t, bad.run(file).OK())
	require.Len(t, bad.errors, 1)
	require.Contains(t, bad.errors[0], "FAIL  success_rate < 100%   100.00 %")

	write("duration", "0s")
	none.run(file)
	require.Contains(t, none.fatal, "small.yaml:3: duration: ")

	write("listener", "{address: '10.9.9.9:80', upstream: web}, {address: '10.9.9.8:80', upstream: web}")
	require.False(t, broken.run(file).OK())
	require.Contains(t, broken.errors[0], "small  seed 1   broke off\n  FAIL  the proxy starts")
}

func TestARunInABubbleOfOnesOwnIsTheSameRun(t *testing.T) {
	sc, err := Parse("small.yaml", []byte(smallText()))
	require.NoError(t, err)
	want, err := Execute(sc, Options{})
	require.NoError(t, err)
	d := sc.Network.Default
	var got *Verdict
	res := netsim.Run(netsim.Config{Seed: sc.Seed, Latency: d.Latency, Jitter: d.Jitter}, func(sim *netsim.Sim) { got = ExecuteIn(sim, sc) })
	require.NoError(t, res.Err)
	require.Equal(t, want.TraceHash, got.TraceHash)
	require.Zero(t, got.WallSeconds)
}
