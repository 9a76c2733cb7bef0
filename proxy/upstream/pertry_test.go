package upstream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
)

// learned is what the timeout is after n answers of that time and slow ones of the other.
func learned(n int, usual time.Duration, slow int, slowly time.Duration) time.Duration {
	var p perTry
	for i := range n {
		if i < slow {
			p.observe(slowly)
		} else {
			p.observe(usual)
		}
	}
	return p.now()
}

func TestThePerTryTimeoutIsThreeTimesTheSlowestButOneInAHundred(t *testing.T) {
	require.Zero(t, learned(199, 10*time.Millisecond, 0, 0), "too few have been seen")
	require.Zero(t, learned(perTrySamples, 10*time.Millisecond, 0, 0), "the next estimate comes with a multiple of 32")
	require.Equal(t, perTryFloor, learned(224, 10*time.Millisecond, 0, 0))
	require.Equal(t, perTryFloor, learned(224, 82*time.Millisecond, 0, 0), "just under the floor")
	require.Greater(t, learned(224, 84*time.Millisecond, 0, 0), perTryFloor, "just over it")
	require.InDelta(t, 3*time.Second, learned(960, time.Second, 0, 0), float64(3*time.Second)/8)
	require.Equal(t, perTryCap, learned(960, 2*time.Second, 0, 0))
	require.Equal(t, perTryCap, learned(960, time.Hour, 0, 0))
	require.Equal(t, perTryFloor, learned(960, 10*time.Millisecond, 9, time.Second), "nine of 960 are less than one in a hundred")
	require.Greater(t, learned(960, 10*time.Millisecond, 12, time.Second), 2*time.Second)
}

func TestThePerTryTimeoutFollowsAGroupThatBecomesSlowWithinTwentyAnswersOrSo(t *testing.T) {
	var p perTry
	for range 5 * perTryWindow {
		p.observe(10 * time.Millisecond)
	}
	require.Equal(t, perTryFloor, p.now())
	n := 0
	for ; p.now() == perTryFloor; n++ {
		p.observe(time.Second)
	}
	require.LessOrEqual(t, n, perTryEvery)
	for ; p.now() > perTryFloor; n++ {
		p.observe(10 * time.Millisecond)
	}
	require.LessOrEqual(t, n, 2*perTryWindow+perTryEvery, "and forgets it with the window")
}

func TestThePerTryTimeoutRestsWhileMostSecondAttemptsAreInVain(t *testing.T) {
	var p perTry
	for range perTryWindow {
		p.observe(time.Millisecond)
	}
	for range perTryDoubt {
		p.score(false)
		require.Equal(t, perTryFloor, p.now())
	}
	p.score(false)
	require.Zero(t, p.now())
	p.score(true)
	require.Equal(t, perTryFloor, p.now(), "one that was of use makes good for one that was not")
	for range 20 {
		p.score(false)
	}
	for range 3 * perTryWindow {
		p.observe(time.Millisecond)
	}
	require.Equal(t, perTryFloor, p.now(), "after some windows it is tried again")
}

// Each duration is below the bound of its own bucket and not below that of the one before.
func TestTheBucketsOfHeadsHaveNoGaps(t *testing.T) {
	for d := time.Duration(0); d < 4*time.Second; d += 3_333_331 {
		i := headBucket(d)
		if i == headBuckets-1 {
			require.Greater(t, perTryFactor*d, perTryCap)
			continue
		}
		require.Less(t, d, headBound(i))
		require.True(t, i == 0 || d >= headBound(i-1), d)
		require.True(t, i < 8 || headBound(i) <= d+d/8+headUnit, "an eighth too much at most: %v %v", d, headBound(i))
	}
	require.Zero(t, headBucket(-1))
}

// replayable is an attempt of a request that may be sent twice.
func replayable(t *testing.T, u *Upstream) *Attempt {
	t.Helper()
	a := &Attempt{Repeatable: true}
	require.NoError(t, u.Begin(t.Context(), a))
	synctest.Wait()
	require.True(t, a.Await())
	return a
}

// timesOut lets the attempt's own time pass and sends the request elsewhere.
func timesOut(t *testing.T, u *Upstream, a *Attempt) {
	t.Helper()
	u.clk.Sleep(a.PerTry)
	require.True(t, u.MayLeave(a, OnPerTryTimeout))
	u.Finish(a, u.clk.Now(), OutcomeTimeout, false, 0)
	require.NoError(t, u.Begin(t.Context(), a))
	synctest.Wait()
	require.True(t, a.Await())
}

func fixed(attempts int) Config {
	c := Config{Attempts: attempts, PerTryTimeout: 300 * time.Millisecond}
	c.Health = health.Config{Passive: health.Passive{ConsecutiveFailures: 1}}
	return c
}

func TestOnlyAttemptsThatCanBeFollowedByAnotherHaveATimeOfTheirOwn(t *testing.T) {
	inBubble(t, 2, fixed(2), func(t *testing.T, u *Upstream, f *fakeNet) {
		once := begin(t, u)
		require.Zero(t, once.PerTry, "it is not repeatable")
		require.False(t, u.MayLeave(once, OnPerTryTimeout))
		a := replayable(t, u)
		require.Equal(t, 300*time.Millisecond, a.PerTry)
		require.Equal(t, a.PerTry, u.Stats().PerTryTimeout)
		require.False(t, u.MayLeave(a, OnResponseTimeout), "not asked for")
		require.False(t, u.MayLeave(a, OnStatus(501)), "no condition at all")
		timesOut(t, u, a)
		require.Zero(t, a.PerTry, "it is the last")
		require.False(t, u.MayLeave(a, OnPerTryTimeout))
		answered(u, a)
		answered(u, once)
		require.EqualValues(t, 1, u.Stats().Retries)
	})
	inBubble(t, 1, fixed(2), func(t *testing.T, u *Upstream, f *fakeNet) {
		a := replayable(t, u)
		require.Zero(t, a.PerTry, "there is no other backend")
		answered(u, a)
	})
	off := fixed(2)
	off.RetryOn = DefaultConditions &^ OnPerTryTimeout
	inBubble(t, 2, off, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := replayable(t, u)
		require.Zero(t, a.PerTry)
		answered(u, a)
	})
}

func TestABackendIsBlamedForItsSilenceOnlyWhenAnotherOneAnswersInThatTime(t *testing.T) {
	for name, second := range map[string]struct {
		after   time.Duration
		outcome Outcome
		blamed  bool
	}{
		"in less time":            {299 * time.Millisecond, OutcomeAnswered, true},
		"in as much":              {300 * time.Millisecond, OutcomeAnswered, true},
		"in more":                 {301 * time.Millisecond, OutcomeAnswered, false},
		"with an error":           {time.Millisecond, OutcomeAnswered5xx, false},
		"and its client has left": {time.Millisecond, OutcomeClientGone, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, fixed(2), func(t *testing.T, u *Upstream, f *fakeNet) {
				a := replayable(t, u)
				first := a.Backend
				timesOut(t, u, a)
				require.NotEqual(t, first, a.Backend)
				require.EqualValues(t, 1, u.Stats().Backends[first].Outcomes[OutcomeTimeout], "it is counted in any case")
				require.Equal(t, 2, u.Stats().Available)
				u.clk.Sleep(second.after)
				u.Finish(a, u.clk.Now(), second.outcome, true, 0)
				want := health.Up
				if second.blamed {
					want = health.Ejected
				}
				require.Equal(t, want, u.Stats().Backends[first].Health.Status)
			})
		})
	}
}

// The head decides, not the body.
func TestAnAnswerWithALongBodyIsNotASlowOne(t *testing.T) {
	inBubble(t, 2, fixed(2), func(t *testing.T, u *Upstream, f *fakeNet) {
		a := replayable(t, u)
		first := a.Backend
		timesOut(t, u, a)
		a.FirstByte = u.clk.Now()
		u.clk.Sleep(time.Minute)
		answered(u, a)
		require.Equal(t, health.Ejected, u.Stats().Backends[first].Health.Status)
	})
}

func TestAThirdBackendsAnswerBlamesBothThatWereSilent(t *testing.T) {
	c := fixed(3)
	c.Health.Passive.MaxEjectionPercent = 100
	inBubble(t, 3, c, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := replayable(t, u)
		timesOut(t, u, a)
		timesOut(t, u, a)
		require.Equal(t, 3, u.Stats().Available)
		answered(u, a)
		require.Equal(t, 1, u.Stats().Available)
	})
}

func TestAnAttemptDoesNotLeaveWithoutAnotherBackendThatHasRoom(t *testing.T) {
	c := fixed(2)
	c.Pool.MaxConnections = 1
	inBubble(t, 2, c, func(t *testing.T, u *Upstream, f *fakeNet) {
		a, other := replayable(t, u), replayable(t, u)
		w := start(t, u, &Attempt{}) // finds out that both are full
		require.False(t, u.MayLeave(a, OnPerTryTimeout))
		answered(u, other)
		require.NoError(t, w.end())
		answered(u, w.Attempt)
		require.True(t, u.MayLeave(a, OnPerTryTimeout))
		u.Stay(a)
		require.False(t, a.Lost())
		answered(u, a)
		require.Zero(t, u.Stats().Retries, "it stayed")
	})
}
