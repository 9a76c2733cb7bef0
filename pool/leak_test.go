package pool

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// careless borrows and does not give back.
func careless(t *testing.T, p *Pool) Conn { return lend(t, p) }

func TestConnectionPoolALeakIsReportedOnceExactlyWithItsBorrowersStack(t *testing.T) {
	var mu sync.Mutex
	var leaks []Leak
	var at []time.Time
	var p *Pool
	cfg := Config{LeakAfter: time.Minute, OnLeak: func(l Leak) {
		mu.Lock()
		defer mu.Unlock()
		leaks, at = append(leaks, l), append(at, now(p))
	}}
	inBubble(t, cfg, func(t *testing.T, made *Pool, f *fakeNet) {
		p = made
		c := careless(t, p)
		begun := now(p)
		p.clk.Sleep(30 * time.Second)
		other := careless(t, p)
		p.clk.Sleep(29 * time.Second)
		other.Release()
		p.clk.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, leaks, 1)
		require.Equal(t, c.ID(), leaks[0].Conn)
		require.Equal(t, time.Minute, leaks[0].Age)
		require.Equal(t, begun.Add(time.Minute), at[0])
		first, _, _ := strings.Cut(leaks[0].Stack, "\n")
		require.True(t, strings.HasSuffix(first, "pool.lend"), leaks[0].Stack)
		require.Contains(t, leaks[0].Stack, "pool.careless")
		c.Release()
	})
}

func TestConnectionPoolANewLoanOfALeakedConnectionIsWatchedAnew(t *testing.T) {
	var leaks int
	cfg := Config{LeakAfter: time.Minute, OnLeak: func(Leak) { leaks++ }}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		for range 3 {
			c := lend(t, p)
			p.clk.Sleep(2 * time.Minute)
			c.Release()
		}
	})
	require.Equal(t, 3, leaks)
}

func TestConnectionPoolHoldersListsTheLoansLongestFirst(t *testing.T) {
	inBubble(t, Config{LeakAfter: time.Hour}, func(t *testing.T, p *Pool, f *fakeNet) {
		require.Empty(t, p.Holders())
		a, b, c := lend(t, p), careless(t, p), lend(t, p)
		a.Release()
		p.clk.Sleep(time.Second)
		a = lend(t, p)
		c.Discard(ReasonBroken)
		held := p.Holders()
		require.Len(t, held, 2)
		require.Equal(t, []uint64{b.ID(), a.ID()}, []uint64{held[0].Conn, held[1].Conn})
		require.Equal(t, now(p), held[1].Since)
		require.EqualValues(t, 2, held[1].Uses)
		require.Contains(t, held[0].Stack, "pool.careless")
		require.NotContains(t, held[1].Stack, "pool.careless")
		ReleaseAll([]Conn{a, b})
	})
}

func TestConnectionPoolHoldersWithoutLeakAfterTellsWhoButNotWhere(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		require.Equal(t, []Holder{{Conn: 1, Uses: 1, Since: now(p)}}, p.Holders())
		c.Release()
	})
}

func TestConnectionPoolTheWatchOverLeaksCostsNothingWhenItIsOffAndAllocatesNothingWhenOn(t *testing.T) {
	for _, after := range []time.Duration{0, time.Hour} {
		inBubble(t, Config{LeakAfter: after, IdleTimeout: -1, MaxLifetime: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
			lend(t, p).Release()
			at := now(p)
			require.Zero(t, testing.AllocsPerRun(100, func() { tryLend(p, at, 0).ReleaseAt(at) }))
			require.Equal(t, after > 0, p.conns[0].loan.places != nil)
		})
	}
}
