package upstream

import "slices"

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
		if w.only = noPick; w.pick == noPick {
			loose = append(loose, w)
		}
	}
	return loose
}
