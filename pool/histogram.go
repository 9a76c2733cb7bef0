package pool

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// histogramStep is the logarithm of the width of the first buckets: 128 ns.
	histogramStep = 7
	// histogramBuckets reach from 0 to 2^45 ns, almost ten hours, eight to each power of two.
	histogramBuckets = 288
)

// Histogram counts durations in fixed buckets, eight to each power of two, from 128 ns to ten hours; shorter and longer
// ones go to the first and the last bucket. It takes no lock and allocates nothing, neither to write nor to read. The
// zero value is empty and ready; it must not be copied. Safe for concurrent use.
type Histogram struct {
	sum    atomic.Int64
	counts [histogramBuckets]atomic.Uint64
}

// Observe counts one duration. A negative one, which a caller's old idea of the present can cause, counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is a copy. Durations that are observed meanwhile may be missing from it, or from its sum only.
func (h *Histogram) Snapshot() HistogramSnapshot {
	s := HistogramSnapshot{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.counts[i] = h.counts[i].Load()
		s.Count += s.counts[i]
	}
	return s
}

// Quantile is that of a Snapshot.
func (h *Histogram) Quantile(q float64) time.Duration {
	s := h.Snapshot()
	return s.Quantile(q)
}

// HistogramSnapshot is what a Histogram held at one time. It is a plain value.
type HistogramSnapshot struct {
	// Count is the number of durations, Sum their sum.
	Count  uint64
	Sum    time.Duration
	counts [histogramBuckets]uint64
}

// observe counts one duration in a histogram that a lock guards: two plain additions where atomic ones would cost as
// much as the lock.
func (s *HistogramSnapshot) observe(d time.Duration) {
	d = max(d, 0)
	s.Count++
	s.Sum += d
	s.counts[bucketOf(d)]++
}

// Mean is the mean duration; 0 when there is none.
func (s *HistogramSnapshot) Mean() time.Duration {
	if s.Count == 0 {
		return 0
	}
	return time.Duration(uint64(s.Sum) / s.Count)
}

// Quantile is a duration that the share q of them, 0 to 1, does not exceed: the upper bound of the bucket where that is
// reached, so at most an eighth (or 128 ns) too much. It is 0 when there is none.
func (s *HistogramSnapshot) Quantile(q float64) time.Duration {
	if s.Count == 0 {
		return 0
	}
	// A share that stands for a whole number of durations may come out a hair above it: that is taken off.
	rank := min(max(q, 0), 1) * float64(s.Count) * (1 - 1e-12)
	seen, last := uint64(0), 0
	for i, n := range s.counts {
		if n == 0 {
			continue
		}
		seen, last = seen+n, i
		if float64(seen) >= rank {
			break
		}
	}
	return upperBound(last)
}

// AtMost is how many of the durations are d or shorter, as exactly as the buckets are: one that holds d counts only
// when d is the last duration in it. It is what a Prometheus bucket with the bound d shows.
func (s *HistogramSnapshot) AtMost(d time.Duration) (n uint64) {
	for i := range s.counts {
		if upperBound(i) > d {
			break
		}
		n += s.counts[i]
	}
	return n
}

// Add adds another snapshot, so that several pools can be told of as one.
func (s *HistogramSnapshot) Add(o *HistogramSnapshot) {
	s.Count += o.Count
	s.Sum += o.Sum
	for i, n := range o.counts {
		s.counts[i] += n
	}
}

// Sub takes away what an earlier snapshot of the same durations held: what is left was observed since.
func (s *HistogramSnapshot) Sub(o *HistogramSnapshot) {
	s.Count -= o.Count
	s.Sum -= o.Sum
	for i, n := range o.counts {
		s.counts[i] -= n
	}
}

// bucketOf is the bucket of a duration that is not negative.
func bucketOf(d time.Duration) int {
	u := uint64(d) >> histogramStep
	if u < 8 {
		return int(u)
	}
	e := bits.Len64(u) - 4
	return min(e<<3+int(u>>e), histogramBuckets-1)
}

// upperBound is the longest duration of a bucket, the last one's as if nothing longer went there.
func upperBound(i int) time.Duration {
	if i < 16 {
		return time.Duration(i+1)<<histogramStep - 1
	}
	e := i>>3 - 1
	return time.Duration(i&7+9)<<(e+histogramStep) - 1
}

// Histograms are the distributions that a pool keeps.
type Histograms struct {
	// Wait: how long the calls of Lend and GetN that had to wait did so, whether they got something or gave up.
	// Its count is Stats.Waits less those that still wait.
	Wait HistogramSnapshot
	// Dial: how long the dials took that gave a connection, one for each of Stats.Dialled.
	Dial HistogramSnapshot
	// Lent: how long the loans lasted that have ended, by the instants that TryLend and Release were told.
	Lent HistogramSnapshot
	// Age: how old the connections were when they were retired.
	Age HistogramSnapshot
}

// histograms are a pool's own: what happens under its lock anyway is counted plainly.
type histograms struct{ wait, dial, age HistogramSnapshot }

// Histograms returns a copy of the pool's distributions, as of one instant.
func (p *Pool) Histograms() Histograms {
	p.lock()
	defer p.unlock()
	h := Histograms{Wait: p.hist.wait, Dial: p.hist.dial, Age: p.hist.age}
	for i := range p.shards {
		h.Lent.Add(&p.shards[i].lent)
	}
	return h
}
