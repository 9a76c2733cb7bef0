package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// instants is the clock of a bubble that wakes nobody at the nanosecond at which it wakes another one, so that what a test
// sees does not depend on the scheduler. (Law: one instant wakes one goroutine.)
type instants struct {
	clock.Clock
	mu    sync.Mutex
	taken map[time.Time]bool
}

func newClock() *instants { return &instants{Clock: clock.New(), taken: map[time.Time]bool{}} }

// claim returns how far off the first free instant after d is.
func (c *instants) claim(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	at := now.Add(max(d, 1))
	for c.taken[at] {
		at = at.Add(1)
	}
	c.taken[at] = true
	return at.Sub(now)
}

func (c *instants) Sleep(d time.Duration)                  { c.Clock.Sleep(c.claim(d)) }
func (c *instants) Timer(d time.Duration) *clock.Timer     { return c.Clock.Timer(c.claim(d)) }
func (c *instants) After(d time.Duration) <-chan time.Time { return c.Clock.After(c.claim(d)) }
func (c *instants) AfterFunc(d time.Duration, f func()) *clock.Timer {
	return c.Clock.AfterFunc(c.claim(d), f)
}

func (c *instants) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return c.Clock.WithTimeout(ctx, c.claim(d))
}

func (c *instants) WithDeadline(ctx context.Context, t time.Time) (context.Context, context.CancelFunc) {
	return c.Clock.WithTimeout(ctx, c.claim(c.Until(t)))
}

// Reserve fixes the instant at which the caller will go on, and returns the wait for it.
func (c *instants) Reserve() (wait func()) {
	t := c.Timer(0)
	return func() { <-t.C }
}
