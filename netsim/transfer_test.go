package netsim

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// throughput sends size bytes over the lab's connection and gives the rate at which they arrived, in bytes
// per second.
func (x *lab) throughput(size int) float64 {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := x.a.Write(make([]byte, size))
		require.NoError(x.t, err)
	})
	defer wg.Wait()
	start := x.Elapsed()
	_, err := io.ReadFull(x.b, make([]byte, size))
	require.NoError(x.t, err)
	return float64(size) / (x.Elapsed() - start).Seconds()
}

func TestALargeTransferIsAsFastAsItsWindowPerRoundTrip(t *testing.T) {
	for _, rtt := range []time.Duration{ms, 10 * ms, 50 * ms, 200 * ms} {
		for window, tolerance := range map[int]float64{
			4000: 0.05, 64 << 10: 0.05, 96 << 10: 0.05, 512 << 10: 0.05,
			100_000: 0.08, // no whole number of segments: a part of the window stays unused
		} {
			t.Run(fmt.Sprint(rtt, " ", window), func(t *testing.T) {
				cfg := Config{Latency: rtt / 2, RecvBuffer: window, SendBuffer: 4 * window}
				inLab(t, cfg, func(x *lab) {
					require.InEpsilon(t, float64(window)/rtt.Seconds(), x.throughput(60*window), tolerance)
				})
				cfg.RecvBuffer, cfg.SendBuffer = cfg.SendBuffer, cfg.RecvBuffer
				inLab(t, cfg, func(x *lab) { // the send buffer limits as the window does
					require.InEpsilon(t, float64(window)/rtt.Seconds(), x.throughput(60*window), tolerance)
				})
			})
		}
	}
}

func TestALargeTransferIsAsFastAsTheBandwidthWhereThatIsLess(t *testing.T) {
	const window, rtt = 1 << 20, 20 * ms // 52 MB/s
	for _, bandwidth := range []int64{100_000, megabyte, 25 * megabyte} {
		for _, sharing := range []Sharing{OwnBandwidth, ShareByHosts, ShareByLink} {
			inLab(t, Config{RecvBuffer: window, SendBuffer: window}, func(x *lab) {
				x.SetLink("client", "server", Link{Latency: rtt / 2, Bandwidth: bandwidth, Sharing: sharing})
				require.InEpsilon(t, bandwidth, x.throughput(50*window), 0.05)
			})
		}
	}
}
