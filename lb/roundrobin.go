package lb

import "time"

// roundRobin picks by the smooth weighted rotation alone. What is in flight does not matter to it. Few backends are
// all looked at, many are kept in order: in a list for each weight, or, where there are many weights, in a heap.
type roundRobin struct {
	fleet
	stale   bool // what follows is to be made anew
	classes classes
	turns   turns // where there are more weights than classes
}

// Pick implements inner.
func (p *roundRobin) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	if len(p.members) > few {
		i := p.pickOfMany(tried)
		if i >= 0 {
			p.members[i].inFlight++
		}
		return i
	}
	step := rotation{best: -1}
	for i := range p.members {
		if p.eligible(i, tried) {
			p.pay(&step, i)
		}
	}
	return p.choose(&step)
}

func (p *roundRobin) pickOfMany(tried []int) int {
	if p.stale {
		p.stale = false
		if p.classes.begin(&p.fleet); p.classes.many {
			p.turns.begin(&p.fleet, false)
		}
	}
	if p.classes.many {
		return p.turns.pick(tried, 0)
	}
	return p.classes.pick(tried)
}

// know tells the order of many what has changed about one.
func (p *roundRobin) know(i int) {
	switch {
	case p.stale || len(p.members) <= few:
	case p.classes.many:
		p.turns.know(i, &p.members[i], 0)
	default:
		p.classes.know(i, &p.members[i])
	}
}

// SetAvailable implements inner.
func (p *roundRobin) SetAvailable(i int, ok bool) {
	p.fleet.SetAvailable(i, ok)
	p.know(i)
}

// SetReady implements inner.
func (p *roundRobin) SetReady(i int, n int) {
	p.fleet.SetReady(i, n)
	p.know(i)
}

// SetWeight implements inner.
func (p *roundRobin) SetWeight(i int, w int) {
	p.fleet.SetWeight(i, w)
	if p.classes.many {
		p.know(i)
	} else {
		p.stale = true
	}
}

// Add implements inner.
func (p *roundRobin) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.stale = true
}

// Remove implements inner.
func (p *roundRobin) Remove(i int) {
	p.fleet.Remove(i)
	p.stale = true
}
