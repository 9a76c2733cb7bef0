package netsim

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASkewedClockShowsOtherTimesAndWaitsTrueOnes(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		clk, other := x.server.Clock(), x.client.Clock()
		require.Equal(t, x.Clock().Now(), clk.Now())
		for _, by := range []time.Duration{time.Hour, -3 * time.Second} {
			fault := x.SkewClock("server", by)
			truth := x.Clock().Now()
			require.Equal(t, truth.Add(by), clk.Now())
			require.Equal(t, truth, other.Now(), "another machine's clock is right")
			require.Equal(t, by, clk.Since(truth))
			require.Equal(t, -by, clk.Until(truth))
			x.took(time.Second, func() { clk.Sleep(time.Second) })
			x.took(time.Second, func() { <-clk.After(time.Second) })
			x.took(time.Second, func() { <-clk.Timer(time.Second).C })
			x.took(time.Second, func() {
				done := make(chan struct{})
				clk.AfterFunc(time.Second, func() { close(done) })
				<-done
			})
			fault.Stop()
			fault.Stop()
			require.Equal(t, x.Clock().Now(), clk.Now())
		}
		require.Same(t, x.server.Clock(), clk)
	})
}

func TestDeadlinesMadeFromAWrongClockTakeTheirTrueTime(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		clk := x.server.Clock()
		x.SkewClock("server", -time.Hour)
		x.took(time.Second, func() {
			require.NoError(t, x.b.SetReadDeadline(clk.Now().Add(time.Second)))
			x.Clock().AfterFunc(500*ms, func() { x.JumpClock("10.0.0.2", 24*time.Hour) })
			x.readError(x.b, os.ErrDeadlineExceeded) // the jump comes after the deadline was set
		})
		x.took(2*time.Second, func() {
			deadline, ok := x.l.(interface{ SetDeadline(time.Time) error })
			require.True(t, ok)
			require.NoError(t, deadline.SetDeadline(clk.Now().Add(2*time.Second)))
			_, err := x.l.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		})
		require.NoError(t, x.b.SetReadDeadline(time.Time{}))
		x.write(x.a, "no deadline")
		x.read(x.b, "no deadline")

		before := clk.Now().Add(time.Second)
		x.JumpClock("server", time.Minute)
		require.NoError(t, x.b.SetReadDeadline(before))
		x.took(0, func() { x.readError(x.b, os.ErrDeadlineExceeded) }) // a jump between Now and the setting shows
	})
}

func TestContextsOfAWrongClockEndInTrueTimeAndShowTheirEndOnIt(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		clk := x.server.Clock()
		early, cancelEarly := clk.WithTimeout(context.Background(), 10*time.Second) // made while it is right
		defer cancelEarly()
		x.SkewClock("server", -time.Hour)
		x.took(time.Second, func() {
			ctx, cancel := clk.WithTimeout(early, time.Second)
			defer cancel()
			end, ok := ctx.Deadline()
			require.True(t, ok)
			require.InDelta(t, time.Second, clk.Until(end), float64(time.Microsecond))
			longer, cancelLonger := clk.WithTimeout(context.WithValue(ctx, t, nil), time.Minute)
			defer cancelLonger()
			x.JumpClock("server", 20*time.Hour)
			end, _ = longer.Deadline()
			require.InDelta(t, time.Second, clk.Until(end), float64(time.Microsecond), "the parent's")
			shorter, cancelShorter := clk.WithDeadline(longer, clk.Now().Add(500*ms))
			defer cancelShorter()
			x.took(500*ms, func() { <-shorter.Done() })
			require.NoError(t, ctx.Err())
			require.NoError(t, x.b.SetReadDeadline(end))
			<-longer.Done()
			require.ErrorIs(t, longer.Err(), context.DeadlineExceeded)
			x.took(0, func() { x.readError(x.b, os.ErrDeadlineExceeded) })
		})
		past, cancel := clk.WithDeadline(context.Background(), clk.Now())
		defer cancel()
		require.ErrorIs(t, past.Err(), context.DeadlineExceeded)
		require.NoError(t, early.Err())
		x.took(9*time.Second, func() { <-early.Done() })
	})
}

func TestADialFromAHostWithAWrongClockKeepsItsTime(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SkewClock("*", 1000*time.Hour)
		x.SetDNS("web", "192.0.2.1", "10.0.0.2")
		for _, clk := range []interface {
			WithTimeout(context.Context, time.Duration) (context.Context, context.CancelFunc)
		}{x.client.Clock(), x.Clock()} {
			ctx, cancel := clk.WithTimeout(context.Background(), 10*time.Second)
			x.took(5*time.Second+2*ms, func() {
				_, err := x.client.DialContext(ctx, "tcp", "web:80")
				require.NoError(t, err)
			})
			cancel()
		}
	})
}

func TestADriftingClockGainsAndFaultsOfClocksAddUp(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		clk := x.server.Clock()
		drift := x.DriftClock("server", 100)
		x.sleep(10000 * time.Second)
		require.InDelta(t, time.Second, clk.Since(x.Clock().Now()), float64(time.Microsecond))
		jump := x.JumpClock("*", -5*time.Second)
		require.InDelta(t, -4*time.Second, clk.Since(x.Clock().Now()), float64(time.Microsecond))
		drift.Stop()
		require.Equal(t, -5*time.Second, clk.Since(x.Clock().Now()))
		jump.Stop()
		slow := x.DriftClock("server", -1e6+1)
		require.Equal(t, "fault3:drift-clock(server,-999999ppm)", slow.Name())
		require.Panics(t, func() { x.DriftClock("server", -1e6) })
	})
}

func TestTheClockOfAHostReservesInstantsAndWorksOutsideABubble(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		before := x.Elapsed()
		wait := x.server.Clock().(*hostClock).Reserve()
		require.Equal(t, before, x.Elapsed())
		wait()
		require.Greater(t, x.Elapsed(), before)
	})
	s := New(Config{})
	defer s.Close()
	h := s.Host("h", "")
	s.SkewClock("h", time.Hour)
	require.InDelta(t, time.Hour, h.Clock().Now().Sub(s.Clock().Now()), float64(time.Minute))
	h.Clock().(*hostClock).Reserve()()
}

func TestAShorterTimeoutCountsWhicheverWayTheClockIsWrong(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		inLab(t, Config{}, func(x *lab) {
			clk := x.server.Clock()
			x.SkewClock("server", by)
			long, cancelLong := clk.WithTimeout(context.Background(), time.Minute)
			defer cancelLong()
			short, cancel := clk.WithTimeout(long, time.Second)
			defer cancel()
			longer, cancelLonger := clk.WithTimeout(long, time.Hour)
			defer cancelLonger()
			x.took(time.Second, func() { <-short.Done() })
			x.took(59*time.Second, func() { <-longer.Done() })
		})
	}
}
