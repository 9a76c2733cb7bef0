package probe

import (
	"context"
	"sync"

	"github.com/benbjohnson/clock"
)

// Limit bounds the checks that are under way at a time on all schedules that share it. A check that finds no place waits
// for one, first come first served, and its time begins when it has one: a crowd makes checks rarer, and fails none. It is
// safe for concurrent use.
type Limit struct {
	mu   sync.Mutex // never held over a wait
	free int
	line []*place
}

// place is one that waits for a place.
type place struct {
	granted chan struct{} // closed when it has been given one
	given   bool          // it has, or is about to be told so
	gone    bool          // it does not want one any more
}

// NewLimit returns a Limit of n checks. It panics when n is less than 1.
func NewLimit(n int) *Limit {
	if n < 1 {
		panic("probe: NewLimit of less than 1")
	}
	return &Limit{free: n}
}

// enter waits for a place, and reports whether there is one; otherwise ctx has ended. A nil Limit has room for all.
func (l *Limit) enter(ctx context.Context, clk clock.Clock) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return true
	}
	p := &place{granted: make(chan struct{})}
	l.line = append(l.line, p)
	l.mu.Unlock()
	select {
	case <-p.granted:
	case <-ctx.Done():
	}
	// Both may be so: which of them was taken must not matter.
	if ctx.Err() == nil {
		return true
	}
	l.mu.Lock()
	p.gone = true
	given := p.given
	l.mu.Unlock()
	if given {
		l.leave(clk)
	}
	return false
}

// leave gives a place back, to the first in line if there is one.
func (l *Limit) leave(clk clock.Clock) {
	if l == nil {
		return
	}
	l.mu.Lock()
	var next *place
	for next == nil && len(l.line) > 0 {
		if p := l.line[0]; !p.gone {
			p.given, next = true, p
		}
		l.line[0] = nil
		l.line = l.line[1:]
	}
	if next == nil {
		l.free++
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	rest := apart(clk)
	close(next.granted)
	rest()
}
