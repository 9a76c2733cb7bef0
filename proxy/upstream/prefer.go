package upstream

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/wavepool/wavepool/lb"
)

// A request may prefer one backend (Attempt.Prefer): that of its session. In the queue it is a waiter whom nobody else may serve
// (waiter.only), with a dial there or without one, until the backend is no longer available, or somebody more urgent needs the place.
// One that counts on a dial to the backend of its key is bound to that in the same way. For both Config.MaxWaitingPerBackend holds.

// preferredLocked is the backend that a request prefers, if it may go there; or nil.
func (u *Upstream) preferredLocked(a *Attempt) *backend {
	if a.Prefer == "" || a.anywhere {
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
	now := u.Now()
	own := &u.queue.own[b.index]
	for r := range own.lines {
		for _, w := range slices.Clone(own.lines[r].waiters) {
			if w.only == noPick {
				continue
			}
			if u.queue.loosen(w, now); w.pick == noPick {
				loose = append(loose, w)
			}
		}
	}
	return loose
}

// overflowLocked is the backend for which a request is about to wait, and no other, if as many do as may, or wait at all, and nobody makes
// way for it; or noPick.
func (u *Upstream) overflowLocked(a *Attempt, pick int) int {
	i, gives := noPick, false
	if b := u.preferredLocked(a); b != nil && (pick == noPick || pick == b.index) {
		i, gives = b.index, u.queue.lastOwnBelow(b.index, a.Class) != nil
	} else if u.queue.byKey && a.Key != 0 {
		i = pick
	}
	switch {
	case i == noPick:
		return noPick
	case u.queue.own[i].n >= u.queue.most && !gives:
		u.queue.overflowed++
		return i
	case u.fullQueueLocked() && (u.cfg.MaxWaiting <= 0 || u.queue.lastBelow(a.Class) == nil):
		return i // where another backend has an idle connection it is not refused
	}
	return noPick
}

// fullQueueLocked says whether as many wait as may.
func (u *Upstream) fullQueueLocked() bool { return u.queue.n >= max(u.cfg.MaxWaiting, 0) }

// lendElsewhereLocked is lendLocked for a request that finds as many waiting for its backend as may: it is one without a session now, and
// the next backend of its key will do. Where it must wait all the same it takes whatever becomes free, at that backend too.
func (u *Upstream) lendElsewhereLocked(ctx context.Context, now time.Time, a *Attempt, pick, over int) (i int, done bool, err error) {
	if pick != noPick {
		u.doneLocked(pick, lb.Abandoned, 0)
	}
	a.anywhere = true
	return u.lendLocked(ctx, now, a, over)
}

// makePlaceLocked has the last of the least urgent who wait for a backend go anywhere, where a more urgent one comes and as many wait
// there as may. He is returned, to be given a place. Where nobody is left who does, it is the one who comes that goes anywhere.
func (u *Upstream) makePlaceLocked(w *waiter) *waiter {
	if w.only == noPick || u.queue.own[w.only].n < u.queue.most {
		return nil
	}
	last := u.queue.lastOwnBelow(w.only, w.a.Class)
	if last == nil {
		w.only, w.a.anywhere = noPick, true
		u.queue.overflowed++
		return nil
	}
	u.queue.free(last, u.Now())
	return last
}

// mostShares bounds into how many parts the queue is divided: in a group of thousands a burst at one of them that is cold, or busy, would
// find no place before it, though nobody else's is taken.
const mostShares = 100

// settleShareLocked finds out how many may wait for one backend. It follows each change of members and settings; who waits already
// stays.
func (u *Upstream) settleShareLocked() {
	switch most := u.cfg.MaxWaitingPerBackend; {
	case most > 0:
		u.queue.most = most
	case most < 0:
		u.queue.most = math.MaxInt
	default:
		n := 0
		for _, b := range u.members {
			if !b.leaving && !b.reserve {
				n++
			}
		}
		n = min(max(n, 1), mostShares)
		u.queue.most = max((u.cfg.MaxWaiting+n-1)/n, 1)
	}
}
