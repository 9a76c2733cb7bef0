package pool

import "time"

// Warm dials what MinIdle asks for and keeps it up from now on. It does not wait for the dials.
func (p *Pool) Warm() {
	p.lock()
	p.warm = true
	p.unlock()
	p.refill(p.now())
}

// refill begins the dials that bring the idle connections up to MinIdle.
func (p *Pool) refill(now time.Duration) {
	p.lock()
	due := p.refillLocked(now)
	p.unlock()
	p.start(due)
}

// refillLocked reserves the dials that MinIdle lacks. The caller starts them.
func (p *Pool) refillLocked(now time.Duration) (due dials) {
	p.refillShort = false
	switch {
	case p.closed || !p.lacksIdleLocked():
		return dials{}
	case p.outage.holds():
		return p.probeDueLocked(now)
	case now < p.outage.refillAt():
		return dials{}
	}
	for p.lacksIdleLocked() && p.reserveDialLocked() {
		due.n++
	}
	p.refillShort = p.lacksIdleLocked() && p.openLocked() < p.limit
	return due
}

// lacksIdleLocked says whether MinIdle wants another connection.
func (p *Pool) lacksIdleLocked() bool {
	return p.warm && !p.draining && p.nIdle+max(p.comingLocked()-p.waiters.need, 0) < p.minIdle
}

// Retry forgets earlier dial failures: whoever judges the backend (a health checker, say) has found it up again, so
// what they held back is dialled now, MinIdle without waiting for the end of the pause.
func (p *Pool) Retry() {
	p.lock()
	asked := p.outage.asked
	p.outage.forget()
	due := p.dueLocked(p.now())
	p.unlock()
	p.start(due)
	p.refill(p.now())
	p.wakeResting()
	if asked {
		p.ready() // an outer queue was refused dials meanwhile
	}
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
	p.heedTimeoutLocked(now) // what was learned may have been forgotten
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
	p.armUpkeepLocked(min(p.nextLeakLocked(), p.nextExpiryLocked(), p.nextRefillLocked(now),
		p.size.due(now, len(p.conns), p.minIdle)))
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

// nextRefillLocked is when MinIdle, which rests after a failed dial, may be refilled.
func (p *Pool) nextRefillLocked(now time.Duration) time.Duration {
	if at := p.outage.refillAt(); now < at && p.lacksIdleLocked() {
		return at
	}
	return never
}
