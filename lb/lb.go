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

// Backend describes one backend to New.
type Backend struct {
	// Weight is the share of the load that the backend should carry, relative to the others.
	// Default 1 (when 0); range 1 to MaxWeight. A backend that should get nothing is made unavailable instead.
	Weight int
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
	// Key is the hash of whatever the request should stick to. The strategies of today do not look at it.
	Key uint64

	// Tried names the backends that must not be chosen, because this request has been there already. When every
	// backend that could be chosen is in Tried, Pick answers -1, so that the caller knows it; it can then ask
	// again with an empty list if a second visit is better than none. An index out of range names nobody.
	Tried []int
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

	// Done ends one request in flight at i. Latency is the time from the choice to the end of the answer, and is
	// ignored for Abandoned. It panics when nothing is in flight at i: a request was then ended twice.
	Done(i int, o Outcome, latency time.Duration)

	// SetAvailable tells health's verdict on i. All backends start available.
	SetAvailable(i int, ok bool)

	// SetReady tells how many more requests i could take now: 0 passes it over, a negative number means without
	// limit, which is also how every backend starts. The picker does not count this down by itself: the pool
	// knows better, and tells again whenever its answer changes.
	SetReady(i int, n int)

	// SetWeight changes the weight of i from the next pick on. It panics outside 1 to MaxWeight.
	SetWeight(i int, w int)

	// Add puts a backend at index i, which is Len() or that of a removed one. It starts as those given to New do:
	// available, with unlimited room, nothing in flight. It panics when a backend is there, or the weight is out of range.
	Add(i int, b Backend)
	// Remove takes backend i out, whose index is then vacant, for Add. It panics when requests are in flight there: who
	// removes a backend makes it unavailable first, and waits for them.
	Remove(i int)
	// InFlight returns the number of requests at i that were picked or taken and are not done.
	InFlight(i int) int

	// Len returns the number of indexes, vacant ones included.
	Len() int
}

// New returns a picker for these backends, which may be none (Pick then always answers -1).
//
// The strategy is one of [Strategies]; another name gives an [UnknownStrategyError]. A weight out of range is
// an error too. Rnd is the picker's own stream of chance; only "random" needs it, and a nil there gives
// [ErrNoRand].
func New(strategy string, backends []Backend, rnd *rand.Rand) (Picker, error) {
	s := lookUp(strategy)
	if s == nil {
		return nil, &UnknownStrategyError{Name: strategy, Nearest: nearest(strategy)}
	}
	if s.needsRand && rnd == nil {
		return nil, fmt.Errorf("lb: strategy %q: %w", strategy, ErrNoRand)
	}
	f, err := newFleet(backends)
	if err != nil {
		return nil, err
	}
	return s.build(f, rnd), nil
}
