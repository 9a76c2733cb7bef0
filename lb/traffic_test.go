package lb

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// traffic plays requests against a picker: they arrive by chance at a rate, each backend takes as long as it takes, and
// nothing else is in the world.
type traffic struct {
	picker  Picker
	rate    float64 // requests per second
	rnd     *rand.Rand
	now     time.Duration
	pending ends
	serve   func(backend int, at time.Duration) (time.Duration, Outcome)
	key     func() uint64 // of the next request; nil: none has one

	took   []time.Duration // of those that ended
	counts []int           // picks by backend
	failed int
	peak   float64 // the most requests in flight at one backend, beside the mean, while there were many
}

// end is the end of a request.
type end struct {
	at, began time.Duration
	backend   int
	outcome   Outcome
}

// ends is a heap of them.
type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func newTraffic(t *testing.T, strategy string, backends int, rate float64,
	serve func(int, time.Duration) (time.Duration, Outcome)) *traffic {
	p, err := New(strategy, make([]Backend, backends), stream(3))
	require.NoError(t, err)
	return &traffic{picker: p, rate: rate, rnd: stream(4), serve: serve, counts: make([]int, backends)}
}

// until plays on to that time, and forgets what was counted before.
func (tr *traffic) until(end_ time.Duration) {
	tr.took, tr.failed, tr.counts = nil, 0, make([]int, tr.picker.Len())
	for {
		next := tr.now + time.Duration(tr.rnd.ExpFloat64()/tr.rate*float64(time.Second))
		for len(tr.pending) > 0 && tr.pending[0].at <= next {
			e := heap.Pop(&tr.pending).(end)
			tr.picker.Done(e.backend, e.outcome, e.at-e.began)
			tr.took = append(tr.took, e.at-e.began)
			if e.outcome == Failure {
				tr.failed++
			}
		}
		if next > end_ {
			return
		}
		tr.now = next
		var q Query
		if tr.key != nil {
			q.Key = tr.key()
		}
		i := tr.picker.Pick(instant.Add(tr.now), &q)
		took, outcome := tr.serve(i, tr.now)
		tr.counts[i]++
		heap.Push(&tr.pending, end{at: tr.now + took, began: tr.now, backend: i, outcome: outcome})
		if n := len(tr.pending); n >= 50*len(tr.counts) {
			tr.peak = max(tr.peak, float64(tr.picker.InFlight(i)*len(tr.counts))/float64(n))
		}
	}
}

// unevenness is how far the busiest and the idlest backend are from their share, as a part of it.
func (tr *traffic) unevenness() float64 {
	total := 0
	for _, n := range tr.counts {
		total += n
	}
	mean := float64(total) / float64(len(tr.counts))
	return max(float64(slices.Max(tr.counts))/mean-1, 1-float64(slices.Min(tr.counts))/mean)
}

func (tr *traffic) quantile(q float64) time.Duration {
	all := slices.Clone(tr.took)
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}

// usual are answer times as web servers have them: a median of 5 ms, and one in a hundred takes 40.
func usual(rnd *rand.Rand) time.Duration {
	const sigma = 0.894 // of which the 99th percentile is eight times the median
	return time.Duration(5 * math.Exp(sigma*rnd.NormFloat64()) * float64(time.Millisecond))
}

func TestEqualBackendsGetEqualSharesWhateverTheirAnswersTake(t *testing.T) {
	eachFair(t, func(t *testing.T, strategy string) {
		rnd := stream(5)
		tr := newTraffic(t, strategy, 10, 1000, func(int, time.Duration) (time.Duration, Outcome) { return usual(rnd), Success })
		tr.until(100 * time.Second)
		total := 0
		for _, n := range tr.counts {
			total += n
		}
		for i, n := range tr.counts {
			require.InDelta(t, total/10, n, slack(strategy, total, 1, 10, 10), "backend %d of %v", i, tr.counts)
		}
	})
}

func TestPeakEWMAKeepsTheSlowestAnswersQuickWhenABackendIsTenTimesSlower(t *testing.T) {
	p99 := func(slow float64) time.Duration {
		rnd := stream(6)
		tr := newTraffic(t, "peak-ewma", 10, 1000, func(i int, _ time.Duration) (time.Duration, Outcome) {
			took := usual(rnd)
			if i == 3 {
				took = time.Duration(slow * float64(took))
			}
			return took, Success
		})
		tr.until(5 * time.Second)
		tr.until(65 * time.Second)
		return tr.quantile(0.99)
	}
	healthy, one := p99(1), p99(10)
	t.Logf("99th percentile: all healthy %v, one of ten ten times slower %v", healthy, one)
	require.Less(t, float64(one), 1.3*float64(healthy))
}

func TestABackendThatFailsQuicklyIsNoMagnetForPeakEWMA(t *testing.T) {
	share := func(strategy string) float64 {
		rnd := stream(7)
		tr := newTraffic(t, strategy, 10, 1000, func(i int, _ time.Duration) (time.Duration, Outcome) {
			if i == 3 {
				return time.Millisecond, Failure
			}
			return usual(rnd), Success
		})
		tr.until(5 * time.Second)
		tr.until(65 * time.Second)
		return float64(tr.failed) / float64(len(tr.took))
	}
	t.Logf("failed requests: least-connections %.3f, peak-ewma %.4f", share("least-connections"), share("peak-ewma"))
	require.Greater(t, share("least-connections"), 0.15, "it draws the requests of others")
	require.Less(t, share("peak-ewma"), 0.02, "without any help of health")
}

func TestABackendThatWasSlowForAWhileGetsItsShareBack(t *testing.T) {
	rnd := stream(8)
	tr := newTraffic(t, "peak-ewma", 5, 500, func(i int, at time.Duration) (time.Duration, Outcome) {
		if i == 2 && at > 10*time.Second && at < 12*time.Second {
			return time.Second + usual(rnd), Success
		}
		return usual(rnd), Success
	})
	tr.until(11 * time.Second)
	tr.until(12 * time.Second)
	require.Less(t, tr.counts[2], 20, "of about a hundred: it is slow")
	tr.until(22 * time.Second)
	tr.until(32 * time.Second)
	require.InEpsilon(t, 1000, tr.counts[2], 0.10, "ten seconds later, for ten seconds: %v", tr.counts)
}

func TestPeakEWMAAsksAStrangerOneRequestAtATime(t *testing.T) {
	p := build(t, "peak-ewma", 1, 1)
	for range 100 {
		i := p.Pick(instant, nil)
		p.Done(i, Success, 5*time.Millisecond)
	}
	p.Add(2, Backend{})
	for range 100 {
		p.Pick(instant, nil)
	}
	require.LessOrEqual(t, p.InFlight(2), 34)
	require.Positive(t, p.InFlight(2))
}
