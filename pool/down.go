package pool

import "time"

// downLocked says that the backend counts as down.
func (p *Pool) downLocked() bool { return p.outage.down(p.readyLocked()) }

// turnedAwayLocked is why a caller may not wait for a dial now, nil if it may. Where the probe is due, the caller has it
// made by waiting.
func (p *Pool) turnedAwayLocked(now time.Duration) error {
	if p.closed || !p.downLocked() || p.outage.probeDue(now) && p.slotsLocked() > 0 {
		return nil
	}
	p.askLocked()
	return p.downErrorLocked(now)
}

// downErrorLocked is the answer to a caller who is turned away.
func (p *Pool) downErrorLocked(now time.Duration) error {
	p.stats.TurnedAway++
	return &DownError{
		Pool: p.cfg.Name, Address: p.cfg.Address, Failures: p.outage.failures, Err: p.outage.last,
		RetryIn: p.outage.retryIn(now),
	}
}

// askLocked notes that somebody wants a connection who does not wait for it, so that there will be a probe.
func (p *Pool) askLocked() {
	p.outage.asked = true
	p.armProbeLocked(p.now())
}

// armProbeLocked sees to it that the probe begins at the end of the pause.
func (p *Pool) armProbeLocked(now time.Duration) {
	if !p.outage.probing && p.slotsLocked() > 0 { // whoever frees a slot asks again
		p.armPaceLocked(now, max(p.outage.retryAt, now))
	}
}

// probeDueLocked reserves the probe, if it is due and anybody wants it, or sees to it that it begins when it is due.
func (p *Pool) probeDueLocked(now time.Duration) dials {
	wanted := p.outage.asked || p.waiters.need > 0 || p.lacksIdleLocked() || p.lacksWarmLocked()
	if !wanted {
		return dials{}
	}
	if p.slotsLocked() > 0 && p.outage.claimProbe(now) {
		p.reserveDialLocked()
		return dials{n: 1, probe: true}
	}
	p.armProbeLocked(now)
	return dials{}
}

// turnAway tells those in line that the backend is down, one instant each, but for those who have a dial under way:
// these learn what comes of that. True if there were any and nobody waits any more.
func (p *Pool) turnAway() (emptied bool) {
	for {
		now := p.now()
		p.lock()
		var w *waiter
		var err error
		if p.downLocked() && !p.closed {
			w = p.uncoveredLocked()
		}
		if w != nil {
			p.waiters.remove(w)
			p.outage.asked = true
			err = p.downErrorLocked(now)
			emptied = p.waiters.n == 0
		}
		p.unlock()
		if w == nil {
			break
		}
		p.tell(w, result{err: err})
	}
	if emptied {
		p.serveLine(nil) // Drain waits for the end of the line
	}
	return emptied
}

// uncoveredLocked is the first waiter for whom no dial is under way, nil if there is none. One whose context has ended
// finds out by itself. A batch at the head is content with one dial: the others follow if that succeeds.
func (p *Pool) uncoveredLocked() *waiter {
	covered := p.comingLocked() * max(p.perConn, 1)
	for w, first := p.waiters.head, true; w != nil; w = w.next {
		if w.need == 0 || w.ctx.Err() != nil {
			continue
		}
		if covered -= w.need; covered < 0 && !(first && p.comingLocked() > 0) {
			return w
		}
		first = false
	}
	return nil
}
