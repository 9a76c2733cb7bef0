package netsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAListenerThatClosesDuringTheHandshakeResetsTheClient(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Clock().AfterFunc(1500*time.Microsecond, func() { _ = x.l.Close() }) // the SYN-ACK is under way
		c, err := x.dial()
		require.NoError(t, err, "the client cannot know")
		x.readError(c, syscall.ECONNRESET)
	})
}

func TestAProbeMeetsWhatHasBecomeOfTheOtherEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(x *lab)
		want error
	}{
		{"the receiver has died", func(x *lab) { x.server.Crash(); x.server.Restart() }, syscall.ECONNRESET},
		{"a middlebox answers", func(x *lab) { x.IdleForget("client", "server", ms, true) }, syscall.ECONNRESET},
		{"a router answers", func(x *lab) { x.Unreachable("client", "server") }, syscall.EHOSTUNREACH},
		{"nothing answers", func(x *lab) { x.server.Crash() }, syscall.ETIMEDOUT},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, Config{UserTimeout: 5 * time.Second}, func(x *lab) {
				fault := x.PartitionOneWay("server", "client")
				x.write(x.a, "arrives, but its acknowledgement does not")
				x.sleep(100 * ms)
				fault.Stop()
				c.then(x)
				x.readError(x.a, c.want)
			})
		})
	}
}

func TestAnOrphanStillDeliversWhatWasWritten(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Partition("client", "server")
		x.write(x.a, "testament")
		require.NoError(t, x.a.Close())
		x.sleep(time.Second)
		fault.Stop()
		all, err := io.ReadAll(x.b)
		require.NoError(t, err)
		require.Equal(t, "testament", string(all))
		require.NoError(t, x.b.Close())
		x.sleep(time.Second)
		x.mu.Lock()
		defer x.mu.Unlock()
		require.Empty(t, x.client.conns)
		require.Empty(t, x.server.conns)
	})
}

func TestACrashForgetsWhatAnOrphanWouldHaveSent(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Partition("client", "server")
		x.write(x.a, "never arrives")
		require.NoError(t, x.a.Close())
		x.client.Crash()
		fault.Stop()
		require.NoError(t, x.b.SetReadDeadline(x.Clock().Now().Add(time.Hour)))
		_, err := x.b.Read(make([]byte, 1))
		require.Error(t, err)
		require.True(t, err.(interface{ Timeout() bool }).Timeout())
	})
}

func TestOptionsWithoutAModelAreAcceptedWhileTheConnectionIsOpen(t *testing.T) {
	inLab(t, Config{Seed: 6}, func(x *lab) {
		options := []func() error{
			func() error { return x.a.SetReadBuffer(1) },
			func() error { return x.a.SetNoDelay(false) },
			func() error { return x.a.SetWriteBuffer(1) },
		}
		for _, set := range options {
			require.NoError(t, set())
		}
		require.Panics(t, func() { _ = x.a.SetWriteBuffer(0) })
		require.NoError(t, x.a.Close())
		for _, set := range options {
			require.Error(t, set())
		}
		require.EqualValues(t, 6, x.Seed())
		require.Equal(t, x.Trace().Hash, x.Hash())
		require.Equal(t, x.Trace().Total, x.Events())
	})
}

func TestTheErrorOfAContextIsTheNetPackagesOrItsOwn(t *testing.T) {
	own := errors.New("own")
	require.Equal(t, own, contextError(own))
	err := contextError(context.DeadlineExceeded)
	require.NotErrorIs(t, err, context.Canceled)
	require.True(t, err.(interface{ Temporary() bool }).Temporary())
}

func TestAWakerThatReservesGoesOnAfterTheOneItWakes(t *testing.T) {
	program := func(s *Sim) {
		clk := s.Clock()
		turn, done := make(chan int, 200), make(chan struct{}) // the waker never waits for the woken
		go func() {
			defer close(done)
			for i := range turn {
				clk.Sleep(0) // claims in the instant in which the waker goes on
				s.Note("woken", "claimed", fmt.Sprint(i))
			}
		}()
		for i := range 200 {
			wait := clk.(interface{ Reserve() (wait func()) }).Reserve()
			turn <- i
			wait()
			s.Note("waker", "went on", fmt.Sprint(i))
		}
		close(turn)
		<-done
	}
	first := Run(Config{Seed: 2, KeepTrace: true}, program)
	require.NoError(t, first.Err)
	for range 10 {
		again := Run(Config{Seed: 2, KeepTrace: true}, program)
		require.NoError(t, again.Err)
		require.Empty(t, Diff(first.Trace, again.Trace))
	}
}
