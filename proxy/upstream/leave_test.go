package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

func TestEveryConditionHasAWordAndNothingElseDoes(t *testing.T) {
	all := Condition(0)
	for i, w := range conditionWords {
		require.Equal(t, Condition(1<<i), ConditionNamed(w))
		all |= ConditionNamed(w)
	}
	require.Equal(t, OnStatus504<<1-1, all)
	require.Zero(t, ConditionNamed("501"))
	require.Zero(t, all&OnNothing)
	for status, want := range map[int]Condition{499: 0, 500: OnStatus500, 501: 0, 502: OnStatus502, 503: OnStatus503,
		504: OnStatus504, 505: 0, 200: 0} {
		require.Equal(t, want, OnStatus(status), status)
	}
}

// downFor takes the backend down by its checks.
func downFor(u *Upstream, s *switchboard, i int) {
	s.set(addr(i), true)
	judged(u)
}

func wide(s *switchboard) Config {
	c := checked(s)
	c.Pool.MaxConnections = 0
	return c
}

func TestRequestsThatWaitAtABackendThatGoesDownAreMovedAtOnce(t *testing.T) {
	var s switchboard
	inBubble(t, 3, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		var at0, elsewhere []*Attempt
		for range 30 {
			if a := replayable(t, u); a.Backend == 0 {
				at0 = append(at0, a)
			} else {
				elsewhere = append(elsewhere, a)
			}
		}
		begun := at0[0]
		require.True(t, begun.Answered())
		downFor(u, &s, 0)
		require.False(t, begun.Lost(), "its answer had begun")
		require.False(t, begun.Conn.NetConn().(*fakeConn).cutShort())
		require.Len(t, at0, 10)
		for _, a := range at0[1:] {
			require.True(t, a.Lost(), "the budget of 3, or a fifth of thirty, does not forbid it")
			require.True(t, a.Conn.NetConn().(*fakeConn).cutShort())
			require.False(t, a.Answered())
			failed(u, a, OutcomeLost)
			require.NoError(t, u.Begin(t.Context(), a))
			require.NotZero(t, a.Backend)
			require.Equal(t, 2, a.Number)
		}
		for _, a := range elsewhere {
			require.False(t, a.Lost())
		}
		st := u.Stats()
		require.EqualValues(t, 9, st.Backends[0].Outcomes[OutcomeLost])
		require.EqualValues(t, 9, st.Retries)
		other := replayable(t, u)
		require.False(t, u.MayLeave(other, OnPerTryTimeout), "they take the places of the budget")
		for _, a := range append(append(at0, elsewhere...), other) {
			answered(u, a)
		}
		require.Zero(t, u.retries)
	})
}

func TestARequestIsMovedOnlyWhereThatIsSafeAndOfUse(t *testing.T) {
	var s switchboard
	c := wide(&s)
	inBubble(t, 3, c, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := begin(t, u)
		downFor(u, &s, a.Backend)
		require.False(t, a.Conn.NetConn().(*fakeConn).cutShort(), "it is not repeatable")
		b := replayable(t, u)
		downFor(u, &s, b.Backend)
		require.True(t, b.Lost())
		failed(u, b, OutcomeLost)
		require.NoError(t, u.Begin(t.Context(), b))
		require.True(t, b.Await())
		s.set(addr(a.Backend), false)
		judged(u)
		downFor(u, &s, b.Backend)
		require.False(t, b.Lost(), "it was its last attempt")
		answered(u, a)
		answered(u, b)
	})
	c.RetryOn = DefaultConditions &^ OnBackendDown
	inBubble(t, 3, c, func(t *testing.T, u *Upstream, f *fakeNet) {
		s.set(addr(0), false)
		s.set(addr(1), false)
		s.set(addr(2), false)
		u.Start()
		a := replayable(t, u)
		downFor(u, &s, a.Backend)
		require.False(t, a.Lost(), "not asked for")
		answered(u, a)
	})
}

func TestNothingIsMovedFromABackendThatIsDrainedOrAnswersWithErrors(t *testing.T) {
	c := Config{Health: health.Config{Passive: health.Passive{Consecutive5xx: 1}}}
	inBubble(t, 3, c, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := replayable(t, u)
		require.NoError(t, u.DrainBackend(a.Address))
		require.False(t, a.Lost())
		b := replayable(t, u)
		worse := replayable(t, u)
		for worse.Backend != b.Backend {
			answered(u, worse)
			worse = replayable(t, u)
		}
		u.Finish(worse, u.clk.Now(), OutcomeAnswered5xx, true, 0)
		require.Equal(t, health.Ejected, u.Stats().Backends[b.Backend].Health.Status)
		require.False(t, b.Lost())
		answered(u, a)
		answered(u, b)
	})
}

// When more than half of the group is down, shifting the load at once would bring down the rest.
func TestTheBudgetBoundsTheMovesWhenMostBackendsAreDown(t *testing.T) {
	var s switchboard
	inBubble(t, 4, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		var all []*Attempt
		for range 40 {
			all = append(all, replayable(t, u))
		}
		lost := func() (n int) {
			for _, a := range all {
				if a.Lost() {
					n++
				}
			}
			return n
		}
		downFor(u, &s, 0)
		require.Equal(t, 10, lost())
		downFor(u, &s, 1)
		require.Equal(t, 20, lost(), "half of the group is left")
		downFor(u, &s, 2)
		require.Equal(t, 20, lost(), "a fifth of forty have a place, and twenty are on their way")
		for _, a := range all {
			if a.Lost() {
				failed(u, a, OutcomeLost)
				u.Forgo(a)
			} else {
				answered(u, a)
			}
		}
		require.Zero(t, u.retries)
	})
}

// An answer and the verdict may come in one moment.
func TestAnAnswerThatComesInTheMomentOfTheVerdictIsTaken(t *testing.T) {
	var s switchboard
	inBubble(t, 2, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := replayable(t, u)
		downFor(u, &s, a.Backend)
		require.False(t, a.Answered())
		u.Stay(a)
		require.False(t, a.Lost())
		require.True(t, a.Answered())
		answered(u, a)
		require.Zero(t, u.retries)
		require.Zero(t, u.Stats().Retries)
	})
}

// Between Begin and Await the connection is not used yet, and nobody need be woken.
func TestAnAttemptThatIsLostBeforeItsConnectionIsUsedSaysSoAtAwait(t *testing.T) {
	var s switchboard
	inBubble(t, 2, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := &Attempt{Repeatable: true}
		require.NoError(t, u.Begin(t.Context(), a))
		synctest.Wait()
		downFor(u, &s, a.Backend)
		require.False(t, a.Await())
		require.True(t, a.Lost())
		require.False(t, a.Conn.NetConn().(*fakeConn).cutShort())
		failed(u, a, OutcomeLost)
		require.NoError(t, u.Begin(t.Context(), a))
		answered(u, a)
	})
}

func TestARequestWhoseConnectFailsGoesNoFurtherWhereThatIsNotAskedFor(t *testing.T) {
	inBubble(t, 3, Config{RetryOn: OnNothing}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setFail(addr(0), true)
		var connect *ConnectError
		require.ErrorAs(t, u.Begin(t.Context(), &Attempt{}), &connect)
		require.Equal(t, 1, connect.Tried)
		require.Zero(t, f.dialsTo(addr(1))+f.dialsTo(addr(2)))
		a := begin(t, u)
		i := a.Backend
		failed(u, a, OutcomeStale)
		require.False(t, u.MayRetry(a, OnReset))
		f.setFail(addr(i), true)
		require.ErrorAs(t, u.BeginFresh(t.Context(), a), &connect)
	})
}

// The list of attempts under way is that of a plain slice, whoever comes and goes.
func TestTheListOfAttemptsKeepsItsOrder(t *testing.T) {
	var l attempts
	list := func() (out []int) {
		for a := l.head; a != nil; a = a.next {
			out = append(out, a.Number)
		}
		var back []int
		for a := l.tail; a != nil; a = a.prev {
			back = append([]int{a.Number}, back...)
		}
		require.Equal(t, out, back)
		return out
	}
	all := make([]Attempt, 5)
	for i := range all {
		all[i].Number = i
		l.push(&all[i])
	}
	for _, step := range []struct {
		leaves int
		want   []int
	}{{2, []int{0, 1, 3, 4}}, {0, []int{1, 3, 4}}, {4, []int{1, 3}}, {3, []int{1}}, {3, []int{1}}, {1, nil}} {
		all[step.leaves].unlist()
		require.Equal(t, step.want, list())
	}
	l.push(&all[2])
	require.Equal(t, []int{2}, list())
}

// A lost attempt whose client has left gives its place back.
func TestALostAttemptThatEndsOtherwiseGivesItsPlaceBack(t *testing.T) {
	var s switchboard
	inBubble(t, 2, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := replayable(t, u)
		downFor(u, &s, a.Backend)
		require.True(t, a.Lost())
		u.Finish(a, u.clk.Now(), OutcomeClientGone, false, pool.ReasonAborted)
		u.Forgo(a)
		require.Zero(t, u.retries)
		b := replayable(t, u)
		s.set(addr(1-b.Backend), false)
		judged(u)
		downFor(u, &s, b.Backend)
		failed(u, b, OutcomeLost)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		cancel()
		require.Error(t, u.Begin(ctx, b))
		require.Zero(t, u.retries)
	})
}

// Its own connection has told it so before the move did: the place is there, and is used.
func TestARequestThatFailsInTheMomentInWhichItIsMovedGoesOn(t *testing.T) {
	var s switchboard
	inBubble(t, 2, wide(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := replayable(t, u)
		downFor(u, &s, a.Backend)
		failed(u, a, OutcomeReset)
		require.True(t, u.MayRetry(a, OnReset))
		require.EqualValues(t, 1, u.Stats().Retries, "once")
		require.NoError(t, u.Begin(t.Context(), a))
		require.Equal(t, 1, u.retries)
		answered(u, a)
		require.Zero(t, u.retries)
	})
}

// Many requests die with one connection of HTTP/2. The first of them take the backend down.
func TestABackendThatFallsByResetsHasItsOtherRequestsMovedOutsideTheBudget(t *testing.T) {
	for _, falls := range []bool{true, false} {
		var s switchboard
		c := wide(&s)
		if !falls {
			c.Health.Passive.ConsecutiveFailures = -1
		}
		inBubble(t, 3, c, func(t *testing.T, u *Upstream, f *fakeNet) {
			u.Start()
			var at0, elsewhere []*Attempt
			for range 60 {
				if a := replayable(t, u); a.Backend == 0 {
					a.Repeatable = false // so that nobody moves it before its reset
					u.mu.Lock()
					a.unlist()
					u.mu.Unlock()
					at0 = append(at0, a)
				} else {
					elsewhere = append(elsewhere, a)
				}
			}
			again := 0
			for _, a := range at0 {
				failed(u, a, OutcomeReset)
				if u.MayRetry(a, OnReset) {
					again++
				}
			}
			require.Len(t, at0, 20)
			require.Equal(t, map[bool]int{true: 20, false: 8}[falls], again, "without a verdict, a fifth of the others in flight")
			for _, a := range at0 {
				u.Forgo(a)
			}
			for _, a := range elsewhere {
				answered(u, a)
			}
			require.Zero(t, u.retries)
		})
	}
}
