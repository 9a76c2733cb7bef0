package upstream

import (
	"cmp"
	"slices"
	"time"
)

// Class says how urgent a request is once requests must wait for room: see line. It decides nothing while there is room.
type Class int8

// The classes.
const (
	// ClassHigh goes before the others.
	ClassHigh Class = iota - 1
	// ClassNormal is what a request is of that says nothing.
	ClassNormal
	// ClassLow goes behind the others.
	ClassLow

	// NumClasses is the number of classes.
	NumClasses = 3
)

var classWords = [NumClasses]string{"high", "normal", "low"}

// String returns the class's word.
func (c Class) String() string {
	if r := int(c - ClassHigh); r >= 0 && r < NumClasses {
		return classWords[r]
	}
	return "unknown"
}

// Classes returns the closed list, the most urgent one first.
func Classes() []Class { return []Class{ClassHigh, ClassNormal, ClassLow} }

// ClassNamed returns the class of that word, which settings use; of any other word ClassNormal.
func ClassNamed(word string) Class {
	for _, c := range Classes() {
		if c.String() == word {
			return c
		}
	}
	return ClassNormal
}

// rank is the place of a class among the lines. What is beyond the list is taken for its end.
func (c Class) rank() int { return int(min(max(c, ClassHigh), ClassLow) - ClassHigh) }

// classTurn is how often a class that waits has its turn at least: one of so many that are served are its own, however many
// of more urgent ones wait. Without it the least urgent would starve for as long as the load lasts.
const classTurn = 8

// line holds waiters of one class, first come first.
//
// Invariant: undialled is the number of waiters whose pick is noPick.
type line struct {
	waiters   []*waiter
	undialled int
	delay     delay
}

// class is the common line of a class, that of those whom any backend may serve; and a list of all of the class, whatever their lines,
// which may be three for each of thousands of backends.
//
// Invariant: n is the number of waiters of the class in all lines, and they are the list, in order of coming; passed is 0 when there
// are none.
type class struct {
	line
	n      int
	eldest *waiter
	newest *waiter
	passed int // how often in a row somebody of a more urgent class was served while the backend could have served one of this
}

// join adds who has just come to the list.
func (c *class) join(w *waiter) {
	c.n++
	if w.prev = c.newest; w.prev != nil {
		w.prev.next = w
	} else {
		c.eldest = w
	}
	c.newest = w
}

func (c *class) leave(w *waiter) {
	if c.n--; c.n == 0 {
		c.passed = 0
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		c.eldest = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		c.newest = w.prev
	}
	w.prev, w.next = nil, nil
}

// at is the place of a waiter in the line, or the one that he would have.
func (l *line) at(w *waiter) int {
	if n := len(l.waiters); n == 0 || l.waiters[n-1].came < w.came { // as it is for who has just come
		return n
	}
	at, _ := slices.BinarySearchFunc(l.waiters, w.came, func(o *waiter, came uint64) int { return cmp.Compare(o.came, came) })
	return at
}

func (l *line) add(w *waiter) { l.waiters = slices.Insert(l.waiters, l.at(w), w) }

func (l *line) drop(w *waiter) {
	at := l.at(w)
	if l.waiters[at] != w {
		panic("upstream: a waiter is not in its line")
	}
	if at > 0 {
		l.waiters = slices.Delete(l.waiters, at, at+1)
	} else { // the usual case, and a long line is not moved for it
		l.waiters[0] = nil
		l.waiters = l.waiters[1:]
	}
}

// first is the first waiter that is something, or nil.
func (l *line) first(is func(*waiter) bool) *waiter {
	if at := slices.IndexFunc(l.waiters, is); at >= 0 {
		return l.waiters[at]
	}
	return nil
}

// last is the last waiter that is something, or nil.
func (l *line) last(is func(*waiter) bool) *waiter {
	for _, w := range slices.Backward(l.waiters) {
		if is(w) {
			return w
		}
	}
	return nil
}

// order is the order in which the classes are served at backend i: the most urgent first, but those that have been passed over often
// enough before all.
func (q *queue) order(i int) (order [NumClasses]int8) {
	n := 0
	for _, due := range []bool{true, false} {
		for r := range q.classes {
			if due == (max(q.classes[r].passed, q.own[i].passed[r]) >= classTurn-1) {
				order[n] = int8(r)
				n++
			}
		}
	}
	return order
}

// took notes whose turn it was at backend i. The waiter is in its line yet. A class of which i could have served nobody has not been
// passed over: else those who wait for a slow backend would have every turn there, for all that the others serve meanwhile.
func (q *queue) took(w *waiter, i int) {
	rank, own := w.a.Class.rank(), &q.own[i]
	q.classes[rank].passed, own.passed[rank] = 0, 0
	for r := rank + 1; r < NumClasses; r++ {
		bound := len(own.lines[r].waiters) > 0
		if bound {
			own.passed[r]++
		}
		if c := &q.classes[r]; bound || len(c.waiters) > 0 {
			c.passed++
		}
	}
}

// lastBelow returns the last waiter of the least urgent class, if that is less urgent than c, or nil.
func (q *queue) lastBelow(c Class) *waiter {
	for r := NumClasses - 1; r > c.rank(); r-- {
		if w := q.classes[r].newest; w != nil {
			return w
		}
	}
	return nil
}

// lastOwnBelow is lastBelow among those whom only backend i may serve.
func (q *queue) lastOwnBelow(i int, c Class) *waiter {
	for r := NumClasses - 1; r > c.rank(); r-- {
		if l := &q.own[i].lines[r]; len(l.waiters) > 0 {
			return l.waiters[len(l.waiters)-1]
		}
	}
	return nil
}

// followed says whether there is a waiter without a dial in the class of one who is the first for backend i, whom i may serve as well.
func (q *queue) followed(w *waiter, i int) bool {
	r := w.a.Class.rank()
	common, own := &q.classes[r].line, &q.own[i].lines[r]
	if common.undialled+own.undialled == 1 {
		return false
	}
	other := func(o *waiter) bool { return o != w && o.pick == noPick && q.may(o, i) }
	return slices.ContainsFunc(common.waiters[common.at(w):], other) || slices.ContainsFunc(own.waiters[own.at(w):], other)
}

// delay says whether a line stands: whether all who were served for a whole interval had waited for longer than a target. A
// line that is a burst becomes short in an interval; one that does not only makes everybody late, however long it is. It is the
// first half of CoDel (RFC 8289, section 4.4), the detection. The second half, in which drops come ever more often, is made for
// senders that slow down when they see one. Clients do not; so here, while the line stands, nobody is served who has waited for
// longer than the target, until the line has been empty (B. Maurer, Fail at Scale, ACM Queue 13.8).
type delay struct {
	above  time.Time // since when all had waited for too long; zero: the last one had not
	stands bool
}

// served notes that somebody has his turn after a wait.
func (d *delay) served(now time.Time, wait, target, interval time.Duration) {
	switch {
	case wait <= target:
		d.above = time.Time{}
	case d.above.IsZero():
		d.above = now
	case now.Sub(d.above) >= interval:
		d.stands = true
	}
}

// late says whether who has waited for so long is too late.
func (d *delay) late(wait, target time.Duration) bool { return d.stands && wait > target }

// turnLocked notes that a waiter, who is in the line yet, is served. That one begins to dial for him is no turn: whoever is first
// then gets the connection.
func (u *Upstream) turnLocked(w *waiter, b *backend, now time.Time) {
	u.queue.took(w, b.index)
	if w.pick == noPick { // one that has a dial of its own waits for that, and not for the others
		u.roomLocked(w, now)
	}
}

// roomLocked notes that there is room for a waiter for whom there was none.
func (u *Upstream) roomLocked(w *waiter, now time.Time) {
	if u.cfg.QueueTarget > 0 {
		u.queue.lineOf(w).delay.served(now, now.Sub(w.from), u.cfg.QueueTarget, u.cfg.QueueInterval)
	}
}

// lateLocked takes those out of the line who would be served by a backend now, and have waited for too long in a line that
// stands. The last one whom the backend may serve is left: that what is free is used is more than that he is late.
func (u *Upstream) lateLocked(b *backend, now time.Time) (late []*waiter) {
	for u.cfg.QueueTarget > 0 {
		w := u.headLocked(b)
		if w == nil || w.pick != noPick {
			break
		}
		if !u.queue.lineOf(w).delay.late(now.Sub(w.from), u.cfg.QueueTarget) || !u.queue.followed(w, b.index) {
			break
		}
		u.leaveLocked(w)
		u.stats.shed++
		late = append(late, w)
	}
	return late
}

// refuse sends waiters that have left the line away, one instant each.
func (u *Upstream) refuse(waiters []*waiter, err error) {
	for _, w := range waiters {
		rest := apart(u.clk)
		w.served <- grant{err: err}
		rest()
	}
}
