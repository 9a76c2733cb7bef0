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
	for {
		p.mu.Lock()
		if p.closed || p.waiters.n > 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.popIdleLocked(shard)
		if c == nil {
			p.mu.Unlock()
			return nil
		}
		why, bad := c.expired(now, now.Sub(c.since), p.cfg.IdleTimeout)
		look := !bad && p.cfg.ValidateAfter > 0 && now.Sub(c.since) >= p.cfg.ValidateAfter
		if !bad && !look {
			p.lendLocked(c)
			p.mu.Unlock()
			return c
		}
		p.mu.Unlock()
		if look {
			why, bad = p.validate(c)
		}
		if bad {
			p.discard(c, now, why)
			continue
		}
		p.mu.Lock()
		p.lendLocked(c)
		p.mu.Unlock()
		return c
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
		return p.taken(r)
	case <-ctx.Done():
	}
	p.mu.Lock()
	queued := w.queued
	if queued {
		p.waiters.remove(w)
		p.settleLocked()
	}
	p.stats.GaveUp++
	p.mu.Unlock()
	if queued {
		return nil, ctx.Err()
	}
	// Either it left the line when its turn came and its context had ended, or it was served in the very moment at
	// which the context ended: then what it got goes to the next one.
	select {
	case r := <-w.served:
		if r.conn != nil {
			p.release(r.conn, p.clk.Now())
		}
	default:
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
	dial := c == nil && p.dialling < p.waiters.n && p.reserveDialLocked()
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
	w.served <- result{conn: c}
	p.clk.Sleep(0) // the waiter runs in this instant; its releaser goes on in the next
}

// discard is Conn.Discard: it retires the connection and closes it.
func (p *Pool) discard(c *Conn, now time.Time, why Reason) {
	p.retire(c, now, why)
	_ = c.nc.Close()
}

// retire takes a lent connection out of the pool and gives its slot to whoever needs one.
func (p *Pool) retire(c *Conn, now time.Time, why Reason) {
	p.mu.Lock()
	c.mustBeLentLocked("Discard or Take")
	c.state = stateGone
	p.lent--
	p.stats.Retired[why]++
	p.stats.LifetimeSum += now.Sub(c.born)
	dial := p.dialling < p.waiters.n && p.reserveDialLocked()
	if p.warm && !dial {
		p.armUpkeepLocked(later(now, p.retryAt))
	}
	idle := p.waiters.n == 0
	p.settleLocked()
	p.mu.Unlock()
	p.event(Event{At: now, Kind: EventRetired, Conn: c.id, Reason: why})
	if dial {
		p.startDial()
	}
	if idle {
		p.ready()
	}
}

// ready tells the outer queue that something became free.
func (p *Pool) ready() {
	if p.cfg.OnReady != nil {
		p.cfg.OnReady()
	}
}
