package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Attempt is one request's way to the backends: first Begin, then Finish, and again for each repetition. The zero
// value is ready; Reset makes it ready for the next request. It belongs to one goroutine.
type Attempt struct {
	// Shard is the caller's shard in every pool.
	Shard int
	// Key is the hash that sticky strategies use.
	Key uint64
	// Prefer is the address of the backend that the request would go to, such as that of its session. It goes there, and waits
	// for room there, as long as health admits the backend, it has not been tried, and not too many wait there
	// (Config.MaxWaitingPerBackend); otherwise it goes anywhere. One that is being
	// drained serves it too, if a connection can be had at once. It is set before the first Begin; empty, it means nothing.
	Prefer string
	// Class is how urgent the request is. It is set before the first Begin.
	Class Class
	// Repeatable says that the request is whole in the caller's memory and its method idempotent, so that it may be sent
	// again although a backend may have acted on it. It is set before the first Begin.
	Repeatable bool

	// Backend, Address and Conn are set by Begin: the backend's index, its address and the lent connection.
	Backend int
	Address string
	Conn    pool.Conn
	// Number counts the attempts that the retry policy counts, the present one included.
	Number int
	// Began is when the present attempt got its connection; Waited is how long that took.
	Began  time.Time
	Waited time.Duration
	// PerTry is set by Begin: for how long the attempt may wait for the beginning of its answer before the caller asks
	// MayLeave with OnPerTryTimeout. 0: for as long as the caller likes.
	PerTry time.Duration
	// Stream is for the caller to set before Await, where it reads from something else than Conn.NetConn(): that is then
	// what gets the deadlines of Await. Begin forgets it.
	Stream net.Conn
	// FirstByte is for the caller to set: when the head of the answer was there. Zero: at the instant of Finish.
	FirstByte time.Time
	// Untimed is for the caller to set: how long the answer took to begin says nothing about the backend, because the client
	// had a part in that (a body that was streamed), or because there is no answer (a tunnel). Begin forgets it.
	Untimed bool

	// Kept is set by Begin: the backend of the request's session takes nothing new, and the request went there all the same.
	Kept bool

	on       *backend // the one of Backend, which names another one once this one is gone
	since    time.Time
	tried    []int
	few      [8]int // memory for tried
	q        lb.Query
	budgeted bool // counted against the retry budget
	anywhere bool // the present attempt is bound to no backend, whatever Prefer and Key say: as many wait for that one as may

	state      atomic.Uint32 // one of stateBegun and the others; of a repeatable attempt
	listed     *attempts     // where it may be found while it is under way
	prev, next *Attempt      // in that list
	granted    bool          // there is a place in the budget for the attempt after this one
	left       Condition     // why it may leave, where it was granted that
	suspects   []suspect     // the backends that were left because of the per-try timeout
	probe      health.Probe  // on behalf of which half-open breaker it is made
}

// Reset forgets everything but the shard. It comes after the Finish of the last attempt.
func (a *Attempt) Reset() {
	// A place in the retry budget that nobody gave back is not forgotten: the next Finish or Forgo gives it back.
	*a = Attempt{Shard: a.Shard, budgeted: a.budgeted}
}

// query is what the picker is asked.
func (u *Upstream) query(a *Attempt) *lb.Query {
	a.q.Key, a.q.Tried, a.q.Warm = a.Key, a.tried, u.warm
	return &a.q
}

// avoid notes that a backend has been tried.
func (a *Attempt) avoid(i int) {
	if a.tried == nil {
		a.tried = a.few[:0]
	}
	if !slices.Contains(a.tried, i) {
		a.tried = append(a.tried, i)
	}
}

// Begin finds a backend and a connection to it, waiting in line where it must. On success the caller owes one Finish.
// It returns ErrClosed, ErrNoBackend, ErrQueueFull, ErrQueueShed, ErrQueueTimeout, a *ConnectError, or ctx's error. The second and
// later attempts of a request avoid the backends that were tried before, as long as another one is left.
func (u *Upstream) Begin(ctx context.Context, a *Attempt) error {
	err := u.begin(ctx, a)
	if err != nil {
		u.Forgo(a) // there will be no Finish to do it
	}
	return err
}

func (u *Upstream) begin(ctx context.Context, a *Attempt) error {
	now := u.Now()
	a.since, a.anywhere = now, false
	a.Number++
	a.ready()
	u.mu.Lock()
	if a.Prefer != "" {
		if b := u.drainingLocked(a); b != nil && u.beginKept(ctx, a, b) {
			return nil
		} else if b != nil {
			u.mu.Lock()
		}
	}
	if err := u.admitLocked(ctx); err != nil {
		u.mu.Unlock()
		return err
	}
	i, done, err := u.lendLocked(ctx, now, a, noPick)
	if !done {
		if over := u.overflowLocked(a, i); over != noPick {
			i, done, err = u.lendElsewhereLocked(ctx, now, a, i, over)
		}
	}
	if done {
		return err
	}
	return u.wait(ctx, a, i)
}

// lendLocked picks a backend, one that is not the given one if possible, and begins the attempt on a connection that is idle there, if
// nobody waits for that. It is called with the lock, and returns with it unless it is done; the pick, if any, has been counted.
func (u *Upstream) lendLocked(ctx context.Context, now time.Time, a *Attempt, not int) (i int, done bool, err error) {
	i = u.pickLocked(now, a, not)
	if i < 0 || u.queue.undialled > 0 && u.queue.wanted(i) {
		return i, false, nil
	}
	b := u.backends[i]
	a.on = b
	u.countLocked(a, b) // before it is known, to take the lock once
	probes := u.judge.Probes(i)
	u.mu.Unlock()
	c, ok := b.pool.TryLend(now, a.Shard)
	if ok && probes && !u.probe(now, a, b) {
		c.Release()
		ok = false
	}
	if ok {
		a.Backend, a.Address, a.Conn = b.index, b.address, c
		a.Began, a.Waited = now, 0
		return i, true, nil
	}
	u.mu.Lock()
	u.inFlight--
	u.stats.begun--
	a.unlist()
	u.ungrantLocked(a)
	a.on = nil
	a.ready()
	// The lock was away: the world may be another one.
	if err := u.admitLocked(ctx); err != nil {
		u.doneLocked(i, lb.Abandoned, 0)
		u.mu.Unlock()
		return i, true, err
	}
	if !u.availableLocked(b) {
		u.doneLocked(i, lb.Abandoned, 0)
		i = u.pickLocked(now, a, not)
	}
	return i, false, nil
}

// admitLocked says why nothing can begin now.
func (u *Upstream) admitLocked(ctx context.Context) error {
	switch {
	case u.closed:
		return ErrClosed
	case u.judge.AdmittedCount() == 0:
		return ErrNoBackend
	}
	return ctx.Err()
}

// pickLocked chooses a backend with room that the request has not tried. When every backend that health admits has
// been tried, a second visit is better than none. It is not the given one, if another has room. It returns noPick when those that are
// left have no room.
func (u *Upstream) pickLocked(now time.Time, a *Attempt, not int) int {
	if a.Prefer != "" {
		if b := u.preferredLocked(a); b != nil {
			return u.takeLocked(b)
		}
	}
	i := noPick
	if not != noPick {
		q := u.query(a)
		q.Tried = append(slices.Clone(a.tried), not)
		i = u.picker.Pick(now, q)
	}
	if i < 0 {
		i = u.picker.Pick(now, u.query(a))
	}
	if i < 0 {
		if len(a.tried) == 0 || u.untriedLocked(a) {
			return noPick
		}
		a.tried = a.tried[:0]
		i = u.picker.Pick(now, u.query(a))
	}
	if i >= 0 {
		u.takenLocked(i)
	}
	return i
}

// untriedLocked says whether health admits a backend that the request has not tried.
func (u *Upstream) untriedLocked(a *Attempt) bool {
	for i, b := range u.backends {
		if b != nil && u.availableLocked(b) && !slices.Contains(a.tried, i) {
			return true
		}
	}
	return false
}

// BeginFresh repeats an attempt whose reused connection was dead, on a connection dialled for it alone at the same
// backend, or as Begin would where that cannot be had. It does not count against the policy of retries.
func (u *Upstream) BeginFresh(ctx context.Context, a *Attempt) error {
	b := a.on
	if b == nil { // there is nothing to be repeated
		return u.Begin(ctx, a)
	}
	a.since = u.Now()
	a.ready()
	u.mu.Lock()
	if err := u.admitLocked(ctx); err != nil {
		u.mu.Unlock()
		u.Forgo(a)
		return err
	}
	usable := u.availableLocked(b)
	var news *verdict
	if usable {
		u.picker.Take(b.index)
		u.takenLocked(b.index)
		news = u.probeLocked(a.since, a, b)
	}
	u.mu.Unlock()
	u.told(news)
	if usable {
		c, err := b.pool.Fresh(ctx, a.Shard)
		if err == nil {
			u.begun(a, b, c)
			return nil
		}
		u.freshFailed(a, b, err)
		var dialErr *pool.DialError
		if errors.As(err, &dialErr) && !u.mayGoOn() {
			u.Forgo(a)
			return &ConnectError{Upstream: u.cfg.Name, Tried: 1, Err: err}
		}
	}
	a.Number--
	return u.Begin(ctx, a)
}

// BeginOver repeats an attempt that its backend has not looked at, wherever there is room now. It does not count against
// the policy of retries.
func (u *Upstream) BeginOver(ctx context.Context, a *Attempt) error {
	a.Number--
	return u.Begin(ctx, a)
}

// BeginUnused is Begin for a tunnel, which nobody can repeat once a byte has gone: its connection has carried nothing of
// anybody's before. One that was made ready beforehand will do, and the pool makes another one ready at once; one that came
// back from an earlier request gives way to a fresh dial.
func (u *Upstream) BeginUnused(ctx context.Context, a *Attempt) error {
	err := u.Begin(ctx, a)
	for err == nil && a.Conn.Uses() > 1 {
		c, b := a.Conn, a.on
		a.Conn = pool.Conn{}
		u.mu.Lock()
		u.inFlight--
		u.stats.begun--
		u.doneLocked(b.index, lb.Abandoned, 0)
		news := u.forgoProbeLocked(u.Now(), a, b)
		u.mu.Unlock()
		u.told(news)
		c.Discard(pool.ReasonNotReusable)
		err = u.BeginFresh(ctx, a)
	}
	if err == nil {
		// A tunnel keeps its connection for long: what took its place in the pool is missed at once, not at its end.
		a.on.pool.Warm()
	}
	return err
}

// freshFailed accounts for a fresh dial that gave nothing.
func (u *Upstream) freshFailed(a *Attempt, b *backend, err error) {
	o := OutcomeClientGone
	var dialErr *pool.DialError
	if errors.As(err, &dialErr) {
		o = OutcomeConnectFailed
		a.avoid(b.index)
	}
	now := u.Now()
	u.mu.Lock()
	u.doneLocked(b.index, outcomes[o].lb, now.Sub(a.since))
	u.mu.Unlock()
	if o == OutcomeConnectFailed {
		u.evidence(now, b, o)
	}
	// The evidence may have opened the breaker, and then nothing is left of its probes.
	u.mu.Lock()
	news := u.forgoProbeLocked(now, a, b)
	limited := b.limiter != nil
	u.mu.Unlock()
	u.told(news)
	if limited {
		u.serve(b) // the pool's word came before its place in the limit was free
	}
}

// begun notes that the attempt has its connection.
func (u *Upstream) begun(a *Attempt, b *backend, c pool.Conn) {
	a.on, a.Backend, a.Address, a.Conn = b, b.index, b.address, c
	a.Began = u.Now()
	a.Waited = a.Began.Sub(a.since)
	u.mu.Lock()
	u.countLocked(a, b)
	u.mu.Unlock()
}

// mayGoOn says whether a request goes on to another backend when a connection cannot be made.
func (u *Upstream) mayGoOn() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cfg.RetryOn.has(OnConnectFailure)
}

// countLocked counts an attempt that holds a connection, and lets it be found while it is under way.
func (u *Upstream) countLocked(a *Attempt, b *backend) {
	u.inFlight++
	u.stats.begun++
	if a.Repeatable {
		u.armLocked(a)
		u.listLocked(a, b)
	}
}

// ready makes the attempt ready for another connection.
func (a *Attempt) ready() {
	a.PerTry, a.FirstByte, a.Stream, a.Untimed, a.Kept = 0, time.Time{}, nil, false, false
	if a.Repeatable {
		a.state.Store(stateBegun)
	}
}

// Finish ends the attempt with one outcome. With keep the connection goes back to its pool for the next request;
// otherwise it is retired for the reason given. It must be called once for each Begin that succeeded.
func (u *Upstream) Finish(a *Attempt, now time.Time, o Outcome, keep bool, why pool.Reason) {
	c, b := a.Conn, a.on
	if !c.Lent() {
		panic("upstream: Finish of an attempt that was not begun, or is finished")
	}
	head := now.Sub(a.Began)
	if !a.FirstByte.IsZero() {
		head = a.FirstByte.Sub(a.Began)
	}
	u.mu.Lock()
	a.unlist()
	a.Conn = pool.Conn{}
	if o != OutcomeAnswered && o != OutcomeClientGone && o != OutcomeStale {
		a.avoid(b.index)
	}
	u.inFlight--
	if a.budgeted {
		u.retries--
	}
	if a.granted {
		u.stats.retries++
	}
	left := a.left
	a.budgeted, a.granted, a.left = a.granted, false, 0
	b.outcomes[o]++
	lesson := outcomes[o].lb
	if a.Untimed && lesson == lb.Success {
		lesson = lb.Abandoned // its time is none that a picker could learn from
	}
	u.learnLocked(now, a.Began, b, lesson, head)
	u.doneLocked(b.index, lesson, head)
	var ch health.Change
	var changed bool
	var others []verdict
	if left == OnPerTryTimeout && o == OutcomeTimeout && a.probe == 0 {
		a.suspects = append(a.suspects, suspect{b, head})
	} else {
		took := head
		if a.Untimed {
			took = 0
		}
		ch, changed = u.observeLocked(now, b, o, took, a)
		if a.suspects != nil && o != OutcomeStale && o != OutcomeLost { // after these it goes on
			others = u.concludeLocked(a, now, o, head)
		}
	}
	if a.Repeatable && o == OutcomeAnswered {
		u.perTry.observe(head)
	}
	turned := u.panicTurned
	u.mu.Unlock()
	if o != OutcomeAnswered {
		u.tell(b, Event{At: now, Kind: KindAttemptFailed, Reason: o.String()})
	}
	if keep {
		c.ReleaseAt(now)
	} else {
		c.Discard(why)
	}
	if changed {
		u.changed(b, ch)
	}
	if others != nil || turned {
		u.allChanged(others)
	}
}

// MayRetry says whether the request may be tried again after an attempt that ended badly, for that reason: the settings
// name the condition, attempts are left, and so is room in the budget. A true answer reserves that room. The Finish of the
// next attempt gives it back, or its Begin where that fails; Forgo gives it back when there will be none.
func (u *Upstream) MayRetry(a *Attempt, why Condition) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.cfg.RetryOn.has(why) || a.Number >= u.cfg.Attempts || u.closed {
		return false
	}
	if a.budgeted { // health has moved the request in the moment in which it failed
		return true
	}
	if u.retries >= u.budgetLocked() && !u.fellLocked(a, why) {
		u.stats.overBudget++
		return false
	}
	a.budgeted = true
	u.retries++
	u.stats.retries++
	return true
}

// Forgo gives back what MayRetry or MayLeave reserved when no attempt follows a Finish.
func (u *Upstream) Forgo(a *Attempt) {
	if !a.budgeted {
		return
	}
	a.budgeted = false
	u.mu.Lock()
	u.retries--
	u.mu.Unlock()
}
