package pool

import (
	"context"
	"time"
)

// TryLend lends an idle connection if there is one, and never waits. It returns nil when none is idle, when callers
// of Lend or GetN are waiting, or when the pool drains or is closed. Shard is the caller's, 0 to Config.Shards-1.
func (p *Pool) TryLend(now time.Time, shard int) *Conn {
	c, freed := p.tryLend(now, shard)
	if freed {
		p.ready()
	}
	return c
}

// tryLend is TryLend without the announcement: freed says that connections were retired, whose slots are free now.
func (p *Pool) tryLend(now time.Time, shard int) (lent *Conn, freed bool) {
	for {
		p.mu.Lock()
		if p.closed || p.draining || p.waiters.n > 0 {
			p.mu.Unlock()
			return nil, freed
		}
		c := p.popForLoanLocked(shard, now)
		if c == nil {
			p.mu.Unlock()
			return nil, freed
		}
		why, bad, look := p.judgeLocked(c, now)
		if !bad && !look {
			p.lendLocked(c, now)
			p.mu.Unlock()
			return c, freed
		}
		p.mu.Unlock()
		if look {
			why, bad = p.validate(c)
		}
		if bad {
			freed = p.drop(c, now, why) || freed
			continue
		}
		p.mu.Lock()
		p.lendLocked(c, now)
		p.mu.Unlock()
		return c, freed
	}
}

// lendLocked counts one loan of c.
func (p *Pool) lendLocked(c *Conn, now time.Time) {
	c.loaned, c.since = true, now
	p.rotation.loans++
	p.rotation.peak = max(p.rotation.peak, p.rotation.loans)
	c.uses++
	p.stats.Lends++
	if c.uses > 1 {
		p.stats.Reuses++
	}
	if c.places != nil {
		p.watchLocked(c)
	}
}

// Lend lends a connection: an idle one at once, else whatever comes first, a returned connection or a finished dial.
// It waits its turn until ctx ends and then returns ctx's error. It returns ErrClosed after Close or Drain, a
// *LimitError when too many wait already, and a *DialError when the dial that was this caller's turn failed.
func (p *Pool) Lend(ctx context.Context, shard int) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := p.clk.Now()
	if c := p.TryLend(now, shard); c != nil {
		return c, nil
	}
	w := &waiter{ctx: ctx, served: make(chan result, 1), since: now, need: 1, shard: shard}
	for again := false; ; again = true {
		r, err := p.await(w, again)
		if err != nil {
			return nil, err
		}
		if !r.idled || p.sound(r.conn) {
			now := p.clk.Now()
			p.waited(w, now)
			p.mu.Lock()
			p.lendLocked(r.conn, now)
			p.mu.Unlock()
			return r.conn, nil
		}
	}
}

// release is Conn.Release.
func (p *Pool) release(c *Conn, now time.Time) {
	p.mu.Lock()
	c.mustBeLentLocked("Release")
	c.endLoanLocked(now)
	if why, bad := p.endsLocked(c, now); bad {
		p.mu.Unlock()
		p.discard(c, now, why)
		return
	}
	w := p.waiters.firstLive()
	if w == nil {
		p.pushIdleLocked(c, now)
		p.mu.Unlock()
		p.ready()
		return
	}
	direct, more := w.need == 1, p.nIdle > 0 || p.draining
	if direct {
		p.waiters.remove(w)
	} else {
		p.pushIdleLocked(c, now) // for a batch, which is served whole
	}
	p.mu.Unlock()
	if direct {
		p.tell(w, result{conn: c})
	}
	if more || !direct {
		p.serveLine(nil)
	}
}

// endsLocked says why a connection that comes back must not go on.
func (p *Pool) endsLocked(c *Conn, now time.Time) (Reason, bool) {
	switch {
	case p.closed:
		return ReasonPoolClosed, true
	case c.gen != p.gen:
		return ReasonOutdated, true
	case p.cfg.MaxUses > 0 && c.uses >= uint64(p.cfg.MaxUses):
		return ReasonMaxUses, true
	case p.openLocked() > p.limit, p.nIdle >= p.maxIdle && p.waiters.n == 0:
		return ReasonExcess, true
	case !c.ends.IsZero() && !now.Before(c.ends):
		return ReasonMaxLifetime, true
	}
	return 0, false
}

// discard is Conn.Discard: it retires the connection and closes it.
func (p *Pool) discard(c *Conn, now time.Time, why Reason) {
	if p.drop(c, now, why) {
		p.ready()
	}
}

// drop closes a lent connection and retires it. It is closed first and its slot given away second: otherwise more
// than MaxConnections could be open for a moment, or Close return while one still is.
func (p *Pool) drop(c *Conn, now time.Time, why Reason) (free bool) {
	p.endLoan(c, now)
	_ = c.nc.Close()
	return p.retire(c, now, why)
}

// endLoan makes the borrower's handle void. The connection counts as lent until it is retired.
func (p *Pool) endLoan(c *Conn, now time.Time) {
	p.mu.Lock()
	c.mustBeLentLocked("Discard or Take")
	c.endLoanLocked(now)
	c.state = stateGone
	p.mu.Unlock()
}

// retireLocked moves a connection from the lent ones to the retired ones.
func (p *Pool) retireLocked(c *Conn, now time.Time, why Reason) {
	p.lent--
	last := len(p.conns) - 1
	p.conns[c.at] = p.conns[last]
	p.conns[c.at].at = c.at
	p.conns[last] = nil
	p.conns = p.conns[:last]
	p.stats.Retired[why]++
	age := now.Sub(c.born)
	p.stats.LifetimeSum += age
	p.hist.age.observe(age)
}

// retire takes a connection whose loan has ended out of the pool and gives its slot to whoever needs one. Free says
// that nobody here did, so that the outer queue is to be told.
func (p *Pool) retire(c *Conn, now time.Time, why Reason) (free bool) {
	p.mu.Lock()
	p.retireLocked(c, now, why)
	begin := p.beginForLineLocked()
	if p.warm && begin == 0 {
		p.armUpkeepLocked(later(now, p.retryAt))
	}
	free = p.waiters.n == 0
	p.settleLocked()
	p.mu.Unlock()
	p.event(Event{At: now, Kind: EventRetired, Conn: c.id, Reason: why})
	for range begin {
		p.startDial()
	}
	p.wakeWarmers(nil)
	return free
}

// ready tells the outer queue that something became free.
func (p *Pool) ready() {
	if p.cfg.OnReady != nil {
		p.cfg.OnReady()
	}
}
