package netsim

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const childEnv = "NETSIM_TEST_CHILD"

// child runs this test binary again, to do one thing only: some verdicts leave goroutines behind or end the
// process.
func child(t *testing.T, what string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestChild does the work of child in the second process and nothing in the first.
func TestChild(t *testing.T) {
	switch what := os.Getenv(childEnv); what {
	case "":
		t.Skip("for child processes only")
	case "deadlock":
		verdict(Run(Config{}, func(*Sim) { <-make(chan int) }), ErrDeadlock)
	case "left":
		verdict(Run(Config{}, func(*Sim) { go func() { <-make(chan int) }() }), ErrLeft)
	case "stuck":
		Run(Config{Seed: 99, StuckAfter: 400 * time.Millisecond}, lockOverAWait)
	case "stuck in a test":
		Test(t, Config{Seed: 99, StuckAfter: 400 * time.Millisecond}, lockOverAWait)
	case "write under a lock":
		Run(Config{Seed: 99, StuckAfter: 400 * time.Millisecond}, func(s *Sim) { writesUnderALock(s, 0) })
	case "failing test":
		Test(t, Config{Seed: 77}, func(s *Sim) {
			s.Note("room", "event", "the last one")
			require.Equal(t, 1, 2)
		})
	case "deadlocked test":
		Test(t, Config{Seed: 77}, func(s *Sim) {
			l, err := s.Host("server", "").Listen(context.Background(), "tcp", ":80")
			require.NoError(t, err)
			s.Clock().Sleep(time.Minute)
			s.Note("room", "event", "the last one")
			_, _ = l.Accept()
		})
	case "panicking test":
		Test(t, Config{Seed: 77}, func(*Sim) { panic("planted") })
	case "race":
		verdict(Run(Config{}, plantedRace), ErrFailed)
	case "outlived and left":
		verdict(Run(Config{}, outlivingTheSimulation), ErrOutlived)
	case "outlived":
		Test(t, Config{Seed: 77}, outlivingItsHost)
	default:
		t.Fatal("unknown work ", what)
	}
}

// verdict ends a child: goroutines are left, so goleak must not look.
func verdict(res Result, want error) {
	if !errors.Is(res.Err, want) {
		os.Stderr.WriteString("unexpected verdict: " + res.Err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(res.Err.Error())
	os.Exit(0)
}

// lockOverAWait breaks the law that no lock is held over a wait.
func lockOverAWait(s *Sim) {
	var mu sync.Mutex
	go func() {
		mu.Lock()
		defer mu.Unlock()
		s.Clock().Sleep(time.Hour)
	}()
	s.Clock().Sleep(time.Second)
	mu.Lock()
	defer mu.Unlock()
}

// plantedRace is a data race between two instants, which only the race detector sees.
func plantedRace(s *Sim) {
	n := 0
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		s.Clock().AfterFunc(time.Second, func() { n++; wg.Done() })
	}
	wg.Wait()
}

func TestRunReportsADataRaceAndDoesNotEndItsCaller(t *testing.T) {
	if !raceEnabled {
		t.Skip("needs -race")
	}
	out, errs, status := child(t, "race")
	require.Contains(t, out, ErrFailed.Error())
	require.NotZero(t, status, "the race detector sees to it")
	require.Contains(t, errs, "WARNING: DATA RACE")
}

func TestRunWorksWithoutATestRunner(t *testing.T) {
	res := Run(Config{Seed: 4, KeepTrace: true}, func(s *Sim) {
		s.Clock().Sleep(time.Hour)
		s.Note("me", "woke", "")
	})
	require.NoError(t, res.Err)
	require.EqualValues(t, 1, res.Events)
	require.InDelta(t, time.Hour, res.Virtual, 1000)
	require.Equal(t, "me", res.Trace.Events[0].Actor)
	require.Equal(t, res.Trace.Hash, res.Hash)
}

func TestRunReportsAPanicOfItsBody(t *testing.T) {
	res := Run(Config{}, func(s *Sim) {
		s.Note("me", "about to panic", "")
		panic("planted")
	})
	var p *PanicError
	require.ErrorAs(t, res.Err, &p)
	require.Equal(t, "planted", p.Value)
	require.Contains(t, string(p.Stack), "run_test.go")
	require.Equal(t, "netsim: panic: planted", p.Error())
	require.EqualValues(t, 1, res.Events)
}

func TestRunReportsABodyThatEndsItsGoroutine(t *testing.T) {
	res := Run(Config{}, func(*Sim) { new(testing.T).SkipNow() })
	require.ErrorIs(t, res.Err, errExited)
}

func TestRunReportsADeadlockAndGoroutinesThatAreLeft(t *testing.T) {
	for what, want := range map[string]error{"deadlock": ErrDeadlock, "left": ErrLeft} {
		out, errs, status := child(t, what)
		require.Zero(t, status, errs)
		require.Contains(t, out, want.Error())
	}
}

func TestADeadlockedTestTellsItsStateAndWhereEachGoroutineWaits(t *testing.T) {
	out, errs, status := child(t, "deadlocked test")
	require.NotZero(t, status)
	require.Contains(t, out, "netsim: seed 77; the last 2 events")
	require.Contains(t, out, "room#1 event the last one")
	require.Contains(t, out, "the network at 1m0.", "the bubble's time, and not the real one")
	require.Contains(t, out, "LISTEN      :80 backlog 0/128, accepting 1")
	require.Contains(t, errs, "panic: deadlock: all goroutines in bubble are blocked")
	require.Contains(t, errs, "netsim.(*Listener).Accept", "the stack of the one that waits")
}

func TestTheWatchdogFindsALockHeldOverAWait(t *testing.T) {
	for _, what := range []string{"stuck", "stuck in a test"} {
		_, errs, status := child(t, what)
		require.Equal(t, exitStuck, status, errs)
		require.Contains(t, errs, "netsim: stuck: seed 99")
		require.Contains(t, errs, "lockOverAWait", "the stacks must show the culprit")
	}
}

func TestTheWatchdogLeavesIdleVirtualTimeAlone(t *testing.T) {
	verdicts := make(chan Stuck, 1)
	cfg := Config{StuckAfter: 2 * time.Second, OnStuck: func(v Stuck) { verdicts <- v }}
	res := Run(cfg, func(s *Sim) { s.Clock().Sleep(1000 * time.Hour) })
	require.NoError(t, res.Err)
	require.Empty(t, verdicts)
}

func TestTheWatchdogCallsItsHookOutsideTheBubble(t *testing.T) {
	verdicts := make(chan Stuck, 1)
	release := make(chan struct{}) // not of the bubble: to wait for it is no virtual wait, like real I/O
	cfg := Config{Seed: 5, StuckAfter: 80 * time.Millisecond, OnStuck: func(v Stuck) {
		verdicts <- v
		close(release)
	}}
	res := Run(cfg, func(*Sim) { <-release })
	require.NoError(t, res.Err)
	v := <-verdicts
	require.EqualValues(t, 5, v.Seed)
	require.Contains(t, v.String(), "goroutine ")
}

func TestAFailingTestShowsItsSeedAndLastEvents(t *testing.T) {
	out, _, status := child(t, "failing test")
	require.NotZero(t, status)
	require.Contains(t, out, "netsim: seed 77; the last 1 events:")
	require.Contains(t, out, "room#1 event the last one")
	require.Contains(t, out, "netsim: the network at 0s, seed 77\n")
	out, errs, status := child(t, "panicking test")
	require.NotZero(t, status)
	require.True(t, strings.Contains(out+errs, "seed 77") && strings.Contains(out+errs, "planted"), out+errs)
}
