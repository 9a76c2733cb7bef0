package lb

import "time"

// first picks the first backend in the list that may be picked. Which of them has room is the pool's to say, so that
// the first is filled to its limit before the second gets anything: a fleet of which a part can sleep, or a leader
// with stand-bys.
type first struct{ fleet }

// Pick implements inner.
func (p *first) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	for i := range p.members {
		if p.eligible(i, tried) {
			p.members[i].inFlight++
			return i
		}
	}
	return -1
}
