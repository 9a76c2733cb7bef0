package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPools is every workload on every pool, named Pools/<callers>[y]/<pool>; y are the callers that yield.
func BenchmarkPools(b *testing.B) {
	for _, wl := range workloads {
		name := fmt.Sprint(wl.callers)
		if wl.work.yield {
			name += "y"
		}
		for _, p := range peers {
			b.Run(name+"/"+p.name, func(b *testing.B) {
				l, err := p.open(new(maker), connections)
				require.NoError(b, err)
				defer l.close()
				require.NoError(b, crowd(l, wl.callers, 50, wl.work, nil))
				b.ReportAllocs()
				b.ResetTimer()
				require.NoError(b, crowd(l, wl.callers, max(b.N/wl.callers, 1), wl.work, nil))
			})
		}
	}
}
