package upstream

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
)

// watchLocked prepares what asks a backend, and its agent, how they are.
func (u *Upstream) watchLocked(b *backend) (begin func()) {
	checks, agent := u.armChecksLocked(b), u.armAgentLocked(b)
	return func() {
		checks()
		agent()
	}
}

// stopsLocked returns what ends that. It is called once, each in an instant of its own.
func (b *backend) stopsLocked() (stops []func()) {
	for _, stop := range []*func(){&b.stop, &b.agent.stop} {
		if *stop != nil {
			stops = append(stops, *stop)
			*stop = nil
		}
	}
	return stops
}

// armChecksLocked prepares the active checks of one backend, if there are to be any, and returns what begins them, which
// is called without the lock. Close finds what ends them from here on.
func (u *Upstream) armChecksLocked(b *backend) (begin func()) {
	check := u.cfg.Check
	if check.Prober == nil || b.reserve {
		return func() {}
	}
	stream, schedule := b.checkStream(), check.schedule()
	schedule.Clock = u.clk
	w, err := u.cfg.Checkers.Watch(schedule, check.Prober, b.address, &probe.Watcher{
		Report:   func(now time.Time, err error) { u.checkDone(now, b, err) },
		Standing: func() probe.Standing { return u.standing(b) },
		Evidence: u.voucher(b),
		Limit:    u.limit,
		Rand:     func() *rand.Rand { return u.cfg.Rand(stream) },
		Ended:    u.work.Done,
	})
	if err != nil { // it has been checked
		return func() {}
	}
	b.stop, b.hurry = w.End, w.Hurry
	u.work.Add(1)
	return w.Begin
}

// limitOf makes the bound of a group's checks.
func limitOf(check Check) *probe.Limit {
	if check.MaxConcurrent <= 0 {
		return nil
	}
	return probe.NewLimit(check.MaxConcurrent)
}

// standing is how a backend stands by its checks.
func (u *Upstream) standing(b *backend) probe.Standing {
	u.mu.Lock()
	defer u.mu.Unlock()
	if b.leaving {
		return probe.Settled
	}
	switch down, doubt := u.judge.Checks(b.index); {
	case doubt:
		return probe.Doubtful
	case down:
		return probe.Failing
	}
	return probe.Settled
}

// voucher returns what says whether a backend has answered requests since it was last asked, and whether it has failed any, or
// is out.
func (u *Upstream) voucher(b *backend) func() (well, ill bool) {
	var answered, failed uint64
	return func() (well, ill bool) {
		u.mu.Lock()
		defer u.mu.Unlock()
		wasAnswered, wasFailed := answered, failed
		answered, failed = b.outcomes[OutcomeAnswered], 0
		for o, n := range b.outcomes {
			if outcomes[o].judged && Outcome(o) != OutcomeAnswered {
				failed += n
			}
		}
		return answered > wasAnswered, failed != wasFailed || b.leaving || !u.judge.Available(b.index)
	}
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
	was := u.judge.Available(b.index)
	ch, changed := u.judge.Check(now, b.index, err == nil)
	var laggards []func()
	if err == nil && !was {
		laggards = u.laggardsLocked(b)
	}
	if changed {
		u.applyLocked(ch)
		if err != nil {
			ch.Detail += "; last: " + err.Error()
		}
	}
	u.admittedLocked(b)
	turned := u.panicTurned
	u.mu.Unlock()
	if changed {
		u.changed(b, ch)
	} else if turned {
		u.panicked()
	}
	for _, hurry := range laggards {
		hurry()
	}
}

// laggardsLocked returns what hurries the checks of the backends that are out as well as one that has just passed a check, and have
// passed fewer. What took them down is over, perhaps, for all: whoever came back alone would have the load of all of them.
func (u *Upstream) laggardsLocked(b *backend) (hurry []func()) {
	passed, back := u.judge.Passed(b.index), u.judge.Available(b.index)
	for _, o := range u.members {
		if o == b || o.leaving || o.hurry == nil || u.judge.Available(o.index) {
			continue
		}
		if back || u.judge.Passed(o.index) < passed {
			hurry = append(hurry, o.hurry)
		}
	}
	return hurry
}

// observeLocked gives the judge an outcome, and how long its answer took to begin, 0 where that says nothing. The attempt that
// it is of may be nil.
func (u *Upstream) observeLocked(now time.Time, b *backend, o Outcome, took time.Duration, a *Attempt) (health.Change, bool) {
	var probe health.Probe
	if a != nil {
		probe, a.probe = a.probe, 0
	}
	if b.leaving || !outcomes[o].judged && probe == 0 && o != OutcomeClientGone {
		return health.Change{}, false
	}
	var ch health.Change
	var changed bool
	switch {
	case outcomes[o].judged:
		ch, changed = u.judge.ObserveRequest(now, b.index, outcomes[o].signal, took, probe)
	case o == OutcomeClientGone && a != nil && a.FirstByte.IsZero():
		ch, changed = u.judge.GaveUp(now, b.index, took, probe)
	default:
		ch, changed = u.judge.Forgo(now, b.index, probe)
	}
	switch {
	case changed:
		u.applyLocked(ch)
	case u.judge.Rearm():
		u.armTickLocked()
	}
	u.admittedLocked(b)
	return ch, changed
}

// probeLocked tells the judge of a request that goes to a backend: a half-open breaker admits only a few. It returns the
// verdict that follows, for told; nil for none.
func (u *Upstream) probeLocked(now time.Time, a *Attempt, b *backend) *verdict {
	if !u.judge.Breaking() || b.leaving {
		return nil
	}
	p, ch, changed := u.judge.Admit(now, b.index)
	a.probe = p
	return u.newsLocked(b, ch, changed)
}

// probe is probeLocked for a request that has its connection, and says whether it may still use it: it is when it has one that
// it takes a place of a half-open breaker, and not while it waits. Another one may have been faster.
func (u *Upstream) probe(now time.Time, a *Attempt, b *backend) bool {
	u.mu.Lock()
	if !u.availableLocked(b) {
		u.mu.Unlock()
		return false
	}
	news := u.probeLocked(now, a, b)
	u.mu.Unlock()
	u.told(news)
	return true
}

// Proved says that a good answer has begun which may last: a stream, or a tunnel. A half-open breaker does not wait for its
// end, which may be hours away. It changes nothing for an attempt that is no probe, and costs nothing then; the caller calls it
// before Finish, which tells the judge the rest.
func (u *Upstream) Proved(a *Attempt, now time.Time) {
	if a.probe == 0 {
		return
	}
	b, took := a.on, now.Sub(a.Began)
	if a.Untimed {
		took = 0
	}
	u.mu.Lock()
	ch, changed := u.observeLocked(now, b, OutcomeAnswered, took, a)
	turned := u.panicTurned
	u.mu.Unlock()
	if changed {
		u.changed(b, ch)
	} else if turned {
		u.panicked()
	}
}

// forgoProbeLocked tells the judge that nothing came of a request that it may have admitted as a probe.
func (u *Upstream) forgoProbeLocked(now time.Time, a *Attempt, b *backend) *verdict {
	probe := a.probe
	if a.probe = 0; probe == 0 || b.leaving {
		return nil
	}
	ch, changed := u.judge.Forgo(now, b.index, probe)
	return u.newsLocked(b, ch, changed)
}

func (u *Upstream) newsLocked(b *backend, ch health.Change, changed bool) *verdict {
	if changed {
		u.applyLocked(ch)
		return &verdict{b, ch}
	}
	if u.judge.Rearm() {
		u.armTickLocked()
	}
	return nil
}

// told does, without the lock, what follows from a verdict, if there is one.
func (u *Upstream) told(news *verdict) {
	if news != nil {
		u.changed(news.b, news.ch)
	}
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
	ch, changed := u.observeLocked(now, b, o, 0, nil)
	turned := u.panicTurned
	u.mu.Unlock()
	if changed {
		u.changed(b, ch)
	} else if turned {
		u.panicked()
	}
}

// applyLocked carries a verdict to the picker and arms the timer for the end of ejections.
func (u *Upstream) applyLocked(ch health.Change) {
	u.tellPickerLocked(ch)
	u.panicLocked()
	u.armTickLocked()
}

// tellPickerLocked carries one verdict to the picker. A backend that comes back begins slowly, if that is configured.
func (u *Upstream) tellPickerLocked(ch health.Change) {
	u.picker.SetAvailable(ch.Backend, ch.Available && !u.heldLocked(u.backends[ch.Backend]))
	u.settleZonesLocked()
	if ch.Available && u.cfg.SlowStart > 0 {
		u.picker.SlowStart(ch.Backend, u.Now())
	}
}

// panicLocked carries to the picker that panic has begun, goes on among others, or has ended.
func (u *Upstream) panicLocked() {
	is := u.judge.Panicking()
	if !is && !u.panicking {
		return
	}
	for i, b := range u.backends {
		if b != nil {
			b.admitted = u.availableLocked(b)
			u.picker.SetAvailable(i, b.admitted)
		}
	}
	u.panicTurned = u.panicTurned || is != u.panicking
	u.panicking = is
	u.settleZonesLocked()
}

// admittedLocked carries to the picker what evidence means for a backend that only panic admits, though it is no verdict.
func (u *Upstream) admittedLocked(b *backend) {
	if !u.panicking || b.leaving || u.availableLocked(b) == b.admitted {
		return
	}
	b.admitted = !b.admitted
	u.picker.SetAvailable(b.index, b.admitted)
	u.settleZonesLocked()
	u.panicTurned = true
}

// panicked does, without the lock, what follows for waiters when panic begins or ends, or admits another one.
func (u *Upstream) panicked() {
	u.mu.Lock()
	var out, in []*backend
	if u.panicTurned {
		for _, b := range u.members {
			if u.availableLocked(b) {
				in = append(in, b)
			} else {
				out = append(out, b)
			}
		}
	}
	u.panicTurned = false
	u.mu.Unlock()
	for _, b := range in {
		b.pool.Retry()
		u.serve(b)
	}
	for _, b := range out {
		u.rehome(b)
	}
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

// ejectionsEnd has the judge do what is due: it lets back in whoever has served its time, above all.
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
		u.tellPickerLocked(ch)
		all = append(all, verdict{u.backends[ch.Backend], ch})
	}
	u.panicLocked()
	u.armTickLocked()
	return all
}

// allChanged does, without the lock, what follows from several verdicts.
func (u *Upstream) allChanged(verdicts []verdict) {
	for _, v := range verdicts {
		u.changed(v.b, v.ch)
	}
	u.panicked() // a group that has shrunk may end it without a verdict
}

// availableLocked says whether a backend may get requests. One that is being removed is not the judge's any more.
func (u *Upstream) availableLocked(b *backend) bool {
	return !b.leaving && !u.heldLocked(b) && u.judge.Admits(b.index)
}

// changed does, without the lock, what follows from a verdict.
func (u *Upstream) changed(b *backend, ch health.Change) {
	u.changeEvent(b, ch)
	u.rebuild() // which is nothing, unless a zone has been left or taken again
	if ch.Available {
		b.pool.Retry()
		u.serve(b)
	} else {
		u.rehome(b)
		if moves(ch) {
			u.moveAll(b)
		}
	}
	u.panicked()
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
		u.queue.loosen(w, now)
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
