package lb

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// lottery draws members by chance in proportion to their weights: few in the time of a binary search, many in the
// time of one look. Its table holds the available members only and is made anew when availability or weights have
// changed, which is rare beside picks.
type lottery struct {
	rnd   *rand.Rand
	stale bool
	who   []int32 // available members
	upTo  []int64 // the sum of their weights, each included
	even  bool    // all weights are the same
	sum   int64   // of the weights

	columns []column // one for each of who, where they are many of different weights
	scarce  []int32  // memory for making them
}

// column is one of as many equal parts of the ticket as there are members: below keep it is its own member's, else
// the other's (Walker's alias method, 1977, in Vose's form of 1991).
type column struct {
	keep  uint64 // out of 2^64
	other int32  // a place in who
}

// fill makes the table.
func (l *lottery) fill(f *fleet) {
	l.stale, l.who, l.upTo, l.even = false, l.who[:0], l.upTo[:0], true
	var sum int64
	for i := range f.members {
		if f.members[i].available {
			sum += f.members[i].weight
			l.who, l.upTo = append(l.who, int32(i)), append(l.upTo, sum)
			l.even = l.even && f.members[i].weight == f.members[l.who[0]].weight
		}
	}
	l.sum = sum
	if l.columns = l.columns[:0]; !l.even && len(l.who) > few {
		l.divide(f, sum)
	}
}

// divide fills the columns, each of which holds as much as all weights together: those whose members do not fill
// their own get the rest from one that has too much. All is counted in whole numbers.
func (l *lottery) divide(f *fleet, sum int64) {
	n := int64(len(l.who))
	excess := l.upTo // what each has beyond its own column, or below; the sums are not needed any more
	l.scarce = l.scarce[:0]
	for k, i := range l.who {
		excess[k] = f.members[i].weight*n - sum
		l.columns = append(l.columns, column{other: int32(k)})
		if excess[k] < 0 {
			l.scarce = append(l.scarce, int32(k))
		}
	}
	rich := 0
	for len(l.scarce) > 0 {
		k := l.scarce[len(l.scarce)-1]
		l.scarce = l.scarce[:len(l.scarce)-1]
		for excess[rich] <= 0 {
			rich++
		}
		keep, _ := bits.Div64(uint64(sum+excess[k]), 0, uint64(sum))
		l.columns[k] = column{keep: keep, other: int32(rich)}
		excess[rich] += excess[k]
		excess[k] = 0
		if excess[rich] < 0 {
			l.scarce = append(l.scarce, int32(rich))
		}
	}
}

// mean is the mean weight of those in the table, which is not empty.
func (l *lottery) mean() float64 { return float64(l.sum) / float64(len(l.who)) }

// draw returns a place in the table.
func (l *lottery) draw() int {
	if l.even {
		return int(l.rnd.Uint32N(uint32(len(l.who))))
	}
	if len(l.columns) > 0 {
		hi, lo := bits.Mul64(l.rnd.Uint64(), uint64(len(l.columns)))
		if c := &l.columns[hi]; lo >= c.keep {
			return int(c.other)
		}
		return int(hi)
	}
	ticket := l.rnd.Int64N(l.upTo[len(l.upTo)-1])
	low, high := 0, len(l.upTo)-1
	for low < high {
		if mid := int(uint(low+high) >> 1); l.upTo[mid] > ticket {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// tries is how often a draw is repeated that gave nobody of use, before all are looked at.
const tries = 8

// one draws a member that may be picked, or returns -1 when there is none.
func (l *lottery) one(f *fleet, tried []int) int {
	if l.stale {
		l.fill(f)
	}
	if len(l.who) == 0 || (len(tried) > 0 || f.full > 0) && !l.any(f, tried) {
		return -1
	}
	for range tries {
		if i := int(l.who[l.draw()]); f.eligible(i, tried) {
			return i
		}
	}
	return l.scan(f, tried, -1)
}

// two draws two different members that may be picked, or one and -1 when no other was found, or -1 and -1 when there is
// none. Draws that meet the same member, a full one, or one that was tried are repeated; a fleet in which few are left is
// looked through.
func (l *lottery) two(f *fleet, tried []int) (a, b int) {
	if l.stale {
		l.fill(f)
	}
	a, b = -1, -1
	// Whoever asks in vain takes no number from the stream.
	if len(l.who) == 0 || (len(tried) > 0 || f.full > 0) && !l.any(f, tried) {
		return a, b
	}
	for range tries {
		i := int(l.who[l.draw()])
		switch {
		case !f.eligible(i, tried) || i == a:
		case a < 0:
			a = i
		default:
			return a, i
		}
	}
	if a < 0 {
		a = l.scan(f, tried, -1)
	}
	if a >= 0 && len(l.who) > 1 {
		b = l.scan(f, tried, a)
	}
	return a, b
}

// any says whether a member may be picked at all.
func (l *lottery) any(f *fleet, tried []int) bool {
	for _, i := range l.who {
		if f.eligible(int(i), tried) {
			return true
		}
	}
	return false
}

// scan draws a member that may be picked, other than not, by looking at all.
func (l *lottery) scan(f *fleet, tried []int, not int) int {
	var total int64
	for _, i := range l.who {
		if int(i) != not && f.eligible(int(i), tried) {
			total += f.members[i].weight
		}
	}
	if total == 0 {
		return -1
	}
	left := l.rnd.Int64N(total)
	for _, i := range l.who {
		if int(i) == not || !f.eligible(int(i), tried) {
			continue
		}
		if left -= f.members[i].weight; left < 0 {
			return int(i)
		}
	}
	panic("lb: the weights changed during a pick: calls on one picker must be serialised")
}

// chosenByLot is what strategies share that draw two.
type chosenByLot struct {
	fleet
	lots lottery
}

func newChosenByLot(f fleet, rnd *rand.Rand) chosenByLot {
	return chosenByLot{fleet: f, lots: lottery{rnd: rnd, stale: true}}
}

// SetAvailable implements inner.
func (p *chosenByLot) SetAvailable(i int, ok bool) {
	p.fleet.SetAvailable(i, ok)
	p.lots.stale = true
}

// SetWeight implements inner.
func (p *chosenByLot) SetWeight(i int, w int) {
	p.fleet.SetWeight(i, w)
	p.lots.stale = true
}

// Add implements inner.
func (p *chosenByLot) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.lots.stale = true
}

// Remove implements inner.
func (p *chosenByLot) Remove(i int) {
	p.fleet.Remove(i)
	p.lots.stale = true
}

// explore is how often, one in so many, a backend is taken that has no connection ready, though one as good has.
const explore = 8

// warmer says whether b is to be taken in place of a, which was drawn first, of two that are equal: see Query.Warm.
func (p *chosenByLot) warmer(b, a int, q *Query) bool {
	return q != nil && q.Warm != nil && !q.Warm(a) && q.Warm(b) && p.lots.rnd.Uint32N(explore) > 0
}

// p2c draws two and takes the one with fewer requests in flight for its weight, of equals a warm one, or the first: the power of two
// choices (Mitzenmacher, 2001). It is nearly as even as looking at all, costs the same for any number of backends, and
// proxies that share the backends do not all run to the same one.
type p2c struct{ chosenByLot }

// Pick implements inner.
func (p *p2c) Pick(_ time.Time, q *Query) int {
	a, b := p.lots.two(&p.fleet, q.tried())
	if b >= 0 {
		if load := p.members[b].load(&p.members[a]); load < 0 || load == 0 && p.warmer(b, a, q) {
			a = b
		}
	}
	if a >= 0 {
		p.members[a].inFlight++
	}
	return a
}
