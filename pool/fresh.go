package pool

import (
	"context"
	"slices"
)

// Fresh dials a connection for this caller alone and waits for it: a borrower whose reused connection turned out to be
// dead does not want another one of that age. Where the pool is full the connection that has been idle longest gives
// way; MaxDials does not count. It returns ErrNoRoom when every connection is lent, ErrClosed after Close or Drain, ctx's
// error when ctx ended first, a *DialError when the dial failed, and a *DownError as Lend does.
func (p *Pool) Fresh(ctx context.Context, shard int) (Conn, error) {
	p.checkShard(shard)
	run := &dialRun{fresh: true, told: make(signal, 1)}
	if err := p.reserveFresh(run); err != nil {
		return Conn{}, err
	}
	// In a goroutine of its own, because the dialer may not return.
	p.launch(func() { p.dialFresh(run) })
	if !run.told.wait(ctx) || ctx.Err() != nil {
		p.leaveFresh(run)
		return Conn{}, ctx.Err()
	}
	if run.closed && run.failed != nil {
		return Conn{}, ErrClosed
	}
	if run.failed != nil {
		return Conn{}, run.failed
	}
	now := p.now()
	p.lock()
	run.loan.link.shard = int32(shard)
	p.lendLocked(run.loan, now, shard)
	p.unlock()
	p.watch(run.loan)
	return run.loan.handle(), nil
}

// dialFresh is the dial of one call of Fresh.
func (p *Pool) dialFresh(run *dialRun) {
	if !p.connect(run) {
		return
	}
	p.running++ // Close waits for what follows
	defer p.ran()
	run.ready = true
	if run.left {
		p.giveFreshLocked(run)
	} else {
		p.unlock()
	}
	p.judged(nil)
	p.answer(run)
	p.serveLine(nil) // a session has more than one place
	p.lock()
	room := p.waiters.n == 0 && p.roomLocked(1) > 0 && len(p.sessions) > 0
	p.unlock()
	if room {
		p.ready()
	}
	p.begin()
	p.wakeWarmers(nil)
}

// leaveFresh is the end of a caller of Fresh whose context has ended. Its dial is given up; if it gives a connection all
// the same, that is for others.
func (p *Pool) leaveFresh(run *dialRun) {
	p.lock()
	run.left = true
	if run.ready {
		p.giveFreshLocked(run)
		return
	}
	listed := slices.Contains(p.dials, run)
	p.unlock()
	if listed {
		rest := p.apart()
		run.cancel()
		rest()
	}
}

// giveFreshLocked gives away what a caller of Fresh has left. It unlocks.
func (p *Pool) giveFreshLocked(run *dialRun) {
	if s := run.loan.link.streams; s != nil {
		s.taken-- // it was no loan
	}
	p.giveLocked(run.loan, p.now())
}

// reserveFresh takes a slot for a dial of Fresh, from the connection that has been idle longest if need be. That slot
// passes from the one to the other under the lock, so that nobody else can take it.
func (p *Pool) reserveFresh(run *dialRun) error {
	now := p.now()
	p.lock()
	if p.closed || p.draining {
		p.unlock()
		return ErrClosed
	}
	if p.outage.holds() && !p.outage.probeDue(now) { // though something may be lent: this wants a dial, and only the probe may
		p.askLocked()
		err := p.downErrorLocked(now)
		p.unlock()
		return err
	}
	var old *link
	if p.openLocked() >= p.limit && p.waiters.n == 0 { // what lies idle while somebody waits lies ready for a batch
		old = p.popOldestLocked()
	}
	if old != nil {
		p.unlock()
		old.close()
		defer p.event(Event{At: p.time(now), Kind: EventRetired, Conn: old.id, Reason: ReasonExcess})
		p.lock()
		p.retireLocked(old, now, ReasonExcess)
		if p.closed || p.draining { // meanwhile: the slot is for those who wait already
			p.settleLocked()
			p.unlock()
			p.begin()
			return ErrClosed
		}
	}
	defer p.unlock()
	if p.openLocked() >= p.limit {
		return ErrNoRoom
	}
	p.dialling++
	p.fresh++
	p.stats.Begun++
	run.probe = p.outage.claimProbe(now)
	return nil
}
