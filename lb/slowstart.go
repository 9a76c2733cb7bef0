package lb

import "time"

// The weight of a backend in its slow start goes up on a straight line from a tenth to the whole, in steps of a
// twentieth: a function of the time since it began, and of nothing else. Weights are whole numbers, so that where
// slow starts are possible each strategy is told twenty times the weight, of which it only sees the proportions.
const (
	rampParts = 20
	rampFirst = 2 // parts at the beginning
)

// ramps are the slow starts of a group.
type ramps struct {
	length time.Duration // 0: there are none
	on     []ramp
	next   time.Time // when the first of them takes its next step
}

type ramp struct {
	index int
	from  time.Time
	parts int
}

// partsAt is how much of its weight a backend has, and until which age.
func (r *ramps) partsAt(age time.Duration) (parts int, until time.Duration) {
	const steps = rampParts - rampFirst
	age = max(age, 0)
	if age >= r.length {
		return rampParts, 0
	}
	step := time.Duration(float64(age) / float64(r.length) * steps)
	return rampFirst + int(step), time.Duration(float64(r.length) * float64(step+1) / steps)
}

// weight is the weight that a strategy is told.
func (r *ramps) weight(i, w int) int {
	if r.length == 0 {
		return w
	}
	for k := range r.on {
		if r.on[k].index == i {
			return w * r.on[k].parts
		}
	}
	return w * rampParts
}

// end forgets the slow start of a backend.
func (r *ramps) end(i int) {
	for k := range r.on {
		if r.on[k].index == i {
			r.on = append(r.on[:k], r.on[k+1:]...)
			return
		}
	}
}

// SlowStart implements Picker.
func (p *tiered) SlowStart(i int, now time.Time) {
	t := p.of(i, "SlowStart")
	r := &p.ramps
	if r.length == 0 {
		return
	}
	r.end(i)
	r.on = append(r.on, ramp{index: i, from: now, parts: rampFirst})
	t.SetWeight(i, r.weight(i, p.who[i].Weight))
	r.next = time.Time{} // the next pick looks
}

// climb takes the steps that are due.
func (p *tiered) climb(now time.Time) {
	r := &p.ramps
	if now.Before(r.next) {
		return
	}
	r.next = time.Time{}
	kept := r.on[:0]
	for _, one := range r.on {
		parts, until := r.partsAt(now.Sub(one.from))
		if parts != one.parts {
			p.at[one.index].SetWeight(one.index, p.who[one.index].Weight*parts)
			one.parts = parts
		}
		if parts == rampParts {
			continue
		}
		kept = append(kept, one)
		if at := one.from.Add(until); r.next.IsZero() || at.Before(r.next) {
			r.next = at
		}
	}
	r.on = kept
}
