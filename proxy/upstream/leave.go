package upstream

import (
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
)

// How a request leaves a backend before the answer has begun, for another one: because the caller asks (MayLeave), or
// because health has taken the backend down (moveAll).
//
// An attempt that may be sent again is in its backend's list, and has a state that its goroutine and the one that moves it
// agree on: whoever changes it first wins. The list costs the hot path no lock: Begin and Finish have it anyway.

// The states of an attempt.
const (
	stateBegun    uint32 = iota // its connection is not in use yet
	stateAwaiting               // Conn is set, and its goroutine waits for the answer
	stateAnswered               // the answer has begun: it stays where it is
	stateLost                   // it is to be given up, and sent elsewhere
)

// attempts is a list of attempts, oldest first, through their own fields.
type attempts struct{ head, tail *Attempt }

func (l *attempts) push(a *Attempt) {
	a.listed, a.prev, a.next = l, l.tail, nil
	if l.tail != nil {
		l.tail.next = a
	} else {
		l.head = a
	}
	l.tail = a
}

// unlist takes an attempt out of its list, if it is in one.
func (a *Attempt) unlist() {
	l := a.listed
	if l == nil {
		return
	}
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		l.head = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		l.tail = a.prev
	}
	a.listed, a.prev, a.next = nil, nil, nil
}

// listLocked notes an attempt at the backend that it has a connection of, or is about to have, if it may be moved from there.
func (u *Upstream) listLocked(a *Attempt, b *backend) {
	if a.Repeatable && a.Number < u.cfg.Attempts && u.cfg.RetryOn.has(OnBackendDown) {
		b.underWay.push(a)
	}
}

// perTryLocked is the timeout for attempts that are not the last; 0 for none.
func (u *Upstream) perTryLocked() time.Duration {
	switch t := u.cfg.PerTryTimeout; {
	case t < 0 || !u.cfg.RetryOn.has(OnPerTryTimeout):
		return 0
	case t > 0:
		return t
	}
	return u.perTry.now()
}

// armLocked says for how long the attempt may wait for the beginning of its answer. Whether another backend can really be
// asked is looked at when the time is over (MayLeave): for nearly all attempts that never comes.
func (u *Upstream) armLocked(a *Attempt) {
	a.PerTry = 0
	if a.Repeatable && a.Number < u.cfg.Attempts && u.judge.AvailableCount() > 1 {
		a.PerTry = u.perTryLocked()
	}
}

// Await says that the caller begins to use Conn: from here on until Answered the attempt may be lost to it, which is told by
// a read deadline of Conn, or of Stream, in the past. It is false when it is lost already.
func (a *Attempt) Await() bool {
	return !a.Repeatable || a.state.CompareAndSwap(stateBegun, stateAwaiting)
}

// Lost says whether the attempt is to be given up because health has taken its backend down: the caller owes Finish with
// OutcomeLost, and then Begin, for which there is room. Where it goes on nevertheless it calls Stay.
func (a *Attempt) Lost() bool { return a.Repeatable && a.state.Load() == stateLost }

// Answered says that the answer has begun. It is false when the attempt has been lost before.
func (a *Attempt) Answered() bool {
	return !a.Repeatable || a.state.CompareAndSwap(stateAwaiting, stateAnswered) || a.state.Load() == stateAnswered
}

// Stay keeps an attempt at its backend that was lost, or that may leave, because its answer has come in the same moment.
// When it returns, nobody sets deadlines of Conn any more.
func (u *Upstream) Stay(a *Attempt) {
	u.mu.Lock()
	a.unlist()
	a.state.Store(stateAnswered)
	u.ungrantLocked(a)
	u.mu.Unlock()
}

// MayLeave says whether the request may leave the attempt under way, on which no byte of an answer has reached the client,
// for another backend: it is repeatable, the settings name the condition, attempts are left, so is room in the budget, and
// health admits a backend with room that was not tried. True reserves that room for the next attempt: the caller owes
// Finish and then Begin, or Stay.
func (u *Upstream) MayLeave(a *Attempt, why Condition) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a.granted { // health was faster
		return true
	}
	if why == 0 || !a.Repeatable || !u.cfg.RetryOn.has(why) || a.Number >= u.cfg.Attempts || u.closed || !u.elsewhereLocked(a, true) {
		return false
	}
	return u.grantLocked(a, true, why)
}

// elsewhereLocked says whether health admits a backend that the request has not tried and is not trying; one with room,
// if that is asked for.
func (u *Upstream) elsewhereLocked(a *Attempt, room bool) bool {
	for i, b := range u.backends {
		if b != nil && b != a.on && u.availableLocked(b) && !(room && (b.full.Load() || b.limited)) && !slices.Contains(a.tried, i) {
			return true
		}
	}
	return false
}

// grantLocked reserves a place for the attempt after the one under way, within the budget if that is asked for.
func (u *Upstream) grantLocked(a *Attempt, budget bool, why Condition) bool {
	under := u.retries
	if a.budgeted { // its own place will be free
		under--
	}
	if budget && under >= u.budgetLocked() {
		u.stats.overBudget++
		return false
	}
	a.granted, a.left = true, why
	u.retries++
	return true
}

// ungrantLocked gives back what grantLocked has reserved.
func (u *Upstream) ungrantLocked(a *Attempt) {
	if a.granted {
		a.granted, a.left = false, 0
		u.retries--
	}
}

// budgetLocked is how many retries may be under way: a share of the requests that are, without these themselves. With them, retries
// would pay for retries, and 20 of a hundred be 25.
func (u *Upstream) budgetLocked() int {
	return max(u.cfg.BudgetMin, (u.inFlight-u.retries)*u.cfg.BudgetPercent/100, 0)
}

// moves says whether a verdict is one after which nothing is to be expected of the backend any more. One that is drained
// finishes what it has, and one that answers 5xx does answer.
func moves(ch health.Change) bool {
	return !ch.Available && (ch.Reason == health.CheckFailed || ch.Reason == health.ConsecutiveFailures ||
		ch.Reason == health.AgentMaint || ch.Reason == health.AgentDown)
}

// moveAll sends the requests that wait for the beginning of an answer of a backend elsewhere, after health has taken it
// down: the oldest first, each in an instant of its own.
//
// The budget does not forbid it, though these retries take its places. What it protects from is load that is added, and
// here none is: what the backend was to do, the others do in its place, each request once. But when most backends of the
// group are down it is rather the load that has brought them down, one after the other, and to shift it quickly to the next
// one helps on: then the budget holds.
func (u *Upstream) moveAll(b *backend) {
	for {
		u.mu.Lock()
		some := b.underWay.head != nil
		u.mu.Unlock()
		if !some {
			return
		}
		rest := apart(u.clk)
		more := u.moveOne(b)
		rest()
		if !more {
			return
		}
	}
}

// moveOne moves the first attempt in the backend's list that still waits. It is false when there is none, or no more may be.
func (u *Upstream) moveOne(b *backend) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for a := b.underWay.head; a != nil && !u.closed; a = b.underWay.head {
		if !b.leaving && u.judge.Available(b.index) || !u.elsewhereLocked(a, false) {
			return false
		}
		if s := a.state.Load(); s == stateAnswered || a.granted {
			a.unlist()
			continue
		}
		if !u.grantLocked(a, 2*u.judge.AvailableCount() < u.judge.InService(), OnBackendDown) {
			return false
		}
		a.unlist()
		switch {
		case a.state.CompareAndSwap(stateAwaiting, stateLost):
			// Under the lock, so that it hits no later exchange on the connection: the attempt is not finished yet.
			nc := a.Stream
			if nc == nil {
				nc = a.Conn.NetConn()
			}
			_ = nc.SetReadDeadline(longAgo)
			return true
		case a.state.CompareAndSwap(stateBegun, stateLost):
			return true
		}
		u.ungrantLocked(a) // the answer came in this moment
	}
	return false
}

// fellLocked says whether an attempt that was reset is one of those that moveAll moves, and only was not there any more when its turn
// came: health has taken its backend down, by this very reset or by one just before it. The budget then does not forbid it either.
func (u *Upstream) fellLocked(a *Attempt, why Condition) bool {
	if why != OnReset || !u.cfg.RetryOn.has(OnBackendDown) || len(a.tried) == 0 {
		return false
	}
	b := u.backends[a.tried[len(a.tried)-1]]
	return b != nil && !u.availableLocked(b) && 2*u.judge.AvailableCount() >= u.judge.InService() && u.elsewhereLocked(a, false)
}

// longAgo is a deadline that has expired on every clock that we meet, simulated ones included.
var longAgo = time.Unix(1, 0)

// suspect is a backend that was left because of the per-try timeout.
type suspect struct {
	on     *backend
	waited time.Duration
}

// concludeLocked ends an attempt after others that were left because of the per-try timeout. Where it was answered, and in
// less time than those had, the fault was theirs: that is evidence. Otherwise the request is a slow one, or all are slow.
func (u *Upstream) concludeLocked(a *Attempt, now time.Time, o Outcome, head time.Duration) (all []verdict) {
	good := o == OutcomeAnswered
	for _, s := range a.suspects {
		good = good && head <= s.waited
	}
	if good || o == OutcomeAnswered || o == OutcomeTimeout {
		u.perTry.score(good)
	}
	for _, s := range a.suspects {
		if !good || s.on.gone {
			continue
		}
		if ch, changed := u.observeLocked(now, s.on, OutcomeTimeout, s.waited, nil); changed {
			all = append(all, verdict{s.on, ch})
		}
	}
	a.suspects = nil
	return all
}
