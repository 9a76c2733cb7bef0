package pool

import (
	"context"
	"time"
)

// result is what a waiter is served: one connection, or those of a batch, or an error.
type result struct {
	conn  *Conn
	batch []*Conn
	err   error
	// idled says that the connections come from the idle lists, where they may have died: the waiter looks at them.
	idled bool
}

// waiter is one caller in the line: of Lend with a need of one connection, of GetN with its whole number, of Drain
// with none. A waiter holds nothing while it waits.
type waiter struct {
	ctx        context.Context
	served     chan result // holds one: serving never blocks
	prev, next *waiter
	since      time.Time
	need       int
	shard      int
	queued     bool
	dropped    bool // left the line unserved, because its context had ended
	counted    bool // had to wait, and counts in Stats.Waits
}

// waiterList is the line of waiters, first come first. Callers of Drain stand in it and are not counted.
type waiterList struct {
	head, tail *waiter
	n          int // callers of Lend and GetN
	need       int // what they need together
}

func (l *waiterList) push(w *waiter) {
	w.queued, w.prev, w.next = true, l.tail, nil
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.count(w, 1)
}

// pushFront puts a waiter that was served and got something useless at the head again.
func (l *waiterList) pushFront(w *waiter) {
	w.queued, w.prev, w.next = true, nil, l.head
	if l.head != nil {
		l.head.prev = w
	} else {
		l.tail = w
	}
	l.head = w
	l.count(w, 1)
}

func (l *waiterList) count(w *waiter, sign int) {
	if w.need > 0 {
		l.n += sign
		l.need += sign * w.need
	}
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
	l.count(w, -1)
}

// firstLive is the first waiter whose context still runs, left in the line; those before it leave the line, and find
// out by their own wait.
func (l *waiterList) firstLive() *waiter {
	for l.head != nil && l.head.ctx.Err() != nil {
		w := l.head
		l.remove(w)
		w.dropped = true
	}
	return l.head
}

// popLive takes the first waiter whose context still runs.
func (l *waiterList) popLive() *waiter {
	w := l.firstLive()
	if w != nil {
		l.remove(w)
	}
	return w
}

func (l *waiterList) pop() *waiter {
	w := l.head
	if w != nil {
		l.remove(w)
	}
	return w
}

// missingLocked is how many connections the line lacks: beyond the idle ones, which lie ready for a batch.
func (p *Pool) missingLocked() int { return p.waiters.need - p.nIdle }

// beginForLineLocked reserves the dials that the line lacks, as far as the limit allows. The caller starts them.
func (p *Pool) beginForLineLocked() (n int) {
	for p.sharedLocked() < p.missingLocked() && p.reserveDialLocked() {
		n++
	}
	return n
}

// nextServedLocked takes the first waiter out of the line together with all the idle connections that it needs. It is
// nil when nobody waits, and when fewer are idle: then they go on lying ready, and no other waiter may have them.
func (p *Pool) nextServedLocked(now time.Time) (*waiter, result) {
	w := p.waiters.firstLive()
	if w == nil || p.nIdle < w.need {
		return nil, result{}
	}
	p.waiters.remove(w)
	r := result{idled: w.need > 0}
	switch w.need {
	case 0:
	case 1:
		r.conn = p.popForLoanLocked(w.shard, now)
	default:
		r.batch = make([]*Conn, w.need)
		for i := range r.batch {
			r.batch[i] = p.popForLoanLocked(w.shard, now)
		}
	}
	return w, r
}

// serveLine gives the idle connections to the waiters, from the head of the line, one instant each. Self is the
// caller's own waiter, which needs no waking.
func (p *Pool) serveLine(self *waiter) {
	for {
		now := p.clk.Now()
		p.mu.Lock()
		w, r := p.nextServedLocked(now)
		p.mu.Unlock()
		switch w {
		case nil:
			return
		case self:
			w.served <- r
		default:
			p.tell(w, r)
		}
	}
}

// tell wakes a waiter that has left the line.
func (p *Pool) tell(w *waiter, r result) {
	rest := apart(p.clk)
	w.served <- r
	rest()
}

// waited counts the wait of a caller that has left the line for good, if it had to wait at all.
func (p *Pool) waited(w *waiter, now time.Time) {
	if w.counted {
		p.hist.wait.Observe(now.Sub(w.since))
	}
}

// await puts the caller in the line and waits for its turn, or for the end of its context. Again says that it stood in
// the line before, and goes to its head.
func (p *Pool) await(w *waiter, again bool) (result, error) {
	if err := p.enqueue(w, again); err != nil {
		p.waited(w, p.clk.Now()) // it may have stood in the line before
		return result{}, err
	}
	select {
	case r := <-w.served:
		if r.err != nil {
			p.waited(w, p.clk.Now())
			return r, r.err
		}
		if w.ctx.Err() == nil {
			return r, nil
		}
		w.served <- r // both at once: which of them the select found must not matter
	case <-w.ctx.Done():
	}
	p.waited(w, p.clk.Now())
	p.giveUp(w)
	return result{}, w.ctx.Err()
}

// giveUp takes a waiter whose context has ended out of the line.
func (p *Pool) giveUp(w *waiter) {
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
		r := <-w.served
		if r.conn != nil {
			p.release(r.conn, p.clk.Now())
		}
		for _, c := range r.batch {
			p.release(c, p.clk.Now())
		}
	}
	p.serveLine(nil) // what lay ready for a batch is the next one's, and Drain waits for the end of the line
	p.trim()
}

// enqueue puts the caller in the line and asks for dials where they may be made.
func (p *Pool) enqueue(w *waiter, again bool) error {
	p.mu.Lock()
	if err := p.refusesLocked(w, again); err != nil {
		p.mu.Unlock()
		return err
	}
	if again {
		p.waiters.pushFront(w)
	} else {
		p.waiters.push(w)
	}
	// Connections may be idle: they came back since the caller looked, or it needs several. Then this caller, or
	// whoever is ahead, gets them.
	first, r := p.nextServedLocked(w.since)
	if first != w && !w.counted {
		w.counted = true
		p.stats.Waits++
	}
	begin := p.beginForLineLocked()
	p.mu.Unlock()
	for range begin {
		p.startDial()
	}
	switch first {
	case nil:
		return nil
	case w:
		w.served <- r
	default:
		p.tell(first, r)
	}
	p.serveLine(w)
	return nil
}

// refusesLocked is why a caller may not stand in the line, nil if it may.
func (p *Pool) refusesLocked(w *waiter, again bool) error {
	switch {
	case p.closed, p.draining && !again:
		return ErrClosed
	case w.need > p.limit:
		return ErrTooLarge
	case !again && p.waiters.n >= max(p.cfg.MaxWaiters, 0) && (p.waiters.n > 0 || p.nIdle < w.need):
		return &LimitError{Pool: p.cfg.Name, Limit: p.limit, Lent: p.lent, Waiting: p.waiters.n}
	}
	return nil
}

// sound looks at connections that a waiter got from the idle lists. One that is not good any more is retired, and
// then the others lie down again, so that the waiter holds nothing while it waits a second time.
func (p *Pool) sound(conns ...*Conn) bool {
	now := p.clk.Now()
	good := conns[:0:0]
	for _, c := range conns {
		if why, bad := p.inspect(c, now); bad {
			p.discard(c, now, why)
			continue
		}
		good = append(good, c)
	}
	if len(good) == len(conns) {
		return true
	}
	p.mu.Lock()
	for _, c := range good {
		p.pushIdleLocked(c, now)
	}
	p.mu.Unlock()
	return false
}

// inspect says whether an idle connection that is about to be lent must not be.
func (p *Pool) inspect(c *Conn, now time.Time) (Reason, bool) {
	p.mu.Lock()
	why, bad, look := p.judgeLocked(c, now)
	p.mu.Unlock()
	if look {
		return p.validate(c)
	}
	return why, bad
}

// judgeLocked is the part of inspect that needs no look at the connection; look says that one is due.
func (p *Pool) judgeLocked(c *Conn, now time.Time) (why Reason, bad, look bool) {
	idle := now.Sub(c.since)
	c.rested = c.rested || idle >= restAfter
	if c.gen != p.gen {
		return ReasonOutdated, true, false
	}
	why, bad = c.expired(now, idle, p.cfg.IdleTimeout)
	return why, bad, !bad && p.cfg.ValidateAfter > 0 && idle >= p.cfg.ValidateAfter
}

// oldestWaitLocked is how long the first caller in the line has waited, zero when there is none.
func (p *Pool) oldestWaitLocked(now time.Time) time.Duration {
	for w := p.waiters.head; w != nil; w = w.next {
		if w.need > 0 {
			return max(now.Sub(w.since), 0)
		}
	}
	return 0
}
