package lb

import (
	"cmp"
	"slices"
	"time"
)

// pointsPerBackend is how many points a backend of mean weight has on the ring, as many as in ketama (Jones, 2007).
const pointsPerBackend = 160

// ringHash puts the backends on a ring of all hashes, each at many points, and takes the one whose point follows the
// key's; those that come after it are the next best (Karger and others, 1997). A backend that leaves a group of
// equals moves its own keys only. Shares differ by chance, with a standard deviation of about 8 %: maglev's are more
// even.
type ringHash struct {
	keyed
	ring []point // in their order
}

// point is one of a backend's places on the ring.
type point struct {
	at    uint64
	index int32
}

func newRingHash(f fleet, o Options) inner {
	p := &ringHash{keyed: newKeyed(f, o)}
	p.building = func(of []entrant) func() {
		ring := ringOf(of)
		return func() { p.ring = ring }
	}
	return p
}

// Pick implements inner.
func (p *ringHash) Pick(_ time.Time, q *Query) int {
	at, turn := p.place(q)
	tried := q.tried()
	if len(p.ring) > 0 {
		next := p.after(at)
		for range walk {
			i := int(p.ring[next].index)
			if p.eligible(i, tried) && p.within(&p.members[i]) {
				return p.take(i, turn)
			}
			if next++; next == len(p.ring) {
				next = 0
			}
		}
	}
	return p.take(p.search(at, tried), turn)
}

// after finds the first point at or behind a place.
func (p *ringHash) after(at uint64) int {
	low, high := 0, len(p.ring)
	for low < high {
		if mid := int(uint(low+high) >> 1); p.ring[mid].at < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(p.ring) {
		return 0
	}
	return low
}

// ringOf makes the ring. Each backend has points in proportion to its weight, and one at least.
func ringOf(of []entrant) []point {
	var weights int64
	for _, e := range of {
		weights += e.weight
	}
	ring := make([]point, 0, pointsPerBackend*len(of))
	for _, e := range of {
		n := max((2*pointsPerBackend*int64(len(of))*e.weight+weights)/(2*weights), 1) // rounded
		for k := range n {
			ring = append(ring, point{mix(e.hash + uint64(k)*golden), e.index})
		}
	}
	// Stable: points in the same place stay in the order of the names.
	slices.SortStableFunc(ring, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	return ring
}
