package lb

import (
	"fmt"
	"slices"
	"time"
)

// member is what is known about one backend.
//
// Invariants: 1 <= weight <= MaxWeight; inFlight >= 0.
type member struct {
	weight    int64
	inFlight  int64
	ready     int   // room told by the pool; negative is unlimited
	credit    int64 // place in the smooth rotation; see smooth.go
	available bool
}

// fleet is the part of a picker that all strategies share: the facts, and how they are told.
type fleet struct {
	members []member
}

func newFleet(backends []Backend) (fleet, error) {
	f := fleet{members: make([]member, len(backends))}
	for i, b := range backends {
		w := b.Weight
		if w == 0 {
			w = 1
		}
		if w < 1 || w > MaxWeight {
			return fleet{}, fmt.Errorf("lb: backend %d: weight %d is not between 1 and %d", i, w, MaxWeight)
		}
		f.members[i] = member{weight: int64(w), ready: -1, available: true}
	}
	return f, nil
}

// at returns the member of that index. Misuse is named here once, instead of a bare index panic everywhere.
func (f *fleet) at(i int, method string) *member {
	if i < 0 || i >= len(f.members) {
		panic(fmt.Sprintf("lb: %s(%d): there are %d backends", method, i, len(f.members)))
	}
	return &f.members[i]
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
func (f *fleet) SetReady(i int, n int) { f.at(i, "SetReady").ready = n }

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
