package pool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// step is one drawn action of the model test. The whole script is drawn before it is run.
type step struct {
	op    string
	n     int           // which of the things that the action may be about
	after time.Duration // virtual time that passes before it
}

var ops = []string{
	"lend", "lend", "lend", "tryLend", "release", "release", "release", "discard", "take", "want", "giveUp",
	"peerCloses", "dialsFail", "dialsWork", "getN", "getN", "retire", "resize", "roomChanges", "roomChanges", "breaks",
}

func drawScript(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			op:    rapid.SampledFrom(ops).Draw(t, "op"),
			n:     rapid.IntRange(0, 7).Draw(t, "n"),
			after: time.Duration(rapid.IntRange(0, 40).Draw(t, "after")) * 5 * time.Millisecond,
		}
	}), 1, 60).Draw(t, "script")
}

// caller is a goroutine in Lend, as the model knows it.
type caller struct {
	number int
	cancel context.CancelFunc
	done   chan struct{}
	need   int
	conns  []Conn
	err    error
}

// world is the dumb model: who holds what, and who waits in which order.
type world struct {
	t       *rapid.T
	p       *Pool
	f       *fakeNet
	held    []Conn
	waiting []*caller
	started int
	served  int // the number of the last caller who was served
	closers []func()
	retired int  // the connections dialled before the last Retire
	shrunk  bool // the limit has been lowered, so that more may be open for a while
	maxUses int
	ss      *sessions // nil where connections are exclusive
}

func TestConnectionPoolHoldsItsLawsUnderAnyScript(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			MaxConnections: rapid.IntRange(1, 4).Draw(t, "max"),
			Shards:         rapid.IntRange(1, 3).Draw(t, "shards"),
			IdleTimeout:    time.Duration(rapid.IntRange(50, 500).Draw(t, "idleTimeout")) * time.Millisecond,
			MaxLifetime:    time.Duration(rapid.IntRange(100, 1000).Draw(t, "lifetime")) * time.Millisecond,
			Order:          Order(rapid.IntRange(0, 1).Draw(t, "order")),
			MaxUses:        rapid.IntRange(1, 9).Draw(t, "maxUses"),
			MaxWaiters:     rapid.IntRange(1, 4).Draw(t, "waiters"),
			TrimEvery:      time.Duration(rapid.IntRange(20, 500).Draw(t, "trimEvery")) * time.Millisecond,
			Predict:        Predict(rapid.IntRange(0, 2).Draw(t, "predict")),
			PredictEvery:   time.Duration(rapid.IntRange(10, 200).Draw(t, "predictEvery")) * time.Millisecond,
		}
		cfg.MaxDials = rapid.IntRange(1, 4).Draw(t, "maxDials")
		cfg.Patience = rapid.SampledFrom([]float64{-1, 0.25, 1}).Draw(t, "patience")
		if rapid.Bool().Draw(t, "judged") {
			cfg.Judge = func(error) {}
		}
		cfg.MinIdle = rapid.IntRange(0, cfg.MaxConnections).Draw(t, "minIdle")
		streams := rapid.IntRange(0, 3).Draw(t, "streams")
		script := drawScript(t)
		rapid.SyncTest(t, func(t *rapid.T) { runScript(t, cfg, streams, script) })
	})
}

func runScript(t *rapid.T, cfg Config, streams int, script []step) {
	w := &world{t: t, f: newFakeNet(10 * time.Millisecond), maxUses: cfg.MaxUses}
	cfg.Address, cfg.Dialer = "a:1", w.f
	if streams > 0 {
		w.ss = &sessions{n: int32(streams)}
		cfg.Setup = w.ss.setUp
	}
	cfg.Rand = func(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
	p, err := New(cfg)
	require.NoError(t, err)
	w.p = p
	p.Warm()
	for _, s := range script {
		p.clk.Sleep(s.after)
		synctest.Wait()
		w.collect()
		w.act(s)
		synctest.Wait()
		w.collect()
		w.check()
	}
	w.finish()
}

// act carries out one action; one that does not apply does nothing.
func (w *world) act(s step) {
	switch s.op {
	case "lend":
		w.lend(1)
	case "getN":
		w.lend(2 + s.n%3)
	case "retire":
		w.p.Retire()
		w.retired = len(w.f.dialled)
	case "resize":
		w.shrunk = w.shrunk || 1+s.n%5 < w.p.Stats().Limit
		require.NoError(w.t, w.p.Resize(1+s.n%5))
	case "tryLend":
		c := tryLend(w.p, w.p.clk.Now(), s.n%len(w.p.shards))
		if c.Lent() {
			require.Empty(w.t, w.waiting, "TryLend overtook a waiter")
			w.hold(c)
		}
	case "want":
		w.p.Want(s.n)
	case "giveUp":
		if len(w.waiting) > 0 {
			w.waiting[s.n%len(w.waiting)].cancel()
		}
	case "roomChanges", "breaks":
		if w.ss == nil || len(w.ss.all) == 0 {
			return
		}
		one := w.ss.all[len(w.ss.all)-1-s.n%min(len(w.ss.all), 3)]
		if s.op == "breaks" {
			one.broken.Store(true)
		} else {
			one.room.Store(int32(s.n % 4))
		}
		w.p.SessionChanged()
	case "dialsFail", "dialsWork":
		w.f.setFail(s.op == "dialsFail")
	case "peerCloses":
		if n := len(w.f.dialled); n > 0 {
			w.f.dialled[s.n%n].peerCloses()
		}
	default:
		w.giveBack(s)
	}
}

func (w *world) giveBack(s step) {
	if len(w.held) == 0 {
		return
	}
	i := s.n % len(w.held)
	c := w.held[i]
	w.held = append(w.held[:i:i], w.held[i+1:]...)
	switch s.op {
	case "release":
		c.Release()
	case "discard":
		c.Discard(ReasonBroken)
	case "take":
		if w.ss != nil {
			require.Panics(w.t, func() { c.Take() })
			c.Release()
			return
		}
		nc := c.Take()
		w.closers = append(w.closers, func() { _ = nc.Close() })
	}
}

func (w *world) lend(need int) {
	ctx, cancel := context.WithCancel(context.Background())
	w.started++
	c := &caller{number: w.started, need: need, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		if shard := c.number % len(w.p.shards); need > 1 {
			c.conns, c.err = w.p.GetN(ctx, shard, need)
		} else if one, err := w.p.LendAt(ctx, w.p.clk.Now(), shard); err != nil {
			c.err = err
		} else {
			c.conns = []Conn{one}
		}
	}()
	w.waiting = append(w.waiting, c)
}

// collect moves the callers whose Lend has returned from waiting to holding, and checks their order.
func (w *world) collect() {
	var still []*caller
	for _, c := range w.waiting {
		select {
		case <-c.done:
		default:
			still = append(still, c)
			continue
		}
		c.cancel()
		if c.conns == nil {
			require.Error(w.t, c.err)
			continue
		}
		require.NoError(w.t, c.err)
		require.Len(w.t, c.conns, c.need, "all or nothing")
		require.Greater(w.t, c.number, w.served, "served out of turn")
		require.Empty(w.t, still, "caller %d was served before an earlier one", c.number)
		w.served = c.number
		for _, got := range c.conns {
			w.hold(got)
		}
	}
	w.waiting = still
}

func (w *world) hold(c Conn) {
	on := 1
	for _, h := range w.held {
		require.NotSame(w.t, h.loan, c.loan, "one loan in two hands")
		if h.loan.link == c.loan.link {
			on++
		}
	}
	if w.ss == nil {
		require.Equal(w.t, 1, on, "one connection in two hands")
	} else {
		require.LessOrEqual(w.t, on, 3, "more than a session ever has room for")
	}
	require.False(w.t, raw(c).isClosed(), "a closed connection was lent")
	for _, old := range w.f.dialled[:w.retired] {
		require.NotSame(w.t, old, c.NetConn(), "lent after Retire")
	}
	require.LessOrEqual(w.t, c.Uses(), uint64(w.maxUses))
	w.held = append(w.held, c)
}

// checkHistograms compares the distributions with the counters.
func (w *world) checkHistograms(s Stats) {
	h := w.p.Histograms()
	require.EqualValues(w.t, s.Dialled, h.Dial.Count)
	require.Equal(w.t, s.RetiredTotal(), h.Age.Count)
	require.Equal(w.t, s.LifetimeSum, h.Age.Sum)
	require.Equal(w.t, s.Lends, h.Lent.Count+uint64(len(w.held)))
	require.Equal(w.t, s.Waits, h.Wait.Count+uint64(len(w.waiting)))
}

// check compares the pool's own account with the model's.
func (w *world) check() {
	s := w.p.Stats()
	if open := s.Idle + s.Lent + s.Dialling; open > s.Limit {
		require.True(w.t, w.shrunk && (s.Idle == 0 || open-w.departing() <= s.Limit), "more than the limit: %+v", s)
		s.Limit = open
	}
	requireConserved(w.t, s)
	links := map[*link]bool{}
	for _, c := range w.held {
		links[c.loan.link] = true
	}
	require.Equal(w.t, len(links), s.Lent)
	require.Equal(w.t, len(w.held), s.Loans)
	require.Equal(w.t, len(w.waiting), s.Waiting)
	require.Equal(w.t, w.f.open(), s.Idle+s.Lent+len(w.closers), "sockets open: %+v", s)
	w.checkHistograms(s)
	require.LessOrEqual(w.t, s.Dialling, w.p.cfg.MaxDials)
	require.False(w.t, s.Down && s.Waiting > s.Dialling && w.ss == nil, "nobody waits in vain: %+v", s)
	if s.Waiting > 0 {
		need := w.waiting[0].need
		w.p.lock()
		room := w.p.roomLocked(need)
		later := w.p.paceAt != never && (w.p.outage.holds() || s.Loans > 0) // the probe, or the end of patience
		w.p.unlock()
		require.Less(w.t, room, need, "the first in line waits while what it needs is there")
		require.True(w.t, s.Dialling > 0 || s.Lent > s.Limit-need || later, "somebody waits for nothing: %+v", s)
	}
}

// departing is how many connections go when their loans end.
func (w *world) departing() int {
	w.p.lock()
	defer w.p.unlock()
	return w.p.departing
}

func (w *world) finish() {
	for n := 0; len(w.held) > 0 || len(w.waiting) > 0; n++ {
		require.Less(w.t, n, 100, "somebody waits for ever: %+v", w.p.Stats())
		w.f.setFail(false)
		for len(w.held) > 0 {
			w.giveBack(step{op: "release"})
		}
		w.p.clk.Sleep(time.Second)
		synctest.Wait()
		w.collect()
	}
	w.p.Close()
	s := w.p.Stats()
	requireConserved(w.t, s)
	require.Zero(w.t, s.Idle+s.Lent+s.Dialling+s.Waiting, fmt.Sprintf("%+v", s))
	require.Equal(w.t, len(w.closers), w.f.open())
	for _, c := range w.closers {
		c()
	}
}
