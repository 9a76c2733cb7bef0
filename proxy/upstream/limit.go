package upstream

import (
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
)

// The adaptive limit on the requests in flight at a backend (Config.Concurrency). A backend at its limit is passed over by the picker
// like one whose pool is full, and requests wait in the one queue. What counts is the picker's own number, in which are those
// that wait for a dial to the backend too. A repetition on a fresh connection goes where it was, whatever the limit says.

// takenLocked follows each pick and take at index i: one that was the last for now is passed over from here on.
func (u *Upstream) takenLocked(i int) {
	if b := u.backends[i]; b.limiter != nil && !b.limited && u.picker.InFlight(i) >= b.limiter.Limit() {
		b.limited = true
		u.picker.SetReady(i, 0)
	}
}

// leftLocked follows each end of a request at a backend that is at its limit. The end of an attempt is followed by the pool's word
// that something is free, from which the queue is served; one that came to nothing is not.
func (u *Upstream) leftLocked(b *backend, o lb.Outcome) {
	if !u.relaxLocked(b) || o != lb.Abandoned || u.queue.undialled == 0 || b.leaving || u.closed {
		return
	}
	u.work.Add(1)
	u.clk.AfterFunc(0, func() {
		defer u.work.Done()
		u.serve(b)
	})
}

// relaxLocked says whether a backend that was at its limit no longer is.
func (u *Upstream) relaxLocked(b *backend) bool {
	if !b.limited || b.limiter != nil && u.picker.InFlight(b.index) >= b.limiter.Limit() {
		return false
	}
	b.limited = false
	if !b.full.Load() {
		u.openLocked(b)
	}
	return true
}

// openLocked makes the picker consider a backend whose pool has room, unless it is at its limit.
func (u *Upstream) openLocked(b *backend) {
	if !b.limited {
		u.picker.SetReady(b.index, -1)
	}
}

// learnLocked tells the limiter of a backend, which may have none, of an answer. It comes before its request is done.
func (u *Upstream) learnLocked(now, sent time.Time, b *backend, o lb.Outcome, head time.Duration) {
	if b.limiter != nil && o != lb.Abandoned {
		b.limiter.Observe(now, sent, head, u.picker.InFlight(b.index), o == lb.Failure)
		u.takenLocked(b.index) // it may be less than what is in flight now
	}
}

// limitLocked begins, ends or changes the limits of all backends. Those who wait are to be served then.
func (u *Upstream) limitLocked(to health.Concurrency) {
	for _, b := range u.members {
		switch {
		case b.gone:
			continue
		case !to.On():
			b.limiter = nil
		case b.limiter == nil:
			b.limiter = health.NewLimiter(to)
		default:
			b.limiter.Reconfigure(to)
		}
		u.relaxLocked(b)
		u.takenLocked(b.index)
	}
}
