package lb

import (
	"math/rand/v2"
	"time"
)

// random picks by chance, in proportion to the weights of those that can be picked.
type random struct {
	fleet
	rnd *rand.Rand
}

// Pick implements Picker. It takes a number from the stream only when there is somebody to pick, so that a
// caller who asks in vain does not disturb the choices that follow.
func (p *random) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	var total int64
	for i := range p.members {
		if p.eligible(i, tried) {
			total += p.members[i].weight
		}
	}
	if total == 0 {
		return -1
	}
	left := p.rnd.Int64N(total)
	for i := range p.members {
		if !p.eligible(i, tried) {
			continue
		}
		m := &p.members[i]
		if left -= m.weight; left < 0 {
			m.inFlight++
			return i
		}
	}
	panic("lb: the weights changed during a pick: calls on one picker must be serialised")
}
