package netsim

import (
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// Test runs body in a bubble of virtual time, under the watchdog, and closes the simulation afterwards;
// goroutines that body has started must end by then. When the test fails it logs the seed, the last events
// and the state of the network (Sim.Netstat); a panic tells them too. After a deadlock, and when goroutines are
// left blocked for ever, it logs them as of the last event, and the runtime prints the stacks of all goroutines
// of the bubble.
func Test(t *testing.T, cfg Config, body func(s *Sim)) {
	t.Helper()
	cfg = cfg.withDefaults()
	stop := watch(cfg)
	defer stop()
	var s *Sim
	failed := false // and told
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error: // a deadlock: for its own value the runtime prints the stacks of the bubble's goroutines
			if s != nil && !failed {
				t.Log(s.postMortem())
			}
			panic(r)
		default:
			panic(fmt.Sprintf("netsim: seed %d: %v", cfg.Seed, r))
		}
	}()
	synctest.Test(t, func(bubble *testing.T) {
		s = New(cfg)
		finished := false
		defer func() {
			if r := recover(); r != nil {
				// Nothing prints a log when a panic ends the process.
				panic(fmt.Sprintf("%v\n%s", r, s.report()))
			}
			failed = !finished || t.Failed() || bubble.Failed()
			report := ""
			if failed {
				report = s.report() // while the network still is as the failure found it
			}
			s.Close()
			if err := s.leftover(); err != nil {
				bubble.Error(err)
				if !failed {
					failed, report = true, s.report()
				}
			}
			if failed {
				t.Log(report)
			}
		}()
		body(s)
		finished = true
	})
}

// report gives the seed, the last events and the state of the network.
func (s *Sim) report() string { return s.lastEvents(s.Trace()) + s.Netstat() }

// postMortem is report for a bubble that is over, in which time stopped at the last event: the clock that shows
// it cannot be asked from outside.
func (s *Sim) postMortem() string {
	t, at := s.Trace(), int64(0)
	if n := len(t.Events); n > 0 {
		at = t.Events[n-1].At
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastEvents(t) + s.snapshot(at).String()
}

func (s *Sim) lastEvents(t *Trace) string {
	if n := len(t.Events) - s.cfg.LastEvents; n > 0 {
		t.Events = t.Events[n:]
	}
	var b reportText
	fmt.Fprintf(&b, "netsim: seed %d; the last %d events:\n", s.cfg.Seed, len(t.Events))
	_ = t.WriteText(&b) // it cannot fail: it writes to memory
	return string(b)
}

type reportText []byte

func (b *reportText) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// Result is what Run tells about a run.
type Result struct {
	Hash    uint64        // of the canonical trace
	Events  uint64        // in the trace
	Virtual time.Duration // how much time the run simulated
	Trace   *Trace        // as kept by Config.KeepTrace
	Err     error         // *PanicError, ErrDeadlock, ErrLeft, ErrOutlived or ErrFailed; nil when all went well
}

// ErrDeadlock is Run's verdict when every goroutine waits and nothing can wake one.
var ErrDeadlock = errors.New("netsim: deadlock: all goroutines are blocked and no event is left")

// ErrLeft is Run's verdict when body has returned and goroutines that it started are blocked for ever.
var ErrLeft = errors.New("netsim: goroutines are left blocked after the end of the run")

// PanicError is Run's verdict about a panic in the body's own goroutine. One in another goroutine ends the
// process.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where
}

// Error tells the value; the stack is apart.
func (e *PanicError) Error() string { return fmt.Sprintf("netsim: panic: %v", e.Value) }

// errExited is the verdict about a body that called runtime.Goexit, for example by FailNow of some test.
var errExited = errors.New("netsim: the body ended its goroutine")

// ErrFailed is Run's verdict when the testing package failed the run: in a binary built with -race that
// means that a data race was detected, and reported on standard error.
var ErrFailed = errors.New("netsim: the run was failed from outside: a data race was detected")

// Run does the same as Test in any binary. It reports a panic of body and a deadlock as errors; after a
// deadlock the blocked goroutines stay, which is why a simulator runs each batch in a process of its own.
// Run must not be called inside a bubble.
//
// It needs nothing of package testing but its bubble: synctest.Test works with a test of its own making,
// which a test of this package guards against changes in the Go toolchain.
func Run(cfg Config, body func(s *Sim)) (res Result) {
	cfg = cfg.withDefaults()
	stop := watch(cfg)
	defer stop()
	r := &run{cfg: cfg, body: body, verdict: errExited}
	ended := make(chan struct{})
	go func() { // a failing testing.T ends the goroutine that it belongs to, which must not be the caller's
		defer close(ended)
		r.inBubble()
	}()
	<-ended
	return r.res
}

// run is what Run is about, while it runs.
type run struct {
	cfg      Config
	body     func(s *Sim)
	s        *Sim
	res      Result
	verdict  error
	returned bool // body has
}

func (r *run) inBubble() {
	finished := false
	defer func() {
		switch p := recover(); {
		case p != nil && r.returned:
			r.verdict = fmt.Errorf("%w: %v", ErrLeft, p)
			if err := r.s.leftover(); err != nil {
				r.verdict = errors.Join(r.verdict, err)
			}
		case p != nil:
			r.verdict = fmt.Errorf("%w: %v", ErrDeadlock, p)
		case !finished && r.verdict == nil:
			r.verdict = ErrFailed
		}
		r.res.Err = r.verdict
		if r.s != nil && r.res.Trace == nil {
			r.res.take(r.s)
		}
	}()
	synctest.Test(new(testing.T), func(*testing.T) {
		r.s = New(r.cfg)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.verdict = runBody(r.s, r.body)
		}()
		<-done
		r.returned = true
		r.res.Virtual = r.s.Elapsed()
		r.s.Close()
		if r.verdict == nil {
			r.verdict = r.s.leftover()
		}
		r.res.take(r.s)
	})
	finished = true
}

// runBody calls body and turns its panic into an error.
func runBody(s *Sim, body func(s *Sim)) (err error) {
	err = errExited
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	body(s)
	return nil
}

func (r *Result) take(s *Sim) {
	r.Trace = s.Trace()
	r.Hash, r.Events = r.Trace.Hash, r.Trace.Total
}
