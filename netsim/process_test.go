package netsim

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGoroutinesOfAHostEndWithItsCrash(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		var ended, never atomic.Int32
		for range 5 {
			x.server.Go("worker", func(ctx context.Context) {
				_, err := x.b.Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				<-ctx.Done()
				ended.Add(1)
			})
		}
		for i := range 5 {
			x.server.Go("starter", func(context.Context) { x.Note(fmt.Sprint("starter", i), "began", "") })
		}
		x.sleep(time.Second)
		at := map[int64]bool{}
		for _, e := range x.Trace().Events {
			if e.Kind == "began" {
				at[e.At] = true
			}
		}
		require.Len(t, at, 5, "each begins at an instant of its own")
		x.server.Crash()
		x.server.Go("on a host that is down", func(context.Context) { never.Add(1) })
		x.sleep(time.Minute)
		require.EqualValues(t, 5, ended.Load())
		require.Zero(t, never.Load())
		require.NoError(t, x.leftover())
		require.Panics(t, func() { x.server.Go("", func(context.Context) {}) })
	})
}

// outliving runs a host with one goroutine that returns so long after its host's end.
func outliving(end func(h *Host), after time.Duration) Result {
	return Run(Config{Seed: 7, KeepTrace: true, CrashGrace: 3 * time.Second}, func(s *Sim) {
		h := s.Host("web", "")
		h.Go("the listener", func(ctx context.Context) {
			<-ctx.Done()
			s.Clock().Sleep(after)
		})
		s.Clock().Sleep(time.Second)
		end(h)
		s.Clock().Sleep(time.Minute)
		s.locked(func() {
			if s.living != 0 {
				panic("a goroutine that was reported and then returned counts twice")
			}
		})
	})
}

func TestAGoroutineThatOutlivesItsHostIsReportedByName(t *testing.T) {
	for word, end := range map[string]func(*Host){"its crash": (*Host).Crash, "its kill": (*Host).Kill} {
		res := outliving(end, 3*time.Second-time.Microsecond)
		require.NoError(t, res.Err, "just in time")
		res = outliving(end, 3*time.Second+time.Microsecond)
		require.ErrorIs(t, res.Err, ErrOutlived)
		require.EqualError(t, res.Err, `netsim: seed 7: a goroutine outlived its host: goroutine "the listener" of `+
			`host "web" outlived `+word+` by 3s`)
		require.True(t, slices.ContainsFunc(res.Trace.Events, func(e Event) bool {
			return e.Actor == "web/the listener" && e.Kind == "outlived" && e.Detail == word
		}))
		require.Equal(t, res.Hash, outliving(end, 3*time.Second+time.Microsecond).Hash)
	}
}

// outlivingItsHost has a goroutine that returns too late, but before the end.
func outlivingItsHost(s *Sim) {
	h := s.Host("web", "")
	h.Go("late", func(context.Context) { s.Clock().Sleep(time.Minute) })
	s.Clock().Sleep(time.Second)
	h.Crash()
	s.Clock().Sleep(time.Hour)
}

// outlivingTheSimulation has a goroutine that never ends.
func outlivingTheSimulation(s *Sim) {
	s.Host("web", "").Go("sleeper", func(context.Context) { <-make(chan int) })
	s.Clock().Sleep(time.Second)
}

func TestAGoroutineThatOutlivesItsHostFailsATestAndIsNamedBesideOtherVerdicts(t *testing.T) {
	stdout, _, status := child(t, "outlived")
	require.Equal(t, 1, status)
	require.Contains(t, stdout, `goroutine "late" of host "web" outlived its crash by 10s`)
	stdout, _, status = child(t, "outlived and left")
	require.Zero(t, status, stdout)
	require.Contains(t, stdout, `goroutine "sleeper" of host "web" outlived the simulation by 10s`)
	require.Contains(t, stdout, ErrLeft.Error())
}

func TestCloseWaitsForTheGoroutinesOfHosts(t *testing.T) {
	var ended atomic.Bool
	Test(t, Config{}, func(s *Sim) {
		s.Host("web", "").Go("drain", func(ctx context.Context) {
			<-ctx.Done()
			s.Clock().Sleep(9 * time.Second)
			ended.Store(true)
		})
		s.Clock().Sleep(0)
		s.Clock().Sleep(0)
		s.Close()
		require.True(t, ended.Load())
		s.Close()
	})
}

func TestGoroutinesOfHostsWorkOnTheRealClock(t *testing.T) {
	s := New(Config{})
	h := s.Host("web", "")
	began, ended := make(chan struct{}), false
	h.Go("drain", func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		ended = true
	})
	<-began
	s.Close()
	require.True(t, ended)
	require.NoError(t, s.leftover())
}

func TestAGoroutineOfAPausedHostBeginsWhenItGoesOn(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		pause := x.Pause("server")
		var at atomic.Int64
		x.server.Go("late", func(context.Context) { at.Store(int64(x.Elapsed())) })
		x.sleep(time.Minute)
		require.Zero(t, at.Load())
		pause.Stop()
		x.sleep(ms)
		require.GreaterOrEqual(t, at.Load(), int64(time.Minute))
	})
}
