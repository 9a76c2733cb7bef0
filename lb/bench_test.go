package lb

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkPick picks a backend and ends the request at once, by each strategy among ten and a thousand backends: of
// one weight, of two weights, and from several goroutines behind one mutex.
func BenchmarkPick(b *testing.B) {
	for _, strategy := range Strategies() {
		for _, n := range []int{10, 1000} {
			for _, uneven := range []bool{false, true} {
				name := fmt.Sprintf("%s/%d", strategy, n)
				if uneven {
					name += "/weights"
				}
				backends := make([]Backend, n)
				for i := range backends {
					if uneven && i%3 == 0 {
						backends[i].Weight = 1 + i%5
					}
				}
				p, err := New(strategy, backends, stream(1))
				if err != nil {
					b.Fatal(err)
				}
				b.Run(name, func(b *testing.B) {
					q := &Query{}
					b.ReportAllocs()
					for b.Loop() {
						q.Key += golden
						p.Done(p.Pick(instant, q), Success, time.Millisecond)
					}
				})
				if uneven {
					continue
				}
				b.Run(name+"/parallel", func(b *testing.B) {
					var mu sync.Mutex
					b.RunParallel(func(pb *testing.PB) {
						q := &Query{Key: 1}
						for pb.Next() {
							q.Key += golden
							mu.Lock()
							p.Done(p.Pick(instant, q), Success, time.Millisecond)
							mu.Unlock()
						}
					})
				})
			}
		}
	}
}

// BenchmarkRebuild makes the table of a thousand backends.
func BenchmarkRebuild(b *testing.B) {
	for _, strategy := range []string{"ring-hash", "maglev"} {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", strategy, n), func(b *testing.B) {
				p, err := New(strategy, make([]Backend, n), stream(1))
				if err != nil {
					b.Fatal(err)
				}
				w := 1
				for b.Loop() {
					w = 3 - w
					p.SetWeight(0, w)
					RebuildNow(p)
				}
			})
		}
	}
}
