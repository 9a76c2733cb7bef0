package upstream

import (
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

// line holds the waiters of one class, first come first.
//
// Invariant: undialled is the number of waiters whose pick is noPick; passed is 0 when the line is empty.
type line struct {
	waiters   []*waiter
	undialled int
	passed    int // how often in a row somebody of a more urgent class was served while the line was not empty
	delay     delay
}

// order is the order in which the classes are served: the most urgent first, but a class that has been passed over often
// enough before all.
func (q *queue) order() [NumClasses]int8 {
	order := [NumClasses]int8{0, 1, 2}
	for r := 1; r < NumClasses; r++ {
		if q.lines[r].passed >= classTurn-1 {
			copy(order[1:r+1], order[:r])
			order[0] = int8(r)
			break
		}
	}
	return order
}

// took notes whose turn it was. The waiter is in its line yet.
func (q *queue) took(w *waiter) {
	own := w.a.Class.rank()
	q.lines[own].passed = 0
	for r := own + 1; r < NumClasses; r++ {
		if l := &q.lines[r]; len(l.waiters) > 0 {
			l.passed++
		}
	}
}

// lastBelow returns the last waiter of the least urgent class, if that is less urgent than c, or nil.
func (q *queue) lastBelow(c Class) *waiter {
	for r := NumClasses - 1; r > c.rank(); r-- {
		if l := &q.lines[r]; len(l.waiters) > 0 {
			return l.waiters[len(l.waiters)-1]
		}
	}
	return nil
}

// followed says whether there is a waiter without a dial behind one in his line whom backend i may serve.
func (q *queue) followed(w *waiter, i int) bool {
	l := q.lineOf(w)
	if l.undialled == 1 {
		return false
	}
	behind := l.waiters[slices.Index(l.waiters, w)+1:]
	return slices.ContainsFunc(behind, func(o *waiter) bool { return o.pick == noPick && q.may(o, i) })
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
func (u *Upstream) turnLocked(w *waiter, now time.Time) {
	u.queue.took(w)
	if w.pick == noPick { // one that has a dial of its own waits for that, and not for the others
		u.roomLocked(w, now)
	}
}

// roomLocked notes that there is room for a waiter for whom there was none.
func (u *Upstream) roomLocked(w *waiter, now time.Time) {
	if u.cfg.QueueTarget > 0 {
		u.queue.lineOf(w).delay.served(now, now.Sub(w.a.since), u.cfg.QueueTarget, u.cfg.QueueInterval)
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
		if !u.queue.lineOf(w).delay.late(now.Sub(w.a.since), u.cfg.QueueTarget) || !u.queue.followed(w, b.index) {
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
