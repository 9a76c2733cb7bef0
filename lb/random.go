package lb

import "time"

// random picks by chance, in proportion to the weights of those that can be picked.
type random struct{ chosenByLot }

// Pick implements inner. It takes a number from the stream only when there is somebody to pick, so that a
// caller who asks in vain does not disturb the choices that follow.
func (p *random) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	i := -1
	if len(p.members) > few {
		i = p.lots.one(&p.fleet, tried)
	} else {
		i = p.ofFew(tried)
	}
	if i >= 0 {
		p.members[i].inFlight++
	}
	return i
}

// ofFew draws one of few by a single number, and looks at all of them.
func (p *random) ofFew(tried []int) int {
	var total int64
	for i := range p.members {
		if p.eligible(i, tried) {
			total += p.members[i].weight
		}
	}
	if total == 0 {
		return -1
	}
	left := p.lots.rnd.Int64N(total)
	for i := range p.members {
		if !p.eligible(i, tried) {
			continue
		}
		if left -= p.members[i].weight; left < 0 {
			return i
		}
	}
	panic("lb: the weights changed during a pick: calls on one picker must be serialised")
}
