package lb

import (
	"fmt"
	"slices"
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
}

// fleet is the part of a picker that all strategies share: the facts, and how they are told.
type fleet struct {
	members []member
	full    int // how many have no room
}

func newFleet(backends []Backend) (fleet, error) {
	f := fleet{members: make([]member, len(backends))}
	for i, b := range backends {
		w := b.weight()
		if w < 1 || w > MaxWeight {
			return fleet{}, fmt.Errorf("lb: backend %d: weight %d is not between 1 and %d", i, w, MaxWeight)
		}
		f.members[i] = newMember(w)
	}
	return f, nil
}

func newMember(weight int) member {
	return member{present: true, weight: int64(weight), ready: -1, available: true}
}

// weight is the weight with its default.
func (b Backend) weight() int {
	if b.Weight == 0 {
		return 1
	}
	return b.Weight
}

// at returns the member of that index. Misuse is named here once, instead of a bare index panic everywhere.
func (f *fleet) at(i int, method string) *member {
	if i < 0 || i >= len(f.members) {
		panic(fmt.Sprintf("lb: %s(%d): there are %d backends", method, i, len(f.members)))
	}
	m := &f.members[i]
	if !m.present {
		panic(fmt.Sprintf("lb: %s(%d): that backend was removed", method, i))
	}
	return m
}

// Add implements Picker. A newcomer's credit is nothing: it is owed no turn, and owes none.
func (f *fleet) Add(i int, b Backend) {
	w := b.weight()
	switch {
	case w < 1 || w > MaxWeight:
		panic(fmt.Sprintf("lb: Add(%d) with weight %d: a weight is between 1 and %d", i, w, MaxWeight))
	case i < 0 || i > len(f.members):
		panic(fmt.Sprintf("lb: Add(%d): there are %d backends", i, len(f.members)))
	case i == len(f.members):
		f.members = append(f.members, member{})
	case f.members[i].present:
		panic(fmt.Sprintf("lb: Add(%d): there is a backend", i))
	}
	f.members[i] = newMember(w)
	f.settle()
}

// Remove implements Picker.
func (f *fleet) Remove(i int) {
	m := f.at(i, "Remove")
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

// Take implements Picker.
func (f *fleet) Take(i int) { f.at(i, "Take").inFlight++ }

// Done implements Picker. The strategies of today learn nothing from outcome and latency.
func (f *fleet) Done(i int, _ Outcome, _ time.Duration) {
	m := f.at(i, "Done")
	if m.inFlight == 0 {
		panic(fmt.Sprintf("lb: Done(%d) with nothing in flight there: a request was ended twice", i))
	}
	m.inFlight--
}

// SetAvailable implements Picker.
func (f *fleet) SetAvailable(i int, ok bool) {
	m := f.at(i, "SetAvailable")
	if m.available == ok {
		return
	}
	m.available = ok
	f.settle()
}

// SetReady implements Picker.
func (f *fleet) SetReady(i int, n int) {
	m := f.at(i, "SetReady")
	if m.ready == 0 {
		f.full--
	}
	if m.ready = n; n == 0 {
		f.full++
	}
}

// SetWeight implements Picker.
func (f *fleet) SetWeight(i int, w int) {
	m := f.at(i, "SetWeight")
	if w < 1 || w > MaxWeight {
		panic(fmt.Sprintf("lb: SetWeight(%d, %d): a weight is between 1 and %d", i, w, MaxWeight))
	}
	if m.weight == int64(w) {
		return
	}
	m.weight = int64(w)
	f.settle()
}

// InFlight implements Picker.
func (f *fleet) InFlight(i int) int { return int(f.at(i, "InFlight").inFlight) }

// Len implements Picker.
func (f *fleet) Len() int { return len(f.members) }
