package lb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// MaxWeight is the largest weight that a backend can have. The limit keeps every sum and product of weights
// and in-flight counts far inside 64 bits.
const MaxWeight = 65535

// ErrNoRand is returned by New when a strategy that needs chance was given none.
var ErrNoRand = errors.New("lb: this strategy needs a stream of chance, and rnd is nil")

// MaxPriority is the last of the priorities that a backend can have.
const MaxPriority = 31

// Backend describes one backend to New.
type Backend struct {
	// Name is what the strategies that choose by a key know the backend by, such as its address: pickers that know
	// the same names and weights agree on the backend of every key, in whatever order they list them. Default: its
	// index, in decimal.
	Name string
	// Weight is the share of the load that the backend should carry, relative to the others.
	// Default 1 (when 0); range 1 to MaxWeight. A backend that should get nothing is made unavailable instead.
	Weight int
	// Priority is the tier of the backend. Default 0, range 0 to MaxPriority: the first tier has 0. One of priority 1
	// is picked when none of priority 0 can be, and so on, with every strategy.
	Priority int
	// Place is where it stands in the list, for the strategy "first", which takes the one of the lowest place; of equals the one of
	// the lowest index. Default 0.
	Place int
}

// Options are settings that only some strategies look at. The zero value is a safe default.
type Options struct {
	// BalanceFactor bounds what the strategies that choose by a key (ring-hash, maglev, rendezvous) give to one
	// backend, in percent of its part, by weight, of the requests in flight in its tier: a key whose backend is there
	// goes to the next one in its own order (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded
	// loads", 2018). Default 125 (when 0), range 101 to 1000; negative: no bound.
	BalanceFactor int
	// SlowStart is the time in which a backend that came late gets its whole weight: see Picker.SlowStart. Default 0:
	// at once.
	SlowStart time.Duration
}

// Outcome tells how a request at a backend ended, as far as balancing is concerned. The list is closed.
type Outcome uint8

const (
	// Success: the backend answered, and well.
	Success Outcome = iota
	// Failure: the backend could not be reached, died, was too slow, or answered with an error of its own.
	Failure
	// Abandoned: the pick was given back unused, or its client went away. It is evidence neither for nor against
	// the backend, and its latency means nothing.
	Abandoned
)

// Outcomes returns the closed list, in order. The caller owns the slice.
func Outcomes() []Outcome { return []Outcome{Success, Failure, Abandoned} }

// String returns the word for the outcome that metrics and traces use.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Abandoned:
		return "abandoned"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// Query is what one request has to say about the choice. The picker keeps no reference to it.
type Query struct {
	// Key is the hash of whatever the request should stick to, as [Hash] makes it. Only ring-hash, maglev and
	// rendezvous look at it. 0 is no key: such requests take turns, in proportion to the weights.
	Key uint64

	// Tried names the backends that must not be chosen, because this request has been there already. When every
	// backend that could be chosen is in Tried, Pick answers -1, so that the caller knows it; it can then ask
	// again with an empty list if a second visit is better than none. An index out of range names nobody.
	Tried []int

	// Warm, if set, says whether a backend has a connection ready, so that a request need not wait for a dial. It is asked
	// during Pick, and must not call the picker. Of two that are equal otherwise the strategies that draw two (p2c, peak-ewma)
	// take the warm one, but for one time in eight: a backend without connections would never get any.
	Warm func(i int) bool
}

// Picker chooses a backend for each request and counts the requests in flight. Backends are named by their
// index in the list given to New, or the one that Add was given, and keep it as long as they are there; any other
// index panics. All methods must be called one at a time.
type Picker interface {
	// Pick chooses a backend, counts one request in flight at it, and returns its index. It returns -1, and
	// counts nothing, when no backend is at once available, with room, and not in q.Tried. A nil q is an
	// empty query. Every index returned must be given to Done once.
	Pick(now time.Time, q *Query) int

	// Take counts one request in flight at i that somebody else sent there, such as a queue served by whichever
	// backend frees first. It asks neither for availability nor for room. It must be followed by one Done.
	Take(i int)

	// Done ends one request in flight at i. Latency is the time from the choice to the beginning of the answer, of which the
	// client has no part, and is ignored for Abandoned. It panics when nothing is in flight at i: a request was then ended twice.
	Done(i int, o Outcome, latency time.Duration)

	// SetAvailable tells health's verdict on i. All backends start available.
	SetAvailable(i int, ok bool)

	// SetReady tells how many more requests i could take now: 0 passes it over, a negative number means without
	// limit, which is also how every backend starts. The picker does not count this down by itself: the pool
	// knows better, and tells again whenever its answer changes.
	SetReady(i int, n int)

	// SetWeight changes the weight of i from the next pick on, or the next Rebuild. It panics outside 1 to MaxWeight.
	SetWeight(i int, w int)

	// SetPriority moves i to another tier, with all that is known and counted of it but its latency. It panics
	// outside 0 to MaxPriority.
	SetPriority(i int, priority int)

	// SlowStart tells that i has just joined, or come back, and should not get its whole share at once: where
	// Options.SlowStart is not 0, its weight begins at a tenth and goes up on a straight line. Strategies that choose
	// by a key, or the first, have no use for it, and do nothing.
	SlowStart(i int, now time.Time)

	// Add puts a backend at index i, which is Len() or that of a removed one. It starts as those given to New do:
	// available, with unlimited room, nothing in flight. It panics when a backend is there, or the weight is out of
	// range.
	Add(i int, b Backend)
	// Remove takes backend i out, whose index is then vacant, for Add. It panics when requests are in flight there: who
	// removes a backend makes it unavailable first, and waits for them.
	Remove(i int)

	// Rebuild is for the strategies that choose by a table of all backends (ring-hash, maglev), which takes
	// milliseconds to make and is therefore not made by a pick. After Add, Remove, SetWeight or SetPriority it
	// returns a function that makes the new table, and which alone may run beside other calls; what that returns puts
	// the table to use, and is called as all methods are. It returns nil when nothing has changed. Until then the old
	// table serves, and a backend that it does not know is picked only when no other can be. See [RebuildNow].
	Rebuild() (build func() (install func()))

	// InFlight returns the number of requests at i that were picked or taken and are not done.
	InFlight(i int) int

	// Len returns the number of indexes, vacant ones included.
	Len() int
}

// New returns a picker for these backends, which may be none (Pick then always answers -1), with the default Options.
//
// The strategy is one of [Strategies]; another name gives an [UnknownStrategyError]. A weight or a priority out of
// range is an error too. Rnd is the picker's own stream of chance; only "random", "p2c" and "peak-ewma" need it, and
// a nil there gives [ErrNoRand].
func New(strategy string, backends []Backend, rnd *rand.Rand) (Picker, error) {
	return NewWith(strategy, backends, rnd, Options{})
}

// NewWith is New with options. One out of range is an error.
func NewWith(strategy string, backends []Backend, rnd *rand.Rand, o Options) (Picker, error) {
	s := lookUp(strategy)
	if s == nil {
		return nil, &UnknownStrategyError{Name: strategy, Nearest: nearest(strategy)}
	}
	if s.needsRand && rnd == nil {
		return nil, fmt.Errorf("lb: strategy %q: %w", strategy, ErrNoRand)
	}
	if f := o.BalanceFactor; f > 0 && f <= 100 || f > 1000 {
		return nil, fmt.Errorf("lb: balance factor %d is not between 101 and 1000", f)
	}
	for i, b := range backends {
		if b.Weight < 0 || b.Weight > MaxWeight {
			return nil, fmt.Errorf("lb: backend %d: weight %d is not between 1 and %d", i, b.Weight, MaxWeight)
		}
		if b.Priority < 0 || b.Priority > MaxPriority {
			return nil, fmt.Errorf("lb: backend %d: priority %d is not between 0 and %d", i, b.Priority, MaxPriority)
		}
	}
	p := newTiered(s, rnd, o)
	for i, b := range backends {
		p.Add(i, b)
	}
	RebuildNow(p)
	return p, nil
}

// RebuildNow makes the tables anew that Picker.Rebuild is about, for a caller who can wait for it.
func RebuildNow(p Picker) {
	for build := p.Rebuild(); build != nil; build = p.Rebuild() {
		build()()
	}
}
