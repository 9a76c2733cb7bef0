package pool

import (
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolEveryDurationLiesInOneBucketAndTheBucketsLeaveNoGap(t *testing.T) {
	for i := range histogramBuckets - 1 {
		require.Equal(t, i, bucketOf(upperBound(i)), "bucket %d", i)
		require.Equal(t, i+1, bucketOf(upperBound(i)+1), "bucket %d", i)
	}
	require.Equal(t, time.Duration(1<<45-1), upperBound(histogramBuckets-1))
	require.Equal(t, histogramBuckets-1, bucketOf(math.MaxInt64))
}

func TestConnectionPoolQuantilesAreAtMostAnEighthTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(8*time.Hour)), 1, 50).Draw(t, "durations")
		var h Histogram
		var sum time.Duration
		for _, d := range all {
			h.Observe(time.Duration(d))
			sum += time.Duration(d)
		}
		slices.Sort(all)
		s := h.Snapshot()
		require.EqualValues(t, len(all), s.Count)
		require.Equal(t, sum, s.Sum)
		for i, d := range all {
			got := int64(h.Quantile(float64(i+1) / float64(len(all))))
			require.GreaterOrEqual(t, got, d)
			next := d + max(d/8, 128)
			require.LessOrEqual(t, got, next)
			require.GreaterOrEqual(t, s.AtMost(time.Duration(next)), uint64(i+1))
			require.LessOrEqual(t, s.AtMost(time.Duration(d)), uint64(len(all)))
		}
	})
}

func TestConnectionPoolAnEmptyHistogramAndANegativeDurationAreZero(t *testing.T) {
	var h Histogram
	s := h.Snapshot()
	require.Zero(t, s.Mean()+s.Quantile(0.5))
	h.Observe(-time.Second)
	s = h.Snapshot()
	require.Zero(t, s.Sum)
	require.EqualValues(t, 1, s.AtMost(127))
	o := s
	o.Add(&s)
	require.EqualValues(t, 2, o.Count)
	require.EqualValues(t, 2, o.AtMost(time.Hour))
}

func TestConnectionPoolAHistogramIsWrittenByManyAtOnceWithoutLossAndWithoutAllocation(t *testing.T) {
	var h Histogram
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				h.Observe(time.Duration(i) * time.Microsecond)
			}
		})
	}
	wg.Wait()
	s := h.Snapshot()
	require.EqualValues(t, 8000, s.Count)
	require.Equal(t, 8*999*500*time.Microsecond, s.Sum)
	require.Equal(t, 499500*time.Nanosecond, s.Mean())
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Observe(time.Second); _ = h.Quantile(0.99) }))
}

func TestConnectionPoolWaitDialLentAndAgeAreMeasured(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		p.clk.Sleep(time.Second)
		s := p.Stats()
		require.Equal(t, time.Second, s.OldestWait)
		c.Release()
		c = <-got
		p.clk.Sleep(time.Second)
		c.Discard(ReasonBroken)
		h := p.Histograms()
		require.Equal(t, []time.Duration{1010 * time.Millisecond, 10 * time.Millisecond, 2 * time.Second, 2 * time.Second},
			[]time.Duration{h.Wait.Sum, h.Dial.Sum, h.Lent.Sum, h.Age.Sum})
		require.Equal(t, []uint64{2, 1, 2, 1}, []uint64{h.Wait.Count, h.Dial.Count, h.Lent.Count, h.Age.Count})
		s = p.Stats()
		require.Zero(t, s.OldestWait)
	})
}
