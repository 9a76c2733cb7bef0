package netsim

import (
	"bytes"
	"io"
	"math/bits"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDripLetsBytesThroughOneSmallPieceAtATime(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		fault := x.Drip("client", "server", 100) // pieces of 10 bytes, ten a second
		x.write(x.a, "0123456789abcdefghijKLMNO")
		b := make([]byte, 100)
		for _, piece := range []struct {
			want string
			took time.Duration
		}{{"0123456789", 101 * ms}, {"abcdefghij", 100 * ms}, {"KLMNO", 50 * ms}} {
			x.took(piece.took, func() {
				n, err := x.b.Read(b)
				require.NoError(t, err)
				require.Equal(t, piece.want, string(b[:n]))
			})
		}
		x.write(x.b, "0123456789")
		x.took(101*ms, func() { x.read(x.a, "0123456789") }) // the other direction by itself
		x.write(x.a, "0123456789abcdefghij and the rest of it")
		x.sleep(150 * ms)
		fault.Stop()
		x.took(51*ms, func() { x.read(x.b, "0123456789abcdefghij and the rest of it") })
		x.write(x.a, "at once")
		x.took(ms, func() { x.read(x.b, "at once") })
	})
}

func TestDripPacesSegmentsThatFollowEachOtherAndTheirEnd(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Drip("*", "server", 1) // single bytes, one a second
		for range 5 {
			x.write(x.a, "ab")
		}
		require.NoError(t, x.a.Close())
		x.took(10*time.Second+ms, func() {
			all, err := io.ReadAll(x.b)
			require.NoError(t, err)
			require.Equal(t, "ababababab", string(all))
		})
	})
}

func TestDripFillsTheSendersBufferSoThatItWaits(t *testing.T) {
	inLab(t, Config{SendBuffer: 1000}, func(x *lab) {
		x.Drip("client", "server", 1000)
		x.later(func() { _, _ = io.Copy(io.Discard, x.b) })
		start := x.Elapsed()
		for range 10 {
			x.write(x.a, string(make([]byte, 1000)))
		}
		require.InDelta(t, 9*time.Second, x.Elapsed()-start, float64(500*ms), "9,000 of 10,000 bytes must be through")
	})
}

func TestDripAndCorruptRefuseArgumentsThatMeanNothing(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.Panics(t, func() { x.Drip("client", "server", 0) })
		x.Drip("client", "server", 1).Stop()
		for _, p := range []float64{-0.01, 1.01} {
			require.Panics(t, func() { x.Corrupt("client", "server", p) })
		}
		x.Corrupt("client", "server", 0).Stop()
		x.Corrupt("client", "server", 1).Stop()
	})
}

func TestCorruptFlipsOneBitOfTheSegmentsThatItDraws(t *testing.T) {
	for _, c := range []struct {
		probability float64
		least, most int
	}{{0, 0, 0}, {0.3, 40, 80}, {1, 200, 200}} {
		inLab(t, Config{Seed: 4, KeepTrace: true}, func(x *lab) {
			x.SetLink("*", "*", Link{Latency: ms, Loss: 0.05}) // what is sent again is not corrupted twice
			fault := x.Corrupt("client", "server", c.probability)
			sent := bytes.Repeat([]byte{0xa5}, 100)
			wrong := 0
			for range 200 {
				x.write(x.a, string(sent))
				got := make([]byte, 100)
				_, err := io.ReadFull(x.b, got)
				require.NoError(t, err)
				flipped := 0
				for i := range got {
					flipped += bits.OnesCount8(got[i] ^ sent[i])
				}
				require.LessOrEqual(t, flipped, 1)
				wrong += flipped
			}
			require.GreaterOrEqual(t, wrong, c.least)
			require.LessOrEqual(t, wrong, c.most)
			told := 0
			for _, e := range x.Trace().Events {
				if e.Kind == "corrupt" {
					told++
				}
			}
			require.Equal(t, wrong, told)
			fault.Stop()
			x.write(x.a, "whole")
			x.read(x.b, "whole")
		})
	}
}

func TestConntrackLossForgetsTheConnectionsOfThisMomentOnly(t *testing.T) {
	inLab(t, Config{UserTimeout: 5 * time.Second}, func(x *lab) {
		x.sleep(ms)
		x.ConntrackLoss("client", "server", false)
		x.sleep(ms)
		c, d := x.connect()
		x.write(x.a, "old")
		x.write(c, "new")
		x.read(d, "new")
		x.readError(x.a, syscall.ETIMEDOUT)
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n, "the other end is told nothing")
	})
}

func TestConntrackLossWithResetAnswersWhoeverSends(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.sleep(ms)
		fault := x.ConntrackLoss("*", "server", true)
		x.write(x.b, "old")
		x.took(ms, func() { x.readError(x.b, syscall.ECONNRESET) })
		c, d := x.connect()
		x.write(c, "new")
		x.read(d, "new")
		fault.Stop()
		require.Equal(t, "fault1:conntrack-loss(*,server,reset)", fault.Name())
	})
}

func TestADialDuringConntrackLossSucceedsWithItsNextSYN(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Clock().AfterFunc(500*time.Microsecond, func() { x.ConntrackLoss("client", "server", false) })
		x.took(time.Second+2*ms, func() { // the SYN-ACK of the first SYN is dropped
			_, err := x.dial()
			require.NoError(t, err)
		})
	})
}

func TestConntrackLossForgetsWhatWasAskedForInItsOwnInstant(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.took(time.Second+2*ms, func() {
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = x.dial() })
			synctest.Wait() // the SYN has left
			x.ConntrackLoss("client", "server", false)
			wg.Wait()
		})
	})
}

func TestOfTwoDripsTheSlowerCounts(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		slow := x.Drip("client", "server", 10)
		x.Drip("*", "*", 1000)
		x.write(x.a, "0123456789")
		x.took(time.Second+ms, func() { x.read(x.b, "0123456789") })
		slow.Stop()
		x.write(x.a, "0123456789")
		x.took(11*ms, func() { x.read(x.b, "0123456789") })
	})
}
