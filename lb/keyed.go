package lb

import (
	"math"
	"slices"
	"strings"
	"time"
)

// defaultBalance is the default of Options.BalanceFactor.
const defaultBalance = 125

// walk is how far a pick goes along the table in the key's own order before it looks at all backends. Where half of them
// are out it ends after two steps on average.
const walk = 128

// keyed is what the strategies share that choose by a key: the order in which a key prefers the backends, of which the
// first that may be picked is taken, and the bound on the load of each.
//
// The order depends on the names and the weights of the backends alone. One that is unavailable, full or tried is
// passed over and nothing else moves; so the next-best is found as the best is, and everybody finds the same one.
type keyed struct {
	fleet
	balance  int64  // percent; 0: no bound
	inFlight int64  // at the available ones
	weights  int64  // of the available ones
	turn     uint64 // how many queries without a key there were
	changes  int    // of names and weights
	built    int    // what the table was built of
	building func(of []entrant) (install func())
}

// entrant is a backend as a table knows it.
type entrant struct {
	index  int32
	hash   uint64 // of its name
	weight int64
	name   string
}

func newKeyed(f fleet, o Options) keyed {
	p := keyed{fleet: f, balance: int64(o.BalanceFactor)}
	switch {
	case o.BalanceFactor == 0:
		p.balance = defaultBalance
	case o.BalanceFactor < 0:
		p.balance = 0
	}
	return p
}

// place is where a query stands in the order of all keys. One without a key stands at another place each time.
func (p *keyed) place(q *Query) (at uint64, turn bool) {
	if q == nil || q.Key == 0 {
		return mix(p.turn + 1), true
	}
	return mix(q.Key), false
}

// take counts a request at the backend chosen.
func (p *keyed) take(i int, turn bool) int {
	if i < 0 {
		return -1
	}
	if turn {
		p.turn++
	}
	p.members[i].inFlight++
	p.inFlight++ // it is available
	return i
}

// within says whether a member may have one more without exceeding its bound: its part of all requests in flight,
// this one included, times the factor, rounded up (Mirrokni, Thorup and Zadimoghaddam, 2018). Some available member
// always may.
func (p *keyed) within(m *member) bool {
	return p.balance == 0 || m.inFlight*100*p.weights < p.balance*(p.inFlight+1)*m.weight
}

// search looks at all members: of those that may be picked it returns the one with the highest random weight for this
// place, which everybody finds; of those within their bound, if there are any.
func (p *keyed) search(at uint64, tried []int) int {
	best, some := -1, -1
	var high, someHigh rank
	for i := range p.members {
		if !p.eligible(i, tried) {
			continue
		}
		m := &p.members[i]
		r := m.rank(at)
		if p.within(m) && (best < 0 || r.above(&high)) {
			best, high = i, r
		}
		if best < 0 && (some < 0 || r.above(&someHigh)) {
			some, someHigh = i, r
		}
	}
	if best >= 0 {
		return best
	}
	return some
}

// rank is the rank of a member for one key.
type rank struct {
	ticket uint64
	weight int64
	name   uint64
}

// rank draws the member's ticket for the place: a number by chance, always the same.
func (m *member) rank(at uint64) rank {
	return rank{ticket: mix(at ^ m.hash), weight: m.weight, name: m.hash}
}

// above says whether r comes before o. Of two of the same weight the higher ticket wins, which takes no arithmetic;
// else the higher -w/ln(u), where u is the ticket as a number between 0 and 1: then each wins in proportion to its
// weight (Schindelhauer and Schomaker, 2005).
func (r *rank) above(o *rank) bool {
	switch {
	case r.weight != o.weight:
		return r.score() > o.score()
	case r.ticket != o.ticket:
		return r.ticket > o.ticket
	}
	return r.name > o.name
}

func (r *rank) score() float64 {
	u := (float64(r.ticket>>11) + 0.5) / (1 << 53)
	return -float64(r.weight) / math.Log(u)
}

// Take implements inner.
func (p *keyed) Take(i int) {
	p.fleet.Take(i)
	if p.members[i].available {
		p.inFlight++
	}
}

// Done implements inner.
func (p *keyed) Done(i int, o Outcome, latency time.Duration) {
	p.fleet.Done(i, o, latency)
	if p.members[i].available {
		p.inFlight--
	}
}

// SetAvailable implements inner. No table changes: who is out is passed over.
func (p *keyed) SetAvailable(i int, ok bool) {
	p.fleet.SetAvailable(i, ok)
	p.sum()
}

// SetWeight implements inner.
func (p *keyed) SetWeight(i int, w int) {
	p.fleet.SetWeight(i, w)
	p.changed()
}

// Add implements inner.
func (p *keyed) Add(i int, b Backend) {
	p.fleet.Add(i, b)
	p.changed()
}

// Remove implements inner.
func (p *keyed) Remove(i int) {
	p.fleet.Remove(i)
	p.changed()
}

func (p *keyed) changed() {
	p.changes++
	p.sum()
}

// sum adds up what the bound is made of.
func (p *keyed) sum() {
	p.inFlight, p.weights = 0, 0
	for i := range p.members {
		if m := &p.members[i]; m.available {
			p.inFlight += m.inFlight
			p.weights += m.weight
		}
	}
}

// rebuild implements inner: see Picker.Rebuild. Who builds sees the backends in the order of their names, so that the
// order in which they were listed changes nothing.
func (p *keyed) rebuild() (build func() (install func())) {
	if p.building == nil || p.built == p.changes {
		return nil
	}
	var of []entrant
	for i := range p.members {
		if m := &p.members[i]; m.present {
			of = append(of, entrant{int32(i), m.hash, m.weight, m.name})
		}
	}
	version, building := p.changes, p.building
	return func() func() {
		slices.SortFunc(of, func(a, b entrant) int { return strings.Compare(a.name, b.name) })
		install := building(of)
		return func() {
			if version > p.built {
				p.built = version
				install()
			}
		}
	}
}
