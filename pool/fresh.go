package pool

import "context"

// Fresh dials a connection for this caller alone and waits for it: a borrower whose reused connection turned out to be
// dead does not want another one of that age. Where the pool is full the connection that has been idle longest gives
// way; MaxDials does not count. It returns ErrNoRoom when every connection is lent, ErrClosed after Close or Drain, ctx's
// error when ctx ended first, a *DialError when the dial failed, and a *DownError as Lend does.
func (p *Pool) Fresh(ctx context.Context, shard int) (Conn, error) {
	run := &dialRun{parent: ctx, fresh: true, told: make(chan struct{}, 1)}
	if err := p.reserveFresh(run); err != nil {
		return Conn{}, err
	}
	// In a goroutine of its own, because the dialer may not return.
	p.launch(func() { p.dialFresh(run) })
	<-run.told
	if run.failed != nil {
		switch {
		case ctx.Err() != nil:
			return Conn{}, ctx.Err()
		case run.closed:
			return Conn{}, ErrClosed
		}
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
	p.unlock()
	p.judged(nil)
	p.answer(run)
	p.begin()
	p.wakeWarmers(nil)
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
	if err := p.turnedAwayLocked(now); err != nil {
		p.unlock()
		return err
	}
	var old *link
	if p.openLocked() >= p.limit {
		old = p.popOldestLocked()
	}
	if old != nil {
		p.unlock()
		old.close()
		defer p.event(Event{At: p.time(now), Kind: EventRetired, Conn: old.id, Reason: ReasonExcess})
		p.lock()
		p.retireLocked(old, now, ReasonExcess)
		p.settleLocked()
	}
	defer p.unlock()
	switch {
	case p.closed || p.draining: // meanwhile
		return ErrClosed
	case p.openLocked() >= p.limit:
		return ErrNoRoom
	}
	p.dialling++
	p.fresh++
	p.stats.Begun++
	run.probe = p.outage.claimProbe(now)
	return nil
}
