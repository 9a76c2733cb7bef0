package upstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/lb"
)

// startChecks begins the active checks of one backend; b.stop ends them.
func (u *Upstream) startChecks(b *backend) {
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	s := probe.Schedule{
		Interval: u.cfg.Check.Interval, Timeout: u.cfg.Check.Timeout, Spread: u.cfg.Check.Spread,
		Clock: u.clk, Rand: u.cfg.Rand("check/" + b.entity),
	}
	u.checks.Add(1)
	u.clk.AfterFunc(0, func() {
		defer u.checks.Done()
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
	if u.tick != nil {
		u.tick.Stop()
		u.tick = nil
	}
	if at, ok := u.judge.Next(); ok && !u.closed {
		u.tick = u.clk.AfterFunc(max(u.clk.Until(at), 0), u.ejectionsEnd)
	}
}

// ejectionsEnd lets back in whoever has served its time.
func (u *Upstream) ejectionsEnd() {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return
	}
	// Cloned because the judge may reuse the memory once the lock is gone.
	changes := slices.Clone(u.judge.Tick(u.clk.Now()))
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

// rehome sends the waiters that counted on a backend to another one. Where none is left, every waiter fails.
func (u *Upstream) rehome(b *backend) {
	for {
		u.mu.Lock()
		if u.judge.AvailableCount() == 0 {
			u.mu.Unlock()
			u.failWaiters(ErrNoBackend)
			return
		}
		w := u.queue.firstOn(b.index)
		if w == nil || u.judge.Available(b.index) {
			u.mu.Unlock()
			return
		}
		u.picker.Done(b.index, lb.Abandoned, 0)
		u.queue.repick(w, noPick)
		u.mu.Unlock()
		u.wantFor(w)
		u.recheck(w)
	}
}

// dialFailed is a pool's word that a dial failed. The first waiter that counted on it goes to the next backend, or
// fails when it has tried them all.
func (u *Upstream) dialFailed(b *backend, err error) {
	now := u.clk.Now()
	u.mu.Lock()
	w := u.queue.firstOn(b.index)
	var give error
	if w != nil {
		w.a.avoid(b.index)
		u.picker.Done(b.index, outcomes[OutcomeConnectFailed].lb, now.Sub(w.a.since))
		u.queue.repick(w, noPick)
		if !u.untriedLocked(w.a) {
			u.leaveLocked(w)
			give = &ConnectError{Upstream: u.cfg.Name, Tried: len(w.a.tried), Err: err}
		}
	}
	u.mu.Unlock()
	u.evidence(now, b, OutcomeConnectFailed)
	switch {
	case give != nil:
		w.served <- grant{err: give}
	case w != nil:
		u.wantFor(w)
		u.recheck(w)
	}
}

// IsTimeout says whether a ConnectError was a dial that took too long, rather than one that was refused.
func IsTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
