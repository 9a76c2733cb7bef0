package pool

import "time"

// EventKind says what happened. The list is closed.
type EventKind uint8

// The kinds of events.
const (
	// EventDialled: a dial ended with a connection, which Conn numbers.
	EventDialled EventKind = iota
	// EventDialFailed: a dial ended without one; Err says why.
	EventDialFailed
	// EventRetired: a connection left the pool, for Reason.
	EventRetired
	// EventLeaked: a loan has lasted for longer than Config.LeakAfter.
	EventLeaked
)

// String returns the kind's word.
func (k EventKind) String() string {
	switch k {
	case EventDialled:
		return "dialled"
	case EventDialFailed:
		return "dial_failed"
	case EventRetired:
		return "retired"
	case EventLeaked:
		return "leaked"
	}
	return "unknown"
}

// Event is one thing that happened to a connection of the pool.
type Event struct {
	// At is the instant by the pool's clock.
	At time.Time
	// Pool is the pool's name.
	Pool string
	// Seq numbers the pool's events from 1, in the order in which they happened.
	Seq uint64
	// Kind says what happened.
	Kind EventKind
	// Conn is the connection's number in its pool, from 1; 0 where there is none.
	Conn uint64
	// Reason is why a connection was retired; only with EventRetired.
	Reason Reason
	// Err is why a dial failed, or its set-up: with EventDialFailed, and with EventRetired for ReasonSetupFailed.
	Err error
}
