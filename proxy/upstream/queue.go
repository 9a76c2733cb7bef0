package upstream

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// noPick is the backend of a waiter that counts on no particular one.
const noPick = -1

// grant is what a waiter is served: a connection of a backend, or an error.
type grant struct {
	backend *backend
	conn    pool.Conn
	err     error
}

// waiter is a request in the queue. Its fields, and those of its attempt, belong to Upstream.mu while it is queued.
type waiter struct {
	ctx     context.Context
	a       *Attempt
	pick    int   // the backend whose dial it counts on and in whose in-flight count it is, or noPick
	only    int   // the backend that its request prefers, and waits for as long as that is available; noPick: it takes any
	failed  int   // backends whose dial failed while it counted on them
	failure error // the last such dial's error
	served  chan grant
	queued  bool
}

// may says whether the waiter would take a connection of backend i. One whose context has ended leaves by itself. One that
// counts on the backend of its key takes no other's, and nobody one of a later tier than he counts on; one that counts on nobody, because
// all are full, takes whatever becomes free first.
func (q *queue) may(w *waiter, i int) bool {
	if w.ctx.Err() != nil || slices.Contains(w.a.tried, i) {
		return false
	}
	if w.only != noPick {
		return w.only == i
	}
	if w.pick == noPick || w.pick == i {
		return true
	}
	return q.tier[i] <= q.tier[w.pick] && !(q.byKey && w.a.Key != 0)
}

// queue is the line, in order of urgency, and first come first within a class (line.go). Leaving from its head costs nothing; from
// the middle, a copy.
//
// Invariant: n is the number of waiters in all lines; on[i] is the number of those whose pick is i, and undialled the number of
// those whose pick is noPick, bound that of those among them who wait for the backend that they prefer, and boundOn[i] that of
// those who wait for backend i; loose is the number of those who prefer none, and keyless of those whose request has no key.
type queue struct {
	lines     [NumClasses]line
	n         int
	on        []int
	tier      []int // by index
	byKey     bool  // the strategy chooses by key
	undialled int
	bound     int
	boundOn   []int
	loose     int
	keyless   int
}

func (q *queue) lineOf(w *waiter) *line { return &q.lines[w.a.Class.rank()] }

func (q *queue) count(w *waiter, by int) {
	if w.pick != noPick {
		q.on[w.pick] += by
		return
	}
	q.undialled += by
	if w.only != noPick {
		q.bound += by
		q.boundOn[w.only] += by
	}
	l := q.lineOf(w)
	if l.undialled += by; l.undialled == 0 {
		l.delay = delay{} // it has been empty
	}
}

func (q *queue) push(w *waiter) {
	w.queued = true
	l := q.lineOf(w)
	l.waiters = append(l.waiters, w)
	q.n++
	q.count(w, 1)
	if w.only == noPick {
		q.loose++
	}
	if w.a.Key == 0 {
		q.keyless++
	}
}

func (q *queue) remove(w *waiter) {
	l := q.lineOf(w)
	if i := slices.Index(l.waiters, w); i > 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
	} else { // the usual case, and a long line is not moved for it
		l.waiters[0] = nil
		l.waiters = l.waiters[1:]
	}
	if len(l.waiters) == 0 {
		l.passed = 0
	}
	w.queued = false
	q.n--
	q.count(w, -1)
	if w.only == noPick {
		q.loose--
	}
	if w.a.Key == 0 {
		q.keyless--
	}
}

// loosen lets a queued waiter go anywhere who prefers a backend.
func (q *queue) loosen(w *waiter) {
	if w.only == noPick {
		return
	}
	if w.pick == noPick {
		q.bound--
		q.boundOn[w.only]--
	}
	w.only = noPick
	q.loose++
}

// wanted says whether somebody waits, without a dial, whom backend i may serve, unless he has tried it. Those who wait for another
// one that they prefer are none: they may be many, while this one is idle.
func (q *queue) wanted(i int) bool { return q.undialled-q.bound+q.boundOn[i] > 0 }

// repick changes the backend that a queued waiter counts on.
func (q *queue) repick(w *waiter, pick int) {
	q.count(w, -1)
	w.pick = pick
	q.count(w, 1)
}

// all are the waiters, the most urgent first.
func (q *queue) all() iter.Seq[*waiter] {
	return func(yield func(*waiter) bool) {
		for r := range q.lines {
			for _, w := range q.lines[r].waiters {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// head is the first waiter of the most urgent class, or nil.
func (q *queue) head() *waiter {
	for w := range q.all() {
		return w
	}
	return nil
}

// forget lets every waiter try index i, which has become another backend's.
func (q *queue) forget(i int) {
	for w := range q.all() {
		w.a.tried = slices.DeleteFunc(w.a.tried, func(t int) bool { return t == i })
	}
}

// firstFor returns the waiter that has the next turn among those whom backend i may serve, or nil.
func (q *queue) firstFor(i int) *waiter {
	// A long line for another backend is not looked through.
	if q.byKey && q.on[i]+q.undialled+q.keyless == 0 || q.loose+q.on[i]+q.boundOn[i] == 0 {
		return nil
	}
	for _, r := range q.order() {
		for _, w := range q.lines[r].waiters {
			if q.may(w, i) {
				return w
			}
		}
	}
	return nil
}

// firstUndialledFor is firstFor among those who count on no backend.
func (q *queue) firstUndialledFor(i int) *waiter {
	if !q.wanted(i) {
		return nil
	}
	for _, r := range q.order() {
		if q.lines[r].undialled == 0 {
			continue
		}
		for _, w := range q.lines[r].waiters {
			if w.pick == noPick && q.may(w, i) {
				return w
			}
		}
	}
	return nil
}

// firstOn returns the first waiter that counts on backend i, or nil.
func (q *queue) firstOn(i int) *waiter {
	if q.on[i] == 0 {
		return nil
	}
	for w := range q.all() {
		if w.pick == i {
			return w
		}
	}
	panic("upstream: a waiter is counted that is not in the line")
}

// lastOn returns the last waiter that counts on backend i, or nil.
func (q *queue) lastOn(i int) *waiter {
	if q.on[i] == 0 {
		return nil
	}
	for r := NumClasses - 1; r >= 0; r-- {
		for _, w := range slices.Backward(q.lines[r].waiters) {
			if w.pick == i {
				return w
			}
		}
	}
	return nil
}

// leaveLocked takes a waiter out of the line and gives back its pick.
func (u *Upstream) leaveLocked(w *waiter) {
	u.unpickLocked(w, lb.Abandoned)
	u.queue.remove(w)
	u.waiting.Store(int32(u.queue.n))
}

// unpickLocked ends a queued waiter's counting on its backend.
func (u *Upstream) unpickLocked(w *waiter, o lb.Outcome) {
	if w.pick != noPick {
		u.doneLocked(w.pick, o, u.Now().Sub(w.a.since))
		u.queue.repick(w, noPick)
	}
}

// wait queues the attempt and returns when it has been served. It is called with the lock and returns without it.
// The pick, if any, has been counted.
func (u *Upstream) wait(ctx context.Context, a *Attempt, pick int) error {
	var gone []*waiter
	if u.queue.n >= max(u.cfg.MaxWaiting, 0) {
		last := u.queue.lastBelow(a.Class)
		if last == nil || u.cfg.MaxWaiting <= 0 {
			if pick != noPick {
				u.doneLocked(pick, lb.Abandoned, 0)
			}
			u.mu.Unlock()
			return ErrQueueFull
		}
		u.leaveLocked(last) // the last to come of the least urgent
		gone = append(gone, last)
	}
	w := &waiter{ctx: ctx, a: a, pick: pick, only: noPick, served: make(chan grant, 1)}
	if b := u.preferredLocked(a); b != nil && (pick == noPick || pick == b.index) { // it may have come back since the pick
		w.only = b.index
	}
	u.queue.push(w)
	u.waiting.Store(int32(u.queue.n))
	u.stats.waits++
	limit := u.cfg.QueueTimeout
	u.mu.Unlock()
	u.refuse(gone, ErrQueueFull)
	u.place(w)
	err := u.park(w, limit)
	u.waits.Observe(u.Now().Sub(a.since))
	return err
}

// park waits for the grant, the time limit or the end of the context.
func (u *Upstream) park(w *waiter, most time.Duration) error {
	var late <-chan struct{}
	if most > 0 {
		limit, cancel := u.clk.WithDeadline(context.Background(), w.a.since.Add(most))
		defer cancel()
		late = limit.Done()
	}
	select {
	case g := <-w.served:
		return u.accept(w, g)
	case <-late:
	case <-w.ctx.Done():
	}
	u.mu.Lock()
	queued := w.queued
	if queued {
		u.leaveLocked(w)
	}
	u.mu.Unlock()
	if !queued { // it was served in the very moment at which its time ran out
		return u.accept(w, <-w.served)
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return ErrQueueTimeout
}

// accept turns a grant into the attempt's connection. Nobody is left to use it when the context has ended in the same
// moment: then it goes to the next one in the line. (The context is asked, not the select that found one or the other:
// which of two ready cases it takes must not matter.)
func (u *Upstream) accept(w *waiter, g grant) error {
	if g.err != nil {
		return g.err
	}
	if err := w.ctx.Err(); err != nil {
		u.mu.Lock()
		u.doneLocked(g.backend.index, lb.Abandoned, 0)
		news := u.forgoProbeLocked(u.Now(), w.a, g.backend)
		u.mu.Unlock()
		u.told(news)
		g.conn.Release()
		return err
	}
	u.begun(w.a, g.backend, g.conn)
	return nil
}
