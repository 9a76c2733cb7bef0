package lb

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkPickDone(b *testing.B) {
	for _, strategy := range Strategies() {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", strategy, n), func(b *testing.B) {
				p, err := New(strategy, make([]Backend, n), stream(1))
				if err != nil {
					b.Fatal(err)
				}
				q := &Query{}
				b.ReportAllocs()
				for b.Loop() {
					p.Done(p.Pick(instant, q), Success, time.Millisecond)
				}
			})
		}
	}
}
