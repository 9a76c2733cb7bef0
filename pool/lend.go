package pool

import (
	"context"
	"time"
)

// result is what a waiter is served: a connection or an error.
type result struct {
	conn *Conn
	err  error
}

// waiter is one caller of Lend in the line.
type waiter struct {
	ctx        context.Context
	served     chan result // holds one: serving never blocks
	prev, next *waiter
	queued     bool
	dropped    bool // left the line unserved, because its context had ended
}

// waiterList is the line of waiters, first come first.
type waiterList struct {
	head, tail *waiter
	n          int
}

func (l *waiterList) push(w *waiter) {
	w.queued, w.prev, w.next = true, l.tail, nil
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.n++
}

func (l *waiterList) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	l.n--
}

// popLive takes the first waiter whose context still runs; those whose context has ended leave the line, and find out by
// their own wait.
func (l *waiterList) popLive() *waiter {
	for w := l.pop(); w != nil; w = l.pop() {
		if w.ctx.Err() == nil {
			return w
		}
		w.dropped = true
	}
	return nil
}

func (l *waiterList) pop() *waiter {
	w := l.head
	if w != nil {
		l.remove(w)
	}
	return w
}

// TryLend lends an idle connection if there is one, and never waits. It returns nil when none is idle, when callers
// of Lend are waiting, or when the pool is closed. Shard is the caller's, 0 to Config.Shards-1.
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
		if p.closed || p.waiters.n > 0 {
			p.mu.Unlock()
			return nil, freed
		}
		c := p.popIdleLocked(shard)
		if c == nil {
			p.mu.Unlock()
			return nil, freed
		}
		idle := now.Sub(c.since)
		c.rested = c.rested || idle >= restAfter
		why, bad := c.expired(now, idle, p.cfg.IdleTimeout)
		look := !bad && p.cfg.ValidateAfter > 0 && idle >= p.cfg.ValidateAfter
		if !bad && !look {
			p.lendLocked(c)
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
		p.lendLocked(c)
		p.mu.Unlock()
		return c, freed
	}
}

// lendLocked counts one loan of c.
func (p *Pool) lendLocked(c *Conn) {
	c.uses++
	p.stats.Lends++
	if c.uses > 1 {
		p.stats.Reuses++
	}
}

// Lend lends a connection: an idle one at once, else whatever comes first, a returned connection or a finished dial.
// It waits its turn until ctx ends and then returns ctx's error. It returns ErrClosed after Close, a *LimitError
// when too many wait already, and a *DialError when the dial that was this caller's turn failed.
func (p *Pool) Lend(ctx context.Context, shard int) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c := p.TryLend(p.clk.Now(), shard); c != nil {
		return c, nil
	}
	w, err := p.enqueue(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-w.served:
		if r.err != nil || ctx.Err() == nil {
			return p.taken(r)
		}
		w.served <- r // both at once: which of them the select found must not matter
	case <-ctx.Done():
	}
	p.mu.Lock()
	served := !w.queued && !w.dropped
	if w.queued {
		p.waiters.remove(w)
		p.settleLocked()
	}
	p.stats.GaveUp++
	p.mu.Unlock()
	// It was served in the very moment at which its context ended: then what it got goes to the next one. The result
	// may be still on its way, since it is sent without the lock.
	if served {
		if r := <-w.served; r.conn != nil {
			p.release(r.conn, p.clk.Now())
		}
	}
	return nil, ctx.Err()
}

// taken is the waiter's side of being served.
func (p *Pool) taken(r result) (*Conn, error) {
	if r.err != nil {
		return nil, r.err
	}
	p.mu.Lock()
	p.lendLocked(r.conn)
	p.mu.Unlock()
	return r.conn, nil
}

// enqueue puts the caller in the line and asks for a dial where one may be made.
func (p *Pool) enqueue(ctx context.Context) (*waiter, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if limit := max(p.cfg.MaxWaiters, 0); p.waiters.n >= limit {
		err := &LimitError{Pool: p.cfg.Name, Limit: p.cfg.MaxConnections, Lent: p.lent, Waiting: p.waiters.n}
		p.mu.Unlock()
		return nil, err
	}
	w := &waiter{ctx: ctx, served: make(chan result, 1)}
	p.waiters.push(w)
	p.stats.Waits++
	// A connection may have come back between TryLend and here; then this caller, or whoever is ahead, gets it.
	var c *Conn
	var first *waiter
	if p.nIdle > 0 {
		if first = p.waiters.popLive(); first != nil {
			c = p.popIdleLocked(0)
		}
	}
	dial := c == nil && p.sharedLocked() < p.waiters.n && p.reserveDialLocked()
	p.mu.Unlock()
	if dial {
		p.startDial()
	}
	if c != nil {
		first.served <- result{conn: c}
	}
	return w, nil
}

// release is Conn.Release.
func (p *Pool) release(c *Conn, now time.Time) {
	p.mu.Lock()
	c.mustBeLentLocked("Release")
	why, bad := c.expired(now, 0, p.cfg.IdleTimeout)
	switch {
	case p.closed:
		why, bad = ReasonPoolClosed, true
	case !bad && p.nIdle >= p.cfg.MaxIdle && p.waiters.n == 0:
		why, bad = ReasonExcess, true
	}
	if bad {
		p.mu.Unlock()
		p.discard(c, now, why)
		return
	}
	w := p.waiters.popLive()
	if w == nil {
		p.pushIdleLocked(c, now)
		p.mu.Unlock()
		p.ready()
		return
	}
	p.mu.Unlock()
	rest := apart(p.clk)
	w.served <- result{conn: c}
	rest()
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
	p.endLoan(c)
	_ = c.nc.Close()
	return p.retire(c, now, why)
}

// endLoan makes the borrower's handle void. The connection counts as lent until it is retired.
func (p *Pool) endLoan(c *Conn) {
	p.mu.Lock()
	c.mustBeLentLocked("Discard or Take")
	c.state = stateGone
	p.mu.Unlock()
}

// retireLocked moves a connection from the lent ones to the retired ones.
func (p *Pool) retireLocked(c *Conn, now time.Time, why Reason) {
	p.lent--
	p.stats.Retired[why]++
	p.stats.LifetimeSum += now.Sub(c.born)
}

// retire takes a connection whose loan has ended out of the pool and gives its slot to whoever needs one. Free says
// that nobody here did, so that the outer queue is to be told.
func (p *Pool) retire(c *Conn, now time.Time, why Reason) (free bool) {
	p.mu.Lock()
	p.retireLocked(c, now, why)
	dial := p.sharedLocked() < p.waiters.n && p.reserveDialLocked()
	if p.warm && !dial {
		p.armUpkeepLocked(later(now, p.retryAt))
	}
	free = p.waiters.n == 0
	p.settleLocked()
	p.mu.Unlock()
	p.event(Event{At: now, Kind: EventRetired, Conn: c.id, Reason: why})
	if dial {
		p.startDial()
	}
	return free
}

// ready tells the outer queue that something became free.
func (p *Pool) ready() {
	if p.cfg.OnReady != nil {
		p.cfg.OnReady()
	}
}
