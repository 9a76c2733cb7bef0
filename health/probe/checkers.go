package probe

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// Checkers are runs of checks that are shared: all who watch the same backend in the same way hear of one stream of checks.
// The same way is the same Prober (the same value, which must be comparable; of others each is another one) at the same address
// with the same times, Spread and Reuse. It is safe for concurrent use.
//
// A run begins with its first watcher and ends with its last one. Who joins later hears of the next check and all after it, and
// the others do not notice. They are told one after the other, in the order in which they have come.
type Checkers struct {
	mu  sync.Mutex // never held over a wait, or a call of a watcher's
	all map[checkerKey]*checker
}

// NewCheckers returns one without any runs.
func NewCheckers() *Checkers { return &Checkers{all: make(map[checkerKey]*checker)} }

// Len is the number of runs.
func (c *Checkers) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// Watcher is one that wants to know how a backend is by its checks. Its functions are called from the goroutine of the checks,
// one at a time, without a lock of theirs.
type Watcher struct {
	// Report is told of each check: the instant, and its error, nil when the backend is well. It is not called any more once
	// the watch was ended, but a call that has begun may go on.
	Report func(now time.Time, err error)
	// Standing says how the backend stands for this watcher. Among several, one that is in doubt hurries the checks, and the
	// time for a backend that is down is taken when it is that for all. Default (when nil) always Settled.
	Standing func() Standing
	// Evidence says what the watcher has seen of the backend since it was last asked: that it is well, that it is not, or
	// neither. It vouches for the backend (see Schedule.Slow) if one says that it is well, and none that it is not. Default
	// (when nil) neither.
	Evidence func() (well, ill bool)
	// Limit bounds the checks under way. Where several watch, that of the one who has been there for longest does. Default
	// (when nil) there is none.
	Limit *Limit
	// Rand makes the stream of chance. It is asked if the watcher is the first, before Watch returns. Needed unless Spread is
	// negative.
	Rand func() *rand.Rand
	// Ended is called once, when nothing of the watch is left after it was ended. For the last watcher that is when the goroutine
	// of the checks has ended. It must not block.
	Ended func()
}

// checkerKey is what those have in common that share a run.
type checkerKey struct {
	prober                              Prober
	address                             string
	interval, fast, down, slow, timeout time.Duration
	spread                              float64
	reuse                               bool
	alone                               *checker // set where the prober cannot be compared
}

// checker is a run with those who watch it. The mutex of its Checkers guards what changes.
type checker struct {
	of       *Checkers
	key      checkerKey
	clk      clock.Clock
	round    round
	bell     bell
	ctx      context.Context
	end      context.CancelFunc
	begun    bool
	watchers []*watch // in the order in which they have come
	last     *watch   // the one that has left as the last
}

// watch is a watcher in a run.
type watch struct {
	*Watcher
	on   bool // it has begun
	left bool
	busy bool // a call of its Report is under way
}

// Watch is a hold on a run of checks. Its methods are called without a lock over which the watcher's functions could wait.
type Watch struct {
	in *checker
	wa *watch
}

// Begin begins the watch. It is called once, even if End was called before.
func (w *Watch) Begin() { w.in.begin(w.wa) }

// End ends the watch, once. It wakes the goroutine of the checks, if this was the last watch of them.
func (w *Watch) End() { w.in.leave(w.wa) }

// Hurry has the next check made at once, for somebody who has reason to think that it will find something new; or when a tenth of the
// shortest interval is over, from the beginning of the last one on. While a check waits for its turn, or has begun less than that ago
// and is under way, it means nothing. It may be called at any time.
func (w *Watch) Hurry() { w.in.bell.ring(w.in.clk, true) }

// Watch arranges for w to be told of checks of the backend at address by p, on the schedule, whose Standing, Vouched, Limit and
// Rand are not used, from Begin to End. The error is that of a schedule out of range.
func (c *Checkers) Watch(s Schedule, p Prober, address string, w *Watcher) (*Watch, error) {
	if s.Spread >= 0 {
		s.Rand = rand.New(rand.NewPCG(0, 0)) // stands for the one that is made if there is need of it
	}
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	key := checkerKey{p, address, s.Interval, s.Fast, s.Down, s.Slow, s.Timeout, s.Spread, s.Reuse, nil}
	wa := &watch{Watcher: w}
	c.mu.Lock()
	defer c.mu.Unlock()
	comparable := reflect.ValueOf(p).Comparable()
	var k *checker
	if comparable {
		k = c.all[key]
	}
	if k == nil {
		k = &checker{of: c, key: key, clk: s.Clock}
		if !comparable {
			k.key.prober, k.key.alone = nil, k
		}
		if s.Spread > 0 {
			s.Rand = w.Rand()
		}
		s.Standing, s.Vouched = k.standing, k.vouched
		k.round = round{Schedule: s, prober: p, address: address, report: k.report, limit: k.limit, bell: &k.bell}
		k.ctx, k.end = context.WithCancel(context.Background())
		c.all[k.key] = k
	}
	k.watchers = append(k.watchers, wa)
	return &Watch{k, wa}, nil
}

// begin begins a watch, and the run if it is the first.
func (k *checker) begin(w *watch) {
	k.of.mu.Lock()
	w.on = true
	first := !k.begun
	k.begun = true
	k.of.mu.Unlock()
	if !first {
		k.bell.ring(k.clk, false)
		return
	}
	k.clk.AfterFunc(0, func() {
		k.round.run(k.ctx)
		k.of.mu.Lock()
		last := k.last
		k.of.mu.Unlock()
		last.Ended()
	})
}

// leave ends a watch, and the run if it was the last.
func (k *checker) leave(w *watch) {
	k.of.mu.Lock()
	w.left = true
	k.watchers = slices.DeleteFunc(k.watchers, func(x *watch) bool { return x == w })
	last := len(k.watchers) == 0
	if last {
		k.last = w
		delete(k.of.all, k.key)
	}
	ended := !last && !w.busy
	k.of.mu.Unlock()
	switch {
	case last:
		k.end()
	case ended:
		w.Ended()
	}
}

// each calls do for all that watch, in order.
func (k *checker) each(do func(n int, w *watch)) {
	k.of.mu.Lock()
	all := slices.Clone(k.watchers)
	k.of.mu.Unlock()
	n := 0
	for _, w := range all {
		k.of.mu.Lock()
		on := w.on && !w.left
		w.busy = on
		k.of.mu.Unlock()
		if !on {
			continue
		}
		do(n, w)
		n++
		k.of.mu.Lock()
		w.busy = false
		ended := w.left && k.last != w
		k.of.mu.Unlock()
		if ended {
			w.Ended()
		}
	}
}

func (k *checker) report(now time.Time, err error) {
	k.each(func(n int, w *watch) {
		if n > 0 { // those before it may have taken their time
			now = k.clk.Now()
		}
		w.Report(now, err)
	})
}

// standing is how the backend stands for all.
func (k *checker) standing() Standing {
	doubt, settled := false, false
	k.each(func(_ int, w *watch) {
		s := Settled
		if w.Standing != nil {
			s = w.Standing()
		}
		doubt, settled = doubt || s == Doubtful, settled || s == Settled
	})
	switch {
	case doubt:
		return Doubtful
	case settled:
		return Settled
	}
	return Failing
}

// vouched says whether what all have seen speaks for the backend.
func (k *checker) vouched() bool {
	good, bad := false, false
	k.each(func(_ int, w *watch) {
		if w.Evidence != nil {
			well, ill := w.Evidence()
			good, bad = good || well, bad || ill
		}
	})
	return good && !bad
}

// limit is the bound of the one who has been there for longest.
func (k *checker) limit() *Limit {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if len(k.watchers) == 0 {
		return nil
	}
	return k.watchers[0].Limit
}

// bell wakes a run that sleeps.
type bell struct {
	mu    sync.Mutex
	ears  chan struct{} // of the sleeper; nil: there is none
	news  bool          // somebody has joined since the sleeper has last asked
	haste bool          // the next check is wanted at once, likewise
	since time.Time     // the last one was in haste
}

// listen returns a channel that is closed when the bell is rung, or has been. A nil bell never is.
func (b *bell) listen() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ears = make(chan struct{})
	if b.news || b.haste {
		close(b.ears)
		ears := b.ears
		b.ears = nil
		return ears
	}
	return b.ears
}

// rung says whether the bell was rung since it was last asked, and why.
// Since is the instant of the last haste.
func (b *bell) rung() (news, haste bool, since time.Time) {
	if b == nil {
		return false, false, since
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	news, haste, since = b.news, b.haste, b.since
	b.news, b.haste, b.ears = false, false, nil
	return news, haste, since
}

// ring rings the bell: somebody has joined, or is in haste.
func (b *bell) ring(clk clock.Clock, haste bool) {
	now := clk.Now()
	b.mu.Lock()
	ears := b.ears
	if b.news, b.haste, b.ears = b.news || !haste, b.haste || haste, nil; haste {
		b.since = now
	}
	b.mu.Unlock()
	if ears != nil {
		rest := apart(clk)
		close(ears)
		rest()
	}
}
