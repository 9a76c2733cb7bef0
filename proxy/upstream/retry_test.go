package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerARetryAvoidsWhereItHasBeenAndThenVisitsAgain(t *testing.T) {
	inBubble(t, 2, Config{Attempts: 3}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		first := a.Backend
		failed(u, a, OutcomeReset)
		require.True(t, u.MayRetry(a, OnReset))
		require.NoError(t, u.Begin(t.Context(), a))
		require.NotEqual(t, first, a.Backend)
		require.Equal(t, 2, a.Number)
		failed(u, a, OutcomeTimeout)
		require.True(t, u.MayRetry(a, OnReset))
		require.NoError(t, u.Begin(t.Context(), a))
		failed(u, a, OutcomeBadAnswer)
		require.False(t, u.MayRetry(a, OnReset), "three attempts in all")
		require.EqualValues(t, 2, u.Stats().Retries)
	})
}

func TestConnectionPoolManagerTheRetryBudgetBoundsTheRetriesUnderWay(t *testing.T) {
	cfg := Config{BudgetMin: 1, Attempts: 9}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a, b := begin(t, u), begin(t, u)
		failed(u, a, OutcomeReset)
		failed(u, b, OutcomeReset)
		require.True(t, u.MayRetry(a, OnReset))
		require.False(t, u.MayRetry(b, OnReset))
		require.EqualValues(t, 1, u.Stats().OverBudget)
		require.NoError(t, u.Begin(t.Context(), a))
		require.False(t, u.MayRetry(b, OnReset), "until it is finished")
		answered(u, a)
		require.True(t, u.MayRetry(b, OnReset))
		u.Forgo(b)
		u.Forgo(b)
		require.True(t, u.MayRetry(b, OnReset))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, u.Begin(ctx, b), context.Canceled)
		require.True(t, u.MayRetry(a, OnReset), "a Begin that fails gives its place back")
		require.ErrorIs(t, u.BeginFresh(ctx, a), context.Canceled)
		require.True(t, u.MayRetry(b, OnReset), "and so does a BeginFresh")
		b.Reset()
		u.Forgo(b)
	})
}

func TestConnectionPoolManagerBeginFreshDialsAtTheSameBackendAndCountsNoAttempt(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		answered(u, begin(t, u))
		answered(u, begin(t, u))
		a := begin(t, u)
		require.True(t, a.Conn.Reused())
		i := a.Backend
		failed(u, a, OutcomeStale)
		require.NoError(t, u.BeginFresh(t.Context(), a))
		require.Equal(t, i, a.Backend)
		require.Equal(t, 1, a.Number)
		require.False(t, a.Conn.Reused())
		require.Equal(t, dialTime, a.Waited)
		answered(u, a)
	})
}

func TestConnectionPoolManagerBeginFreshIsABeginWhereThePoolHasNoRoomOrTheBackendIsOut(t *testing.T) {
	var s switchboard
	inBubble(t, 2, checked(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := begin(t, u)
		i := a.Backend
		failed(u, a, OutcomeStale)
		other := &Attempt{}
		other.avoid(1 - i)
		require.NoError(t, u.Begin(t.Context(), other)) // takes the only slot at i
		require.NoError(t, u.BeginFresh(t.Context(), a))
		require.Equal(t, 1-i, a.Backend, "no room at the same one")
		require.Equal(t, 1, a.Number)
		failed(u, a, OutcomeStale)
		answered(u, other)
		s.set(addr(1-i), true)
		judged(u)
		require.NoError(t, u.BeginFresh(t.Context(), a))
		require.Equal(t, i, a.Backend, "health admits no other")
		answered(u, a)
	})
}

func TestConnectionPoolManagerBeginFreshGoesElsewhereWhenItsDialFailsAndStopsWithItsContext(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		i := a.Backend
		failed(u, a, OutcomeStale)
		f.setFail(addr(i), true)
		require.NoError(t, u.BeginFresh(t.Context(), a))
		require.Equal(t, 1-i, a.Backend)
		require.EqualValues(t, 1, u.Stats().Backends[i].Outcomes[OutcomeConnectFailed])
		failed(u, a, OutcomeStale)
		f.setDelay(addr(1-i), time.Hour)
		ctx, cancel := u.clk.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := u.clk.Now()
		require.ErrorIs(t, u.BeginFresh(ctx, a), context.DeadlineExceeded)
		require.Equal(t, time.Second, u.clk.Now().Sub(begun))
		require.Zero(t, u.Stats().Backends[1-i].Outcomes[OutcomeConnectFailed], "its leaving is no evidence")
	})
}

// The slot that a fresh dial held serves whoever waits for room, however the dial ended.
func TestConnectionPoolManagerTheSlotOfAFreshDialThatFailsGoesToTheLine(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		failed(u, a, OutcomeStale)
		f.setDelay(addr(0), time.Hour)
		ctx, cancel := u.clk.WithTimeout(t.Context(), time.Second)
		defer cancel()
		left := make(chan error)
		go func() { left <- u.BeginFresh(ctx, a) }()
		synctest.Wait()
		w := start(t, u, &Attempt{})
		f.setDelay(addr(0), dialTime)
		require.ErrorIs(t, <-left, context.DeadlineExceeded)
		require.NoError(t, w.end())
		require.Equal(t, time.Second+dialTime, w.Waited)
		answered(u, w.Attempt)
	})
}

func TestConnectionPoolManagerChecksAreCountedAndFailedDialsAreTold(t *testing.T) {
	var s switchboard
	var told []Event
	cfg := checked(&s)
	cfg.Health.Fall = 3
	cfg.Observer = func(e Event) { told = append(told, e) }
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(250 * time.Millisecond)
		s.set(addr(0), true)
		u.clk.Sleep(100 * time.Millisecond)
		b := u.Stats().Backends[0]
		require.EqualValues(t, 4, b.Checks)
		require.EqualValues(t, 3, b.ChecksPassed)
		require.Equal(t, 1, b.Health.ChecksFailed)
		require.Equal(t, 1, b.Weight)
		f.setFail(addr(0), true)
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), errRefused)
	})
	require.Len(t, told, 1)
	require.Equal(t, KindDialFailed, told[0].Kind)
	require.Equal(t, OutcomeConnectFailed.String(), told[0].Reason)
	require.Equal(t, "refused", told[0].Detail)
}

func TestConnectionPoolManagerMistakesOfAConfigAreListed(t *testing.T) {
	_, err := New(Config{Backends: []Backend{{Address: "a:1"}, {Address: "a:1"}}, Attempts: -1, BudgetPercent: 101})
	for _, part := range []string{"Name", "listed twice", "Attempts", "BudgetPercent"} {
		require.ErrorContains(t, err, part)
	}
	_, err = New(Config{Name: "web"})
	require.ErrorContains(t, err, "no Backends")
	_, err = New(Config{Name: "web", Backends: group(1), Strategy: "round-robbin"})
	require.ErrorContains(t, err, "round-robin")
	_, err = New(Config{Name: "web", Backends: []Backend{{}}})
	require.ErrorContains(t, err, "Address")
}
