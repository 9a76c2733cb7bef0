package proxy

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestEveryWorkerGivesWayAfterEachBurstOfAnswers(t *testing.T) {
	bursts := make([]burst, 2)
	for round := range 3 {
		for n := range burstLength {
			require.Equal(t, n == burstLength-1, bursts[0].answered(), "round %d, answer %d", round, n+1)
		}
	}
	require.Zero(t, bursts[1].answers.Load(), "workers do not share a count")
	require.EqualValues(t, 64, unsafe.Sizeof(bursts[0]), "nor a cache line")
	require.Zero(t, testing.AllocsPerRun(100, func() { bursts[1].answered() }))
}
