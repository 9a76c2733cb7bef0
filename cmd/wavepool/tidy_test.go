package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsGivenBackInCalmTimesWhereItIsWorthIt(t *testing.T) {
	before := memory{allocated: 1 << 30}
	for _, c := range []struct {
		what                string
		since, litter, free uint64
		want                bool
	}{
		{"calm, and enough garbage", calmMost, tidyLeast, 0, true},
		{"calm, and enough that is free", calmMost, 0, tidyLeast, true},
		{"calm, and too little", calmMost, tidyLeast / 2, tidyLeast/2 - 1, false},
		{"not calm", calmMost + 1, tidyLeast, 0, false},
		{"nothing", 0, 0, 0, false},
	} {
		now := memory{before.allocated + c.since, 50<<20 + c.litter, 50 << 20, c.free}
		require.Equal(t, c.want, now.untidy(before), c.what)
	}
	require.False(t, memory{there: 1, used: 2}.untidy(memory{}))
}

var litter []byte

func TestWhatABurstHasLeftIsCollected(t *testing.T) {
	debug.FreeOSMemory()
	for range 64 {
		litter = make([]byte, 1<<20)
	}
	litter = nil
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // not by itself
	for range 8 {
		litter = make([]byte, 1<<20)
	}
	litter = nil
	m := lookAtMemory()
	require.GreaterOrEqual(t, m.there+m.free, m.used+tidyLeast)
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	keeper := startTidy(time.Millisecond)
	defer keeper.close()
	require.Eventually(t, func() bool {
		runtime.ReadMemStats(&is)
		return is.NumForcedGC > was.NumForcedGC && is.HeapReleased > was.HeapReleased
	}, 10*time.Second, time.Millisecond)
}
