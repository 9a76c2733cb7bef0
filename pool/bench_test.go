package pool

import (
	"context"
	"fmt"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func benchPool(b *testing.B, cfg Config) *Pool {
	b.Helper()
	cfg.Address, cfg.Dialer = "a:1", instant{}
	p, err := New(cfg)
	require.NoError(b, err)
	b.Cleanup(p.Close)
	return p
}

// One caller, who lends and returns, and reads no clock itself.
func BenchmarkConnectionPoolGet(b *testing.B) {
	p := benchPool(b, Config{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c, err := p.Lend(ctx)
		if err != nil {
			b.Fatal(err)
		}
		c.Release()
	}
}

// 32 callers on two cores share eight connections.
func BenchmarkConnectionPoolConcurrentOperations(b *testing.B) {
	p := benchPool(b, Config{MaxConnections: 8})
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := p.Lend(context.Background())
			if err != nil {
				b.Error(err)
				return
			}
			c.Release()
		}
	})
}

// mutexWait is how long goroutines have waited for mutexes since the program began.
func mutexWait() time.Duration {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}

// 32 callers, each with a shard of its own among as many as the name says, on 32 connections. Wait-ns/op is
// what callers spent asleep for locks.
func BenchmarkConnectionPoolShards(b *testing.B) {
	for _, shards := range []int{1, 4} {
		b.Run(fmt.Sprint(shards), func(b *testing.B) {
			shardsBench(b, shards)
		})
	}
}

func shardsBench(b *testing.B, shards int) {
	p := benchPool(b, Config{MaxConnections: 32, Shards: shards})
	now := time.Now()
	conns, err := p.GetN(context.Background(), 0, 32)
	require.NoError(b, err)
	for i, c := range conns {
		c.loan.link.shard = int32(i % shards)
	}
	ReleaseAll(conns)
	b.ReportAllocs()
	before := mutexWait()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range b.N/32 + 1 {
				c, ok := p.TryLend(now, i%shards)
				if ok {
					c.ReleaseAt(now)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(mutexWait()-before)/float64(b.N), "wait-ns/op")
}
