package upstream

import "github.com/wavepool/wavepool/lb"

// How waiters and dials are kept together.
//
// A waiter counts on a dial of one backend (its pick), but whatever comes first at any backend serves the head of the
// line. So dials belong to nobody, and only their number matters: a backend must have at least as many dials under way
// as waiters count on it. Whenever one of the two numbers may have changed for the worse, cover brings them together
// again, and a waiter for whose dial a backend has no room counts on another one, or on none (noPick) when all are
// full. A full backend says when it no longer is.

// place finds a queued waiter its connection, if one is idle at the backend that it counts on, or else a dial: there,
// or at the next backend with room. Without any room the waiter stays noPick.
func (u *Upstream) place(w *waiter) {
	for {
		b := u.aim(w)
		if b == nil {
			return
		}
		u.hand(b)
		if u.cover(b) {
			return
		}
		u.miss(b, w)
	}
}

// aim returns the backend that a queued waiter counts on; one that counts on none is given a pick. It returns nil when
// there is nothing to be done: the waiter has been served or has left, or no backend that it may use has room.
func (u *Upstream) aim(w *waiter) *backend {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !w.queued || w.ctx.Err() != nil {
		return nil
	}
	if w.pick == noPick {
		i := noPick
		if w.only != noPick {
			i = u.takeLocked(u.backends[w.only])
		} else if i = u.picker.Pick(u.Now(), u.query(w.a)); i >= 0 {
			u.takenLocked(i)
		}
		if i < 0 {
			return nil
		}
		u.queue.repick(w, i)
	}
	return u.backends[w.pick]
}

// cover makes sure that a backend has a dial under way for each waiter that counts on it; false where its pool has no
// room for that.
func (u *Upstream) cover(b *backend) bool {
	u.mu.Lock()
	n := 0
	if !b.gone {
		n = u.queue.on[b.index]
	}
	u.mu.Unlock()
	return n == 0 || b.pool.Cover(n) >= n
}

// miss ends a waiter's counting on a backend that has no room for its dial.
func (u *Upstream) miss(b *backend, w *waiter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if w.queued && w.pick == b.index {
		u.unpickLocked(w, lb.Abandoned)
	}
	u.fullLocked(b)
}

// fullLocked makes the picker pass over a backend whose pool has neither an idle connection nor a free slot, and says
// whether that is so.
func (u *Upstream) fullLocked(b *backend) bool {
	b.full.Store(true)
	if b.gone { // its index may be another one's
		return true
	}
	u.picker.SetReady(b.index, 0)
	// Whoever frees something after this look sees the flag; whoever did so before is seen by the look.
	if b.pool.Free() == 0 {
		return true
	}
	b.full.Store(false)
	u.openLocked(b)
	return false
}

// ready is a pool's word that a connection or a slot is free.
func (u *Upstream) ready(b *backend) {
	if b.full.Load() {
		u.mu.Lock()
		b.full.Store(false)
		if !b.gone {
			u.openLocked(b)
		}
		u.mu.Unlock()
	}
	u.serve(b)
}

// serve makes the most of what is free at a backend: idle connections go to the head of the line, free slots to the
// waiters that lack a dial.
func (u *Upstream) serve(b *backend) {
	if u.waiting.Load() == 0 {
		return
	}
	u.hand(b)
	// Dials that ended here may have served waiters that counted on other backends.
	for !u.cover(b) {
		u.mu.Lock()
		var w *waiter
		if !b.gone {
			w = u.queue.lastOn(b.index)
		}
		u.mu.Unlock()
		if w == nil {
			break
		}
		u.miss(b, w)
		u.place(w)
	}
	for u.useSlot(b) {
		u.hand(b) // nothing, unless a connection came back in the meantime
	}
}

// hand gives the idle connections of a backend to the line, from its head.
func (u *Upstream) hand(b *backend) {
	for u.waiting.Load() > 0 {
		u.mu.Lock()
		w := u.headLocked(b)
		shard := 0
		if w != nil {
			shard = w.a.Shard
		}
		u.mu.Unlock()
		if w == nil {
			return
		}
		now := u.Now()
		c, ok := b.pool.TryLend(now, shard)
		if !ok {
			return
		}
		u.mu.Lock()
		var news *verdict
		late := u.lateLocked(b, now)
		if w = u.headLocked(b); w != nil { // the lock was away: it may be another one
			u.turnLocked(w, b, now)
			u.claimLocked(w, b)
			news = u.probeLocked(now, w.a, b)
		}
		u.mu.Unlock()
		if w == nil {
			c.Release()
			u.refuse(late, ErrQueueShed)
			return
		}
		u.told(news)
		rest := apart(u.clk)
		w.served <- grant{backend: b, conn: c}
		rest()
		u.refuse(late, ErrQueueShed)
	}
}

// headLocked returns the first waiter that may have a connection of the backend, or nil. Where that is at its limit it is one of
// those who are counted there.
func (u *Upstream) headLocked(b *backend) *waiter {
	if !u.availableLocked(b) {
		return nil
	}
	if b.limited {
		return u.queue.firstOn(b.index)
	}
	return u.queue.firstFor(b.index)
}

// claimLocked takes a waiter that is to be served out of the line, in the in-flight count of the backend.
func (u *Upstream) claimLocked(w *waiter, b *backend) {
	if w.pick != b.index {
		u.uncountLocked(w, lb.Abandoned)
		u.picker.Take(b.index)
		u.takenLocked(b.index)
	}
	u.queue.remove(w)
	u.waiting.Store(int32(u.queue.n))
}

// useSlot begins a dial at a backend for the first waiter that has none anywhere. It is false when there is no such
// waiter, or no slot.
func (u *Upstream) useSlot(b *backend) bool {
	u.mu.Lock()
	var w *waiter
	if u.availableLocked(b) && !b.limited {
		w = u.queue.firstUndialledFor(b.index)
	}
	if w == nil || u.fullLocked(b) {
		u.mu.Unlock()
		return false
	}
	now := u.Now()
	late := u.lateLocked(b, now)
	if w = u.queue.firstUndialledFor(b.index); w != nil {
		u.roomLocked(w, now)
		u.queue.repick(w, b.index)
		u.picker.Take(b.index)
		u.takenLocked(b.index)
	}
	u.mu.Unlock()
	if w != nil && !u.cover(b) {
		u.miss(b, w)
	}
	u.refuse(late, ErrQueueShed)
	return w != nil
}

// failWaiters empties the line, one instant each. It stops when a backend has come back that ErrNoBackend denies.
func (u *Upstream) failWaiters(err error) {
	for {
		u.mu.Lock()
		var w *waiter
		if u.queue.n > 0 && (err != ErrNoBackend || u.judge.AdmittedCount() == 0) {
			w = u.queue.head()
			u.leaveLocked(w)
		}
		u.mu.Unlock()
		if w == nil {
			return
		}
		rest := apart(u.clk)
		w.served <- grant{err: err}
		rest()
	}
}

// rehome sends the waiters that counted on a backend to another one, after health has taken it out. Where none is
// left, every waiter fails.
func (u *Upstream) rehome(b *backend) {
	u.failWaiters(ErrNoBackend)
	u.mu.Lock()
	var loose []*waiter
	if !b.gone && !u.availableLocked(b) {
		loose = u.loosenLocked(b)
	}
	u.mu.Unlock()
	for _, w := range loose {
		u.place(w)
	}
	for {
		u.mu.Lock()
		var w *waiter
		if !b.gone && !u.availableLocked(b) {
			w = u.queue.firstOn(b.index)
		}
		if w != nil {
			u.unpickLocked(w, lb.Abandoned)
		}
		u.mu.Unlock()
		if w == nil {
			break
		}
		u.place(w)
	}
	u.unstrand()
}

// unstrand helps the waiters that have tried every backend that is left: one whose dials failed gets their error, and
// for one that was elsewhere in an earlier attempt a second visit is better than none.
func (u *Upstream) unstrand() {
	for {
		u.mu.Lock()
		w := u.strandedLocked()
		if w == nil {
			u.mu.Unlock()
			return
		}
		give := u.giveUpLocked(w)
		u.mu.Unlock()
		if give != nil {
			rest := apart(u.clk)
			w.served <- grant{err: give}
			rest()
			continue
		}
		u.place(w)
	}
}

// strandedLocked returns the first waiter that no backend may serve, as long as health admits one at all.
func (u *Upstream) strandedLocked() *waiter {
	if u.judge.AdmittedCount() == 0 {
		return nil
	}
	for w := range u.queue.each() {
		if w.ctx.Err() == nil && !u.untriedLocked(w.a) {
			return w
		}
	}
	return nil
}

// giveUpLocked takes a waiter that has tried everything out of the line and returns its error; nil where it may visit a
// backend again instead.
func (u *Upstream) giveUpLocked(w *waiter) error {
	if w.failed == 0 {
		w.a.tried = w.a.tried[:0]
		return nil
	}
	u.leaveLocked(w)
	return &ConnectError{Upstream: u.cfg.Name, Tried: w.failed, Err: w.failure}
}
