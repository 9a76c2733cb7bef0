package netsim

import (
	"context"
	"time"

	"github.com/benbjohnson/clock"
)

// newClock gives the simulated clock, or the plain one outside a bubble.
func newClock(s *Sim) clock.Clock {
	if !s.virtual {
		return clock.New()
	}
	return &simClock{Clock: clock.New(), s: s}
}

// simClock is the real clock of a bubble, which the bubble makes virtual, with one addition: every one-shot
// wake-up is nudged to a nanosecond that nothing else has. Reset of a timer that it gave out cannot be
// nudged; its methods panic.
type simClock struct {
	clock.Clock
	s *Sim
}

// claim hands out the instant for a wake-up d from now, and how far off it is.
func (c *simClock) claim(d time.Duration) (at int64, off time.Duration) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Add(1)
	now := s.now()
	target := now + int64(d)
	if target < now && d > 0 {
		target = 1 << 62 // the sum overflows: practically never
	}
	at = s.claims.claim(s.cfg.Seed, target, now)
	if at == s.armed {
		// The network gives way, so that it does not matter who of one instant was first to ask.
		s.armed = 0
		s.arm(now)
	}
	return at, duration(at - now)
}

// After is time.After at an instant of its own.
func (c *simClock) After(d time.Duration) <-chan time.Time {
	_, d = c.claim(d)
	return c.Clock.After(d)
}

// AfterFunc is time.AfterFunc at an instant of its own.
func (c *simClock) AfterFunc(d time.Duration, f func()) *clock.Timer {
	_, d = c.claim(d)
	return c.Clock.AfterFunc(d, f)
}

// Timer is time.NewTimer at an instant of its own. Its Reset must not be used.
func (c *simClock) Timer(d time.Duration) *clock.Timer {
	_, d = c.claim(d)
	return c.Clock.Timer(d)
}

// Sleep is time.Sleep to an instant of its own. Sleep(0) moves the caller to a new instant, which is how
// code that releases several goroutines keeps them apart.
func (c *simClock) Sleep(d time.Duration) {
	_, d = c.claim(d)
	c.Clock.Sleep(d)
}

// Reserve claims the next free instant for the caller and returns the wait for it. Whoever is about to wake
// another goroutine reserves first, wakes, and then waits: the woken one has the present instant for
// itself, and what the waker does next comes in an instant that was fixed before the other could claim one.
// With Sleep(0) after the wake the two would claim at the same time, in an order that only the scheduler
// knows.
func (c *simClock) Reserve() (wait func()) {
	at, _ := c.claim(0)
	return func() { c.Clock.Sleep(duration(at - c.s.now())) }
}

// WithTimeout is context.WithTimeout ending at an instant of its own.
func (c *simClock) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return c.WithDeadline(parent, c.Clock.Now().Add(d))
}

// WithDeadline is context.WithDeadline ending at an instant of its own, a little after t. A context that
// ends at once, because t has passed or the parent ends earlier, needs no instant.
func (c *simClock) WithDeadline(parent context.Context, t time.Time) (context.Context, context.CancelFunc) {
	d := c.Clock.Until(t)
	if cur, ok := parent.Deadline(); ok && cur.Before(t) || d <= 0 {
		return c.Clock.WithDeadline(parent, t)
	}
	at, off := c.claim(d)
	ctx, cancel := c.Clock.WithDeadline(parent, c.Clock.Now().Add(off))
	released := false
	return ctx, func() {
		cancel()
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		if !released && at > c.s.now() { // once only: then it may be somebody else's
			c.s.claims.release(at)
		}
		released = true
	}
}

const tickerBan = "netsim: the simulated clock has no Ticker and no Tick. A run repeats itself only because each wake-up has a " +
	"nanosecond of its own, and those of a ticker cannot be moved apart; make a fresh Timer (or AfterFunc, or Sleep) for each round instead"

// Tick panics: see the text of the panic.
func (c *simClock) Tick(time.Duration) <-chan time.Time { panic(tickerBan) }

// Ticker panics: see the text of the panic.
func (c *simClock) Ticker(time.Duration) *clock.Ticker { panic(tickerBan) }
