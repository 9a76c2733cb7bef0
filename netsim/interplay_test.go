package netsim

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestACancelThatIsRepeatedTakesNobodysInstant(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		clk := s.Clock()
		_, cancel := clk.WithTimeout(context.Background(), time.Second)
		cancel()
		var first, second time.Duration
		var wg sync.WaitGroup
		wg.Add(2)
		clk.AfterFunc(time.Second, func() { first = s.Elapsed(); wg.Done() })
		cancel() // as a deferred one after an explicit one
		clk.AfterFunc(time.Second, func() { second = s.Elapsed(); wg.Done() })
		wg.Wait()
		require.NotEqual(t, first, second)
	})
}

func TestCloseOfTheSimulationMayBeCalledByTwoAtOnce(t *testing.T) {
	for _, living := range []bool{false, true} {
		res := Run(Config{}, func(s *Sim) {
			if living {
				s.Host("h", "").Go("slow", func(ctx context.Context) {
					<-ctx.Done()
					s.Clock().Sleep(time.Second)
				})
			}
			s.Clock().Sleep(ms)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(s.Close)
			}
			wg.Wait()
		})
		require.NoError(t, res.Err)
	}
}

func TestACrashAndARestartInOneInstantLetGoWhatIsPaused(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Pause("server")
		defer fault.Stop()
		read := x.later(func() { x.readError(x.b, net.ErrClosed) })
		accepted := x.later(func() {
			_, err := x.l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		})
		slept := x.later(func() { x.server.Clock().Sleep(time.Second) })
		at := x.Elapsed()
		x.server.Crash()
		x.server.Restart()
		x.sleep(2 * time.Second)
		fault2 := x.Elapsed()
		x.Clock().AfterFunc(time.Hour, fault.Stop)
		require.InDelta(t, at, read(), float64(time.Millisecond))
		require.InDelta(t, at, accepted(), float64(time.Millisecond))
		require.Less(t, slept(), fault2)
	})
}

func TestADripGoesOnWhileAcknowledgementsAreLost(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Drip("client", "server", 10)
		x.Clock().AfterFunc(500*ms, func() { x.PartitionOneWay("server", "client") })
		x.write(x.a, "0123456789")
		x.took(time.Second+ms, func() { x.read(x.b, "0123456789") })
	})
}

func TestTheLimitOfEagerWritesCountsEachByteOnce(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.SetEagerWrites(100))
		x.write(x.a, string(make([]byte, 60)))
		x.sleep(ms + 500*time.Microsecond) // delivered; the acknowledgement is under way
		x.write(x.a, string(make([]byte, 40)))
		_, err := x.a.Write([]byte("x"))
		require.ErrorIs(t, err, ErrEagerFull)
	})
}

func TestADeadlineOfAContextThatIsOlderThanAJumpTakesItsTrueTime(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		for _, by := range []time.Duration{time.Hour, -time.Hour} {
			clk := x.client.Clock()
			ctx, cancel := clk.WithTimeout(context.Background(), time.Second)
			fault := x.JumpClock("client", by)
			end, ok := ctx.Deadline()
			require.True(t, ok)
			require.InDelta(t, time.Second, clk.Until(end), float64(ms))
			require.NoError(t, x.a.SetReadDeadline(end))
			x.took(time.Second, func() { _, _ = x.a.Read(make([]byte, 1)) })
			fault.Stop()
			cancel()
		}
	})
}

func TestAWriterBeforeAShutWindowFindsOutThatItsPeerIsGone(t *testing.T) {
	for _, back := range []bool{false, true} {
		inLab(t, Config{RecvBuffer: 10, SendBuffer: 10}, func(x *lab) {
			x.write(x.a, "0123456789")
			x.sleep(5 * ms)
			x.write(x.a, "held....!!")
			x.server.Crash()
			want := error(syscall.ETIMEDOUT)
			if back {
				x.Clock().AfterFunc(time.Minute, x.server.Restart)
				want = syscall.ECONNRESET
			}
			_, err := x.a.Write([]byte("x"))
			require.ErrorIs(t, err, want)
		})
		inLab(t, Config{RecvBuffer: 10, SendBuffer: 10}, func(x *lab) {
			x.write(x.a, "0123456789")
			x.sleep(5 * ms)
			x.write(x.a, "held....!!")
			fault := x.Partition("client", "server")
			require.NoError(t, x.b.Close()) // with unread bytes: a RST, which is lost
			x.Clock().AfterFunc(time.Second, fault.Stop)
			_, err := x.a.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Less(t, x.Elapsed(), 3*time.Second)
		})
	}
}

func TestAnOrphanDoesNotOutliveAPeerThatIsGone(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		require.NoError(t, x.a.Close())
		require.NoError(t, c.CloseWrite())
		x.sleep(5 * ms)
		x.readError(d, io.EOF)
		x.server.Crash()
		require.NoError(t, c.Close())
		x.sleep(time.Minute)
		x.locked(func() { require.Empty(t, x.client.conns) })
	})
}

func TestDataThatMeetAClosedEndAreSentAgainWhenTheRSTIsLost(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.Close())
		x.sleep(5 * ms)
		fault := x.PartitionOneWay("client", "server")
		x.write(x.b, "meets nobody; the RST is lost")
		x.Clock().AfterFunc(time.Second, fault.Stop)
		x.sleep(2 * time.Second)
		_, err := x.b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE, "the peer's FIN came before its RST")
	})
	inLab(t, Config{}, func(x *lab) {
		fault := x.PartitionOneWay("client", "server")
		require.NoError(t, x.a.Close()) // the FIN is lost
		x.write(x.b, "meets nobody; the RST is lost")
		x.Clock().AfterFunc(time.Second, fault.Stop)
		x.readError(x.b, syscall.ECONNRESET)
		require.Less(t, x.Elapsed(), 3*time.Second)
	})
}

func TestWhatAKilledProcessHasWrittenLeavesEvenIfTheNextOneIsPaused(t *testing.T) {
	inLab(t, Config{RecvBuffer: 10}, func(x *lab) {
		x.Pause("server")
		x.write(x.b, "0123456789abcdefghij0123456789")
		x.server.Kill()
		x.server.Restart()
		x.read(x.a, "0123456789abcdefghij0123456789")
		x.readError(x.a, io.EOF)
	})
}

func TestFaultsRefuseArgumentsThatMeanNothing(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		for _, port := range []int{0, 65535} {
			s.Refuse("*", port)
		}
		for _, port := range []int{-1, 65536} {
			require.Panics(t, func() { s.Refuse("*", port) })
		}
		s.IdleForget("*", "*", 0, false)
		require.Panics(t, func() { s.IdleForget("*", "*", -1, false) })
		require.Panics(t, func() { s.AddRule("none", nil) })
	})
}

func TestAGoroutineThatHasNotBegunDoesNotBeginInTheNextLifeOfItsHost(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		for _, paused := range []bool{false, true} {
			if paused {
				fault := x.Pause("client")
				x.Clock().AfterFunc(time.Minute, fault.Stop)
			}
			began := false
			x.client.Go("late", func(context.Context) { began = true })
			if paused {
				x.sleep(ms)
			}
			x.client.Kill()
			x.client.Restart()
			x.sleep(ms)
			require.False(t, began)
		}
	})
}
