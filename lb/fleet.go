package lb

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// member is what is known about one backend.
//
// Invariants: 1 <= weight <= MaxWeight; inFlight >= 0. A vacant index is the zero member, and so is never available.
type member struct {
	present   bool
	weight    int64
	inFlight  int64
	ready     int   // room told by the pool; negative is unlimited
	credit    int64 // place in the smooth rotation; see smooth.go
	available bool
	hash      uint64 // of its name
	name      string
}

// fleet is the part of a picker that all strategies share: the facts, and how they are told. Who tells them is
// tiered, which has checked indexes and weights.
type fleet struct {
	members []member
	full    int // how many have no room
}

// grow makes room for n indexes, vacant at first.
func (f *fleet) grow(n int) {
	if n > len(f.members) {
		f.members = append(f.members, make([]member, n-len(f.members))...)
	}
}

// Add puts a backend at a vacant index, for which there is room. A newcomer's credit is nothing: it is owed no turn,
// and owes none.
func (f *fleet) Add(i int, b Backend) {
	name := b.Name
	if name == "" {
		name = strconv.Itoa(i)
	}
	f.members[i] = member{
		present: true, weight: int64(b.Weight), ready: -1, available: true, name: name, hash: Hash(name),
	}
}

// Remove implements inner.
func (f *fleet) Remove(i int) {
	m := &f.members[i]
	if m.inFlight > 0 {
		panic(fmt.Sprintf("lb: Remove(%d) with %d requests in flight there", i, m.inFlight))
	}
	if m.ready == 0 {
		f.full--
	}
	*m = member{}
	f.settle()
}

// eligible reports whether the member may be picked by a query that has tried these backends. The cheap facts
// come first; tried is short (the attempts of one request), so that a scan of it beats any index.
func (f *fleet) eligible(i int, tried []int) bool {
	m := &f.members[i]
	return m.available && m.ready != 0 && (len(tried) == 0 || !slices.Contains(tried, i))
}

// tried returns the list of a query that may be nil.
func (q *Query) tried() []int {
	if q == nil {
		return nil
	}
	return q.Tried
}

// Take implements inner.
func (f *fleet) Take(i int) { f.members[i].inFlight++ }

// Done implements inner. Most strategies learn nothing from outcome and latency.
func (f *fleet) Done(i int, _ Outcome, _ time.Duration) {
	m := &f.members[i]
	if m.inFlight == 0 {
		panic(fmt.Sprintf("lb: Done(%d) with nothing in flight there: a request was ended twice", i))
	}
	m.inFlight--
}

// SetAvailable implements inner.
func (f *fleet) SetAvailable(i int, ok bool) {
	m := &f.members[i]
	if m.available == ok {
		return
	}
	m.available = ok
	f.settle()
}

// SetReady implements inner.
func (f *fleet) SetReady(i int, n int) {
	m := &f.members[i]
	if m.ready == 0 {
		f.full--
	}
	if m.ready = n; n == 0 {
		f.full++
	}
}

// SetWeight implements inner.
func (f *fleet) SetWeight(i int, w int) {
	m := &f.members[i]
	if m.weight == int64(w) {
		return
	}
	m.weight = int64(w)
	f.settle()
}

// facts implements inner.
func (f *fleet) facts(i int) *member { return &f.members[i] }

// rebuild implements inner, for strategies without a table.
func (f *fleet) rebuild() (build func() (install func())) { return nil }
