package netsim

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// locked looks into the simulation.
func (s *Sim) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// later starts f at an instant of its own; the returned function waits for its end and tells when it came.
func (x *lab) later(f func()) (ended func() time.Duration) {
	done := make(chan time.Duration, 1)
	x.Clock().AfterFunc(0, func() {
		defer func() { done <- x.Elapsed() }() // a failed requirement ends the goroutine
		f()
	})
	x.sleep(ms)
	return func() time.Duration { return <-done }
}

func TestAcceptWithoutServiceFillsTheBacklogAndServesOldConnections(t *testing.T) {
	inLab(t, Config{Backlog: 2, SYNRetries: 1}, func(x *lab) {
		fault := x.AcceptWithoutService("server")
		var got []net.Conn
		accepted := x.later(func() {
			for range 2 {
				c, err := x.l.Accept()
				require.NoError(t, err)
				got = append(got, c)
			}
		})
		var mine []net.Conn
		for range 2 {
			x.took(2*ms, func() {
				c, err := x.dial()
				require.NoError(t, err, "the kernel goes on")
				mine = append(mine, c)
			})
		}
		_, err := x.dial()
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "the third finds the backlog full")
		x.write(mine[0], "a request")
		_ = mine[0].SetReadDeadline(x.Clock().Now().Add(time.Second))
		x.readError(mine[0], os.ErrDeadlineExceeded)
		x.write(x.a, "old connections are served")
		x.read(x.b, "old connections are served")
		require.Empty(t, got)
		at := x.Elapsed()
		fault.Stop()
		fault.Stop()
		require.InDelta(t, at, accepted(), float64(time.Microsecond))
		x.read(got[0], "a request")
		require.Equal(t, "fault1:accept-without-service(server)", fault.Name())
	})
}

func TestAStalledServiceHearsNothingWhileItsKernelAcknowledges(t *testing.T) {
	inLab(t, Config{RecvBuffer: 10, SendBuffer: 10}, func(x *lab) {
		_, d := x.connect()
		fault := x.Stall("server")
		heard := x.later(func() { x.read(x.b, "0123456789") })
		accepted := x.later(func() { _, _ = x.l.Accept() })
		x.write(x.a, "0123456789")
		x.sleep(5 * ms)
		x.locked(func() { require.Equal(t, 10, x.a.out.space(x.now()), "all is acknowledged") })
		_, err := x.dial()
		require.NoError(t, err)
		n, err := x.b.Peek(make([]byte, 5))
		require.Zero(t, n)
		require.NoError(t, err)
		x.write(x.b, "of its own accord")
		x.read(x.a, "of its own accord")
		x.write(x.a, "0123456789") // it waits in the sender's buffer
		_ = x.a.SetWriteDeadline(x.Clock().Now().Add(time.Second))
		_, err = x.a.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the window is full")
		_ = d.SetReadDeadline(x.Clock().Now().Add(time.Second))
		require.ErrorIs(t, d.WaitReadable(), os.ErrDeadlineExceeded, "its own deadlines pass")
		at := x.Elapsed()
		fault.Stop()
		require.InDelta(t, at, accepted(), float64(ms))
		heard()
	})
}

func TestAStalledServiceDoesNotSeeAnEndOrAResetUntilItGoesOn(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		fault := x.Stall("10.0.0.2")
		require.NoError(t, x.a.CloseWrite())
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		x.sleep(10 * ms)
		for _, conn := range []*Conn{x.b, d} {
			n, err := conn.Peek(make([]byte, 1))
			require.NoError(t, err)
			require.Zero(t, n)
		}
		x.Clock().AfterFunc(time.Second, fault.Stop)
		x.took(time.Second, func() { x.readError(x.b, io.EOF) })
		x.readError(d, syscall.ECONNRESET)
	})
}

func TestAPausedServiceGoesOnOneByOneAndInOrder(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		var wg sync.WaitGroup
		start := func(name string, f func()) {
			start(x.Clock(), &wg, func() {
				f()
				x.Note(name, "went on", "")
			})
		}
		fault := x.Pause("server")
		c, err := x.dial()
		require.NoError(t, err, "the kernel completes handshakes")
		start("1 accept", func() { _, _ = x.l.Accept() })
		x.sleep(ms)
		start("2 read", func() { x.read(x.b, "hello") })
		x.write(x.a, "hello")
		x.sleep(10 * ms)
		start("3 dial", func() {
			_, err := x.server.DialContext(context.Background(), "tcp", "client:9")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		})
		x.sleep(ms)
		start("4 sleep", func() { x.server.Clock().Sleep(ms) })
		x.sleep(ms)
		start("5 lookup", func() { _, _ = x.server.Resolver().LookupHost(context.Background(), "client") })
		x.sleep(ms)
		x.server.Clock().AfterFunc(2*ms, func() { x.Note("6 timer", "went on", "") })
		x.sleep(ms)
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		x.sleep(time.Minute)
		count := func() (names []string) {
			at := map[int64]bool{}
			for _, e := range x.Trace().Events {
				if e.Kind == "went on" {
					require.False(t, at[e.At], "two in one instant")
					at[e.At] = true
					names = append(names, e.Actor)
				}
			}
			return names
		}
		require.Empty(t, count())
		fault.Stop()
		wg.Wait()
		x.sleep(ms)
		require.ElementsMatch(t, []string{"1 accept", "2 read", "3 dial", "4 sleep", "5 lookup", "6 timer"}, count())
		require.NoError(t, c.Close())
	})
}

func TestWhatAPausedServiceWritesLeavesWhenItGoesOn(t *testing.T) {
	inLab(t, Config{SendBuffer: 8}, func(x *lab) {
		c, d := x.connect()
		e, f := x.connect()
		x.write(x.b, "before")
		fault := x.Pause("server")
		x.read(x.a, "before") // the kernel had it
		x.sleep(5 * ms)
		x.write(x.b, "held")
		x.write(d, "then FIN")
		require.NoError(t, d.Close())
		require.NoError(t, f.SetLinger(0))
		require.NoError(t, f.Close())
		written := x.later(func() { x.write(x.b, "0123456789") })
		x.sleep(10 * time.Second)
		for _, conn := range []*Conn{x.a, c, e} {
			n, err := conn.Peek(make([]byte, 1))
			require.NoError(t, err)
			require.Zero(t, n)
		}
		fault.Stop()
		x.took(ms, func() { x.read(x.a, "held") })
		x.read(x.a, "0123456789")
		written()
		x.read(c, "then FIN")
		x.readError(c, io.EOF)
		x.readError(e, syscall.ECONNRESET)
	})
}

func TestDeadlinesOfAPausedServiceAreSeenWhenItGoesOn(t *testing.T) {
	inLab(t, Config{SendBuffer: 4}, func(x *lab) {
		now := x.Clock().Now()
		require.NoError(t, x.b.SetDeadline(now.Add(time.Second)))
		var readErr, writeErr error
		reads := x.later(func() { _, readErr = x.b.Read(make([]byte, 1)) })
		writes := x.later(func() { _, writeErr = x.b.Write(make([]byte, 100<<10)) })
		fault := x.Pause("server")
		x.Clock().AfterFunc(5*time.Second, fault.Stop)
		require.Greater(t, reads(), 5*time.Second)
		require.Greater(t, writes(), 5*time.Second)
		require.ErrorIs(t, readErr, os.ErrDeadlineExceeded)
		require.ErrorIs(t, writeErr, os.ErrDeadlineExceeded)
	})
}

func TestACrashLetsGoWhatIsPausedAndARestartedHostIsPausedStill(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Pause("*")
		late := x.Host("late", "")
		x.locked(func() { require.True(t, late.stopped(late.life), "a host that is made later too") })
		var err error
		ended := x.later(func() { _, err = x.b.Read(make([]byte, 1)) })
		x.server.Crash()
		ended()
		require.ErrorIs(t, err, net.ErrClosed)
		x.server.Restart()
		x.locked(func() { require.True(t, x.server.stopped(x.server.life)) })
		fault.Stop()
		x.locked(func() { require.False(t, x.server.stopped(x.server.life)) })
		x.l = x.listen()
		x.connect()
	})
}

func TestServiceFaultsOverlap(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		one, two := x.Stall("server"), x.Stall("*")
		x.write(x.a, "x")
		one.Stop()
		x.sleep(10 * ms)
		x.locked(func() { require.False(t, x.b.readable()) })
		two.Stop()
		x.read(x.b, "x")
		one, two = x.Pause("server"), x.Stall("server")
		x.write(x.a, "y")
		heard := x.later(func() { x.read(x.b, "y") })
		one.Stop()
		x.sleep(time.Second)
		at := x.Elapsed()
		two.Stop()
		require.GreaterOrEqual(t, heard(), at)
	})
}

func TestAPauseOfManyRepeatsExactly(t *testing.T) {
	run := func(s *Sim) {
		var wg, servers sync.WaitGroup
		l := echoServer(s.Host("server", "10.0.0.1"), &servers)
		for i := range 20 {
			h := s.Host(fmt.Sprint("c", i), "")
			start(s.Clock(), &wg, func() {
				c, err := h.DialContext(context.Background(), "tcp", "server:80")
				if err != nil {
					panic(err)
				}
				defer c.Close()
				for range 20 {
					_, _ = c.Write([]byte("x"))
					_, _ = c.Read(make([]byte, 1))
				}
			})
		}
		for range 3 {
			s.Clock().Sleep(7 * ms)
			pause := s.Pause("*")
			s.Clock().Sleep(50 * ms)
			pause.Stop()
		}
		wg.Wait()
		_ = l.Close()
		servers.Wait()
	}
	first := Run(Config{Seed: 3, Latency: ms, KeepTrace: true}, run)
	require.NoError(t, first.Err)
	for range 5 {
		again := Run(Config{Seed: 3, Latency: ms, KeepTrace: true}, run)
		require.Empty(t, Diff(first.Trace, again.Trace))
	}
	require.Greater(t, first.Virtual, 150*ms)
}

func TestWhatWasWrittenBeforeAPauseLeavesDuringIt(t *testing.T) {
	inLab(t, Config{RecvBuffer: 10}, func(x *lab) {
		x.write(x.b, "0123456789abcdefghij") // the window takes the half of it
		x.sleep(5 * ms)
		fault := x.Pause("server")
		x.write(x.b, "after")
		x.took(2*ms, func() { x.read(x.a, "0123456789abcdefghij") })
		x.sleep(time.Second)
		n, err := x.a.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		fault.Stop()
		x.took(ms, func() { x.read(x.a, "after") })
	})
}

func TestAKillEndsAPauseForWhatTheProcessHasWritten(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		x.Pause("server")
		x.write(x.b, "last words")
		require.NoError(t, d.SetLinger(0))
		require.NoError(t, d.Close())
		dialled := x.later(func() {
			_, err := x.server.DialContext(context.Background(), "tcp", "client:80")
			require.ErrorIs(t, err, ErrHostDown)
		})
		x.sleep(time.Second)
		x.server.Kill()
		x.read(x.a, "last words")
		x.readError(x.a, io.EOF)
		x.readError(c, syscall.ECONNRESET)
		require.GreaterOrEqual(t, dialled(), time.Second)
	})
}

func TestTheKernelOfAPausedHostEndsTheHandshakeOfItsDial(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		accepted := x.later(func() { _, _ = x.l.Accept() })
		at := x.Elapsed()
		x.Clock().AfterFunc(ms/2, func() {
			pause := x.Pause("client")
			x.Clock().AfterFunc(time.Second, pause.Stop)
		})
		x.took(time.Second+ms/2, func() {
			_, err := x.dial()
			require.NoError(t, err)
		})
		require.InDelta(t, at+3*ms, accepted(), float64(10*time.Microsecond))
	})
}

func TestAPauseIsNoReasonForTheKernelsToGiveUp(t *testing.T) {
	inLab(t, Config{UserTimeout: 5 * time.Second}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAlive(true))
		require.NoError(t, x.b.SetKeepAlive(true))
		fault := x.Pause("server")
		x.write(x.b, "held for longer than the user timeout")
		x.sleep(time.Hour)
		fault.Stop()
		x.read(x.a, "held for longer than the user timeout")
		stall := x.Stall("server")
		x.sleep(time.Hour) // its kernel answers the probes
		stall.Stop()
		x.write(x.a, "alive")
		x.read(x.b, "alive")
	})
}

func TestKeepAliveFindsAClogThatStays(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAlive(true))
		fault := x.Clog("client", "server")
		x.readError(x.a, syscall.ETIMEDOUT)
		fault.Stop()
		x.connect()
	})
}
