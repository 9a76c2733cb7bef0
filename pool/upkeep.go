package pool

import "time"

const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

// Warm dials what MinIdle asks for and keeps it up from now on. It does not wait for the dials.
func (p *Pool) Warm() {
	p.lock()
	p.warm = true
	p.unlock()
	p.refill(p.now())
}

// refill begins the dials that bring the idle connections up to MinIdle.
func (p *Pool) refill(now time.Duration) {
	n := 0
	p.lock()
	if p.warm && !p.draining && now >= p.retryAt {
		for p.nIdle+p.comingLocked() < p.minIdle && p.reserveDialLocked() {
			n++
		}
	}
	p.unlock()
	for range n {
		p.startDial()
	}
}

// Retry forgets earlier dial failures: whoever judges the backend (a health checker, say) has found it up again, so
// MinIdle is refilled without waiting for the end of the pause.
func (p *Pool) Retry() {
	p.lock()
	p.failures, p.retryAt = 0, 0
	p.unlock()
	p.refill(p.now())
}

// pauseLocked is the time after a failed dial until MinIdle is tried again: doubling, with half of it at random.
func (p *Pool) pauseLocked() time.Duration {
	pause := minPause << min(p.failures-1, 10)
	pause = min(max(pause, minPause), maxPause)
	return pause/2 + time.Duration(p.rng.Int64N(int64(pause/2)))
}

// armUpkeepLocked makes sure that the upkeep runs at the given instant or before.
func (p *Pool) armUpkeepLocked(at time.Duration) {
	if p.closed || at >= p.upkeepAt {
		return
	}
	p.stopUpkeepLocked()
	p.running++
	p.upkeepAt = at
	p.upkeep = p.clk.AfterFunc(at-p.now(), p.runUpkeep)
}

// stopUpkeepLocked takes back a pending run of the upkeep. One that has begun counts itself out.
func (p *Pool) stopUpkeepLocked() {
	if p.upkeep != nil && p.upkeep.Stop() {
		p.running--
	}
	p.upkeep, p.upkeepAt = nil, never
}

// runUpkeep retires the idle connections whose time has come, tells of leaks, trims, predicts, refills MinIdle and arms the next run.
func (p *Pool) runUpkeep() {
	now := p.now()
	p.lock()
	if p.upkeep != nil && now >= p.upkeepAt {
		p.upkeep, p.upkeepAt = nil, never
	}
	p.unlock()
	for {
		k, why := p.nextExpired(now)
		if k == nil {
			break
		}
		p.lastLook(k, now, why)
		if p.drop(k, now, why) {
			p.ready()
		}
	}
	p.reportLeaks(now)
	p.fit(now)
	p.lock()
	p.armUpkeepLocked(min(p.nextLeakLocked(), p.nextExpiryLocked(), p.size.due(now, len(p.conns), p.minIdle)))
	p.unlock()
	p.refill(now)
	p.lock()
	p.running--
	p.settleLocked()
	p.unlock()
}

// nextExpired takes one idle connection whose time has come out of its list, as lent.
func (p *Pool) nextExpired(now time.Duration) (k *link, why Reason) {
	p.lock()
	defer p.unlock()
	k = p.popIdleWhereLocked(func(k *link) (bad bool) {
		why, bad = k.expired(now, now-k.since, p.idleFor)
		return bad
	})
	return k, why
}

// nextExpiryLocked is when the next idle connection must go.
func (p *Pool) nextExpiryLocked() time.Duration {
	next := never
	p.popIdleWhereLocked(func(k *link) bool {
		next = min(next, k.expiry(k.since, p.idleFor))
		return false
	})
	return next
}
