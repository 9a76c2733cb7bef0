package upstream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// step is one drawn action of the model test. The whole script is drawn before it is run.
type step struct {
	op      string
	n       int // which of the things that the action may be about
	outcome Outcome
	after   time.Duration // virtual time that passes before it
}

var ops = []string{
	"begin", "begin", "begin", "begin", "finish", "finish", "finish", "retry", "fresh", "leave", "leave", "prove", "giveUp", "shortLived",
	"dialsFail", "dialsWork", "dialsHang", "dialsQuick", "peerCloses", "down", "up",
	"add", "remove", "drain", "undrain", "weigh", "apply", "agent",
}

func drawScript(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			op:      rapid.SampledFrom(ops).Draw(t, "op"),
			n:       rapid.IntRange(0, 7).Draw(t, "n"),
			outcome: rapid.SampledFrom(Outcomes()).Draw(t, "outcome"),
			after:   time.Duration(rapid.IntRange(0, 25).Draw(t, "after")) * time.Millisecond,
		}
	}), 1, 80).Draw(t, "script")
}

func drawConfig(t *rapid.T) Config {
	cfg := Config{
		Strategy:     rapid.SampledFrom(lb.Strategies()).Draw(t, "strategy"),
		Backends:     group(rapid.IntRange(1, 4).Draw(t, "backends")),
		MaxWaiting:   rapid.IntRange(1, 12).Draw(t, "maxWaiting"),
		SlowStart:    time.Duration(rapid.IntRange(0, 200).Draw(t, "slow start")) * time.Millisecond,
		QueueTimeout: time.Duration(rapid.IntRange(20, 300).Draw(t, "queueTimeout")) * time.Millisecond,
		RetryOn:      DefaultConditions | OnStatus503,
		Attempts:     4, BudgetMin: rapid.IntRange(1, 3).Draw(t, "budget"),
		Check: Check{Prober: &switchboard{}, Interval: time.Hour},
		Health: health.Config{Rise: 1, Fall: 1, Passive: health.Passive{
			Consecutive5xx: 2, ConsecutiveFailures: 3, BaseEjectionTime: 60 * time.Millisecond,
		}},
		Pool: pool.Config{
			MaxConnections: rapid.IntRange(1, 4).Draw(t, "max"),
			Shards:         rapid.IntRange(1, 3).Draw(t, "shards"),
			DialTimeout:    40 * time.Millisecond,
			IdleTimeout:    time.Duration(rapid.IntRange(50, 300).Draw(t, "idleTimeout")) * time.Millisecond,
			ValidateAfter:  time.Millisecond,
		},
	}
	if rapid.Bool().Draw(t, "breakers") {
		cfg.Health.Breaker = health.Breaker{ErrorPercent: rapid.SampledFrom([]int{30, 100}).Draw(t, "errors"), SlowPercent: 60,
			SlowAfter: 30 * time.Millisecond, MinRequests: rapid.IntRange(1, 3).Draw(t, "least"), Probes: rapid.IntRange(1, 2).Draw(t, "probes"),
			OpenTime: time.Duration(rapid.IntRange(10, 100).Draw(t, "open")) * time.Millisecond}
	}
	cfg.MaxWaitingPerBackend = rapid.SampledFrom([]int{0, -1, 1, 2, 3}).Draw(t, "share")
	cfg.QueueTarget = time.Duration(rapid.SampledFrom([]int{0, 1, 10}).Draw(t, "target")) * time.Millisecond
	cfg.QueueInterval = time.Duration(rapid.IntRange(1, 30).Draw(t, "interval")) * time.Millisecond
	cfg.Concurrency.Max = rapid.IntRange(0, 4).Draw(t, "limit")
	cfg.Instance, cfg.SubsetSize = "p", rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "subset")
	cfg.Health.FailOpen = rapid.Bool().Draw(t, "fail open")
	cfg.Health.PanicPercent = rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "panic")
	cfg.Zone = rapid.SampledFrom([]string{"", "a"}).Draw(t, "own zone")
	for i := range cfg.Backends {
		cfg.Backends[i].Priority = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "priority")
		cfg.Backends[i].Zone = rapid.SampledFrom([]string{"", "a"}).Draw(t, "zone")
	}
	cfg.Pool.MaxDials = rapid.IntRange(1, 4).Draw(t, "maxDials")
	cfg.Pool.MinIdle = rapid.IntRange(0, min(1, cfg.Pool.MaxConnections)).Draw(t, "minIdle")
	cfg.Pool.MaxIdle = rapid.IntRange(max(1, cfg.Pool.MinIdle), cfg.Pool.MaxConnections).Draw(t, "maxIdle")
	return cfg
}

// caller is a goroutine in Begin or BeginFresh, as the model knows it.
type caller struct {
	*Attempt
	err    error
	cancel context.CancelFunc
	done   chan struct{}
}

// place is what the model remembers of a waiter of the line from one look to the next.
type place struct {
	w     *waiter
	tried int
	pick  int
	only  int
}

// world is the dumb model: who holds what, and who waits.
type world struct {
	t      *rapid.T
	u      *Upstream
	f      *fakeNet
	held   []*Attempt
	ended  []*Attempt // finished with a bad outcome: they may be repeated
	inside []*caller
	line   []place
	own    map[*backend]int // how many waited for a backend alone
	shards int
	shed   uint64
}

func TestConnectionPoolManagerHoldsItsLawsUnderAnyScript(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		script := drawScript(t)
		rapid.SyncTest(t, func(t *rapid.T) { runScript(t, cfg, script) })
	})
}

func runScript(t *rapid.T, cfg Config, script []step) {
	w := &world{t: t, f: newFakeNet(), own: map[*backend]int{}, shards: cfg.Pool.Shards}
	w.f.clk = newClock()
	cfg.Name, cfg.Dialer, cfg.Rand, cfg.Clock = "web", w.f, seeded, w.f.clk
	u, err := New(cfg)
	require.NoError(t, err)
	w.u = u
	u.Start()
	for _, s := range script {
		u.clk.Sleep(s.after)
		w.look()
		w.act(s)
		w.look()
	}
	w.finish()
}

// look waits until all is quiet and compares the upstream with the model. Consequences follow their cause within a few
// nanoseconds, one each; a microsecond later nothing is half done.
func (w *world) look() {
	w.u.clk.Sleep(time.Microsecond)
	synctest.Wait()
	w.collect()
	w.check()
	w.lost()
}

// lost gives up the attempts that have been moved, or keeps them, as if their answer had come in the same moment.
func (w *world) lost() {
	some := false
	for _, a := range slices.Clone(w.held) {
		switch {
		case !a.Lost():
			continue
		case a.Shard%2 == 0:
			w.release(a)
			failed(w.u, a, OutcomeLost)
			w.call(a, w.u.Begin, 0)
		default:
			require.False(w.t, a.Answered())
			w.u.Stay(a)
			require.True(w.t, a.Answered())
		}
		some = true
	}
	if some {
		w.look()
	}
}

// release takes an attempt out of those that hold a connection.
func (w *world) release(a *Attempt) {
	w.held = slices.DeleteFunc(w.held, func(h *Attempt) bool { return h == a })
}

// leave ends an attempt for another one, where that is allowed.
func (w *world) leave(s step) {
	if len(w.held) == 0 {
		return
	}
	a, why, o := w.held[s.n%len(w.held)], OnPerTryTimeout, OutcomeTimeout
	if s.outcome == OutcomeAnswered5xx {
		why, o = OnStatus503, OutcomeAnswered5xx
	}
	before := a.on.index
	if !w.u.MayLeave(a, why) {
		return
	}
	require.True(w.t, a.Repeatable)
	require.Less(w.t, a.Number, w.u.cfg.Attempts)
	w.release(a)
	w.u.Finish(a, w.u.clk.Now(), o, o == OutcomeAnswered5xx, pool.ReasonUnanswered)
	require.Contains(w.t, a.tried, before)
	w.call(a, w.u.Begin, 0)
}

// act carries out one action; one that does not apply does nothing.
func (w *world) act(s step) {
	w.u.mu.Lock()
	members := slices.DeleteFunc(slices.Clone(w.u.members), func(b *backend) bool { return b.leaving })
	w.u.mu.Unlock()
	b := members[s.n%len(members)]
	if w.operate(s, b) {
		return
	}
	switch s.op {
	case "begin":
		w.call(&Attempt{Shard: s.n % w.shards, Repeatable: s.n%3 > 0, Key: uint64(s.n % 5), Class: Classes()[(s.n+int(s.outcome))%NumClasses], Prefer: preferred(s)}, w.u.Begin, 0)
	case "shortLived":
		w.call(&Attempt{}, w.u.Begin, time.Duration(s.n)*3*time.Millisecond)
	case "finish", "fresh":
		w.end(s)
	case "retry":
		w.retry(s.n)
	case "leave":
		w.leave(s)
	case "prove":
		if len(w.held) > 0 {
			w.u.Proved(w.held[s.n%len(w.held)], w.u.Now())
		}
	case "giveUp":
		if len(w.inside) > 0 {
			w.inside[s.n%len(w.inside)].cancel()
		}
	case "dialsFail", "dialsWork":
		w.f.setFail(b.address, s.op == "dialsFail")
	case "dialsHang":
		w.f.setDelay(b.address, time.Hour)
	case "dialsQuick":
		w.f.setDelay(b.address, time.Duration(s.n)*time.Millisecond)
	case "peerCloses":
		w.f.peerClosesAll(b.address)
	case "down":
		w.u.checkDone(w.u.clk.Now(), b, errRefused)
	case "up":
		w.u.checkDone(w.u.clk.Now(), b, nil)
	}
}

// preferred is the backend of a session, which may be there or not; for half of the requests none.
func preferred(s step) string {
	if s.outcome%2 == 0 {
		return ""
	}
	return addr(int(s.outcome) / 2)
}

// call runs begin on a goroutine, with a context that lasts for life, or until it is cancelled where that is 0.
func (w *world) call(a *Attempt, begin func(context.Context, *Attempt) error, life time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	if life > 0 {
		cancel()
		ctx, cancel = w.u.clk.WithTimeout(context.Background(), life)
	}
	c := &caller{Attempt: a, cancel: cancel, done: make(chan struct{})}
	go func() {
		c.err = begin(ctx, a)
		close(c.done)
	}()
	w.inside = append(w.inside, c)
}

// end finishes one attempt; after "fresh" it begins again at the same backend.
func (w *world) end(s step) {
	if len(w.held) == 0 {
		return
	}
	i := s.n % len(w.held)
	a := w.held[i]
	w.held = append(w.held[:i:i], w.held[i+1:]...)
	if s.op == "fresh" {
		failed(w.u, a, OutcomeStale)
		w.call(a, w.u.BeginFresh, 0)
		return
	}
	keep := s.outcome == OutcomeAnswered || s.outcome == OutcomeAnswered5xx
	w.u.Finish(a, w.u.clk.Now(), s.outcome, keep, pool.ReasonBroken)
	if s.outcome != OutcomeAnswered {
		w.ended = append(w.ended, a)
	}
}

func (w *world) retry(n int) {
	if len(w.ended) == 0 {
		return
	}
	i := n % len(w.ended)
	a := w.ended[i]
	w.ended = append(w.ended[:i:i], w.ended[i+1:]...)
	if w.u.MayRetry(a, OnReset) {
		w.call(a, w.u.Begin, 0)
	}
}

// collect moves the callers whose Begin has returned to those that hold a connection.
func (w *world) collect() {
	var still []*caller
	for _, c := range w.inside {
		select {
		case <-c.done:
		default:
			still = append(still, c)
			continue
		}
		c.cancel()
		if c.err != nil {
			w.checkError(c)
			continue
		}
		for _, h := range w.held {
			require.NotEqual(w.t, h.Conn, c.Conn, "one connection in two hands")
		}
		nc := c.Conn.NetConn().(*fakeConn)
		w.u.mu.Lock()
		cut := c.on.leaving // it has been lent in time, and cut off since
		w.u.mu.Unlock()
		require.False(w.t, nc.isClosed() && !cut, "a closed connection was lent")
		require.Equal(w.t, nc.address, c.Address)
		w.checkTurn(c)
		_ = c.Await() // where it has been lost already, lost finds it
		w.held = append(w.held, c.Attempt)
	}
	w.inside = still
}

func (w *world) checkError(c *caller) {
	require.False(w.t, c.Conn.Lent())
	require.False(w.t, c.budgeted, "a Begin that fails gives its place in the budget back")
	var connect *ConnectError
	switch {
	case errors.Is(c.err, ErrNoBackend), errors.Is(c.err, ErrQueueFull), errors.Is(c.err, ErrQueueTimeout):
	case errors.Is(c.err, ErrQueueShed):
		w.shed++
	case errors.Is(c.err, context.Canceled):
	case errors.As(c.err, &connect): // before DeadlineExceeded, which a hanging dial ends with
		require.Positive(w.t, connect.Tried)
	default:
		require.ErrorIs(w.t, c.err, context.DeadlineExceeded)
	}
}

// checkTurn holds that a caller that was in the line at the last look was not served before one that was there ahead
// of it and could have had its connection all the time.
func (w *world) checkTurn(c *caller) {
	i := slices.IndexFunc(w.line, func(p place) bool { return p.w.a == c.Attempt })
	for _, ahead := range w.line[:max(i, 0)] {
		w.u.mu.Lock()
		if c.on.limiter != nil && ahead.pick != c.on.index { // at its limit it serves those who are counted there
			w.u.mu.Unlock()
			continue
		}
		bad := ahead.w.queued && ahead.w.a.Class == c.Class && ahead.w.pick == ahead.pick && ahead.w.only == ahead.only && w.u.queue.may(ahead.w, c.Backend) &&
			len(ahead.w.a.tried) >= ahead.tried
		w.u.mu.Unlock()
		require.False(w.t, bad, "served out of turn")
	}
}

// check compares the upstream's own account with the model's.
func (w *world) check() {
	u, s := w.u, w.u.Stats()
	requireConserved(w.t, u, s)
	require.Equal(w.t, len(w.held), s.InFlight)
	require.Equal(w.t, w.shed, s.Shed)
	fresh := len(w.inside) - s.Waiting // inside, and not in the line: with a dial of their own
	require.GreaterOrEqual(w.t, fresh, 0)
	u.mu.Lock()
	defer u.mu.Unlock()
	w.checkPlaces()
	w.checkJudge()
	require.EqualValues(w.t, s.Waiting, u.waiting.Load())
	on, picks := 0, 0
	for i := range s.Backends {
		picks += s.Backends[i].InFlight
	}
	for i, b := range u.backends {
		on += u.queue.on[i]
		if b == nil || b.leaving {
			require.Zero(w.t, u.queue.on[i], "waiters of one that was removed")
			continue
		}
		require.LessOrEqual(w.t, u.queue.on[i], b.pool.Cover(0), "waiters of %s without a dial", b.address)
		require.False(w.t, b.full.Load() && b.pool.Free() > 0, "%s is not full", b.address)
		require.Equal(w.t, u.cfg.Concurrency.On(), b.limiter != nil)
		require.Equal(w.t, b.limiter != nil && u.picker.InFlight(i) >= b.limiter.Limit(), b.limited, "%s at its limit", b.address)
	}
	require.Equal(w.t, s.Waiting, on+u.queue.undialled)
	require.Equal(w.t, s.InFlight+on+fresh, picks, "in-flight counts: %+v", s)
	w.checkOwn(&s)
	w.line = w.line[:0]
	for _, x := range inOrder(&u.queue) {
		require.NoError(w.t, x.ctx.Err(), "its context has ended")
		require.True(w.t, u.untriedLocked(x.a), "nobody can serve this waiter: %+v", x.a.tried)
		if x.pick == noPick {
			for i, b := range u.backends {
				free := b != nil && u.queue.may(x, i) && u.availableLocked(b) && b.pool.Free() > 0 && !b.limited
				require.False(w.t, free, "somebody waits without a dial while backend %d is free", i)
			}
		} else {
			require.True(w.t, u.queue.may(x, x.pick) && u.availableLocked(u.backends[x.pick]), "it counts on a backend it must not use")
		}
		w.line = append(w.line, place{x, len(x.a.tried), x.pick, x.only})
	}
}

// checkOwn holds that nobody waits for one backend alone that is not available, and no more of them come than may.
func (w *world) checkOwn(s *Stats) {
	u, n := w.u, map[*backend]int{}
	for x := range u.queue.each() {
		if x.own == noPick {
			continue
		}
		b := u.backends[x.own]
		n[b]++
		require.True(w.t, u.availableLocked(b), "%s is not available, and somebody waits for it", b.address)
		require.True(w.t, x.only == b.index || x.only == noPick && x.pick == b.index && x.a.Key != 0, "nothing binds it to %s", b.address)
	}
	for i, b := range u.members {
		require.LessOrEqual(w.t, n[b], max(w.own[b], u.queue.most), "more than may wait for %s", b.address)
		require.Equal(w.t, n[b], s.Backends[i].Waiting)
	}
	w.own = n
	members := 0
	for _, b := range u.members {
		if !b.leaving && !b.reserve {
			members++
		}
	}
	switch most := u.cfg.MaxWaitingPerBackend; {
	case most > 0:
		require.Equal(w.t, most, u.queue.most)
	case most == 0:
		require.Equal(w.t, max(1, (u.cfg.MaxWaiting+members-1)/members), u.queue.most)
	default:
		require.GreaterOrEqual(w.t, u.queue.most, u.cfg.MaxWaiting)
	}
}

// inOrder are the waiters, the most urgent first, and in order of coming within a class.
func inOrder(q *queue) []*waiter {
	return slices.SortedFunc(q.each(), func(a, b *waiter) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
}

// checkPlaces holds that each place in the budget is somebody's, and that who may be moved is found.
func (w *world) checkPlaces() {
	places, listed := 0, 0
	for _, a := range append(slices.Clone(w.held), w.ended...) {
		for _, has := range []bool{a.budgeted, a.granted} {
			if has {
				places++
			}
		}
		if a.listed != nil {
			listed++
		}
	}
	for _, c := range w.inside {
		if c.budgeted {
			places++
		}
	}
	require.Equal(w.t, places, w.u.retries)
	for _, b := range w.u.backends {
		if b == nil {
			continue
		}
		for a := b.underWay.head; a != nil; a = a.next {
			require.Contains(w.t, w.held, a)
			require.Equal(w.t, b, a.on)
			require.False(w.t, a.granted, "who has been moved is not moved again")
			listed--
		}
	}
	require.Zero(w.t, listed)
}

// finish lets everything come to an end.
func (w *world) finish() {
	for i := range 20 {
		w.f.setFail(addr(i), false)
		w.f.setDelay(addr(i), dialTime)
	}
	for _, b := range slices.Clone(w.u.backends) {
		if b != nil && !b.leaving {
			require.NoError(w.t, w.u.UndrainBackend(b.address))
			w.u.checkDone(w.u.clk.Now(), b, nil)
		}
	}
	for n := 0; len(w.held)+len(w.inside) > 0; n++ {
		require.Less(w.t, n, 100, "it does not drain")
		for len(w.held) > 0 {
			w.end(step{op: "finish", outcome: OutcomeAnswered})
			w.look()
		}
		w.u.clk.Sleep(50 * time.Millisecond)
		w.look()
	}
	w.u.Close()
	requireRest(w.t, w.u, w.f)
}
