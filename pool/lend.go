package pool

import (
	"context"
	"fmt"
	"time"
)

// TryLend lends an idle connection if there is one, and never waits. It returns false when none is idle, when callers
// of Lend or GetN are waiting, or when the pool drains or is closed. Now is the present instant; shard is the caller's,
// 0 to Config.Shards-1.
func (p *Pool) TryLend(now time.Time, shard int) (Conn, bool) {
	p.checkShard(shard)
	l, freed := p.tryLend(p.at(now), shard)
	if freed {
		p.ready()
	}
	if l == nil {
		return Conn{}, false
	}
	return l.handle(), true
}

// tryLend is TryLend without the announcement: freed says that connections were retired, whose slots are free now.
func (p *Pool) tryLend(now time.Duration, at int) (l *loan, freed bool) {
	for pinged := false; ; {
		var k *link
		if !p.owned.Load() && !pinged {
			if l, k = p.lendFast(now, at); l != nil {
				return l, freed
			}
		}
		if k != nil {
			l = &k.loan
		} else if l, k = p.lendOwned(now, at, pinged); k == nil {
			return l, freed
		}
		why, bad, ping := p.inspect(k, now, now)
		if bad {
			freed = p.reject(l, now, why) || freed
			continue
		}
		if ping {
			p.ping(k)
			pinged = true // one is enough: from here on only a connection will do that needs none
			continue
		}
		p.lock()
		p.lendLocked(l, now, at)
		p.unlock()
		p.watch(l)
		return l, freed
	}
}

// lendOwned lends an idle connection under the lock of the whole pool. With a link, the loan has not begun, because the
// link must be looked at, or retired, first. Pinged says that the caller has begun a ping already.
func (p *Pool) lendOwned(now time.Duration, at int, pinged bool) (*loan, *link) {
	p.lock()
	if p.closed || p.draining || p.waiters.n > 0 {
		p.unlock()
		return nil, nil
	}
	most := len(p.pings) + 1
	if pinged {
		most = 0
	}
	l := p.popReadyLocked(at, now, now, most)
	if l == nil {
		p.unlock()
		return nil, nil
	}
	if _, bad, look := p.judge(l.link, now); bad || look {
		p.unlock()
		return l, l.link
	}
	p.lendLocked(l, now, at)
	p.unlock()
	p.watch(l)
	return l, nil
}

// lendLocked counts one loan. The borrower's own goroutine calls watch after it.
func (p *Pool) lendLocked(l *loan, now time.Duration, at int) {
	p.shards[at].begin(l, now, at)
	if p.size.asleep() {
		p.watchSizeLocked(now)
	}
}

// endLoanLocked makes the borrower's handle void and counts the loan's end.
func (p *Pool) endLoanLocked(l *loan, now time.Duration, at place) {
	p.shards[l.shard].end(l, now, at)
	if l.places != nil {
		l.places.ended.keep()
	}
}

// Lend lends a connection: an idle one at once, else whatever comes first, a returned connection or a finished dial.
// It waits its turn until ctx ends and then returns ctx's error. It returns ErrClosed after Close or Drain, a
// *LimitError when too many wait already, a *DialError when the dial that was this caller's turn failed, and a *DownError,
// mostly at once, when the last dials failed and no connection is open that might come back.
func (p *Pool) Lend(ctx context.Context) (Conn, error) { return p.lend(ctx, p.now(), 0) }

// LendAt is Lend for a caller who has read the clock and has a shard of its own: now is the present instant, and shard,
// 0 to Config.Shards-1, the list that it looks at first.
func (p *Pool) LendAt(ctx context.Context, now time.Time, shard int) (Conn, error) {
	p.checkShard(shard)
	return p.lend(ctx, p.at(now), shard)
}

// checkShard panics for a shard that there is not, before any lock is taken.
func (p *Pool) checkShard(shard int) {
	if uint(shard) >= uint(len(p.shards)) {
		panic(fmt.Sprintf("pool: shard %d of %d (pool %s)", shard, len(p.shards), p.cfg.Name))
	}
}

// lend is Lend.
func (p *Pool) lend(ctx context.Context, now time.Duration, shard int) (Conn, error) {
	if err := ctx.Err(); err != nil {
		return Conn{}, err
	}
	if !p.stand.Load() {
		l, freed := p.tryLend(now, shard)
		if freed {
			p.ready()
		}
		if l != nil {
			return l.handle(), nil
		}
	}
	w := p.newWaiter(ctx, now, 1, shard)
	r, err := p.await(w)
	p.done(w)
	if err != nil {
		return Conn{}, err
	}
	p.watch(r.loan)
	return r.loan.handle(), nil
}

// release is Conn.Release.
func (p *Pool) release(c Conn, now time.Duration, at place) {
	if !p.owned.Load() && p.releaseFast(c, now, at) {
		p.ready()
		return
	}
	p.lock()
	if c.loan.n.Load() != c.n {
		p.unlock()
		c.misused("Release")
	}
	p.endLoanLocked(c.loan, now, at)
	p.giveLocked(c.loan, now)
}

// giveLocked gives a connection that nobody holds to the first waiter, or lays it idle, or ends it. It unlocks.
func (p *Pool) giveLocked(l *loan, now time.Duration) {
	k := l.link
	if k.session != nil {
		p.giveStreamLocked(l, now)
		return
	}
	why, bad := p.endsLocked(k, now)
	if !bad && p.fullLocked() {
		why, bad = ReasonExcess, true
	}
	if bad {
		p.departLocked(k)
		p.unlock()
		if p.drop(k, now, why) {
			p.ready()
		}
		return
	}
	w := p.waiters.firstLive()
	if w == nil {
		p.pushIdleLocked(k, now)
		p.unlock()
		p.ready()
		return
	}
	direct, more := w.need == 1, p.nIdle > 0 || p.draining
	if direct {
		p.waiters.remove(w)
		p.waitedLocked(w, now)
		k.since = now // it has not been idle
		p.lendLocked(l, now, w.shard)
		k.shard = int32(w.shard)
	} else {
		p.pushIdleLocked(k, now) // for a batch, which is served whole
	}
	p.unlock()
	if direct {
		p.tell(w, result{loan: l})
	}
	if more || !direct {
		p.serveLine(nil)
	}
	if !direct {
		p.begin() // one less is lent: the batch may have to wait for dials alone
	}
}

// endsLocked says why a connection that comes back must not go on.
func (p *Pool) endsLocked(k *link, now time.Duration) (Reason, bool) {
	switch {
	case p.closed:
		return ReasonPoolClosed, true
	case k.gen != p.gen:
		return ReasonOutdated, true
	case p.cfg.MaxUses > 0 && k.uses >= uint64(p.cfg.MaxUses):
		return ReasonMaxUses, true
	case p.tooManyLocked():
		return ReasonExcess, true
	case now >= k.ends:
		return ReasonMaxLifetime, true
	}
	return 0, false
}

// fullLocked says that no more connections may lie idle.
func (p *Pool) fullLocked() bool { return p.nIdle >= p.maxIdle && p.waiters.n == 0 }

// discard is Conn.Discard: it retires the connection and closes it.
func (p *Pool) discard(c Conn, now time.Duration, why Reason, at place) {
	k := c.loan.link
	if k.session != nil {
		p.discardStream(c, now, why, at)
		return
	}
	p.endLoan(c, "Discard", now, at)
	p.heedDiscard(c.loan, now, why)
	if p.drop(k, now, why) {
		p.ready()
	}
}

// reject ends what was taken for a loan and was found bad: the connection, or the place on a session, which is retired
// with its last loan.
func (p *Pool) reject(l *loan, now time.Duration, why Reason) (free bool) {
	if l.link.session == nil {
		return p.drop(l.link, now, why)
	}
	p.lock()
	p.giveStreamLocked(l, now)
	return false
}

// drop closes a connection that the pool has in hand and retires it. It is closed first and its slot given away second:
// otherwise more than MaxConnections could be open for a moment, or Close return while one still is.
func (p *Pool) drop(k *link, now time.Duration, why Reason) (free bool) {
	k.close()
	return p.retire(k, now, why)
}

// endLoan makes the borrower's handle void. The connection counts as lent until it is retired.
func (p *Pool) endLoan(c Conn, op string, now time.Duration, at place) {
	p.lock()
	if c.loan.n.Load() != c.n {
		p.unlock()
		c.misused(op)
	}
	p.endLoanLocked(c.loan, now, at)
	p.departLocked(c.loan.link)
	p.unlock()
}

// retireLocked moves a connection from the lent ones to the retired ones.
func (p *Pool) retireLocked(k *link, now time.Duration, why Reason) {
	p.lent--
	last := len(p.conns) - 1
	p.conns[k.at] = p.conns[last]
	p.conns[k.at].at = k.at
	p.conns[last] = nil
	p.conns = p.conns[:last]
	p.forgetSessionLocked(k)
	if k.departing {
		p.departing--
	}
	p.stats.Retired[why]++
	age := now - k.born
	p.stats.LifetimeSum += age
	p.hist.age.observe(age)
}

// retire takes a connection whose loan has ended out of the pool and gives its slot to whoever needs one. Free says
// that nobody here did, so that the outer queue is to be told.
func (p *Pool) retire(k *link, now time.Duration, why Reason) (free bool) {
	p.lock()
	p.retireLocked(k, now, why)
	due := p.dueLocked(now)
	if p.warm && !p.outage.holds() {
		p.armUpkeepLocked(max(now, p.outage.refillAt()))
	}
	free = p.waiters.n == 0
	p.running++ // Close waits for what follows
	p.unlock()
	defer p.ran()
	p.event(Event{At: p.time(now), Kind: EventRetired, Conn: k.id, Reason: why})
	p.start(due)
	p.wakeWarmers(nil)
	return p.turnAway() || free
}

// ready tells the outer queue that something became free.
func (p *Pool) ready() {
	if p.cfg.OnReady != nil {
		p.cfg.OnReady()
	}
}
