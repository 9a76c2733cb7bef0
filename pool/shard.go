package pool

import (
	"sync"
	"time"
)

// shard is one list of idle connections with what is counted about its loans. Its lock guards it as long as the pool is
// calm; see the locking law.
type shard struct {
	mu            sync.Mutex
	idle          []*link // the last returned on top
	rotation      rotation
	lends, reuses uint64
	lent          HistogramSnapshot // how long loans lasted
	_             [64]byte          // the next shard's lock is not on the same line of the cache
}

// spins is how often a lock is tried before its caller is put to sleep: for a microsecond or two. The sections under
// the locks last for some ten nanoseconds, and a caller that is put to sleep here often holds a connection: then others
// wait for it in line, and a line, once formed, costs a switch of goroutines for each loan.
const spins = 1000

// acquire locks mu.
func acquire(mu *sync.Mutex) {
	for range spins {
		if mu.TryLock() {
			return
		}
	}
	mu.Lock()
}

// lock makes the caller the owner of the whole pool, all shards included: as long as Pool.owned is set nobody uses them
// under their own locks.
func (p *Pool) lock() {
	acquire(&p.mu)
	if p.owned.Load() {
		return
	}
	p.owned.Store(true)
	// Whoever had a shard's lock before leaves, and whoever gets it after sees that the pool is owned.
	p.nIdle = p.idleSessions
	for i := range p.shards {
		s := &p.shards[i]
		acquire(&s.mu)
		p.nIdle += len(s.idle)
		s.mu.Unlock()
	}
	p.lent = len(p.conns) - p.nIdle
}

// unlock gives the shards back to their own locks when nothing speaks against it: nobody waits, no limit is exceeded,
// the prediction is awake, and no feature is on that needs to see every loan.
func (p *Pool) unlock() {
	if !p.central && p.waiters.head == nil && !p.closed && !p.draining && p.openLocked() <= p.limit && !p.size.asleep() {
		p.owned.Store(false)
	}
	p.mu.Unlock()
}

// lendFast lends an idle connection under no lock but a shard's. The loan is nil when none is to be had this way; when
// then link is not nil, it has been taken from its list and must be looked at, or retired, first.
func (p *Pool) lendFast(now time.Duration, at int) (*loan, *link) {
	for i := range p.shards {
		from := at + i
		if from >= len(p.shards) {
			from -= len(p.shards)
		}
		if l, k := p.lendAcross(now, at, from); l != nil || k != nil {
			return l, k
		}
	}
	return nil, nil
}

// lendAcross lends from one shard's list to a caller of another, or of the same.
func (p *Pool) lendAcross(now time.Duration, at, from int) (*loan, *link) {
	s := &p.shards[from]
	acquire(&s.mu)
	if p.owned.Load() || len(s.idle) == 0 { // in this order: an owned list is not ours to read
		s.mu.Unlock()
		return nil, nil
	}
	k := s.pop(now, p)
	k.shard = int32(at)
	if _, bad, look := p.judge(k, now); bad || look {
		s.mu.Unlock()
		return nil, k
	}
	if at == from {
		s.begin(&k.loan, now, at)
		s.mu.Unlock()
		return &k.loan, nil
	}
	s.mu.Unlock()
	// Where loans are counted is where they end: the caller's own shard.
	s = &p.shards[at]
	acquire(&s.mu)
	if !p.owned.Load() {
		s.begin(&k.loan, now, at)
		s.mu.Unlock()
		return &k.loan, nil
	}
	s.mu.Unlock()
	p.lock()
	p.lendLocked(&k.loan, now, at)
	p.unlock()
	return &k.loan, nil
}

// begin counts one loan.
func (s *shard) begin(l *loan, now time.Duration, at int) {
	l.held, l.since, l.shard = true, now, int32(at)
	s.rotation.loans++
	s.rotation.peak = max(s.rotation.peak, s.rotation.loans)
	s.rotation.high = max(s.rotation.high, s.rotation.loans)
	k := l.link
	k.uses++
	l.uses = k.uses
	s.lends++
	if k.uses > 1 {
		s.reuses++
	}
}

// end counts the end of a loan, which makes its handles void. At is where it was ended.
func (s *shard) end(l *loan, now time.Duration, at place) {
	l.n.Add(1)
	l.held, l.ended = false, at
	s.rotation.loans--
	s.lent.observe(now - l.since)
}

// undo makes as if a loan had never begun, whose borrower left before it learned of it.
func (s *shard) undo(l *loan) {
	l.n.Add(1)
	l.held = false
	s.rotation.loans--
	s.lends--
	if l.uses > 1 {
		s.reuses--
	}
	l.link.uses--
	if l.link.streams != nil {
		l.link.streams.taken--
	}
}

// releaseFast takes a connection back under no lock but its shard's; false when that cannot be.
func (p *Pool) releaseFast(c Conn, now time.Duration, at place) bool {
	k := c.loan.link
	s := &p.shards[k.shard]
	acquire(&s.mu)
	if p.owned.Load() || c.loan.n.Load() != c.n || !p.simplyIdle(k, now) {
		s.mu.Unlock()
		return false
	}
	s.end(c.loan, now, at)
	k.since = now
	s.idle = append(s.idle, k)
	s.mu.Unlock()
	return true
}

// simplyIdle says that a connection that comes back needs nothing but a place on its list.
func (p *Pool) simplyIdle(k *link, now time.Duration) bool {
	return k.gen == p.gen && now < k.ends && (p.cfg.MaxUses == 0 || k.uses < uint64(p.cfg.MaxUses)) &&
		k.expiry(now, p.idleFor) >= p.upkeepAt
}
