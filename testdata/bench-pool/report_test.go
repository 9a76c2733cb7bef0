package main

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Under the race detector this proves one holder, since a visitor writes to the connection without a lock.
func TestEveryPoolLendsEachConnectionToOneHolderAndStaysWithinItsSize(t *testing.T) {
	const callers, each = 32, 200
	for _, p := range peers {
		for _, yield := range []bool{false, true} {
			var m maker
			l, err := p.open(&m, connections)
			require.NoError(t, err)
			var mu sync.Mutex
			seen := make(map[*fakeConn]bool)
			w := work{yield: yield, visit: func(c *fakeConn) {
				c.uses++
				if c.uses == 1 {
					mu.Lock()
					defer mu.Unlock()
					seen[c] = true
				}
			}}
			require.NoError(t, crowd(l, callers, each, w, nil), p.name)
			l.close()
			total := 0
			for c := range seen {
				total += c.uses
			}
			require.Equal(t, callers*each, total, p.name)
			require.LessOrEqual(t, len(seen), connections, p.name)
			require.LessOrEqual(t, m.dials.Load(), int64(connections), p.name)
		}
	}
}

func TestFillKeepsThatManyConnectionsAtOnce(t *testing.T) {
	for _, p := range peers {
		var m maker
		l, err := p.open(&m, 100)
		require.NoError(t, err)
		require.NoError(t, l.fill(context.Background(), 100))
		require.EqualValues(t, 100, m.dials.Load(), p.name)
		l.close()
	}
}

func TestTableHasEveryCaseAndEveryPromise(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(&out, settings{rounds: 2, scale: 0.01, idle: 200}))
	for _, wl := range workloads {
		for _, p := range peers {
			require.Contains(t, out.String(), "| "+wl.name+" | "+p.name+" | ")
		}
	}
	require.Contains(t, out.String(), "| "+fakesOnly+" | ")
	require.Equal(t, len(promises)+4, strings.Count(out.String(), "\nok  ")+strings.Count(out.String(), "\nMISS"))
	require.Error(t, run(&out, settings{}), "nothing to measure")
}

func TestRatioIsTheMedianOfTheRatiosOfTheRounds(t *testing.T) {
	a := []sample{{ns: 10}, {ns: 400}, {ns: 30}}
	b := []sample{{ns: 10}, {ns: 100}, {ns: 10}}
	require.Equal(t, 3.0, ratio(a, b, wall), "of 1, 4 and 3")
	require.Zero(t, ratio(nil, b, wall))
	require.Equal(t, 2.0, median([]float64{3, 2, 1}))
	require.Equal(t, 1.0, median([]float64{2, 1}), "the lower one")
}

func TestAPromiseKnowsItsLimit(t *testing.T) {
	ok, sign := promise{limit: 0.5}.kept(0.5)
	require.False(t, ok)
	require.Equal(t, "<", sign)
	ok, sign = promise{limit: 1.2, inclusive: true}.kept(1.2)
	require.True(t, ok)
	require.Equal(t, "<=", sign)
}

func TestRoundsAlternate(t *testing.T) {
	last := len(peers) - 1
	require.Equal(t, 0, order(0)[0])
	require.Equal(t, last, order(1)[0])
	require.Len(t, order(1), len(peers))
}
