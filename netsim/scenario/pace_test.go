package scenario

import (
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var benchSim = flag.Bool("bench-sim", false, "measure the stock scenarios and print a table")

// The promises about speed, each with room for a loaded machine unless they are asked for by name: make bench-sim.
func TestPaceOfTheStockScenariosOnOneCore(t *testing.T) {
	if underRace {
		t.Skip("the race detector measures something else")
	}
	ratio, perSecond := 30.0, 5_000.0
	files := []string{filepath.Join(stockDir, "silent-drop.yaml")}
	if *benchSim {
		ratio, perSecond, files = 100, 20_000, stock(t)
		fmt.Printf("\n| %-24s | requests | virtual s | wall s | requests/s | virtual : wall | heap MiB |\n|---|---|---|---|---|---|---|\n", "scenario, one core")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, file := range files {
		sc, err := Load(file)
		require.NoError(t, err)
		best := &Verdict{WallSeconds: 1e9}
		var mem runtime.MemStats
		for range 3 {
			v, err := Execute(sc, Options{})
			require.NoError(t, err)
			if v.WallSeconds < best.WallSeconds {
				best = v
			}
		}
		runtime.ReadMemStats(&mem)
		requests, times := float64(best.Requests)/best.WallSeconds, best.VirtualSeconds/best.WallSeconds
		if *benchSim {
			fmt.Printf("| %-24s | %d | %.0f | %.2f | %.0f | %.0f | %.0f |\n", sc.Name, best.Requests, best.VirtualSeconds,
				best.WallSeconds, requests, times, float64(mem.HeapSys)/(1<<20))
		}
		if sc.Name == "silent-drop" {
			require.Equal(t, 2*time.Minute, sc.Duration)
			require.Greater(t, times, ratio, "virtual time by wall time")
			require.Greater(t, requests, perSecond, "requests through the proxy per second of wall time")
		}
	}
}
