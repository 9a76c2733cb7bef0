package netsim

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keepAlive20 probes after 10 s of silence, every 5 s, and gives up after the second unanswered probe: after
// 20 s.
var keepAlive20 = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2}

func keepAliveOf(idle, interval time.Duration, count int) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: idle, Interval: interval, Count: count}
}

// A connection offers what package pool looks for.
var _ interface {
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetUserTimeout(time.Duration) error
} = (*Conn)(nil)

// probes counts the keep-alive probes so far.
func (x *lab) probes() (n int) {
	for _, e := range x.Trace().Events {
		if e.Kind == "keep-alive" {
			n++
		}
	}
	return n
}

func TestAnIdleConnectionWithKeepAliveNoticesThatItsPeerIsGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(x *lab)
		want   error
		after  time.Duration
		probes int
	}{
		{"the machine crashes", func(x *lab) { x.server.Crash() }, syscall.ETIMEDOUT, 20 * time.Second, 2},
		{"the path is cut", func(x *lab) { x.SilentDrop("client", "server") }, syscall.ETIMEDOUT, 20 * time.Second, 2},
		{"only the answers are lost", func(x *lab) { x.PartitionOneWay("server", "client") }, syscall.ETIMEDOUT, 20 * time.Second, 2},
		{"everything is lost", func(x *lab) { x.SetLink("*", "*", Link{Loss: 1}) }, syscall.ETIMEDOUT, 20 * time.Second, 2},
		{"a router says so", func(x *lab) { x.Unreachable("client", "server") }, syscall.EHOSTUNREACH, 20 * time.Second, 2},
		{"the machine restarts", func(x *lab) { x.server.Crash(); x.server.Restart() }, syscall.ECONNRESET, 10*time.Second + 2*ms, 1},
		{"a middlebox forgets and resets", func(x *lab) { x.IdleForget("client", "server", time.Second, true) },
			syscall.ECONNRESET, 10*time.Second + ms, 1},
		{"a middlebox forgets and is silent", func(x *lab) { x.IdleForget("client", "server", time.Second, false) },
			syscall.ETIMEDOUT, 20 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, Config{KeepTrace: true}, func(x *lab) {
				require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
				x.write(x.b, "x")
				x.read(x.a, "x")
				c.happen(x)
				x.took(c.after, func() { x.readError(x.a, c.want) })
				require.Equal(t, c.probes, x.probes())
				x.readError(x.a, io.EOF)
			})
		})
	}
}

func TestAKeepAliveProbeThatIsAnsweredCostsTheConnectionNothing(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
		fault := x.IdleForget("client", "server", 11*time.Second, true)
		x.sleep(time.Hour)
		require.InDelta(t, 359, x.probes(), 2, "each answer begins the idle time anew")
		fault.Stop()
		x.write(x.a, "there")
		x.read(x.b, "there")
		before := x.probes()
		for range 20 {
			x.sleep(9 * time.Second)
			x.write(x.b, "x")
			x.read(x.a, "x")
		}
		require.Equal(t, before, x.probes(), "what arrives is a sign of life")
		for range 20 {
			x.sleep(9 * time.Second)
			x.write(x.a, "x")
			x.read(x.b, "x")
		}
		require.Equal(t, before, x.probes(), "and so are acknowledgements")
	})
}

func TestOneAnswerForgivesTheProbesBefore(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
		for range 5 {
			fault := x.SilentDrop("client", "server")
			x.sleep(11 * time.Second) // one probe is lost
			fault.Stop()
			x.sleep(5 * time.Second) // the next one is answered
		}
		x.SilentDrop("client", "server")
		_, err := x.a.Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ETIMEDOUT)
	})
}

func TestWhoGivesUpByKeepAliveTellsAPeerThatCanHear(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
		x.PartitionOneWay("server", "client")
		x.readError(x.b, syscall.ECONNRESET)
		x.readError(x.a, syscall.ETIMEDOUT)
		_, err := x.a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
	})
}

func TestUnacknowledgedDataAreTheRetransmissionTimersBusiness(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
		x.SilentDrop("client", "server")
		x.write(x.a, "lost")
		start := x.Elapsed()
		x.readError(x.a, syscall.ETIMEDOUT)
		require.InDelta(t, 924.6, (x.Elapsed() - start).Seconds(), 1, "keep-alive ends nothing that has data under way")
		require.Zero(t, x.probes())
	})
}

func TestKeepAliveIsOffUntilItIsAskedForAndAfterItIsTurnedOff(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		fault := x.SilentDrop("client", "server")
		x.sleep(time.Hour)
		require.NoError(t, x.a.SetKeepAlivePeriod(time.Second))
		require.NoError(t, x.a.SetKeepAliveConfig(net.KeepAliveConfig{Idle: time.Second}))
		x.sleep(time.Hour)
		require.Zero(t, x.probes(), "setting numbers turns nothing on")
		require.NoError(t, x.a.SetKeepAlive(true))
		x.sleep(5 * time.Second)
		require.Equal(t, 1, x.probes(), "the idle time is over long ago")
		require.NoError(t, x.a.SetKeepAlive(false))
		x.sleep(time.Hour)
		require.Equal(t, 1, x.probes())
		fault.Stop()
		x.write(x.a, "alive")
		x.read(x.b, "alive")
	})
}

func TestKeepAliveCountsFromWhenItIsTurnedOnOrItsIdleTimeIsSet(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(c *Conn) error
		want time.Duration
	}{
		{"turned on", func(c *Conn) error { return c.SetKeepAlive(true) }, 165 * time.Second},
		{"turned on again", func(c *Conn) error {
			_ = c.SetKeepAlive(true)
			return c.SetKeepAlive(true)
		}, 165 * time.Second},
		{"configured", func(c *Conn) error { return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) }, 150 * time.Second},
		{"configured late", func(c *Conn) error { return c.SetKeepAliveConfig(keepAliveOf(10*time.Second, 0, 0)) }, 150 * time.Second},
	} {
		inLab(t, Config{}, func(x *lab) {
			x.write(x.b, "x")
			x.read(x.a, "x")
			x.server.Crash()
			start := x.Elapsed()
			x.sleep(15 * time.Second)
			require.NoError(t, c.set(x.a), c.name)
			x.readError(x.a, syscall.ETIMEDOUT)
			require.InDelta(t, c.want, x.Elapsed()-start, float64(ms), c.name)
		})
	}
}

func TestManyConnectionsThatKeepAliveEndsEndOneByOneInTheOrderOfTheSeed(t *testing.T) {
	const n = 30
	program := func(s *Sim) {
		var servers, wg sync.WaitGroup
		server := s.Host("server", "10.0.0.1")
		l := echoServer(server, &servers)
		begin := make(chan struct{})
		for i := range n {
			c, err := s.Host(fmt.Sprint("client", i), "").DialContext(context.Background(), "tcp", "server:80")
			if err != nil {
				panic(err)
			}
			wg.Go(func() {
				<-begin // all in one instant
				_ = c.(*Conn).SetKeepAliveConfig(keepAlive20)
				_, _ = c.Read(make([]byte, 1))
				s.Note(fmt.Sprint("reader", i), "ended", "")
				_ = c.Close()
			})
		}
		s.Clock().Sleep(time.Second)
		server.Crash()
		close(begin)
		wg.Wait()
		_ = l.Close()
		servers.Wait()
	}
	orders := map[uint64]bool{}
	for seed := range uint64(3) {
		cfg := Config{Seed: seed, KeepTrace: true, Latency: ms}
		first := Run(cfg, program)
		require.NoError(t, first.Err)
		at := map[int64]bool{}
		for _, e := range first.Trace.Events {
			if e.Kind == "ended" {
				require.False(t, at[e.At], "two goroutines at %d", e.At)
				at[e.At] = true
			}
		}
		require.Len(t, at, n)
		for range 10 {
			again := Run(cfg, program)
			require.NoError(t, again.Err)
			require.Empty(t, Diff(first.Trace, again.Trace), "seed %d", seed)
		}
		orders[first.Hash] = true
	}
	require.Len(t, orders, 3)
}

func TestKeepAliveHasGosDefaultsAndNegativeValuesLeaveWhatIs(t *testing.T) {
	death := func(x *lab, c *Conn) time.Duration {
		start := x.Elapsed()
		x.readError(c, syscall.ETIMEDOUT)
		return (x.Elapsed() - start).Round(100 * ms)
	}
	for name, c := range map[string]struct {
		set  func(x *lab) error
		want time.Duration
	}{
		"on":          {func(x *lab) error { return x.a.SetKeepAlive(true) }, 150 * time.Second},
		"zero values": {func(x *lab) error { return x.a.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) }, 150 * time.Second},
		"rounded up":  {func(x *lab) error { return x.a.SetKeepAliveConfig(keepAliveOf(1, 1001*ms, 3)) }, 7 * time.Second},
		"a period":    {func(x *lab) error { _ = x.a.SetKeepAlive(true); return x.a.SetKeepAlivePeriod(time.Minute) }, 195 * time.Second},
		"negative ones": {func(x *lab) error {
			_ = x.a.SetKeepAliveConfig(keepAlive20)
			return x.a.SetKeepAliveConfig(keepAliveOf(-1, 7*time.Second, -1))
		}, 24 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Config{}, func(x *lab) {
				require.NoError(t, c.set(x))
				x.sleep(ms)
				x.write(x.b, "x")
				x.read(x.a, "x")
				x.SilentDrop("client", "server")
				require.Equal(t, c.want, death(x, x.a))
			})
		})
	}
}

func TestKeepAliveEndsWithItsConnection(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		c, d := x.connect()
		e, f := x.connect()
		for _, end := range []*Conn{x.a, x.b, c, d, e, f} {
			require.NoError(t, end.SetKeepAliveConfig(keepAlive20))
		}
		require.NoError(t, x.a.Close())
		require.NoError(t, x.b.Close())
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		require.NoError(t, e.CloseWrite())
		require.NoError(t, f.CloseWrite())
		x.sleep(time.Minute)
		require.NoError(t, d.SetKeepAlive(true), "a dead socket takes options")
		x.sleep(time.Hour)
		require.Zero(t, x.probes())
		x.mu.Lock()
		defer x.mu.Unlock()
		require.Empty(t, x.queue.heap)
	})
}

func TestProbesDoNotShiftTheDrawsOfData(t *testing.T) {
	arrivals := func(keep bool) (at []int64) {
		res := Run(Config{Seed: 9, KeepTrace: true}, func(s *Sim) {
			var servers sync.WaitGroup
			l := echoServer(s.Host("server", ""), &servers)
			s.SetLink("*", "*", Link{Latency: ms, Jitter: 10 * ms, Loss: 0.1})
			c, err := s.Host("client", "").DialContext(context.Background(), "tcp", "server:80")
			require.NoError(t, err)
			if keep {
				require.NoError(t, c.(*Conn).SetKeepAliveConfig(keepAlive20))
			}
			for range 30 {
				s.Clock().Sleep(15 * time.Second)
				_, _ = c.Write([]byte("x"))
			}
			s.Clock().Sleep(time.Minute)
			_ = c.Close()
			_ = l.Close()
			servers.Wait()
		})
		require.NoError(t, res.Err)
		for _, e := range res.Trace.Events {
			if e.Kind == "recv" && strings.HasPrefix(e.Actor, "server") {
				at = append(at, e.At/int64(time.Microsecond)/10)
			}
		}
		return at
	}
	with, without := arrivals(true), arrivals(false)
	require.Len(t, with, 30)
	require.Equal(t, without, with)
}

func TestTheUserTimeoutEndsTheConnectionThatItWasSetOn(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, _ := x.connect()
		require.NoError(t, c.SetUserTimeout(5*time.Second))
		fault := x.SilentDrop("client", "server")
		start := x.Elapsed()
		x.write(c, "lost")
		x.write(x.a, "late")
		x.took(5*time.Second, func() { x.readError(c, syscall.ETIMEDOUT) })
		fault.Stop()
		x.read(x.b, "late")
		require.InDelta(t, 6.2, (x.Elapsed() - start).Seconds(), 0.01, "the other one goes on")
	})
	inLab(t, Config{UserTimeout: 3 * time.Second}, func(x *lab) {
		require.NoError(t, x.a.SetUserTimeout(time.Hour))
		require.NoError(t, x.a.SetUserTimeout(0), "the system's own")
		x.SilentDrop("client", "server")
		x.write(x.a, "lost")
		x.took(3*time.Second, func() { x.readError(x.a, syscall.ETIMEDOUT) })
		c := x.a
		wantOp(t, c.SetUserTimeout(-1), "set", syscall.EINVAL)
		require.NoError(t, c.Close())
		wantOp(t, c.SetUserTimeout(1), "set", net.ErrClosed)
	})
}

func TestTheUserTimeoutCountsDataThatAShutWindowHoldsBack(t *testing.T) {
	inLab(t, Config{RecvBuffer: 1000, SendBuffer: 1000}, func(x *lab) {
		require.NoError(t, x.a.SetUserTimeout(5*time.Second))
		x.took(5*time.Second+2*ms, func() { // the first window takes a round trip
			_, err := x.a.Write(make([]byte, 5000)) // nobody reads
			wantOp(t, err, "write", syscall.ETIMEDOUT)
		})
		_, err := io.ReadFull(x.b, make([]byte, 1000))
		require.NoError(t, err)
		x.readError(x.b, syscall.ECONNRESET)

		c, d := x.connect()
		require.NoError(t, c.SetUserTimeout(5*time.Second))
		done := make(chan error, 1)
		x.Clock().AfterFunc(0, func() {
			_, err := c.Write(make([]byte, 20_000))
			done <- err
		})
		for range 20 { // a slow reader is not a dead one
			x.sleep(4 * time.Second)
			_, err = io.ReadFull(d, make([]byte, 1000))
			require.NoError(t, err)
		}
		require.NoError(t, <-done)
	})
}

func TestTheUserTimeoutReplacesTheCountOfProbes(t *testing.T) {
	for _, c := range []struct{ userTimeout, want time.Duration }{
		{time.Second, 15 * time.Second},         // at the first timer after a probe
		{15 * time.Second, 15 * time.Second},    // just under that timer
		{15*time.Second + ms, 20 * time.Second}, // just over
		{60 * time.Second, 60 * time.Second},    // more probes than Count
		{61 * time.Second, 65 * time.Second},    // the timer looks every Interval
	} {
		inLab(t, Config{}, func(x *lab) {
			require.NoError(t, x.a.SetKeepAliveConfig(keepAlive20))
			require.NoError(t, x.a.SetUserTimeout(c.userTimeout))
			x.write(x.b, "x")
			x.read(x.a, "x")
			x.server.Crash()
			x.took(c.want, func() { x.readError(x.a, syscall.ETIMEDOUT) })
		})
	}
}
