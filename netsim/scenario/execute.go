package scenario

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/netsim"
)

// Options are how a scenario is executed. The zero value is useful.
type Options struct {
	// KeepTrace keeps the whole trace in the verdict instead of its end: some hundred bytes for each event.
	KeepTrace bool
	// StuckAfter is how long, in wall-clock time, a run may go on without any progress. Default 10 s.
	StuckAfter time.Duration
	// OnStuck is called when that time is over. Default: the process ends with status 3 and all stacks on
	// standard error.
	OnStuck func(netsim.Stuck)
	// Wall measures the wall-clock time. Default: the real clock.
	Wall clock.Clock
}

// Execute runs the scenario in a bubble of its own. There is always a verdict; a run that broke off has one that
// fails, and the error says how: netsim.ErrDeadlock, netsim.ErrLeft or a *netsim.PanicError. After a deadlock
// the goroutines of the run are left. Execute must not be called inside a bubble.
func Execute(sc *Scenario, opts Options) (*Verdict, error) {
	if opts.Wall == nil {
		opts.Wall = clock.New()
	}
	begun := opts.Wall.Now()
	var v *Verdict
	res := netsim.Run(netsim.Config{Seed: sc.Seed, KeepTrace: opts.KeepTrace, StuckAfter: opts.StuckAfter,
		OnStuck: opts.OnStuck, Latency: sc.Network.Default.Latency, Jitter: sc.Network.Default.Jitter},
		func(sim *netsim.Sim) { v = ExecuteIn(sim, sc) })
	switch {
	case v == nil:
		v = Broken(sc.Name, sc.Seed, res.Err.Error())
		v.TraceHash, v.Events, v.VirtualSeconds = fmt.Sprintf("%016x", res.Hash), res.Events, inSeconds(res.Virtual)
	case res.Err != nil:
		v.Expectations = append(v.Expectations, Judged{Expect: "the run ends in order", Value: res.Err.Error()})
	}
	var p *netsim.PanicError
	if errors.As(res.Err, &p) {
		v.Timeline = append(v.Timeline, Moment{At: inSeconds(res.Virtual), Text: string(p.Stack)})
	}
	v.Trace = res.Trace
	v.WallSeconds = opts.Wall.Now().Sub(begun).Seconds()
	return v, res.Err
}

// Run runs the scenario file at path as a part of the test t, which fails with the verdict's text if an expectation does
// not hold. It returns the verdict. It must not be called inside a bubble.
func Run(t testing.TB, path string) *Verdict {
	t.Helper()
	sc, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Execute(sc, Options{})
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, v.Text())
	case !v.OK():
		t.Errorf("%s", v.Text())
	}
	return v
}
