package pool

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolTrimClosesWhatRecentDemandDidNotNeedOldestFirst(t *testing.T) {
	var gone []uint64
	cfg := Config{IdleTimeout: -1, Observer: func(e Event) {
		if e.Kind == EventRetired && e.Reason == ReasonSurplus {
			gone = append(gone, e.Conn)
		}
	}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		var back []uint64
		for _, c := range getN(t, p, 20) {
			back = append(back, c.ID())
			c.Release()
			p.clk.Sleep(time.Millisecond)
		}
		p.clk.Sleep(9 * time.Second)
		require.Equal(t, 20, p.Stats().Idle, "remembered for ten seconds at least")
		held := getN(t, p, 3)
		p.clk.Sleep(time.Minute)
		s := p.Stats()
		require.Equal(t, []int{3, 1}, []int{s.Lent, s.Idle}, "the three that are lent, and one is spared")
		require.EqualValues(t, 16, s.Retired[ReasonSurplus])
		require.Equal(t, back[:16], gone, "those that came back first, and so were idle for longest")
		ReleaseAll(held)
	})
}

func TestConnectionPoolTrimNeedsNoTimerWhenNothingCanBeTooMuch(t *testing.T) {
	armed := func(p *Pool) bool {
		p.lock()
		defer p.unlock()
		return p.upkeep != nil
	}
	for _, way := range []Predict{PredictOff, PredictReactive, PredictHolt} {
		cfg := Config{IdleTimeout: -1, MaxLifetime: -1, MinIdle: 2, Predict: way}
		inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
			require.False(t, armed(p))
			p.Warm()
			p.clk.Sleep(time.Second)
			require.False(t, armed(p), "MinIdle alone")
			ReleaseAll(getN(t, p, 3))
			require.True(t, armed(p), "there are more than MinIdle")
			p.clk.Sleep(time.Minute)
			require.Equal(t, 2, p.Stats().Idle)
			require.False(t, armed(p), "and they are gone, and nothing is expected")
		})
	}
}

func TestConnectionPoolWarmedUpConnectionsAreLeftForAWhileByTheTrim(t *testing.T) {
	for _, ask := range []func(*Pool) error{
		func(p *Pool) error { return p.WarmUp(context.Background(), 10) },
		func(p *Pool) error { p.Want(10); return nil },
		func(p *Pool) error { p.Cover(10); return nil },
	} {
		inBubble(t, Config{IdleTimeout: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
			p.clk.Sleep(time.Hour)
			require.NoError(t, ask(p))
			p.clk.Sleep(9 * time.Second)
			require.Equal(t, 10, p.Stats().Idle)
			p.clk.Sleep(time.Minute)
			require.Equal(t, 1, p.Stats().Idle)
		})
	}
}

func TestConnectionPoolReactivePredictionKeepsAFifthMoreReady(t *testing.T) {
	inBubble(t, Config{Predict: PredictReactive, IdleTimeout: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := getN(t, p, 10)
		p.clk.Sleep(1100 * time.Millisecond)
		s := p.Stats()
		require.Equal(t, []int{10, 2}, []int{s.Lent, s.Idle})
		more := getN(t, p, 2) // at once
		p.clk.Sleep(time.Second)
		require.Equal(t, 3, p.Stats().Idle, "fifteen are wanted for twelve")
		ReleaseAll(more)
		ReleaseAll(held)
		p.clk.Sleep(time.Minute)
		require.Equal(t, 1, p.Stats().Idle)
	})
}

func TestConnectionPoolPredictionDialsNothingThatMaxIdleWouldClose(t *testing.T) {
	inBubble(t, Config{Predict: PredictReactive, MaxIdle: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := getN(t, p, 10)
		p.clk.Sleep(10 * time.Second)
		s := p.Stats()
		require.Equal(t, 1, s.Idle)
		require.EqualValues(t, 11, s.Begun)
		ReleaseAll(held)
	})
}

func TestConnectionPoolHoltPredictionHasTheConnectionsOfARampReady(t *testing.T) {
	waited := map[Predict]uint64{}
	for _, way := range []Predict{PredictOff, PredictHolt} {
		inBubble(t, Config{Predict: way, MaxConnections: 100}, func(t *testing.T, p *Pool, f *fakeNet) {
			var held []Conn
			for range 80 { // four more in each second
				held = append(held, lend(t, p))
				p.clk.Sleep(250 * time.Millisecond)
			}
			waited[way] = p.Stats().Waits
			ReleaseAll(held)
		})
	}
	require.EqualValues(t, 80, waited[PredictOff])
	require.LessOrEqual(t, waited[PredictHolt], uint64(20), "until the trend is known")
}

// A pool that expects nothing must see its first loan, though it takes nothing but an idle connection.
func TestConnectionPoolPredictionWakesWithTheFirstLoanOfAnIdlePool(t *testing.T) {
	cfg := Config{Predict: PredictReactive, MinIdle: 10, IdleTimeout: -1, MaxLifetime: -1, Shards: 2}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Warm()
		p.clk.Sleep(time.Hour)
		require.True(t, p.owned.Load())
		held := []Conn{}
		for i := range 9 {
			c, ok := p.TryLend(now(p), i%2)
			require.True(t, ok)
			held = append(held, c)
			require.False(t, p.owned.Load(), "from here on loans are counted by their shards")
		}
		require.Zero(t, p.Stats().Waits)
		p.clk.Sleep(1100 * time.Millisecond)
		p.lock()
		require.Equal(t, 11, p.size.wanted, "a fifth more than nine")
		p.unlock()
		ReleaseAll(held)
		p.clk.Sleep(time.Minute)
		require.True(t, p.owned.Load())
	})
}

func TestConnectionPoolPredictionKeepsStillWhileDialsFailAndWhileDraining(t *testing.T) {
	inBubble(t, Config{Predict: PredictReactive}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := getN(t, p, 10)
		f.setFail(true)
		p.clk.Sleep(1100 * time.Millisecond)
		require.EqualValues(t, 2, p.Stats().DialFailed)
		p.clk.Sleep(10 * time.Second)
		require.EqualValues(t, 2, p.Stats().DialFailed, "whoever asks next finds out")
		f.setFail(false)
		held = append(held, lend(t, p))
		p.clk.Sleep(2 * time.Second)
		require.Equal(t, 3, p.Stats().Idle)
		var wg sync.WaitGroup
		wg.Go(func() { _ = p.Drain(context.Background()) })
		synctest.Wait()
		begun := p.Stats().Begun
		p.clk.Sleep(10 * time.Second)
		require.Equal(t, begun, p.Stats().Begun)
		ReleaseAll(held)
		wg.Wait()
	})
}

// A connection in set-up or in a ping counts as lent, and nobody has it.
func TestConnectionPoolSetUpAndPingsAreNoDemand(t *testing.T) {
	cfg := Config{
		Predict: PredictReactive, IdleTimeout: -1, PingTimeout: 10 * time.Second,
		Ping: func(context.Context, net.Conn) error { clock.New().Sleep(3 * time.Second); return nil },
		Setup: func(context.Context, net.Conn) (Session, error) {
			clock.New().Sleep(3 * time.Second)
			return nil, nil
		},
	}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		inHand := func() (lent, busy int) {
			p.lock()
			defer p.unlock()
			return p.lent, p.busyLocked()
		}
		p.Want(1)
		p.clk.Sleep(time.Second)
		lent, busy := inHand()
		require.Equal(t, []int{1, 0}, []int{lent, busy}, "in set-up")
		p.clk.Sleep(4 * time.Second)
		_, ok := p.TryLend(now(p), 0)
		require.False(t, ok)
		p.clk.Sleep(time.Second)
		lent, busy = inHand()
		require.Equal(t, []int{1, 0}, []int{lent, busy}, "in a ping")
		p.clk.Sleep(10 * time.Second)
		require.EqualValues(t, 1, p.Stats().Begun, "the prediction learned nothing from it")
	})
}

// manyLoans is a session for ten loans at a time.
type manyLoans struct{ net.Conn }

func (manyLoans) Available() int { return 10 }
func (manyLoans) Err() error     { return nil }

func TestConnectionPoolCountsConnectionsAndNotLoansWhereSessionsCarryMany(t *testing.T) {
	cfg := Config{Predict: PredictReactive, IdleTimeout: -1, Setup: func(_ context.Context, nc net.Conn) (Session, error) {
		return manyLoans{nc}, nil
	}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		begun := now(p)
		held := getN(t, p, 50)
		require.Equal(t, 20*time.Millisecond, now(p).Sub(begun), "one dial, which shows that four more are lacking")
		require.Equal(t, 5, p.Stats().Lent)
		p.clk.Sleep(1100 * time.Millisecond)
		s := p.Stats()
		require.Equal(t, 6, s.Lent+s.Idle, "a fifth more than five")
		ReleaseAll(held)
		p.clk.Sleep(time.Minute)
		require.Equal(t, 1, p.Stats().Idle)
		require.Equal(t, 1, f.open())
	})
}

// floorStep is one drawn action on a pool that keeps up a floor.
type floorStep struct {
	op    string
	n     int
	after time.Duration
}

// Whatever ends a connection - use, age, idleness, the trim, Retire, a peer - a dial's time later as many as MinIdle says
// lie ready, or as many as the limit leaves beside the lent ones.
func TestConnectionPoolMinIdleIsRefilledAfterAnyRetirement(t *testing.T) {
	ops := []string{"lend", "lend", "release", "discard", "take", "retire", "resize", "peerCloses", "spike", "wait"}
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			MaxConnections: 8, MinIdle: rapid.IntRange(1, 8).Draw(t, "minIdle"),
			IdleTimeout: time.Duration(rapid.IntRange(200, 5000).Draw(t, "idleTimeout")) * time.Millisecond,
			MaxLifetime: time.Duration(rapid.IntRange(500, 5000).Draw(t, "lifetime")) * time.Millisecond,
			TrimEvery:   time.Duration(rapid.IntRange(100, 2000).Draw(t, "trimEvery")) * time.Millisecond,
			MaxUses:     rapid.IntRange(0, 3).Draw(t, "maxUses"),
			Predict:     Predict(rapid.IntRange(0, 2).Draw(t, "predict")),
		}
		script := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) floorStep {
			return floorStep{rapid.SampledFrom(ops).Draw(t, "op"), rapid.IntRange(0, 7).Draw(t, "n"),
				time.Duration(rapid.IntRange(0, 3000).Draw(t, "after")) * time.Millisecond}
		}), 1, 40).Draw(t, "script")
		rapid.SyncTest(t, func(t *rapid.T) { keepFloor(t, cfg, script) })
	})
}

func keepFloor(t *rapid.T, cfg Config, script []floorStep) {
	f := newFakeNet(10 * time.Millisecond)
	cfg.Address, cfg.Dialer = "a:1", f
	cfg.Rand = func(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
	p, err := New(cfg)
	require.NoError(t, err)
	p.Warm()
	var held []Conn
	var before Stats
	for _, s := range script {
		p.clk.Sleep(s.after)
		requireFloor(t, p, cfg.MinIdle, &before)
		before = p.Stats()
		held = floorAct(t, p, f, held, s)
		requireFloor(t, p, cfg.MinIdle, &before)
	}
	for _, c := range held {
		c.Release()
	}
	p.Close()
	requireConserved(t, p.Stats())
	for _, nc := range f.dialled {
		_ = nc.Close() // those that were taken
	}
}

// requireFloor fails when connections have been retired since before, and then for a while never as many were idle as
// should be. More may end while their successors are dialled: therefore it looks for an instant.
func requireFloor(t *rapid.T, p *Pool, floor int, before *Stats) {
	synctest.Wait()
	now := p.Stats()
	if now.RetiredTotal() == before.RetiredTotal() {
		return
	}
	for range 30 {
		if st := p.Stats(); st.Idle >= min(st.Limit-st.Lent, floor) {
			return
		}
		p.clk.Sleep(5 * time.Millisecond)
		synctest.Wait()
	}
	t.Fatalf("MinIdle %d is not kept up: %+v", floor, p.Stats())
}

// floorAct carries out one action and returns what is held then.
func floorAct(t *rapid.T, p *Pool, f *fakeNet, held []Conn, s floorStep) []Conn {
	switch s.op {
	case "lend":
		if c, ok := p.TryLend(p.clk.Now(), 0); ok {
			held = append(held, c)
		}
	case "spike":
		if st := p.Stats(); st.Lent < st.Limit {
			batch, err := p.GetN(context.Background(), 0, st.Limit-st.Lent)
			require.NoError(t, err)
			ReleaseAll(batch)
		}
	case "retire":
		p.Retire()
	case "resize":
		require.NoError(t, p.Resize(8+s.n))
	case "peerCloses":
		f.mu.Lock()
		if n := len(f.dialled); n > 0 {
			f.dialled[s.n%n].peerCloses()
		}
		f.mu.Unlock()
	case "release", "discard", "take":
		if len(held) == 0 {
			return held
		}
		c := held[0]
		held = held[1:]
		switch s.op {
		case "release":
			c.Release()
		case "discard":
			c.Discard(ReasonBroken)
		case "take":
			c.Take()
		}
	}
	return held
}
