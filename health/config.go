package health

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrNoRand is returned by New when EjectionJitter is set and there is no stream of chance to draw it from.
var ErrNoRand = errors.New("health: EjectionJitter needs a stream of chance, and rnd is nil")

// MaxStreak is the most checks in a row that a decision may take.
const MaxStreak = 10_000

// Config says how evidence becomes a decision. The zero value is complete: no active checks, passive
// detection with the defaults below.
type Config struct {
	// Active says that an active checker brings its results to Group.Check. When false, results are ignored,
	// such as a late one from before the checks were switched off.
	Active bool

	// Rise is the number of checks in a row that must pass before a backend that is down is up again.
	// Default 2 (when 0); from 1 to MaxStreak.
	Rise int

	// Fall is the number of checks in a row that must fail before a backend is down. Default 3 (when 0); from
	// 1 to MaxStreak.
	Fall int

	// Passive says when real traffic ejects a backend.
	Passive Passive

	// Breaker is a circuit breaker for each backend. Default off.
	Breaker Breaker

	// PanicPercent is the share of the backends in use ([Group.Reserve]), without those that are drained, below which those that are not available are admitted too: where most are out,
	// what is left may not be able to carry the load, and rather the load, or the evidence, is to be doubted. Default 0,
	// which is off; at most 100.
	PanicPercent int

	// FailOpen admits those that are not available when none is. Default off.
	FailOpen bool
}

// Passive says when real traffic ejects a backend, and for how long. The zero value is the default; a group
// whose passive detection is to be off sets MaxEjectionPercent to a negative number.
type Passive struct {
	// Consecutive5xx is the number of 5xx answers, with no success between, that ejects a backend. Gateway errors are among them.
	// Default 5 (when 0); negative is off.
	Consecutive5xx int

	// ConsecutiveGatewayErrors is the number of answers of 502, 503 and 504, with no other answer between, that ejects a
	// backend. It is of use where it is less than Consecutive5xx, or where that is off: an application's own 500 may tell of the
	// request rather than of the backend. Default 0, which is off, as is any negative number.
	ConsecutiveGatewayErrors int

	// ConsecutiveFailures is the number of requests without an answer (failed to connect, reset, timed out),
	// with no answer between, that ejects a backend. A 5xx is an answer. Default 5 (when 0); negative is off.
	ConsecutiveFailures int

	// BaseEjectionTime is the length of a first ejection; the second in close succession lasts twice as long,
	// the third three times, and so on. For each BaseEjectionTime that a backend then stays in, one ejection
	// is forgotten. Default 30 s (when 0); not negative.
	BaseEjectionTime time.Duration

	// MaxEjectionTime is the longest ejection, before jitter. Default 300 s, or BaseEjectionTime if that is
	// longer (when 0); not shorter than BaseEjectionTime.
	MaxEjectionTime time.Duration

	// EjectionJitter lengthens each ejection by a random share of itself, from nothing up to this fraction,
	// so that backends that were ejected together do not come back together. Default 0, which is none; range
	// 0 to 1.
	EjectionJitter float64

	// MaxEjectionPercent is the share of the backends in use ([Group.Reserve]) that may be ejected at a time, rounded down to whole
	// backends but never to less than one: of 3 backends and at 50 %, one. The only backend of a group is
	// never ejected. Default 50 (when 0); at most 100; negative means that none is ever ejected. Backends
	// that are down by their checks are part of the group, but not of those ejected.
	MaxEjectionPercent int

	// Outliers ejects backends that do worse than the rest of the group. Default off.
	Outliers Outliers
}

// withDefaults returns the config with every default filled in, or the first mistake.
func (c Config) withDefaults() (Config, error) {
	orDefault(&c.Rise, 2)
	orDefault(&c.Fall, 3)
	p := &c.Passive
	orDefault(&p.Consecutive5xx, 5)
	orDefault(&p.ConsecutiveFailures, 5)
	orDefault(&p.MaxEjectionPercent, 50)
	orDefault(&p.BaseEjectionTime, 30*time.Second)
	if p.MaxEjectionTime == 0 {
		p.MaxEjectionTime = max(300*time.Second, p.BaseEjectionTime)
	}
	switch {
	case c.Rise < 0 || c.Rise > MaxStreak:
		return c, fmt.Errorf("health: Rise is %d; at least 1 check must pass, and at most %d", c.Rise, MaxStreak)
	case c.PanicPercent < 0 || c.PanicPercent > 100:
		return c, fmt.Errorf("health: PanicPercent is %d; from 0 to 100", c.PanicPercent)
	case c.Fall < 0 || c.Fall > MaxStreak:
		return c, fmt.Errorf("health: Fall is %d; at least 1 check must fail, and at most %d", c.Fall, MaxStreak)
	case p.BaseEjectionTime < 0:
		return c, fmt.Errorf("health: BaseEjectionTime is negative (%v)", p.BaseEjectionTime)
	case p.MaxEjectionTime < p.BaseEjectionTime:
		return c, fmt.Errorf("health: MaxEjectionTime (%v) is shorter than BaseEjectionTime (%v)",
			p.MaxEjectionTime, p.BaseEjectionTime)
	case p.MaxEjectionPercent > 100:
		return c, fmt.Errorf("health: MaxEjectionPercent is %d; at most 100", p.MaxEjectionPercent)
	case math.IsNaN(p.EjectionJitter) || p.EjectionJitter < 0 || p.EjectionJitter > 1:
		return c, fmt.Errorf("health: EjectionJitter is %v; from 0 to 1", p.EjectionJitter)
	case p.MaxEjectionTime > math.MaxInt64/4:
		return c, fmt.Errorf("health: MaxEjectionTime (%v) is longer than an instant can hold", p.MaxEjectionTime)
	}
	if err := p.Outliers.fill(); err != nil {
		return c, err
	}
	if p.MaxEjectionPercent < 0 { // nobody is to be ejected: then nothing is to be counted, or refused, either
		p.Consecutive5xx, p.ConsecutiveGatewayErrors, p.ConsecutiveFailures, p.Outliers = -1, -1, -1, Outliers{}
	}
	if p.ConsecutiveGatewayErrors == 0 {
		p.ConsecutiveGatewayErrors = -1
	}
	err := c.Breaker.fill()
	return c, err
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// ejectionLimit returns how many of n backends in use, of so many altogether, may be ejected at a time. The only one in use may be where
// there is a reserve.
func (p *Passive) ejectionLimit(n, all int) int {
	if all <= 1 || p.MaxEjectionPercent < 0 {
		return 0
	}
	return max(1, n*p.MaxEjectionPercent/100)
}
