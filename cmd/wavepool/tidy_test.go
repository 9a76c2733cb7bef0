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
	const used = 64 << 20
	const enough = used / tidyPart
	for _, c := range []struct {
		what                string
		since, litter, free uint64
		want                bool
	}{
		{"calm, and enough garbage", calmMost, enough, 0, true},
		{"calm, and enough that is free", calmMost, 0, enough, true},
		{"calm, and too little", calmMost, enough / 2, enough/2 - 1, false},
		{"not calm", calmMost + 1, enough, 0, false},
		{"nothing", 0, 0, 0, false},
	} {
		now := memory{before.allocated + c.since, used + c.litter, used, c.free}
		require.Equal(t, c.want, now.untidy(before), c.what)
	}
	require.True(t, memory{there: tidyLeast + 16, used: 16}.untidy(memory{}), "of a small heap")
	require.False(t, memory{there: tidyLeast + 15, used: 16}.untidy(memory{}))
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
