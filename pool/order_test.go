package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// useOneByOne lends n times, one connection at a time, every millisecond, and counts which ones were lent.
func useOneByOne(t *testing.T, p *Pool, n int) map[uint64]int {
	t.Helper()
	used := map[uint64]int{}
	for range n {
		c := tryLend(p, now(p), 0)
		require.NotNil(t, c)
		used[c.ID()]++
		p.clk.Sleep(time.Millisecond)
		c.Release()
	}
	return used
}

// The peak of six at the beginning is remembered for a while; then the connections that are still needed take turns.
func TestConnectionPoolNoNeededConnectionIsStarvedOrFavouredForEver(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		ReleaseAll(getN(t, p, 6))
		used := useOneByOne(t, p, 6*rotateEvery)
		require.Len(t, used, 6, "each has its turn within rotateEvery lends for each of them")
		for id, n := range used {
			require.LessOrEqual(t, n, 2*rotateEvery, "connection %d", id)
			require.GreaterOrEqual(t, n, rotateEvery-1, "connection %d", id)
		}
	})
}

func TestConnectionPoolMostLendsAreOfTheMostRecentOne(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		ReleaseAll(getN(t, p, 6))
		last, changes := uint64(0), 0
		for range 10 * rotateEvery {
			c := tryLend(p, now(p), 0)
			if c.ID() != last {
				last, changes = c.ID(), changes+1
			}
			c.Release()
		}
		require.LessOrEqual(t, changes, 11)
	})
}

// Rotation must not keep young what nobody needs: one at a time is lent, so one is left when the idle timeout is over.
func TestConnectionPoolRotationDoesNotKeepASpikesConnectionsOpen(t *testing.T) {
	inBubble(t, Config{IdleTimeout: 30 * time.Second, TrimEvery: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		ReleaseAll(getN(t, p, 40))
		useOneByOne(t, p, 20_000)
		require.Equal(t, 40, p.Stats().Idle)
		useOneByOne(t, p, 35_000)
		require.Equal(t, 1, p.Stats().Idle)
	})
}

func TestConnectionPoolWithoutAnIdleTimeoutTheRotationReachesEveryConnection(t *testing.T) {
	inBubble(t, Config{IdleTimeout: -1, MaxLifetime: -1, TrimEvery: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		ReleaseAll(getN(t, p, 40))
		useOneByOne(t, p, 30_000)
		require.Len(t, useOneByOne(t, p, 40*rotateEvery), 40)
	})
}

func TestConnectionPoolRotationStealsWhereTheShardsOwnListIsEmpty(t *testing.T) {
	inBubble(t, Config{Shards: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		at := now(p)
		for i := range 4 * rotateEvery {
			c := tryLend(p, at, i%3)
			require.NotNil(t, c)
			c.ReleaseAt(at)
		}
	})
}

func TestConnectionPoolOrderFIFOLendsTheOneIdleForLongest(t *testing.T) {
	inBubble(t, Config{Order: OrderFIFO}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := getN(t, p, 3)
		ReleaseAll(conns)
		for i := range 30 {
			c := tryLend(p, now(p), 0)
			require.Same(t, conns[i%3].loan, c.loan)
			c.Release()
		}
	})
	require.Equal(t, []string{"recent", "fifo", "unknown"}, []string{OrderRecent.String(), OrderFIFO.String(), Order(9).String()})
}
