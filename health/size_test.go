package health

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is known of ten thousand backends, with everything switched on and told, stays below 20 MB.
func TestTheStateOfTenThousandBackendsIsBelowTwentyMegabytes(t *testing.T) {
	const n = 10_000
	cfg := Config{Active: true, Passive: Passive{Outliers: Outliers{SuccessRate: 1.9, Latency: 3}}, Breaker: Breaker{ErrorPercent: 50}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	g, err := New(cfg, n, nil)
	require.NoError(t, err)
	g.Start(instant)
	for i := range n {
		g.ObserveRequest(instant, i, Success, time.Millisecond, 0)
		g.Check(instant, i, true)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := int(after.HeapAlloc) - int(before.HeapAlloc)
	t.Logf("%.1f MB", float64(size)/1e6)
	require.Less(t, size, 20_000_000)
	require.Equal(t, n, g.Size())
}
