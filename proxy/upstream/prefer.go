package upstream

import (
	"context"
	"slices"
)

// A request may prefer one backend (Attempt.Prefer): that of its session. In the queue it is a waiter whom nobody else may serve
// (waiter.only), with a dial there or without one, until the backend is no longer available.

// preferredLocked is the backend that a request prefers, if it may go there; or nil.
func (u *Upstream) preferredLocked(a *Attempt) *backend {
	if a.Prefer == "" {
		return nil
	}
	l := u.seqs[a.Prefer]
	if l == nil || l.now == nil || !u.availableLocked(l.now) || slices.Contains(a.tried, l.now.index) {
		return nil
	}
	return l.now
}

// drainingLocked is the backend that a request prefers, if that would be available but for a drain; or nil. A drain takes nothing
// new, and a session is nothing new.
func (u *Upstream) drainingLocked(a *Attempt) *backend {
	l := u.seqs[a.Prefer]
	if u.closed || l == nil || l.now == nil || l.now.leaving || slices.Contains(a.tried, l.now.index) || !u.judge.Draining(l.now.index) {
		return nil
	}
	return l.now
}

// beginKept begins an attempt of a session at its backend, which is draining, on a connection that is idle there or one dialled for
// it alone: the queue is for those who wait for a backend that is available. It is false where that cannot be had; the request
// then goes on as any other. It is called with the lock and returns without it.
func (u *Upstream) beginKept(ctx context.Context, a *Attempt, b *backend) bool {
	u.picker.Take(b.index)
	u.takenLocked(b.index)
	news := u.probeLocked(a.since, a, b)
	u.mu.Unlock()
	u.told(news)
	c, ok := b.pool.TryLend(a.since, a.Shard)
	if !ok {
		var err error
		if c, err = b.pool.Fresh(ctx, a.Shard); err != nil {
			u.freshFailed(a, b, err)
			return false
		}
	}
	u.begun(a, b, c)
	a.Kept = true
	return true
}

// takeLocked counts a request at the backend, as a pick does, and returns its index; noPick where that has no room.
func (u *Upstream) takeLocked(b *backend) int {
	if b.full.Load() || b.limited {
		return noPick
	}
	u.picker.Take(b.index)
	u.takenLocked(b.index)
	return b.index
}

// loosenLocked lets those go anywhere who prefer a backend that is available no more. Those among them who count on no dial are to
// be given a place.
func (u *Upstream) loosenLocked(b *backend) (loose []*waiter) {
	for w := range u.queue.all() {
		if w.only != b.index {
			continue
		}
		if u.queue.loosen(w); w.pick == noPick {
			loose = append(loose, w)
		}
	}
	return loose
}
