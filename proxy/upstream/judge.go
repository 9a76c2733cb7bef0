package upstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
)

// startChecks begins the active checks of one backend, which end with ctx. The caller has counted them as work.
func (u *Upstream) startChecks(ctx context.Context, b *backend) {
	s := probe.Schedule{
		Interval: u.cfg.Check.Interval, Timeout: u.cfg.Check.Timeout, Spread: u.cfg.Check.Spread,
		Clock: u.clk, Rand: u.cfg.Rand("check/" + b.entity),
	}
	u.clk.AfterFunc(0, func() {
		defer u.work.Done()
		_ = probe.Run(ctx, s, u.cfg.Check.Prober, b.address, func(now time.Time, err error) {
			u.checkDone(now, b, err)
		})
	})
}

// checkDone gives the judge the result of an active check.
func (u *Upstream) checkDone(now time.Time, b *backend, err error) {
	u.mu.Lock()
	b.checked++
	if err == nil {
		b.checkPassed++
	}
	ch, changed := u.judge.Check(now, b.index, err == nil)
	if changed {
		u.applyLocked(ch)
	}
	u.mu.Unlock()
	if changed {
		u.changed(ch)
	}
}

// observeLocked gives the judge the outcome of an attempt.
func (u *Upstream) observeLocked(now time.Time, b *backend, o Outcome) (health.Change, bool) {
	if !outcomes[o].judged {
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
	b.outcomes[o]++
	u.stats.begun++
	ch, changed := u.observeLocked(now, b, o)
	u.mu.Unlock()
	if changed {
		u.changed(ch)
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
	// Cloned because the judge may reuse the memory once the lock is gone.
	changes := slices.Clone(u.judge.Tick(u.Now()))
	for _, ch := range changes {
		u.picker.SetAvailable(ch.Backend, ch.Available)
	}
	u.armTickLocked()
	u.mu.Unlock()
	for _, ch := range changes {
		u.changed(ch)
	}
}

// changed does, without the lock, what follows from a verdict.
func (u *Upstream) changed(ch health.Change) {
	u.changeEvent(ch)
	b := u.backends[ch.Backend]
	if ch.Available {
		b.pool.Retry()
		u.serve(b)
		return
	}
	u.rehome(b)
}

// dialFailed is a pool's word that a dial failed. Where fewer are left than waiters count on, the first of these goes to
// the next backend, or fails when it has tried them all. (The pool's word that the slot is free follows.)
func (u *Upstream) dialFailed(b *backend, err error) {
	now := u.Now()
	var w *waiter
	var give error
	u.mu.Lock()
	if u.queue.on[b.index] > b.pool.Cover(0) {
		w = u.queue.firstOn(b.index)
		w.a.avoid(b.index)
		w.failed, w.failure = w.failed+1, err
		u.unpickLocked(w, outcomes[OutcomeConnectFailed].lb)
		if !u.untriedLocked(w.a) {
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
