package lb

import "time"

// leastConnections picks the fewest requests in flight per weight. Equals take turns by the smooth weighted
// rotation: without it, an idle fleet would send everything to its first backend, and an equal share would
// ignore the weights whenever there is little to do. Few backends are all looked at, many are kept in order.
type leastConnections struct {
	fleet
	stale bool // turns are to be made anew
	turns turns
}

// Pick implements inner. Loads are compared as fractions, multiplied out, so that no rounding makes a tie.
func (p *leastConnections) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	if len(p.members) > few {
		if p.stale {
			p.stale = false
			p.turns.begin(&p.fleet, true)
		}
		i := p.turns.pick(tried, 1)
		if i >= 0 {
			p.members[i].inFlight++
		}
		return i
	}
	first := -1 // the first of those with the least load
	for i := range p.members {
		if p.eligible(i, tried) && (first < 0 || p.members[i].load(&p.members[first]) < 0) {
			first = i
		}
	}
	if first < 0 {
		return -1
	}
	step := rotation{best: -1}
	for i := first; i < len(p.members); i++ {
		if p.eligible(i, tried) && p.members[i].load(&p.members[first]) == 0 {
			p.pay(&step, i)
		}
	}
	return p.choose(&step)
}

// load compares the load of two members: negative when m carries less for its weight than o, zero when equal.
func (m *member) load(o *member) int64 { return m.inFlight*o.weight - o.inFlight*m.weight }

// know tells the order of many what has changed about one.
func (p *leastConnections) know(i int) {
	if !p.stale && len(p.members) > few {
		p.turns.know(i, &p.members[i], p.members[i].inFlight)
	}
}

// Take implements inner.
func (p *leastConnections) Take(i int) {
	p.fleet.Take(i)
	p.know(i)
}

// Done implements inner.
func (p *leastConnections) Done(i int, o Outcome, latency time.Duration) {
	p.fleet.Done(i, o, latency)
	p.know(i)
}

// SetAvailable implements inner.
func (p *leastConnections) SetAvailable(i int, ok bool) {
	p.fleet.SetAvailable(i, ok)
	p.know(i)
}

// SetReady implements inner.
func (p *leastConnections) SetReady(i int, n int) {
	p.fleet.SetReady(i, n)
	p.know(i)
}

// SetWeight implements inner.
func (p *leastConnections) SetWeight(i int, w int) {
	p.fleet.SetWeight(i, w)
	p.know(i)
}

// Add implements inner.
func (p *leastConnections) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.stale = true
}

// Remove implements inner.
func (p *leastConnections) Remove(i int) {
	p.fleet.Remove(i)
	p.stale = true
}
