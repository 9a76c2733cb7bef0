package pool

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// result is what a waiter is served: one connection, or those of a batch, or an error. The loans have begun.
type result struct {
	loan  *loan
	batch []*loan
	err   error
}

// waiter is one caller in the line: of Lend with a need of one connection, of GetN with its whole number, of Drain
// with none. A waiter holds nothing while it waits. It is used again by later callers.
type waiter struct {
	ctx        context.Context
	served     signal
	got        result // valid once served has been received from
	prev, next *waiter
	since      time.Duration
	need       int
	shard      int
	queued     bool
	dropped    bool // left the line unserved, because its context had ended
	counted    bool // had to wait, which is in Stats.Waits and not yet in Histograms.Wait
}

// newWaiter returns a waiter that stands nowhere yet. When its caller has an answer it is done with.
func (p *Pool) newWaiter(ctx context.Context, now time.Duration, need, shard int) *waiter {
	w, _ := p.spare.Get().(*waiter)
	if w == nil {
		w = &waiter{served: make(signal, 1)}
	}
	w.ctx, w.since, w.need, w.shard = ctx, now, need, shard
	return w
}

// done keeps a waiter for its next use.
func (p *Pool) done(w *waiter) {
	*w = waiter{served: w.served}
	p.spare.Put(w)
}

// serve gives a waiter that has left the line what it waited for.
func (w *waiter) serve(r result) {
	w.got = r
	w.served <- struct{}{}
}

// waiterList is the line of waiters, first come first. Callers of Drain stand in it and are not counted.
type waiterList struct {
	head, tail *waiter
	n          int          // callers of Lend and GetN
	need       int          // what they need together
	stand      *atomic.Bool // n is above 0, for those who take no lock
}

func (l *waiterList) push(w *waiter) {
	w.queued, w.prev, w.next = true, l.tail, nil
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.count(w, 1)
}

func (l *waiterList) count(w *waiter, sign int) {
	if w.need > 0 {
		l.n += sign
		l.need += sign * w.need
		if l.n == 0 || sign > 0 && l.n == 1 {
			l.stand.Store(l.n > 0)
		}
	}
}

func (l *waiterList) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	l.count(w, -1)
}

// firstLive is the first waiter whose context still runs, left in the line; those before it leave the line, and find
// out by their own wait.
func (l *waiterList) firstLive() *waiter {
	for l.head != nil && l.head.ctx.Err() != nil {
		w := l.head
		l.remove(w)
		w.dropped = true
	}
	return l.head
}

func (l *waiterList) pop() *waiter {
	w := l.head
	if w != nil {
		l.remove(w)
	}
	return w
}

// layBack lays connections idle again that were taken for a loan which did not begin, as they lay before.
func (p *Pool) layBack(taken []*loan) {
	for _, l := range taken {
		k := l.link
		p.lock()
		switch {
		case k.session != nil:
			k.streams.taken--
			p.giveStreamLocked(l, p.now())
		case p.closed:
			p.unlock()
			p.drop(k, p.now(), ReasonPoolClosed)
		case k.gen != p.gen: // Retire has been by meanwhile
			p.unlock()
			if p.drop(k, p.now(), ReasonOutdated) {
				p.ready()
			}
		default:
			p.lieDownLocked(k, k.since)
			p.unlock()
		}
	}
}

// serveLine gives the idle connections to the waiters, from the head of the line, one instant each. Self is the
// caller's own waiter, which needs no waking.
//
// A connection is looked at before it is given, while its waiter stands in the line: were it found dead afterwards, the
// next in line would have overtaken meanwhile.
func (p *Pool) serveLine(self *waiter) {
	for {
		now := p.now()
		p.lock()
		w, taken := p.takeForLineLocked(now)
		if w == nil || len(taken) < w.need {
			p.unlock()
			p.layBack(taken)
			if w != nil {
				p.begin() // what was counted on is not there
			}
			return
		}
		if p.soundLocked(taken, now) || p.sound(taken, now, w.since) {
			p.serveLocked(w, taken, now, w == self)
		} else {
			p.begin() // for those that were not good
		}
	}
}

// takeForLineLocked takes all the idle connections that the first waiter needs. It is nil when nobody waits, and when fewer
// are idle: then they go on lying ready, and no other waiter may have them. It takes too few when a session has ended since
// it was asked, or when some must be pinged first.
func (p *Pool) takeForLineLocked(now time.Duration) (*waiter, []*loan) {
	w := p.waiters.firstLive()
	if w == nil || w.need > 0 && (p.nIdle+len(p.sessions) == 0 || p.roomLocked(w.need) < w.need) {
		return nil, nil
	}
	taken := make([]*loan, 0, w.need)
	for len(taken) < w.need {
		l := p.popReadyLocked(w.shard, now, w.since, p.waiters.need-len(taken))
		if l == nil {
			break
		}
		taken = append(taken, l)
	}
	return w, taken
}

// soundLocked says that all of these may be lent without a look.
func (p *Pool) soundLocked(taken []*loan, now time.Duration) bool {
	for _, l := range taken {
		if _, bad, look := p.judge(l.link, now); bad || look {
			return false
		}
	}
	return true
}

// sound looks at connections that were taken for a waiter, unlocks meanwhile, and locks again. Where one is not good any
// more it is retired, the others lie down again, and the lock is given up: the answer is false. So it is when one must be
// pinged, for a waiter who asked at the given instant.
func (p *Pool) sound(taken []*loan, now, asked time.Duration) bool {
	p.looking += len(taken)
	p.unlock()
	good := slices.DeleteFunc(slices.Clone(taken), func(l *loan) bool {
		why, bad, ping := p.inspect(l.link, now, asked)
		if bad && p.reject(l, now, why) {
			p.ready()
		}
		if ping {
			p.ping(l.link)
		}
		return bad || ping
	})
	p.lock()
	p.looking -= len(taken)
	if len(good) == len(taken) {
		return true
	}
	p.unlock()
	p.layBack(good)
	return false
}

// serveLocked lends to a waiter what was taken for it, if it has not left the line meanwhile, and unlocks.
func (p *Pool) serveLocked(w *waiter, taken []*loan, now time.Duration, self bool) {
	if p.waiters.firstLive() != w || len(taken) != w.need {
		p.unlock()
		p.layBack(taken)
		return
	}
	p.waiters.remove(w)
	p.waitedLocked(w, now)
	for _, l := range taken {
		p.lendLocked(l, now, w.shard)
	}
	var r result
	switch len(taken) {
	case 0:
	case 1:
		r.loan = taken[0]
	default:
		r.batch = taken
	}
	p.unlock()
	if self {
		w.serve(r)
		return
	}
	p.tell(w, r)
}

// tell wakes a waiter that has left the line.
func (p *Pool) tell(w *waiter, r result) {
	rest := p.apart()
	w.serve(r)
	rest()
}

// waitedLocked counts the wait of a caller that has left the line for good, if it had to wait at all.
func (p *Pool) waitedLocked(w *waiter, now time.Duration) {
	if w.counted {
		w.counted = false
		p.hist.wait.observe(now - w.since)
	}
}

// waited is waitedLocked, now and without the lock.
func (p *Pool) waited(w *waiter) {
	now := p.now()
	p.lock()
	p.waitedLocked(w, now)
	p.unlock()
}

// await puts the caller in the line and waits for its turn, or for the end of its context.
func (p *Pool) await(w *waiter) (result, error) {
	if err := p.enqueue(w); err != nil {
		return result{}, err
	}
	return p.outcome(w)
}

// outcome is what comes of a caller's wait in the line.
func (p *Pool) outcome(w *waiter) (result, error) {
	if w.served.wait(w.ctx) {
		if w.got.err != nil {
			p.waited(w)
			return result{}, w.got.err
		}
		if w.ctx.Err() == nil {
			return w.got, nil
		}
		w.served <- struct{}{} // both at once: which of them the select found must not matter
	}
	p.giveUp(w)
	return result{}, w.ctx.Err()
}

// giveUp takes a waiter whose context has ended out of the line.
func (p *Pool) giveUp(w *waiter) {
	now := p.now()
	p.lock()
	p.waitedLocked(w, now)
	served := !w.queued && !w.dropped
	if w.queued {
		p.waiters.remove(w)
		p.settleLocked()
	}
	p.stats.GaveUp++
	p.unlock()
	// It was served in the very moment at which its context ended: then what it got goes to the next one. The result
	// may be still on its way, since it is sent without the lock.
	if served {
		<-w.served
		p.passOn(w.got)
	}
	p.serveLine(nil) // what lay ready for a batch is the next one's, and Drain waits for the end of the line
	p.trim()
	p.lock()
	free := p.waiters.n == 0 && p.nIdle > 0
	p.unlock()
	if free {
		p.ready()
	}
}

// passOn gives what a waiter got and cannot use to the next one.
func (p *Pool) passOn(r result) {
	all := r.batch
	if r.loan != nil {
		all = append(all, r.loan)
	}
	for _, l := range all {
		p.lock()
		p.shards[l.shard].undo(l)
		p.giveLocked(l, p.now())
	}
}

// enqueue puts the caller in the line and asks for dials where they may be made.
func (p *Pool) enqueue(w *waiter) error {
	p.lock()
	if err := p.refusesLocked(w); err != nil {
		p.unlock()
		if full, ok := err.(*LimitError); ok && full.stack != nil {
			full.Longest.Stack, full.stack = full.stack.String(), nil
		}
		return err
	}
	p.waiters.push(w)
	p.noteLocked(p.demandLocked())
	if p.nIdle+len(p.sessions) > 0 {
		// They came back since the caller looked, or it needs several: this caller gets them, or whoever is ahead.
		p.unlock()
		p.serveLine(w)
		p.lock()
	}
	var due dials
	if w.queued {
		w.counted = true
		p.stats.Waits++
		due = p.lineDueLocked(w.since)
	}
	p.unlock()
	p.start(due)
	return nil
}

// refusesLocked is why a caller may not stand in the line, nil if it may.
func (p *Pool) refusesLocked(w *waiter) error {
	switch {
	case p.closed, p.draining:
		return ErrClosed
	case w.need > p.limit:
		return ErrTooLarge
	}
	if err := p.turnedAwayLocked(w.since); err != nil {
		return err
	}
	if p.waiters.n >= max(p.cfg.MaxWaiters, 0) && (p.waiters.n > 0 || p.roomLocked(w.need) < w.need) {
		return p.limitErrorLocked(w.since)
	}
	return nil
}

// inspect says whether an idle connection that is about to be lent must not be, or must be pinged first.
func (p *Pool) inspect(k *link, now, asked time.Duration) (why Reason, bad, ping bool) {
	p.lock()
	why, bad, look := p.judge(k, now)
	ping = !bad && p.pingDue(k, now, asked)
	p.unlock()
	if look {
		why, bad = p.validate(k, now)
	}
	return why, bad, ping && !bad
}

// oldestWaitLocked is how long the first caller in the line has waited, zero when there is none.
func (p *Pool) oldestWaitLocked(now time.Duration) time.Duration {
	for w := p.waiters.head; w != nil; w = w.next {
		if w.need > 0 {
			return max(now-w.since, 0)
		}
	}
	return 0
}
