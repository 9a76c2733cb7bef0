package lb

import (
	"cmp"
	"slices"
	"time"
)

// first picks the first backend in the list that may be picked. Which of them has room is the pool's to say, so that
// the first is filled to its limit before the second gets anything: a fleet of which a part can sleep, or a leader
// with stand-bys.
type first struct {
	fleet
	list   []int // the indexes of those that there are, by their place
	places []int // by index
}

// Add implements inner.
func (p *first) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.places = append(p.places, make([]int, max(i+1-len(p.places), 0))...)
	p.places[i] = b.Place
	at, _ := slices.BinarySearchFunc(p.list, i, func(x, i int) int { return cmp.Or(cmp.Compare(p.places[x], p.places[i]), cmp.Compare(x, i)) })
	p.list = slices.Insert(p.list, at, i)
}

// Remove implements inner.
func (p *first) Remove(i int) {
	p.fleet.Remove(i)
	p.list = slices.DeleteFunc(p.list, func(x int) bool { return x == i })
}

// Pick implements inner.
func (p *first) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	for _, i := range p.list {
		if p.eligible(i, tried) {
			p.members[i].inFlight++
			return i
		}
	}
	return -1
}
