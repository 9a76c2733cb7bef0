package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionPoolAnIdleConnectionEndsAtItsIdleTimeoutExactly(t *testing.T) {
	inBubble(t, Config{IdleTimeout: 5 * time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		p.clk.Sleep(5*time.Second - 1)
		require.Equal(t, 1, p.Stats().Idle)
		p.clk.Sleep(2)
		require.Zero(t, p.Stats().Idle)
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonIdleTimeout])
		require.Zero(t, f.open())
	})
}

func TestConnectionPoolConnectionsBornTogetherDoNotDieTogether(t *testing.T) {
	cfg := Config{IdleTimeout: -1, MaxLifetime: time.Hour, TrimEvery: -1, MaxDials: 40}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Want(40)
		p.clk.Sleep(54*time.Minute - time.Second)
		require.Equal(t, 40, p.Stats().Idle, "nobody dies before the spread begins")
		p.clk.Sleep(3 * time.Minute)
		left := p.Stats().Idle
		require.Greater(t, left, 5)
		require.Less(t, left, 35)
		p.clk.Sleep(4 * time.Minute)
		require.Zero(t, p.Stats().Idle, "nobody lives longer than MaxLifetime")
		require.Equal(t, uint64(40), p.Stats().Retired[ReasonMaxLifetime])
	})
}

func TestConnectionPoolALentConnectionOutlivesItsLifetimeUntilItReturns(t *testing.T) {
	inBubble(t, Config{MaxLifetime: time.Minute}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		p.clk.Sleep(time.Hour)
		require.Equal(t, 1, f.open())
		c.Release()
		require.Zero(t, f.open())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonMaxLifetime])
		require.GreaterOrEqual(t, statsOf(p).MeanLifetime(), time.Hour)
	})
}

func statsOf(p *Pool) *Stats {
	s := p.Stats()
	return &s
}

func TestConnectionPoolAConnectionThatThePeerClosedIsNotLent(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		f.dialled[0].peerCloses()
		p.clk.Sleep(time.Millisecond)
		c := lend(t, p)
		require.False(t, c.Reused())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonPeerClosed])
		c.Release()
	})
}

func TestConnectionPoolAConnectionWithUnexpectedDataIsNotLent(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		f.dialled[0].peerSends(3)
		p.clk.Sleep(time.Millisecond)
		require.False(t, tryLend(p, now(p), 0).Lent())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonUnexpectedData])
	})
}

func TestConnectionPoolAConnectionUsedAMomentAgoIsLentWithoutALook(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		f.dialled[0].peerCloses()
		p.clk.Sleep(time.Millisecond - 1)
		c := tryLend(p, now(p), 0)
		require.NotNil(t, c)
		c.Discard(ReasonBroken)
	})
}

func TestConnectionPoolMaxIdleClosesTheConnectionThatReturnsBeyondIt(t *testing.T) {
	inBubble(t, Config{MaxIdle: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		a.Release()
		b.Release()
		require.Equal(t, 1, p.Stats().Idle)
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonExcess])
	})
}

func TestConnectionPoolMinIdleIsKeptWarmAndRefilled(t *testing.T) {
	inBubble(t, Config{MinIdle: 3, IdleTimeout: time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Warm()
		p.clk.Sleep(20 * time.Millisecond)
		require.Equal(t, 3, p.Stats().Idle)
		p.clk.Sleep(1100 * time.Millisecond)
		s := p.Stats()
		require.Equal(t, uint64(3), s.Retired[ReasonIdleTimeout])
		require.Equal(t, 3, s.Idle, "refilled after they ended")
	})
}

func TestConnectionPoolMinIdleIsTriedAgainWithPausesWhileTheBackendIsDown(t *testing.T) {
	inBubble(t, Config{MinIdle: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		p.Warm()
		p.clk.Sleep(time.Minute)
		require.Greater(t, p.Stats().DialFailed, uint64(3))
		require.Less(t, p.Stats().DialFailed, uint64(20), "no storm")
		f.setFail(false)
		p.clk.Sleep(time.Minute)
		require.Equal(t, 1, p.Stats().Idle)
	})
}

func TestConnectionPoolOuterQueueIsToldOfWhatBecomesFreeAndOfFailedDials(t *testing.T) {
	var ready, failed atomic.Int32
	cfg := Config{OnReady: func() { ready.Add(1) }, OnDialFailed: func(error) { failed.Add(1) }}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		require.Equal(t, 1, p.Want(1))
		p.clk.Sleep(20 * time.Millisecond)
		require.EqualValues(t, 1, ready.Load(), "a dial ended")
		c := tryLend(p, now(p), 0)
		c.Release()
		require.EqualValues(t, 2, ready.Load(), "a connection came back")
		tryLend(p, now(p), 0).Discard(ReasonBroken)
		require.EqualValues(t, 3, ready.Load(), "a slot became free")
		f.setFail(true)
		p.Want(1)
		p.clk.Sleep(20 * time.Millisecond)
		require.EqualValues(t, 1, failed.Load())
	})
}

func TestConnectionPoolFreshIsNeverAnOldConnectionAndTheOldestGivesWay(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		_, err := p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, ErrNoRoom)
		a.Release()
		p.clk.Sleep(time.Millisecond)
		b.Release()
		c, err := p.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.False(t, c.Reused())
		require.True(t, raw(a).isClosed(), "the one idle for longest gave way")
		require.False(t, raw(b).isClosed())
		f.setFail(true)
		c.Discard(ReasonBroken)
		_, err = p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, errRefused)
	})
}

func TestConnectionPoolAConnectionThatLayIdleBeforeItsFirstLoanCountsAsReused(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Want(1)
		p.clk.Sleep(20 * time.Millisecond)
		c := tryLend(p, now(p), 0)
		require.True(t, c.Reused(), "its peer may have closed it while nobody looked")
		require.Zero(t, p.Stats().Reuses, "for the statistics this is its first use")
		c.Release()
	})
}

func TestConnectionPoolRetryRefillsMinIdleWithoutWaitingForThePause(t *testing.T) {
	cfg := Config{MinIdle: 1, Rand: func(string) *rand.Rand { return seeded() }} // no probe under way at the end
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		p.Warm()
		p.clk.Sleep(5 * time.Minute)
		f.setFail(false)
		p.Retry()
		p.clk.Sleep(11 * time.Millisecond)
		require.Equal(t, 1, p.Stats().Idle)
	})
}

func TestConnectionPoolEventsTellTheLifeOfEveryConnection(t *testing.T) {
	var mu sync.Mutex
	var got []string
	cfg := Config{Observer: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		s := e.Kind.String()
		if e.Kind == EventRetired {
			s += " " + e.Reason.String()
		}
		got = append(got, s)
	}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Discard(ReasonBroken)
		f.setFail(true)
		p.Want(1)
		p.clk.Sleep(time.Second)
	})
	require.Equal(t, []string{"dialled", "retired broken", "dial_failed"}, got)
}
