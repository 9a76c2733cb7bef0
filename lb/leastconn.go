package lb

import "time"

// leastConnections picks the fewest requests in flight per weight. Equals take turns by the smooth weighted
// rotation: without it, an idle fleet would send everything to its first backend, and an equal share would
// ignore the weights whenever there is little to do.
type leastConnections struct{ fleet }

// Pick implements Picker. Loads are compared as fractions, multiplied out, so that no rounding makes a tie.
func (p *leastConnections) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
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
