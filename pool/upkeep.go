package pool

import "time"

const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

// Warm dials what MinIdle asks for and keeps it up from now on. It does not wait for the dials.
func (p *Pool) Warm() {
	p.mu.Lock()
	p.warm = true
	p.mu.Unlock()
	p.refill(p.clk.Now())
}

// refill begins the dials that bring the idle connections up to MinIdle.
func (p *Pool) refill(now time.Time) {
	n := 0
	p.mu.Lock()
	if p.warm && !p.draining && !now.Before(p.retryAt) {
		for p.nIdle+p.sharedLocked() < p.minIdle && p.reserveDialLocked() {
			n++
		}
	}
	p.mu.Unlock()
	for range n {
		p.startDial()
	}
}

// Retry forgets earlier dial failures: whoever judges the backend (a health checker, say) has found it up again, so
// MinIdle is refilled without waiting for the end of the pause.
func (p *Pool) Retry() {
	p.mu.Lock()
	p.failures, p.retryAt = 0, time.Time{}
	p.mu.Unlock()
	p.refill(p.clk.Now())
}

// pauseLocked is the time after a failed dial until MinIdle is tried again: doubling, with half of it at random.
func (p *Pool) pauseLocked() time.Duration {
	pause := minPause << min(p.failures-1, 10)
	pause = min(max(pause, minPause), maxPause)
	return pause/2 + time.Duration(p.rng.Int64N(int64(pause/2)))
}

// later returns the later of two instants.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// expiryLocked is when an idle connection must go, zero if never.
func (p *Pool) expiryLocked(c *Conn) time.Time {
	at := c.ends
	if p.cfg.IdleTimeout > 0 {
		if t := c.since.Add(p.cfg.IdleTimeout); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// armUpkeepLocked makes sure that the upkeep runs at the given instant or before.
func (p *Pool) armUpkeepLocked(at time.Time) {
	if p.closed || at.IsZero() || (p.upkeep != nil && !at.Before(p.upkeepAt)) {
		return
	}
	p.stopUpkeepLocked()
	p.running++
	p.upkeepAt = at
	p.upkeep = p.clk.AfterFunc(p.clk.Until(at), p.runUpkeep)
}

// stopUpkeepLocked takes back a pending run of the upkeep. One that has begun counts itself out.
func (p *Pool) stopUpkeepLocked() {
	if p.upkeep != nil && p.upkeep.Stop() {
		p.running--
	}
	p.upkeep = nil
}

// runUpkeep retires the idle connections whose time has come, tells of leaks, refills MinIdle and arms the next run.
func (p *Pool) runUpkeep() {
	now := p.clk.Now()
	p.mu.Lock()
	if p.upkeep != nil && !now.Before(p.upkeepAt) {
		p.upkeep = nil
	}
	p.mu.Unlock()
	for {
		c, why := p.nextExpired(now)
		if c == nil {
			break
		}
		p.discard(c, now, why)
	}
	p.reportLeaks(now)
	p.mu.Lock()
	next := p.nextLeakLocked()
	for _, list := range p.idle {
		for _, c := range list {
			if at := p.expiryLocked(c); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	p.armUpkeepLocked(next)
	p.mu.Unlock()
	p.refill(now)
	p.mu.Lock()
	p.running--
	p.settleLocked()
	p.mu.Unlock()
}

// nextExpired takes one idle connection whose time has come out of its list, as lent.
func (p *Pool) nextExpired(now time.Time) (*Conn, Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, list := range p.idle {
		for i, c := range list {
			why, bad := c.expired(now, now.Sub(c.since), p.cfg.IdleTimeout)
			if !bad {
				continue
			}
			return p.popAtLocked(s, i), why
		}
	}
	return nil, 0
}
