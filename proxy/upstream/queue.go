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
	pick    int       // the backend whose dial it counts on and in whose in-flight count it is, or noPick
	only    int       // the backend that its request prefers, and waits for as long as that is available; noPick: it takes any
	own     int       // the backend in whose own lines it is, because no other may serve it; noPick: it is in the common ones
	came    uint64    // its number: who came earlier has a lower one
	from    time.Time // since when it has waited for room with those of its line
	failed  int       // backends whose dial failed while it counted on them
	failure error     // the last such dial's error
	served  chan grant
	queued  bool

	prev, next *waiter // of its class, whatever its line
}

// before says whether the waiter comes before another one in the order of urgency, and of coming within a class.
func (w *waiter) before(o *waiter) bool {
	if o == nil || w.a.Class.rank() != o.a.Class.rank() {
		return o == nil || w.a.Class.rank() < o.a.Class.rank()
	}
	return w.came < o.came
}

// may says whether the waiter would take a connection of backend i. One whose context has ended leaves by itself. One in
// the own lines of a backend takes no other's, and nobody one of a later tier than he counts on; one that counts on nobody, because
// all are full, takes whatever becomes free first.
func (q *queue) may(w *waiter, i int) bool {
	if w.ctx.Err() != nil || slices.Contains(w.a.tried, i) {
		return false
	}
	if w.own != noPick {
		return w.own == i
	}
	return w.pick == noPick || w.pick == i || q.tier[i] <= q.tier[w.pick]
}

// queue is the line: one for each class, and for each class and backend one of those whom only that backend may serve, since they
// prefer it or count on it as the one of their key. So nobody looks through those who wait for another backend, however many these are.
// Whoever serves looks at two lines of a class, and takes who came first. Leaving from the head of a line costs nothing; from the
// middle, a copy.
//
// Invariant: a waiter is in the line that lineOf says, and each line is in order of coming; n is the number of waiters in all lines,
// and each class's n those of the class; on[i] is the number of those whose pick is i, and undialled of those whose pick is noPick.
type queue struct {
	classes    [NumClasses]class
	own        []ownLines // by index
	n          int
	came       uint64
	on         []int // by index
	tier       []int // by index
	byKey      bool  // the strategy chooses by key
	most       int   // how many may come to be in the own lines of a backend
	overflowed uint64
	undialled  int
}

// ownLines are those of the waiters whom only one backend may serve. That their class has its turns at others is nothing to them: so
// each class is counted here too.
//
// Invariant: n is their number; a class's passed is 0 when there are none of it.
type ownLines struct {
	lines  [NumClasses]line
	passed [NumClasses]int // how often in a row the backend has served somebody of a more urgent class
	n      int
}

// ownOf is the backend in whose own lines a waiter belongs, or noPick.
func (q *queue) ownOf(w *waiter) int {
	switch {
	case w.only != noPick:
		return w.only
	case q.byKey && w.a.Key != 0 && !w.a.anywhere:
		return w.pick
	}
	return noPick
}

func (q *queue) lineOf(w *waiter) *line {
	if w.own != noPick {
		return &q.own[w.own].lines[w.a.Class.rank()]
	}
	return &q.classes[w.a.Class.rank()].line
}

// count adds a waiter to what is known of picks, or takes it away.
func (q *queue) count(w *waiter, by int) {
	if w.pick != noPick {
		q.on[w.pick] += by
		return
	}
	q.undialled += by
	l := q.lineOf(w)
	if l.undialled += by; l.undialled == 0 {
		l.delay = delay{} // it has been empty
	}
}

// enter puts a waiter, who is in no line, into his. One that would come to be in the own lines of the backend of his key, and finds them
// full, goes anywhere.
func (q *queue) enter(w *waiter) {
	w.own = q.ownOf(w)
	if w.own != noPick && w.only == noPick && q.own[w.own].n >= q.most {
		w.a.anywhere, w.own = true, noPick
		q.overflowed++
	}
	if w.own != noPick {
		q.own[w.own].n++
	}
	q.lineOf(w).add(w)
}

func (q *queue) quit(w *waiter) {
	l := q.lineOf(w)
	l.drop(w)
	if w.own == noPick {
		return
	}
	o := &q.own[w.own]
	if o.n--; len(l.waiters) == 0 {
		o.passed[w.a.Class.rank()] = 0
	}
}

func (q *queue) push(w *waiter) {
	q.came++
	w.queued, w.came, w.from = true, q.came, w.a.since
	q.n++
	q.classes[w.a.Class.rank()].join(w)
	q.enter(w)
	q.count(w, 1)
}

func (q *queue) remove(w *waiter) {
	q.count(w, -1)
	q.quit(w)
	w.queued = false
	q.n--
	q.classes[w.a.Class.rank()].leave(w)
}

// repick changes the backend that a queued waiter counts on.
func (q *queue) repick(w *waiter, pick int) {
	q.count(w, -1)
	w.pick = pick
	if q.ownOf(w) != w.own {
		q.quit(w)
		q.enter(w)
	}
	q.count(w, 1)
}

// loosen lets a queued waiter go anywhere who prefers a backend. It has waited there for what others than those of its new line do.
func (q *queue) loosen(w *waiter, now time.Time) {
	if w.only != noPick {
		w.only, w.from = noPick, now
		q.repick(w, w.pick)
	}
}

// free takes a queued waiter out of a backend's own lines, which are full: somebody more urgent needs the place.
func (q *queue) free(w *waiter, now time.Time) {
	q.overflowed++
	w.a.anywhere, w.only, w.from = true, noPick, now
	q.repick(w, w.pick)
}

// chooseBy notes whether the strategy chooses by key. Who waits already is not bound by that.
func (q *queue) chooseBy(key bool) {
	if key == q.byKey {
		return
	}
	q.byKey = key
	for w := range q.each() {
		w.a.anywhere = true
		q.repick(w, w.pick)
	}
}

// wanted says whether somebody waits, without a dial, whom backend i may serve, unless he has tried it. Those who wait for another
// one that they prefer are none: they may be many, while this one is idle.
func (q *queue) wanted(i int) bool {
	for r := range q.classes {
		if q.classes[r].undialled+q.own[i].lines[r].undialled > 0 {
			return true
		}
	}
	return false
}

// each are all waiters, the most urgent class first, and in order of coming within it.
func (q *queue) each() iter.Seq[*waiter] {
	return func(yield func(*waiter) bool) {
		for r := range q.classes {
			for w := q.classes[r].eldest; w != nil; w = w.next {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// every line, in no order that should be seen.
func (q *queue) every() iter.Seq[*line] {
	return func(yield func(*line) bool) {
		for r := range q.classes {
			if !yield(&q.classes[r].line) {
				return
			}
		}
		for i := range q.own {
			for r := range q.own[i].lines {
				if !yield(&q.own[i].lines[r]) {
					return
				}
			}
		}
	}
}

// head is the first waiter of the most urgent class, or nil.
func (q *queue) head() *waiter {
	for w := range q.each() {
		return w
	}
	return nil
}

// forget lets every waiter try index i, which has become another backend's.
func (q *queue) forget(i int) {
	for w := range q.each() {
		w.a.tried = slices.DeleteFunc(w.a.tried, func(t int) bool { return t == i })
	}
}

// firstFor returns the waiter that has the next turn among those whom backend i may serve, or nil.
func (q *queue) firstFor(i int) *waiter {
	return q.first(i, func(w *waiter) bool { return q.may(w, i) })
}

// firstUndialledFor is firstFor among those who count on no backend.
func (q *queue) firstUndialledFor(i int) *waiter {
	if !q.wanted(i) {
		return nil
	}
	return q.first(i, func(w *waiter) bool { return w.pick == noPick && q.may(w, i) })
}

func (q *queue) first(i int, is func(*waiter) bool) *waiter {
	for _, r := range q.order(i) {
		w := q.classes[r].first(is)
		if o := q.own[i].lines[r].first(is); w == nil || o != nil && o.before(w) {
			w = o
		}
		if w != nil {
			return w
		}
	}
	return nil
}

// firstOn returns the first waiter that counts on backend i, or nil.
func (q *queue) firstOn(i int) (first *waiter) {
	for r := 0; r < NumClasses && q.on[i] > 0; r++ {
		for _, l := range []*line{&q.classes[r].line, &q.own[i].lines[r]} {
			if w := l.first(func(w *waiter) bool { return w.pick == i }); w != nil && w.before(first) {
				first = w
			}
		}
		if first != nil {
			return first
		}
	}
	return nil
}

// lastOn returns the last waiter that counts on backend i, or nil.
func (q *queue) lastOn(i int) (last *waiter) {
	for r := NumClasses - 1; r >= 0 && q.on[i] > 0; r-- {
		for _, l := range []*line{&q.classes[r].line, &q.own[i].lines[r]} {
			if w := l.last(func(w *waiter) bool { return w.pick == i }); w != nil && (last == nil || last.before(w)) {
				last = w
			}
		}
		if last != nil {
			return last
		}
	}
	return nil
}

// leaveLocked takes a waiter out of the line and gives back its pick.
func (u *Upstream) leaveLocked(w *waiter) {
	u.uncountLocked(w, lb.Abandoned)
	u.queue.remove(w)
	u.waiting.Store(int32(u.queue.n))
}

// unpickLocked ends a queued waiter's counting on its backend.
func (u *Upstream) unpickLocked(w *waiter, o lb.Outcome) {
	if w.pick != noPick {
		u.uncountLocked(w, o)
		u.queue.repick(w, noPick)
	}
}

// uncountLocked takes a waiter, who is about to leave the line or to count on another, out of the in-flight count of his backend.
func (u *Upstream) uncountLocked(w *waiter, o lb.Outcome) {
	if w.pick != noPick {
		u.doneLocked(w.pick, o, u.Now().Sub(w.a.since))
	}
}

// wait queues the attempt and returns when it has been served. It is called with the lock and returns without it.
// The pick, if any, has been counted.
func (u *Upstream) wait(ctx context.Context, a *Attempt, pick int) error {
	var gone []*waiter
	if u.fullQueueLocked() {
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
	moved := u.makePlaceLocked(w)
	u.queue.push(w)
	u.waiting.Store(int32(u.queue.n))
	u.stats.waits++
	limit := u.cfg.QueueTimeout
	u.mu.Unlock()
	u.refuse(gone, ErrQueueFull)
	if moved != nil {
		u.place(moved)
	}
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
