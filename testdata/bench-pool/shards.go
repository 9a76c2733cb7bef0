package main

import (
	"context"
	"fmt"
	"io"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/wavepool/wavepool/pool"
)

// locking is what 32 callers spend on a pool's locks, per lend and return.
type locking struct{ ns, wait float64 }

// measureShards measures a pool with each number of shards, once in each round, in turns.
func measureShards(rounds int, scale float64, counts []int) ([][]locking, error) {
	out := make([][]locking, len(counts))
	for range rounds {
		for i, n := range counts {
			l, err := lockingOf(n, int(4_000_000*scale))
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], l)
		}
	}
	return out, nil
}

// lockingOf lets 32 callers with 32 connections lend and return, each from its own shard. There is a connection for
// each, so that nobody stands in line: what they wait for is a lock.
func lockingOf(shards, ops int) (locking, error) {
	const callers = 32
	p, err := pool.New(pool.Config{Address: "fake:1", Dialer: new(maker), MaxConnections: callers, Shards: shards})
	if err != nil {
		return locking{}, err
	}
	defer p.Close()
	// A connection goes back to its borrower's shard, so the lists are as long as there are callers of them.
	var lent []pool.Conn
	for i := range callers {
		c, err := p.LendAt(context.Background(), time.Now(), i%shards)
		if err != nil {
			return locking{}, err
		}
		lent = append(lent, c)
	}
	pool.ReleaseAll(lent)
	before, begun := mutexWait(), time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range ops / callers {
				if c, ok := p.TryLend(begun, i%shards); ok {
					c.ReleaseAt(begun)
				}
			}
		})
	}
	wg.Wait()
	n := float64(ops)
	return locking{ns: float64(time.Since(begun)) / n, wait: float64(mutexWait()-before) / n}, nil
}

// mutexWait is how long goroutines have slept for mutexes since the program began.
func mutexWait() time.Duration {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}

// writeShards writes the table, and whether four shards halve the wait of one. How long somebody sleeps hangs on few
// unlucky moments, so the sums over the rounds are compared, without the largest of each.
func writeShards(out io.Writer, counts []int, all [][]locking) {
	fmt.Fprintln(out, "| shards | ns | asleep for a lock: ns | least to most |")
	fmt.Fprintln(out, "|---|---|---|---|")
	trimmed := make([]float64, len(counts))
	for i, n := range counts {
		var ns, waits []float64
		for _, l := range all[i] {
			ns, waits = append(ns, l.ns), append(waits, l.wait)
		}
		fmt.Fprintf(out, "| %d | %.0f | %.0f | %.0f to %.0f |\n", n, median(ns), median(waits), slices.Min(waits), slices.Max(waits))
		for _, w := range waits {
			trimmed[i] += w
		}
		trimmed[i] -= slices.Max(waits)
	}
	word := "MISS"
	if trimmed[1] <= trimmed[0]/2 {
		word = "ok  "
	}
	fmt.Fprintf(out, "\n%s 32 callers: with %d shards they sleep at most half as long for locks as with %d: %.2fx\n",
		word, counts[1], counts[0], trimmed[1]/max(trimmed[0], 1e-9))
}
