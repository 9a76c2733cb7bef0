package netsim

// waiter is a goroutine that is parked, or about to be. It gets at most one token for each time that it is
// put in a list, so its channel never blocks the waker.
type waiter struct {
	ch    chan struct{}
	next  *waiter
	after func() // not a goroutine but something to run without the lock
	gone  bool   // nobody waits any more
}

func newWaiter() *waiter { return &waiter{ch: make(chan struct{}, 1)} }

func (w *waiter) wake() { w.ch <- struct{}{} }

// waitList is a FIFO of parked goroutines. Sim.mu guards it.
type waitList struct{ head, tail *waiter }

func (l *waitList) push(w *waiter) {
	w.next = nil
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

func (l *waitList) pop() *waiter {
	w := l.head
	if w != nil {
		l.head = w.next
		if l.head == nil {
			l.tail = nil
		}
		w.next = nil
	}
	return w
}

// wakeOne lets the first waiter go now. It is for the handlers of events, which have an instant of their own.
func (l *waitList) wakeOne() {
	if w := l.pop(); w != nil {
		w.wake()
	}
}

// releaser lets goroutines go one by one, each at an instant of its own, in the order in which they came. Every
// connection and every listener has one, so that the order between two of them is the seed's and does not depend
// on who closed what first within an instant. The simulation has one more for what comes last, when nobody waits
// in any other: the end of a host's context, and of Close.
type releaser struct {
	s    *Sim
	list waitList
	ev   event
	last bool
}

func (r *releaser) init(s *Sim, key uint64) {
	r.s = s
	r.ev.init(r, evRelease, key)
}

// one moves the first waiter of l to the releaser.
func (r *releaser) one(l *waitList, now int64) {
	if w := l.pop(); w != nil {
		r.add(w, now)
	}
}

// all moves every waiter of l to the releaser.
func (r *releaser) all(l *waitList, now int64) {
	for w := l.pop(); w != nil; w = l.pop() {
		r.add(w, now)
	}
}

// run has fn called at an instant of its own, without the lock.
func (r *releaser) run(fn func(), now int64) { r.add(&waiter{after: fn}, now) }

func (r *releaser) add(w *waiter, now int64) {
	r.list.push(w)
	if !r.last {
		r.s.releasing++
	} else if r.s.releasing > 0 {
		return
	}
	r.schedule(now)
}

// schedule sets the instant of the next one, if there is one.
func (r *releaser) schedule(now int64) {
	if r.list.head != nil && !r.ev.queued() {
		r.s.schedule(&r.ev, now, now)
	}
}

func (r *releaser) fire(_ eventKind, now int64) {
	w := r.list.pop()
	if !r.last {
		r.s.releasing--
	}
	r.schedule(now)
	if r.s.releasing == 0 {
		r.s.lastly.schedule(now)
	}
	switch {
	case w.gone:
	case w.after != nil:
		r.s.runUnlocked(w.after)
	default:
		w.wake()
	}
}
