package health

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Change is the news that a backend has become available, or is no longer.
type Change struct {
	// Backend is the index of the backend in its group.
	Backend int
	// Available is the new state.
	Available bool
	// Reason tells what decided it.
	Reason Reason
	// Detail says for people how the reason came about, such as "3 of 3" for evidence or "after 30s" for time.
	Detail string
	// At is the instant of the call that brought the change.
	At time.Time
	// Until is the instant at which an ejection ends, and zero for every other change.
	Until time.Time
}

// String returns the change as one line without its instant, such as "2 ejected: consecutive_5xx (5 of 5)".
func (c Change) String() string {
	verb := "up"
	switch {
	case c.Reason == DrainAsked, c.Reason == AgentDrain, c.Reason == AgentMaint:
		verb = "drained"
	case c.Reason == BreakerOpen:
		verb = "open"
	case c.Reason == BreakerHalfOpen:
		verb = "half open"
	case c.Reason == BreakerProbing:
		verb = "probed"
	case !c.Until.IsZero():
		verb = "ejected"
	case !c.Available:
		verb = "down"
	}
	return fmt.Sprintf("%d %s: %s (%s)", c.Backend, verb, c.Reason, c.Detail)
}

// Status is the state of a backend in one word. The list is closed.
type Status uint8

const (
	// Up: the backend may be chosen.
	Up Status = iota
	// Down: active checks say that it is not there, or its agent that it does not work. This word outranks Ejected when both hold.
	Down
	// Ejected: traffic has removed it for a time.
	Ejected
	// Drained: an operator has asked for it, or its agent, for maintenance included. This word outranks the others.
	Drained
	// Broken: its breaker is open, or half-open with as many probes under way as it admits. All other words outrank this one but
	// Up.
	Broken
)

// Statuses returns the closed list, in order. The caller owns the slice.
func Statuses() []Status { return []Status{Up, Down, Ejected, Drained, Broken} }

// String returns the word for the status.
func (s Status) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	case Ejected:
		return "ejected"
	case Drained:
		return "drained"
	case Broken:
		return "broken"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// State is a snapshot of all that is known about one backend.
type State struct {
	// Status is the state in one word.
	Status Status
	// Since is the instant at which what Status says became true; zero when it has been so from the beginning.
	Since time.Time
	// Reason tells why Status is what it is.
	Reason Reason
	// EjectedUntil is the end of the running ejection, and zero without one. A backend can be Down and ejected.
	EjectedUntil time.Time

	// ChecksPassed is the number of checks that passed in a row, counted only while Down, below Rise.
	ChecksPassed int
	// ChecksFailed is the number of checks that failed in a row, counted only while not Down, below Fall.
	ChecksFailed int
	// Answers5xx is the number of 5xx answers since the last success, at most Passive.Consecutive5xx.
	Answers5xx int
	// GatewayErrors is the number of answers of 502, 503 and 504 since the last other answer, at most
	// Passive.ConsecutiveGatewayErrors.
	GatewayErrors int
	// Failures is the number of requests without an answer since the last answer, at most
	// Passive.ConsecutiveFailures.
	Failures int

	// Ejections tells which one in close succession the last ejection was: it lasted so many times
	// BaseEjectionTime, or MaxEjectionTime if that is less. It is 0 for a backend that was never ejected.
	Ejections int
	// EjectionsTotal counts all ejections of this backend.
	EjectionsTotal int
	// EjectionsRefused counts the times that the evidence was complete and the limit forbade an ejection.
	EjectionsRefused int

	// Circuit is the state of the breaker; Closed where there is none.
	Circuit Circuit
	// CircuitUntil is the end of the open time, or of the patience with probes; zero without either.
	CircuitUntil time.Time
	// Trips counts how often the breaker has opened.
	Trips int
}

// Group judges the backends of one group, named by their index. Its methods must be called one at a time. An
// index out of range, or one whose backend was removed, panics.
type Group struct {
	cfg      Config // with defaults
	backends []backend
	rnd      *rand.Rand
	used     share // of those in use
	reserve  share // of the others: see Reserve
	limit    int   // how many of those in use may be ejected at a time
	blocked  int   // how many breakers wait for an instant
	phase    Probe // the last half-open phase of any breaker

	started bool
	sweepAt time.Time // of the next comparison of Outliers; zero: there is none
	rearm   bool      // Next may be earlier than it was, though no Change has told so
}

// share counts a part of the backends.
type share struct {
	size    int // how many there are, without vacant indexes
	resting int // how many of them somebody wants out: see backend.resting
	ejected int // how many are ejected
	up      int // how many are available
}

// backend holds the verdicts on one backend, which know nothing of each other, and the operator's word.
type backend struct {
	present bool
	reserve bool // it is not in use
	check   check
	passive passive
	drained bool
	asked   time.Time // when an operator drained it
	agent   agent
	refused bool // the last connection that was wanted could not be made
	window  window
	circuit *circuit // nil: its breaker is closed, and has counted nothing
	// upSince and upReason tell of the last flip to available; see State.
	upSince  time.Time
	upReason Reason
}

// New returns a group of n backends, which may be none, all of them available. Rnd is the group's own stream
// of chance; it is needed, and used, only with EjectionJitter. The errors are those of a Config out of range,
// and [ErrNoRand].
func New(cfg Config, n int, rnd *rand.Rand) (*Group, error) {
	if n < 0 {
		return nil, fmt.Errorf("health: a group of %d backends", n)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Passive.EjectionJitter > 0 && rnd == nil {
		return nil, ErrNoRand
	}
	g := &Group{
		cfg:      cfg,
		backends: make([]backend, n),
		rnd:      rnd,
		used:     share{size: n, up: n},
		limit:    cfg.Passive.ejectionLimit(n, n),
	}
	for i := range g.backends {
		g.backends[i].present = true
	}
	return g, nil
}

// Available reports whether backend i may be chosen.
func (g *Group) Available(i int) bool { return g.at(i, "Available").available() }

// AvailableCount returns the number of backends in use that may be chosen. It costs nothing.
func (g *Group) AvailableCount() int { return g.used.up }

// EjectedCount returns the number of backends in use whose ejection is running, those that are also down included.
func (g *Group) EjectedCount() int { return g.used.ejected }

// Len returns the number of indexes, vacant ones included.
func (g *Group) Len() int { return len(g.backends) }

// Size returns the number of backends in the group, the reserve included.
func (g *Group) Size() int { return g.used.size + g.reserve.size }

// State returns a snapshot of all that is known about backend i.
func (g *Group) State(i int) State {
	b := g.at(i, "State")
	s := State{
		Status: Up, Since: b.upSince, Reason: b.upReason,
		EjectedUntil:     b.passive.until,
		ChecksPassed:     b.check.passed,
		ChecksFailed:     b.check.failed,
		Answers5xx:       b.passive.answers5xx,
		GatewayErrors:    b.passive.gateway,
		Failures:         b.passive.failures,
		Ejections:        b.passive.ejections,
		EjectionsTotal:   b.passive.total,
		EjectionsRefused: b.passive.refused,
	}
	if c := b.circuit; c != nil {
		s.Circuit, s.CircuitUntil, s.Trips = c.state, c.until, c.trips
	}
	switch {
	case b.drained:
		s.Status, s.Since, s.Reason = Drained, b.asked, DrainAsked
	case b.agent.asked():
		s.Status, s.Since, s.Reason = Drained, b.agent.since, b.agent.wish()
	case b.check.down:
		s.Status, s.Since, s.Reason = Down, b.check.since, CheckFailed
	case b.agent.ill:
		s.Status, s.Since, s.Reason = Down, b.agent.since, AgentDown
	case b.passive.out():
		s.Status, s.Since, s.Reason = Ejected, b.passive.since, b.passive.reason
	case b.circuit != nil && b.circuit.blocked:
		s.Status, s.Since, s.Reason = Broken, b.circuit.since, BreakerOpen
		if b.circuit.state == HalfOpen {
			s.Reason = BreakerProbing
		}
	}
	return s
}

func (b *backend) available() bool {
	return !b.check.down && !b.passive.out() && !b.drained && !b.agent.keepsOut && (b.circuit == nil || !b.circuit.blocked)
}

// at returns the backend of that index. Misuse is named here once, instead of a bare index panic everywhere.
func (g *Group) at(i int, method string) *backend {
	if i < 0 || i >= len(g.backends) {
		panic(fmt.Sprintf("health: %s(%d): the group has %d backends", method, i, len(g.backends)))
	}
	b := &g.backends[i]
	if !b.present {
		panic(fmt.Sprintf("health: %s(%d): that backend was removed", method, i))
	}
	return b
}

// left settles that backend i, which was available, no longer is.
func (g *Group) left(now time.Time, i int, r Reason, detail string) Change {
	g.shareOf(&g.backends[i]).up--
	return Change{Backend: i, Reason: r, Detail: detail, At: now}
}

// back settles that one of the verdicts on backend i, or the operator's word, has cleared. It is a change only if the
// others are clear.
func (g *Group) back(now time.Time, i int, r Reason, detail string) (Change, bool) {
	b := &g.backends[i]
	if !b.available() {
		return Change{}, false
	}
	g.shareOf(b).up++
	b.upSince, b.upReason = now, r
	// What requests said before the backend left is no evidence against what has come back.
	b.passive.forget()
	b.window, b.refused = window{}, false
	if b.circuit != nil {
		b.circuit.forget()
	}
	return Change{Backend: i, Available: true, Reason: r, Detail: detail, At: now}, true
}
