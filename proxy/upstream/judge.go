package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
)

// armChecksLocked prepares the active checks of one backend, if there are to be any, and returns what begins them, which
// is called without the lock. Close finds what ends them from here on.
func (u *Upstream) armChecksLocked(b *backend) (begin func()) {
	check := u.cfg.Check
	if check.Prober == nil {
		return func() {}
	}
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	u.work.Add(1)
	stream := b.checkStream()
	return func() { u.startChecks(ctx, b, check, stream) }
}

// startChecks begins the active checks of one backend, which end with ctx. They have been counted as work.
func (u *Upstream) startChecks(ctx context.Context, b *backend, check Check, stream string) {
	s := probe.Schedule{
		Interval: check.Interval, Timeout: check.Timeout, Spread: check.Spread,
		Clock: u.clk, Rand: u.cfg.Rand(stream),
	}
	u.clk.AfterFunc(0, func() {
		defer u.work.Done()
		_ = probe.Run(ctx, s, check.Prober, b.address, func(now time.Time, err error) {
			u.checkDone(now, b, err)
		})
	})
}

// checkDone gives the judge the result of an active check.
func (u *Upstream) checkDone(now time.Time, b *backend, err error) {
	u.mu.Lock()
	if b.leaving { // the last word on one that is no longer judged
		u.mu.Unlock()
		return
	}
	b.checked++
	if err == nil {
		b.checkPassed++
	}
	ch, changed := u.judge.Check(now, b.index, err == nil)
	if changed {
		u.applyLocked(ch)
		if err != nil {
			ch.Detail += "; last: " + err.Error()
		}
	}
	u.mu.Unlock()
	if changed {
		u.changed(b, ch)
	}
}

// observeLocked gives the judge the outcome of an attempt.
func (u *Upstream) observeLocked(now time.Time, b *backend, o Outcome) (health.Change, bool) {
	if !outcomes[o].judged || b.leaving {
		return health.Change{}, false
	}
	ch, changed := u.judge.Observe(now, b.index, outcomes[o].signal)
	if changed {
		u.applyLocked(ch)
	}
	return ch, changed
}

// evidence counts an outcome that no attempt carries (a failed dial) and gives it to the judge.
func (u *Upstream) evidence(now time.Time, b *backend, o Outcome) {
	u.mu.Lock()
	if b.gone {
		u.removed.Outcomes[o]++
	} else {
		b.outcomes[o]++
	}
	u.stats.begun++
	ch, changed := u.observeLocked(now, b, o)
	u.mu.Unlock()
	if changed {
		u.changed(b, ch)
	}
}

// applyLocked carries a verdict to the picker and arms the timer for the end of ejections.
func (u *Upstream) applyLocked(ch health.Change) {
	u.picker.SetAvailable(ch.Backend, ch.Available)
	u.armTickLocked()
}

func (u *Upstream) armTickLocked() {
	u.stopTickLocked()
	if at, ok := u.judge.Next(); ok && !u.closed {
		u.work.Add(1)
		u.tick = u.clk.AfterFunc(max(u.clk.Until(at), 0), u.ejectionsEnd)
	}
}

// stopTickLocked takes back a pending end of an ejection. One that has begun counts itself out.
func (u *Upstream) stopTickLocked() {
	if u.tick != nil && u.tick.Stop() {
		u.work.Done()
	}
	u.tick = nil
}

// ejectionsEnd lets back in whoever has served its time.
func (u *Upstream) ejectionsEnd() {
	defer u.work.Done()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return
	}
	verdicts := u.verdictsLocked(u.judge.Tick(u.Now()))
	u.mu.Unlock()
	u.allChanged(verdicts)
}

// verdict is a change with the backend that it is about: an index may be another one's when the lock has been away.
type verdict struct {
	b  *backend
	ch health.Change
}

// verdictsLocked carries several changes to the picker. The judge may reuse their memory once the lock is gone.
func (u *Upstream) verdictsLocked(changes []health.Change) []verdict {
	all := make([]verdict, 0, len(changes))
	for _, ch := range changes {
		u.picker.SetAvailable(ch.Backend, ch.Available)
		all = append(all, verdict{u.backends[ch.Backend], ch})
	}
	u.armTickLocked()
	return all
}

// allChanged does, without the lock, what follows from several verdicts.
func (u *Upstream) allChanged(verdicts []verdict) {
	for _, v := range verdicts {
		u.changed(v.b, v.ch)
	}
}

// availableLocked says whether a backend may get requests. One that is being removed is not the judge's any more.
func (u *Upstream) availableLocked(b *backend) bool { return !b.leaving && u.judge.Available(b.index) }

// changed does, without the lock, what follows from a verdict.
func (u *Upstream) changed(b *backend, ch health.Change) {
	u.changeEvent(b, ch)
	if ch.Available {
		b.pool.Retry()
		u.serve(b)
		return
	}
	u.rehome(b)
	if moves(ch) {
		u.moveAll(b)
	}
}

// dialFailed is a pool's word that a dial failed. Where fewer are left than waiters count on, the first of these goes to
// the next backend, or fails when it has tried them all. (The pool's word that the slot is free follows.)
func (u *Upstream) dialFailed(b *backend, err error) {
	now := u.Now()
	var w *waiter
	var give error
	u.mu.Lock()
	if !b.leaving && u.queue.on[b.index] > b.pool.Cover(0) {
		w = u.queue.firstOn(b.index)
		w.a.avoid(b.index)
		w.failed, w.failure = w.failed+1, err
		u.unpickLocked(w, outcomes[OutcomeConnectFailed].lb)
		if !u.untriedLocked(w.a) || !u.cfg.RetryOn.has(OnConnectFailure) {
			give = u.giveUpLocked(w)
		}
	}
	u.mu.Unlock()
	u.evidence(now, b, OutcomeConnectFailed)
	switch {
	case give != nil:
		rest := apart(u.clk)
		w.served <- grant{err: give}
		rest()
	case w != nil:
		u.place(w)
	}
}

// IsTimeout says whether a ConnectError was a dial that took too long, rather than one that was refused.
func IsTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
