package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/benbjohnson/clock"
)

// MaxTime is the longest of the times of a [Schedule]: what is asked more rarely is not watched.
const MaxTime = 24 * time.Hour

// latestFirst is how late the first check may be. A backend counts as well until it was made.
const latestFirst = 5 * time.Second

// Schedule says when the checks of one backend are made. None of its times is negative, or longer than MaxTime.
type Schedule struct {
	// Interval is the time from the beginning of one check to the beginning of the next. A check that takes
	// longer is followed by the next at once. Default 5 s (when 0).
	Interval time.Duration

	// Fast takes the place of Interval while Standing says Doubtful, and Down while it says Failing. Default Interval (when 0).
	Fast, Down time.Duration

	// Standing says, after each report, how the backend stands by its checks. Default (when nil) always Settled.
	Standing func() Standing

	// Slow is for how long other evidence may take the place of checks: when a check is due and Vouched says so, it is left
	// out, unless the last one that was made would be older than Slow by the next time, give or take Spread. None is left
	// out while Standing is not Settled: what a check has found against a backend, requests do not refute. Default
	// (when 0) none is left out. Less than two Intervals are as good as none.
	Slow time.Duration

	// Vouched says, each time that a check is due, whether the backend has proved since the last such time that it is well.
	// Default (when nil) it never has.
	Vouched func() bool

	// Timeout is the time that one check may take. Default 1 s (when 0).
	Timeout time.Duration

	// Spread is the fraction by which each interval is made randomly longer or shorter, so that the checks of
	// many backends, or of many proxies, do not meet. The first check is made within that fraction of an
	// interval, and within 5 s. Default 0.1 (when 0); at most 1; negative is none.
	Spread float64

	// Reuse keeps the connection of a check of [HTTP] or [GRPC] for the next ones, but every fourth check is made on a fresh
	// one. A kept connection is looked at first: one that has ended, or holds bytes that nobody has asked for, gives way to a fresh
	// one. One that then turns out to be dead, says nothing, or says 408, is no evidence: a fresh one is tried at once,
	// which has the Timeout anew. Default (when false) each check has a fresh one; other kinds always have.
	Reuse bool

	// Limit bounds the checks that are under way, of this backend and of all whose schedules share it. Default (when nil) none.
	Limit *Limit

	// Clock is the source of time. Default (when nil) the real one.
	Clock clock.Clock

	// Rand is the stream of chance of this backend, used by nobody else while Run lasts. It is needed unless
	// Spread is negative.
	Rand *rand.Rand
}

// Standing says how a backend stands by its checks. The list is closed.
type Standing uint8

const (
	// Settled: the last checks agree with what is held of the backend, and it is held for well.
	Settled Standing = iota
	// Doubtful: the last checks disagree with what is held of it, and more of them would change that.
	Doubtful
	// Failing: it is held for down, and no check passes.
	Failing
)

// withDefaults returns the schedule with every default filled in, or the first mistake.
func (s Schedule) withDefaults() (Schedule, error) {
	if s.Interval == 0 {
		s.Interval = 5 * time.Second
	}
	if s.Fast == 0 {
		s.Fast = s.Interval
	}
	if s.Down == 0 {
		s.Down = s.Interval
	}
	if s.Timeout == 0 {
		s.Timeout = time.Second
	}
	if s.Spread == 0 {
		s.Spread = 0.1
	}
	if s.Clock == nil {
		s.Clock = clock.New()
	}
	for _, t := range []struct {
		name string
		is   time.Duration
	}{{"Interval", s.Interval}, {"Fast", s.Fast}, {"Down", s.Down}, {"Slow", s.Slow}, {"Timeout", s.Timeout}} {
		if t.is < 0 || t.is > MaxTime {
			return s, fmt.Errorf("probe: %s is %v; it must not be negative, nor longer than %v", t.name, t.is, MaxTime)
		}
	}
	switch {
	case math.IsNaN(s.Spread) || s.Spread > 1:
		return s, fmt.Errorf("probe: Spread is %v; at most 1", s.Spread)
	case s.Spread > 0 && s.Rand == nil:
		return s, fmt.Errorf("probe: Spread needs a stream of chance, and Rand is nil")
	}
	s.Spread = max(0, s.Spread)
	return s, nil
}

// Validate returns the first mistake in the schedule, but for a stream of chance that it lacks, which may be made later.
func (s Schedule) Validate() error {
	if s.Rand == nil {
		s.Rand = rand.New(rand.NewPCG(0, 0)) // stands for the one that is made if there is need of it
	}
	_, err := s.withDefaults()
	return err
}

// first returns how long to wait before the first check: some time within the spread, so that a proxy that
// starts with many backends does not check them all in one instant.
func (s *Schedule) first() time.Duration {
	if s.Spread == 0 {
		return 0
	}
	return time.Duration(s.Rand.Float64() * min(s.Spread*float64(s.Interval), float64(latestFirst)))
}

// interval returns the time from the beginning of a check to the beginning of the next.
func (s *Schedule) interval() time.Duration {
	mean := s.Interval
	switch s.standing() {
	case Doubtful:
		mean = s.Fast
	case Failing:
		mean = s.Down
	}
	if s.Spread == 0 {
		return mean
	}
	return time.Duration((1 + s.Spread*(2*s.Rand.Float64()-1)) * float64(mean))
}

func (s *Schedule) standing() Standing {
	if s.Standing == nil {
		return Settled
	}
	return s.Standing()
}

// leaveOut says whether a check that is due may be left out, when so many have been since the last one that was made.
func (s *Schedule) leaveOut(skipped int) bool {
	// It is asked each time: what it says is about the time since it was last asked.
	vouched := s.Slow > s.Interval && s.Vouched != nil && s.Vouched()
	return vouched && int64(skipped) <= int64(s.Slow/s.Interval)-2 && s.standing() == Settled
}

// Run checks the backend at address with p, by the schedule, until ctx ends, and tells report of each check:
// the instant at which it was over, and its error, nil when the backend is well. It returns nil when ctx has
// ended, and at once with an error when the schedule is out of range.
//
// Run works, and reports, on the goroutine of its caller: the next check waits for report to return. A check
// that is under way when ctx ends is given up and not reported. Ending ctx therefore ends Run without a last
// word, and after Run has returned nothing of it is left. Standing and Vouched are called there too.
//
// Several that want to know of the same backend share one such run: see [Checkers].
func Run(
	ctx context.Context, s Schedule, p Prober, address string, report func(now time.Time, err error),
) error {
	s, err := s.withDefaults()
	if err != nil {
		return err
	}
	r := round{Schedule: s, prober: p, address: address, report: report, limit: func() *Limit { return s.Limit }}
	r.run(ctx)
	return nil
}

// round is a run of checks.
type round struct {
	Schedule
	prober  Prober
	address string
	report  func(now time.Time, err error)
	limit   func() *Limit
	bell    *bell // nil: nobody rings

	made    bool      // a check was made, and all who want to know have heard of one
	last    time.Time // when the last one began; zero: none has
	over    time.Time // when it ended
	skipped int       // how many were left out since
}

func (r *round) run(ctx context.Context) {
	once := r.once
	if x, ok := r.prober.(exchanger); ok && r.Reuse {
		k := &keeping{x: x}
		defer k.Close()
		once = func(ctx context.Context) error { return r.onceKept(ctx, k) }
	}
	for wait := r.first(); r.sleep(ctx, wait); {
		begun := r.Clock.Now()
		if r.leaveOut(r.skipped) && r.made {
			r.skipped++
			wait = r.interval()
			continue
		}
		limit := r.limit()
		if !limit.enter(ctx, r.Clock) {
			return
		}
		r.last = r.Clock.Now()
		err := once(ctx)
		limit.leave(r.Clock)
		if ctx.Err() != nil {
			return
		}
		now := r.Clock.Now()
		r.skipped, r.made, r.over = 0, true, now
		r.report(now, err)
		wait = max(0, r.interval()-r.Clock.Now().Sub(begun))
	}
}

// once makes one check within its time.
func (r *round) once(ctx context.Context) error { return r.try(ctx, r.prober) }

// onceKept is once where the connection is kept. One that is dead is followed by a fresh one.
func (r *round) onceKept(ctx context.Context, k *keeping) error {
	err := r.try(ctx, k)
	if err != nil && k.stale && ctx.Err() == nil {
		err = r.try(ctx, k)
	}
	return err
}

func (r *round) try(ctx context.Context, p Prober) error {
	ctx, cancel := r.Clock.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return p.Probe(ctx, r.address)
}

// sleep waits for that long and reports whether ctx is still alive then. Each wait has a timer of its own,
// because a simulated clock can give only a fresh timer an instant of its own. Should several cases be ready, it
// does not matter which one is taken: what has happened is asked afterwards.
//
// Who joins a run that would be silent for long, because requests take the place of checks or a backend is down for others, is
// not to wait for that; nor does who is in haste wait, but for a tenth of an interval from the beginning of the last check on.
func (r *round) sleep(ctx context.Context, wait time.Duration) bool {
	for begun := r.Clock.Now(); ; {
		if ctx.Err() != nil {
			return false
		}
		timer := r.Clock.Timer(wait)
		select {
		case <-timer.C:
		case <-r.bell.listen():
		case <-ctx.Done():
		}
		timer.Stop()
		news, haste, since := r.bell.rung()
		if ctx.Err() != nil || !news && !haste {
			return ctx.Err() == nil
		}
		now := r.Clock.Now()
		wait, begun = max(0, wait-now.Sub(begun)), now
		if least := min(r.Interval, r.Fast, r.Down) / 10; haste && !r.last.IsZero() && !since.Before(r.over) {
			r.made = false // it is not left out
			wait = min(wait, max(0, least-now.Sub(r.last)))
		} else if haste && !r.last.IsZero() && since.Sub(r.last) >= least {
			r.made, wait = false, 0 // asked for while a check was under way that had begun long before
		}
		if !news {
			continue
		}
		r.made = false
		if float64(wait) > (1+r.Spread)*float64(r.Interval) {
			wait = r.first()
		}
	}
}
