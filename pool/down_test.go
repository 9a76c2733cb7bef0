package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

// bringDown makes the backend refuse and the pool know it.
func bringDown(t *testing.T, p *Pool, f *fakeNet) {
	t.Helper()
	f.setFail(true)
	_, err := p.Lend(t.Context())
	var dial *DialError
	require.ErrorAs(t, err, &dial)
	require.NotErrorIs(t, err, ErrDown, "it waited for the dial")
	require.True(t, p.Stats().Down)
}

func TestConnectionPoolThatIsDownFailsCallersAtOnceAndSaysWhatIsKnown(t *testing.T) {
	inBubble(t, Config{Name: "db"}, func(t *testing.T, p *Pool, f *fakeNet) {
		bringDown(t, p, f)
		before := now(p)
		calls := []func() error{
			func() error { _, err := p.Lend(t.Context()); return err },
			func() error { _, err := p.GetN(t.Context(), 0, 2); return err },
			func() error { _, err := p.Fresh(t.Context(), 0); return err },
			func() error { return p.WarmUp(t.Context(), 1) },
		}
		for _, call := range calls {
			err := call()
			var down *DownError
			var dial *DialError
			require.ErrorAs(t, err, &down)
			require.ErrorIs(t, err, ErrDown)
			require.ErrorAs(t, err, &dial)
			require.ErrorIs(t, err, errRefused)
			require.Equal(t, []any{"db", "10.0.0.1:80", 1}, []any{down.Pool, down.Address, down.Failures})
			require.InDelta(t, 75*time.Millisecond, down.RetryIn, float64(25*time.Millisecond))
			require.Regexp(t, `^pool db: 10\.0\.0\.1:80 is down \(failed dials in a row: 1, next try in \d+ms\): refused$`, err.Error())
		}
		require.Equal(t, before, now(p))
		require.Zero(t, p.Want(3)+p.Cover(3)+p.Free())
		require.False(t, tryLend(p, now(p), 0).Lent())
		s := p.Stats()
		require.EqualValues(t, []uint64{4, 1}, []uint64{s.TurnedAway, s.Begun})
	})
	require.Contains(t, (&DownError{Pool: "p", Address: "a:1", Failures: 3, Err: errRefused}).Error(), "3, being tried again")
}

func TestConnectionPoolSendsOneProbeAtATimeWithinTheBoundsOfThePauseWhileSomebodyAsks(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		bringDown(t, p, f)
		f.setDelay(250 * time.Millisecond)
		for range 6000 {
			p.clk.Sleep(7 * time.Millisecond)
			ctx, cancel := p.clk.WithTimeout(t.Context(), time.Millisecond)
			_, err := p.Lend(ctx)
			cancel()
			require.True(t, errors.Is(err, ErrDown) || errors.Is(err, context.DeadlineExceeded), "%v", err)
		}
		dials, most := f.count()
		require.Equal(t, 1, most)
		require.Greater(t, dials, 8)
		full := 100 * time.Millisecond
		synctest.Wait()
		for i := 1; i < dials; i++ {
			pause := f.begun[i].Sub(f.begun[i-1].Add(f.lasted[i-1]))
			require.GreaterOrEqual(t, pause, full/2, "probe %d", i)
			require.LessOrEqual(t, pause, full, "probe %d", i)
			full = min(2*full, 10*time.Second)
		}
	})
}

func TestConnectionPoolProbesForNobodyAndThenForTheFirstWhoComes(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		bringDown(t, p, f)
		p.clk.Sleep(time.Hour)
		require.Equal(t, 1, f.soFar(), "nobody asked")
		f.setFail(false)
		got := make(chan Conn)
		begun := now(p)
		go func() { got <- lend(t, p) }()
		p.clk.Sleep(5 * time.Millisecond)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, ErrDown)
		require.ErrorContains(t, err, "being tried again")
		c := <-got
		require.Equal(t, 10*time.Millisecond, now(p).Sub(begun))
		require.False(t, p.Stats().Down)
		c.Release()
	})
}

func TestConnectionPoolProbeThatFailsTellsWhoMadeItAndLengthensThePause(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		bringDown(t, p, f)
		p.clk.Sleep(time.Second)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errRefused)
		require.NotErrorIs(t, err, ErrDown)
		_, err = p.Lend(t.Context())
		var down *DownError
		require.ErrorAs(t, err, &down)
		require.Equal(t, 2, down.Failures)
		require.Greater(t, down.RetryIn, 100*time.Millisecond-1)
		p.clk.Sleep(time.Second)
		_, err = p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, errRefused)
		require.NotErrorIs(t, err, ErrDown, "Fresh may be the probe")
		require.Equal(t, 3+1, f.soFar(), "one was for whoever was turned away")
	})
}

func TestConnectionPoolMinIdleKeepsTheProbeGoing(t *testing.T) {
	inBubble(t, Config{MinIdle: 3, MaxDials: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		p.Warm()
		p.clk.Sleep(time.Minute)
		dials, _ := f.count()
		require.InDelta(t, 14, dials, 4)
		_, most := f.count()
		require.LessOrEqual(t, most, 1)
		f.setFail(false)
		p.clk.Sleep(11 * time.Second)
		require.Equal(t, 3, p.Stats().Idle)
		_, most = f.count()
		require.Equal(t, 2, most, "the probe alone, then the others two at a time")
	})
}

func TestConnectionPoolRecoversAtOnceAndWithoutAStampede(t *testing.T) {
	var ready atomic.Int32
	cfg := Config{MinIdle: 8, MaxDials: 3, OnReady: func() { ready.Add(1) }}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		p.Warm()
		p.clk.Sleep(5 * time.Second)
		for p.Stats().Dialling > 0 {
			p.clk.Sleep(time.Millisecond)
		}
		f.setFail(false)
		f.setDelay(time.Second)
		f.count()
		before := ready.Load()
		for p.Stats().Dialling == 0 {
			_, err := p.Lend(t.Context())
			require.ErrorIs(t, err, ErrDown)
			p.clk.Sleep(time.Millisecond)
		}
		require.Equal(t, before, ready.Load())
		p.clk.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, before+1, ready.Load(), "the probe's connection lies idle")
		require.Equal(t, 3, p.Stats().Dialling)
		conns := make([]Conn, 12)
		var wg sync.WaitGroup
		for i := range conns {
			wg.Go(func() { conns[i] = lend(t, p) })
		}
		wg.Wait()
		p.clk.Sleep(10 * time.Second)
		require.Equal(t, 8, p.Stats().Idle)
		_, most := f.count()
		require.Equal(t, 3, most)
		ReleaseAll(conns)
	})
}

func TestConnectionPoolWaitersForALentConnectionStayInLineWhileDialsFail(t *testing.T) {
	inBubble(t, Config{Patience: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		f.setFail(true)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errRefused, "a dial of its own failed")
		require.False(t, p.Stats().Down)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { lend(t, p).Release() })
		}
		p.clk.Sleep(5 * time.Second)
		s := p.Stats()
		require.Equal(t, []int{3, 1}, []int{s.Waiting, s.Lent}, "probes fail, and nobody is told")
		_, most := f.count()
		require.Equal(t, 1, most)
		require.Greater(t, s.DialFailed, uint64(4))
		held.Release()
		wg.Wait()
	})
}

// steps gives each wake-up of the pool's an instant of its own, as a simulated clock does.
type steps struct{ clock.Clock }

func (s steps) Reserve() func() { return func() { s.Sleep(time.Microsecond) } }

func TestConnectionPoolTurnsTheLineAwayOneByOneWhenItsLastConnectionIsGone(t *testing.T) {
	cfg := Config{Clock: steps{clock.New()}, Patience: -1, RetryMin: time.Second}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		f.setFail(true)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errRefused)
		type end struct {
			number int
			at     time.Time
			err    error
		}
		ends := make(chan end, 5)
		for i := range 5 {
			go func() {
				_, err := p.Lend(t.Context())
				ends <- end{i, now(p), err}
			}()
			p.clk.Sleep(time.Millisecond)
		}
		require.Empty(t, ends)
		held.Discard(ReasonBroken)
		synctest.Wait()
		last := time.Time{}
		for i := range 5 {
			e := <-ends
			require.Equal(t, i, e.number)
			require.ErrorIs(t, e.err, ErrDown)
			require.True(t, e.at.After(last), "in an instant of its own")
			last = e.at
		}
	})
}

func TestConnectionPoolLetsThoseWhoseDialsAreUnderWayLearnWhatComesOfThem(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		failed := make(chan error, 1)
		go func() {
			_, err := p.Lend(t.Context())
			failed <- err
		}()
		p.clk.Sleep(5 * time.Millisecond)
		f.setFail(false) // one bad node among good ones
		got := make(chan Conn, 3)
		for range 3 {
			go func() { got <- lend(t, p) }()
		}
		p.clk.Sleep(7 * time.Millisecond)
		require.ErrorIs(t, <-failed, errRefused)
		require.Equal(t, 3, p.Stats().Waiting)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, ErrDown, "a newcomer has no dial")
		ReleaseAll([]Conn{<-got, <-got, <-got})
		require.False(t, p.Stats().Down)
	})
}

func TestConnectionPoolRetryClearsEverythingAtOnce(t *testing.T) {
	inBubble(t, Config{MinIdle: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		p.Warm()
		p.clk.Sleep(time.Minute)
		require.True(t, p.Stats().Down)
		f.setFail(false)
		begun := now(p)
		p.Retry()
		require.False(t, p.Stats().Down)
		lend(t, p).Release()
		require.Equal(t, 10*time.Millisecond, now(p).Sub(begun))
		synctest.Wait()
		require.Equal(t, 2, p.Stats().Idle)
	})
}

func TestConnectionPoolUnderAJudgeHoldsNoCallerBackAndTellsItOfEveryDial(t *testing.T) {
	told := make(chan error, 100)
	heard := func(n int) {
		t.Helper()
		synctest.Wait()
		require.Len(t, told, n)
		for range n {
			require.ErrorIs(t, <-told, errRefused)
		}
	}
	cfg := Config{MinIdle: 1, Judge: func(err error) { told <- err }}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		for range 5 {
			_, err := p.Lend(t.Context())
			require.ErrorIs(t, err, errRefused)
			require.NotErrorIs(t, err, ErrDown)
		}
		_, err := p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, errRefused)
		heard(6)
		p.clk.Sleep(time.Hour)
		heard(0) // no probes
		require.False(t, p.Stats().Down)
		p.Warm()
		p.clk.Sleep(time.Minute)
		require.InDelta(t, 3, len(told), 2, "MinIdle rests for up to 30 s")
		heard(len(told))
		f.setFail(false)
		lend(t, p).Release()
		synctest.Wait()
		require.NoError(t, <-told)
		p.clk.Sleep(time.Minute)
	})
}

func TestConnectionPoolLearnsNothingFromADialThatItsCallerGaveUp(t *testing.T) {
	var told atomic.Int32
	inBubble(t, Config{Judge: func(error) { told.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		freshTooLate(t, p, f)
		require.Zero(t, told.Load())
	})
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		freshTooLate(t, p, f)
		require.False(t, p.Stats().Down)
		lend(t, p).Release()
	})
}

func freshTooLate(t *testing.T, p *Pool, f *fakeNet) {
	f.setDelay(time.Second)
	ctx, cancel := p.clk.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := p.Fresh(ctx, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 5*time.Second, p.DialTimeout())
	for range dialsNeeded {
		p.dialTimes.succeeded(0)
	}
	require.Equal(t, 1500*time.Millisecond, p.DialTimeout(), "it is no observation of a dial's time")
}

func TestConnectionPoolWhatAnOuterQueueWantsKeepsTheProbeGoing(t *testing.T) {
	var p *Pool
	var failed, ready atomic.Int32
	cfg := Config{
		OnReady:      func() { ready.Add(1); p.Cover(4) },
		OnDialFailed: func(error) { failed.Add(1) },
		Rand:         func(string) *rand.Rand { return seeded() },
	}
	inBubble(t, cfg, func(t *testing.T, made *Pool, f *fakeNet) {
		p = made
		f.setFail(true)
		require.Equal(t, 4, p.Cover(4))
		p.clk.Sleep(20 * time.Second)
		synctest.Wait()
		require.InDelta(t, 4+8, failed.Load(), 3, "four together, then one probe after the other")
		require.Equal(t, failed.Load(), ready.Load(), "the end of each dial is announced")
		f.setFail(false)
		p.clk.Sleep(11 * time.Second)
		require.Equal(t, 50, p.Stats().Idle, "each connection made it cover four more")
	})
}

func TestConnectionPoolDrainEndsThoughTheBackendIsDown(t *testing.T) {
	inBubble(t, Config{Patience: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		f.setFail(true)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errRefused)
		failed := make(chan error, 1)
		go func() {
			_, err := p.Lend(t.Context())
			failed <- err
		}()
		synctest.Wait()
		drained := make(chan error)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		held.Discard(ReasonBroken)
		require.ErrorIs(t, <-failed, ErrDown)
		require.NoError(t, <-drained)
	})
}
