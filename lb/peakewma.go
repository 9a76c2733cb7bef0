package lb

import (
	"math/rand/v2"
	"time"
)

const (
	// halfLife is the time after which what was learned of a backend counts half.
	halfLife = time.Second
	// failureCost is how many times the usual latency of the fleet a failure is taken to have lasted, at least: however
	// quickly a backend fails, it must not look fast.
	failureCost = 100
	// strangerCost is the same for a backend that has not answered yet and has requests already.
	strangerCost = 10
	// clearly is how many times dearer a backend must be to be left out for that.
	clearly = 2
	// leastCost stands for a latency that is too small to be told from none.
	leastCost = float64(10 * time.Microsecond)
)

// peakEWMA draws two and takes the one that is expected to answer first: its latency times the requests that are in
// flight, for its weight, and the new one. The latency is an average that follows a rise at once and forgets it
// slowly (a peak-sensitive moving average, as Finagle and linkerd have it), so that a backend which becomes slow
// loses its requests within one of its answers. A failure counts as a slow answer. Whatever was learned fades while
// nothing new is heard: a backend that nobody picks looks better with time, is picked, and either shows that it has
// recovered or is known to be slow again, at the price of one request.
type peakEWMA struct {
	chosenByLot
	seen  []estimate
	now   time.Time // the latest instant that a pick has brought: Done has none
	usual float64   // the fleet's usual latency of successes, in nanoseconds; 0: none was seen
}

// estimate is what is known of one backend's latency.
type estimate struct {
	nanos float64
	at    time.Time // when it was last told
	known bool
	cost  float64 // that least-time has found in the pick under way
}

func newPeakEWMA(f fleet, rnd *rand.Rand, _ Options) inner {
	return &peakEWMA{chosenByLot: newChosenByLot(f, rnd), seen: make([]estimate, len(f.members))}
}

// left is the part of what was learned that counts after a time: half after each halfLife, and on a straight line between
// two halves. (An exponential function would have other last digits on other machines.)
func left(age time.Duration) float64 {
	if age <= 0 {
		return 1
	}
	halves := age / halfLife
	if halves > 60 {
		return 0
	}
	return (1 - float64(age%halfLife)/float64(2*halfLife)) / float64(uint64(1)<<halves)
}

// faded is the estimate as it counts at an instant.
func (e *estimate) faded(now time.Time) float64 { return e.nanos * left(now.Sub(e.at)) }

// expected is the latency that is expected of a backend with so many requests in flight. Who is not known yet gets
// requests one at a time.
func (e *estimate) expected(now time.Time, usual float64, inFlight int64) float64 {
	switch {
	case e.known:
		return max(e.faded(now), leastCost)
	case inFlight > 0:
		return max(strangerCost*usual, leastCost)
	case usual > 0:
		return usual
	}
	return leastCost
}

// answerTime is the latency that is learned from the end of a request, which was not abandoned: a failure counts as a
// slow answer, and the usual latency follows the successes.
func answerTime(o Outcome, latency time.Duration, usual *float64) float64 {
	nanos := max(float64(latency), 0)
	if o == Failure {
		return max(nanos, failureCost**usual, leastCost)
	}
	const share = 1.0 / 64
	if *usual == 0 {
		*usual = nanos
	}
	*usual += share * (nanos - *usual)
	return nanos
}

// grown returns estimates for n indexes.
func grown(seen []estimate, n int) []estimate {
	for len(seen) < n {
		seen = append(seen, estimate{})
	}
	return seen
}

// cost is what a request costs at a member.
func (p *peakEWMA) cost(i int) float64 {
	m := &p.members[i]
	// The draw has seen to the weights already: of two that are as quick, and have nothing to do, the first is taken.
	return p.seen[i].expected(p.now, p.usual, m.inFlight) * (1 + float64(m.inFlight)*p.lots.mean()/float64(m.weight))
}

// better says whether b is to be taken in place of a, which was drawn first. Answers of equal backends take what chance
// gives them, so that a difference of less than the half is none: the requests in flight decide then.
func (p *peakEWMA) better(b, a int, q *Query) bool {
	first, second := p.cost(a), p.cost(b)
	switch {
	case second*clearly < first:
		return true
	case first*clearly < second:
		return false
	}
	load := p.members[b].load(&p.members[a])
	return load < 0 || load == 0 && p.warmer(b, a, q)
}

// Pick implements inner.
func (p *peakEWMA) Pick(now time.Time, q *Query) int {
	if now.After(p.now) {
		p.now = now
	}
	a, b := p.lots.two(&p.fleet, q.tried())
	if b >= 0 && p.better(b, a, q) {
		a = b
	}
	if a >= 0 {
		p.members[a].inFlight++
	}
	return a
}

// Done implements inner.
func (p *peakEWMA) Done(i int, o Outcome, latency time.Duration) {
	p.fleet.Done(i, o, latency)
	if o == Abandoned {
		return
	}
	nanos := answerTime(o, latency, &p.usual)
	e := &p.seen[i]
	if e.known && nanos < e.nanos { // an answer that is quicker than expected is believed by and by
		nanos += left(p.now.Sub(e.at)) * (e.nanos - nanos)
	}
	*e = estimate{nanos: nanos, at: p.now, known: true}
}

// Add implements inner.
func (p *peakEWMA) Add(i int, b Backend) {
	p.chosenByLot.Add(i, b)
	p.seen = grown(p.seen, len(p.members))
	p.seen[i] = estimate{}
}
