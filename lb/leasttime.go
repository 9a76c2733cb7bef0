package lb

import (
	"math/rand/v2"
	"time"
)

const (
	// lessons is how many answers the mean latency of least-time rests on, about.
	lessons = 16
	// alike is how much dearer a backend may be, as a factor, to count as one of the cheapest: latencies of equals differ
	// by chance.
	alike = 1.5
)

// leastTime takes, of all backends, the one that is expected to answer first: the one with the least mean latency
// times the requests that are in flight there, for its weight, and the new one (nginx has the name, and the idea).
// Among those that are nearly as good it is the one with the fewest requests, and equals take turns by the smooth
// weighted rotation.
//
// It differs from peak-ewma in three ways. It looks at all backends, and so finds the best where there is only one;
// but several proxies that share the backends all find the same one, and a thousand backends are looked at for each
// request. It learns from a mean, which a single slow answer does not move much; so it is slower to leave a backend
// that becomes slow. And it takes no number by chance. Failures and silence count as they do there.
type leastTime struct {
	fleet
	seen  []estimate
	now   time.Time // the latest instant that a pick has brought: Done has none
	usual float64   // the fleet's usual latency of successes, in nanoseconds; 0: none was seen
}

func newLeastTime(f fleet, _ *rand.Rand, _ Options) inner { return &leastTime{fleet: f} }

// Pick implements inner.
func (p *leastTime) Pick(now time.Time, q *Query) int {
	if now.After(p.now) {
		p.now = now
	}
	tried := q.tried()
	var weights, n int64
	for i := range p.members {
		if p.eligible(i, tried) {
			weights, n = weights+p.members[i].weight, n+1
		}
	}
	if n == 0 {
		return -1
	}
	mean := float64(weights) / float64(n)
	least := -1.0
	for i := range p.members {
		if !p.eligible(i, tried) {
			continue
		}
		c := p.cost(i, mean)
		if p.seen[i].cost = c; least < 0 || c < least {
			least = c
		}
	}
	first := -1
	for i := range p.members {
		if p.among(i, tried, least) && (first < 0 || p.members[i].load(&p.members[first]) < 0) {
			first = i
		}
	}
	step := rotation{best: -1}
	for i := first; i < len(p.members); i++ {
		if p.among(i, tried, least) && p.members[i].load(&p.members[first]) == 0 {
			p.pay(&step, i)
		}
	}
	return p.choose(&step)
}

// among says whether a member may be picked and is one of the cheapest.
func (p *leastTime) among(i int, tried []int, least float64) bool {
	return p.eligible(i, tried) && p.seen[i].cost <= alike*least
}

// cost is what a request costs at a member; mean is the mean weight.
func (p *leastTime) cost(i int, mean float64) float64 {
	m := &p.members[i]
	return p.seen[i].expected(p.now, p.usual, m.inFlight) * (1 + float64(m.inFlight)*mean/float64(m.weight))
}

// Done implements inner.
func (p *leastTime) Done(i int, o Outcome, latency time.Duration) {
	p.fleet.Done(i, o, latency)
	if o == Abandoned {
		return
	}
	nanos := answerTime(o, latency, &p.usual)
	e := &p.seen[i]
	if e.known { // what is known counts less with time, as if it had been less
		was := e.faded(p.now)
		nanos = was + (nanos-was)/lessons
	}
	*e = estimate{nanos: nanos, at: p.now, known: true}
}

// Add implements inner.
func (p *leastTime) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.seen = grown(p.seen, len(p.members))
	p.seen[i] = estimate{}
}
