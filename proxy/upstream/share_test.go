package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

// hold takes a connection of a backend.
func hold(t *testing.T, u *Upstream, i int) *Attempt {
	t.Helper()
	a := &Attempt{Prefer: addr(i)}
	require.NoError(t, u.Begin(t.Context(), a))
	require.Equal(t, addr(i), a.Address)
	return a
}

// line starts requests that are to wait for a backend.
func bound(t *testing.T, u *Upstream, i, n int) (line []*call) {
	t.Helper()
	for range n {
		line = append(line, start(t, u, &Attempt{Prefer: addr(i)}))
		require.False(t, line[len(line)-1].returned())
	}
	return line
}

// serve gives the connection of one to all in a line, and requires where they end.
func serveAll(t *testing.T, u *Upstream, held *Attempt, line []*call) {
	t.Helper()
	for _, c := range line {
		answered(u, held)
		require.NoError(t, c.end())
		require.Equal(t, held.Address, c.Address)
		held = c.Attempt
	}
	answered(u, held)
}

func TestConnectionPoolManagerWhoFindsNoPlaceBeforeItsBackendGoesToAnother(t *testing.T) {
	cfg := Config{MaxWaiting: 100, MaxWaitingPerBackend: 3, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := hold(t, u, 0)
		line := bound(t, u, 0, 3) // as many as may
		require.Zero(t, u.Stats().Overflowed)
		require.Equal(t, 3, u.Stats().Backends[0].Waiting)
		moved := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), moved), "one more")
		require.Equal(t, addr(1), moved.Address)
		require.EqualValues(t, 1, u.Stats().Overflowed)
		// Both are busy now: it waits for any.
		any1, any2 := start(t, u, &Attempt{Prefer: addr(0)}), start(t, u, &Attempt{Prefer: addr(0)})
		require.Equal(t, 5, u.Stats().Waiting)
		require.Equal(t, 3, u.Stats().Backends[0].Waiting)
		answered(u, moved)
		require.NoError(t, any1.end())
		require.Equal(t, addr(1), any1.Address)
		answered(u, held)
		require.NoError(t, line[0].end(), "who came first goes first")
		again := bound(t, u, 0, 1)
		require.EqualValues(t, 3, u.Stats().Overflowed, "there is a place again")
		answered(u, line[0].Attempt)
		require.NoError(t, line[1].end())
		answered(u, line[1].Attempt)
		require.NoError(t, line[2].end())
		answered(u, line[2].Attempt)
		require.NoError(t, any2.end())
		require.Equal(t, addr(0), any2.Address, "who may go anywhere is served there too, in his turn")
		require.False(t, again[0].returned(), "who came after him waits")
		serveAll(t, u, any2.Attempt, again)
		answered(u, any1.Attempt)
	})
}

func TestConnectionPoolManagerTheShareOfABackendFollowsTheirNumber(t *testing.T) {
	share := func(u *Upstream) int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.queue.most
	}
	inBubble(t, 3, Config{MaxWaiting: 10}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.Equal(t, 4, share(u), "rounded up")
		require.NoError(t, u.AddBackend(Backend{Address: addr(3)}))
		require.Equal(t, 3, share(u))
		for i := range 3 {
			require.NoError(t, u.RemoveBackend(addr(i), 0))
		}
		require.Equal(t, 10, share(u))
		cfg := u.cfg
		cfg.Backends = group(20)
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 1, share(u), "at least one")
		cfg.Backends, cfg.MaxWaiting = group(100), 1000
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 10, share(u))
		cfg.Backends = group(101)
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 10, share(u), "at least a hundredth")
		cfg.Backends, cfg.MaxWaiting = group(20), 10
		cfg.SubsetSize, cfg.Instance = 2, "p"
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 5, share(u), "those of the subset")
		cfg.MaxWaitingPerBackend = 7
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 7, share(u))
		cfg.MaxWaitingPerBackend = -1
		require.NoError(t, u.Apply(cfg, 0))
		require.Greater(t, share(u), cfg.MaxWaiting)
	})
}

func TestConnectionPoolManagerAReloadOfTheShareHoldsForWhoComesAfterIt(t *testing.T) {
	cfg := Config{MaxWaiting: 100, MaxWaitingPerBackend: 3, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, line := hold(t, u, 0), bound(t, u, 0, 3)
		to := func(share int) {
			cfg := u.cfg
			cfg.MaxWaitingPerBackend = share
			require.NoError(t, u.Apply(cfg, time.Second))
		}
		to(1)
		moved := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), moved))
		require.Equal(t, addr(1), moved.Address)
		require.Equal(t, 3, u.Stats().Backends[0].Waiting, "who waits stays")
		to(-1)
		line = append(line, bound(t, u, 0, 2)...)
		to(0) // a half each
		line = append(line, bound(t, u, 0, 45)...)
		again := start(t, u, &Attempt{Prefer: addr(0)})
		require.Equal(t, 50, u.Stats().Backends[0].Waiting)
		answered(u, moved)
		require.NoError(t, again.end())
		require.Equal(t, addr(1), again.Address)
		answered(u, again.Attempt)
		serveAll(t, u, held, line)
	})
}

func TestConnectionPoolManagerWhoIsMoreUrgentTakesAPlaceBeforeItsBackend(t *testing.T) {
	cfg := Config{MaxWaitingPerBackend: 2, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, other := hold(t, u, 0), hold(t, u, 1)
		low, lower := start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow}), start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow})
		first := bound(t, u, 0, 1)[0]
		require.Equal(t, []int{2, 3}, []int{u.Stats().Backends[0].Waiting, u.Stats().Waiting})
		high := start(t, u, &Attempt{Prefer: addr(0), Class: ClassHigh})
		normal := start(t, u, &Attempt{Prefer: addr(0)})
		require.EqualValues(t, 3, u.Stats().Overflowed, "nobody gives way to his like")
		require.Equal(t, []int{2, 5}, []int{u.Stats().Backends[0].Waiting, u.Stats().Waiting})
		answered(u, other)
		require.NoError(t, normal.end())
		answered(u, normal.Attempt)
		require.NoError(t, low.end())
		answered(u, low.Attempt)
		require.NoError(t, lower.end())
		for _, c := range []*call{normal, low, lower} {
			require.Equal(t, addr(1), c.Address)
		}
		answered(u, lower.Attempt)
		serveAll(t, u, held, []*call{high, first})
	})
}

// Whoever would have made way before the backend makes way in the queue as a whole, and more wait than may by now.
func TestConnectionPoolManagerOneWhoGivesWayOnceGivesNoSecondPlace(t *testing.T) {
	cfg := Config{MaxWaiting: 3, MaxWaitingPerBackend: 3, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, other := hold(t, u, 0), hold(t, u, 1)
		line := bound(t, u, 0, 2)
		low := start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow})
		cfg := u.cfg
		cfg.MaxWaitingPerBackend = 1
		require.NoError(t, u.Apply(cfg, time.Second))
		c := start(t, u, &Attempt{Prefer: addr(0)})
		require.ErrorIs(t, low.end(), ErrQueueFull)
		require.Equal(t, []int{2, 3}, []int{u.Stats().Backends[0].Waiting, u.Stats().Waiting})
		answered(u, other)
		require.NoError(t, c.end(), "it goes anywhere")
		require.Equal(t, addr(1), c.Address)
		answered(u, c.Attempt)
		serveAll(t, u, held, line)
	})
}

func TestConnectionPoolManagerTheOnlyBackendServesWhoFindsNoPlaceBeforeIt(t *testing.T) {
	cfg := Config{MaxWaiting: 4, MaxWaitingPerBackend: 1, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := hold(t, u, 0)
		line := bound(t, u, 0, 4)
		require.EqualValues(t, 3, u.Stats().Overflowed)
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{Prefer: addr(0)}), ErrQueueFull)
		serveAll(t, u, held, line)
	})
}

func TestConnectionPoolManagerASessionIsNotRefusedWhileAnotherBackendIsIdle(t *testing.T) {
	for _, most := range []int{2, -1} {
		cfg := Config{MaxWaiting: most, MaxWaitingPerBackend: -1, Pool: pool.Config{MaxConnections: 1}}
		inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
			if most < 0 { // there is no waiting, not even for a dial
				cfg := u.cfg
				cfg.MaxWaiting = 1
				require.NoError(t, u.Apply(cfg, time.Second))
			}
			held, other := hold(t, u, 0), hold(t, u, 1)
			cfg := u.cfg
			cfg.MaxWaiting = most
			require.NoError(t, u.Apply(cfg, time.Second))
			line := bound(t, u, 0, max(most, 0))
			require.ErrorIs(t, u.Begin(t.Context(), &Attempt{Prefer: addr(0)}), ErrQueueFull, "nobody is idle")
			answered(u, other)
			moved := &Attempt{Prefer: addr(0)}
			require.NoError(t, u.Begin(t.Context(), moved))
			require.Equal(t, addr(1), moved.Address)
			require.Zero(t, u.Stats().Overflowed, "there was a place before it")
			answered(u, moved)
			serveAll(t, u, held, line)
		})
	}
}

// Its dials hang, and it is the backend of every key that comes.
func TestConnectionPoolManagerRequestsOfAKeyThatWaitForADialLeaveRoomForOthers(t *testing.T) {
	for _, strategy := range []string{"maglev", "ring-hash", "rendezvous"} {
		inBubble(t, 3, Config{Strategy: strategy, MaxWaiting: 6, BalanceFactor: -1}, func(t *testing.T, u *Upstream, f *fakeNet) {
			first := &Attempt{Key: 77}
			require.NoError(t, u.Begin(t.Context(), first))
			home := first.Backend
			f.setDelay(addr(home), time.Second)
			two := []*call{start(t, u, &Attempt{Key: 77}), start(t, u, &Attempt{Key: 77})}
			require.Equal(t, 2, u.Stats().Backends[home].Waiting)
			next := -1
			for range 9 {
				c := start(t, u, &Attempt{Key: 77})
				u.clk.Sleep(2 * dialTime)
				require.True(t, c.returned())
				require.NoError(t, c.end())
				require.NotEqual(t, home, c.Backend)
				require.True(t, next < 0 || next == c.Backend, "the next one of its key")
				next = c.Backend
				answered(u, c.Attempt)
			}
			require.EqualValues(t, 9, u.Stats().Overflowed)
			for _, c := range two {
				require.NoError(t, c.end())
				require.Equal(t, home, c.Backend)
				answered(u, c.Attempt)
			}
			answered(u, first)
		})
	}
}

func TestConnectionPoolManagerAChangeOfStrategyBindsNobodyWhoWaits(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := []*Attempt{hold(t, u, 0), hold(t, u, 1)}
		f.setDelay(addr(0), time.Second)
		f.setDelay(addr(1), time.Second)
		by := func(strategy string) {
			cfg := u.cfg
			cfg.Strategy = strategy
			require.NoError(t, u.Apply(cfg, time.Second))
		}
		for _, from := range []string{"round-robin", "maglev"} {
			by(from)
			c := start(t, u, &Attempt{Key: 5})
			i := u.queue.on[1]
			require.Equal(t, 1, u.queue.on[i], "it counts on a dial")
			if from == "maglev" {
				require.Equal(t, 1, u.queue.own[i].n)
				by("round-robin")
			} else {
				by("maglev")
			}
			require.Zero(t, u.queue.own[i].n)
			answered(u, held[1-i])
			require.NoError(t, c.end())
			require.Equal(t, addr(1-i), c.Address)
			held[1-i] = c.Attempt
		}
		answered(u, held[0])
		answered(u, held[1])
	})
}

// The two that wait for a slow backend are passed over by it alone, however much others serve in the meantime.
func TestConnectionPoolManagerTheTurnsOfAClassAreThoseOfBackendsThatCouldServeIt(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		slow, quick := hold(t, u, 0), hold(t, u, 1)
		low := start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow})
		high := start(t, u, &Attempt{Prefer: addr(0), Class: ClassHigh})
		for range 3 * classTurn {
			c := start(t, u, &Attempt{Prefer: addr(1), Class: ClassHigh})
			answered(u, quick)
			require.NoError(t, c.end())
			quick = c.Attempt
		}
		answered(u, slow)
		require.NoError(t, high.end(), "the more urgent one first")
		require.False(t, low.returned())
		answered(u, high.Attempt)
		require.NoError(t, low.end())
		answered(u, low.Attempt)
		answered(u, quick)
	})
}

func TestConnectionPoolManagerTheLineBeforeABackendStandsForThoseAloneWhoWaitForIt(t *testing.T) {
	inBubble(t, 2, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		slow, quick := hold(t, u, 0), hold(t, u, 1)
		line := bound(t, u, 0, 9)
		for !u.queue.own[0].lines[ClassNormal.rank()].delay.stands {
			u.clk.Sleep(15 * time.Millisecond)
			answered(u, slow)
			require.NoError(t, line[0].end())
			slow, line = line[0].Attempt, line[1:]
		}
		require.Zero(t, u.queue.classes[ClassNormal.rank()].delay)
		free := start(t, u, &Attempt{})
		u.clk.Sleep(30 * time.Millisecond)
		answered(u, quick)
		require.NoError(t, free.end(), "the first who goes anywhere is late, but his line does not stand")
		require.Zero(t, u.Stats().Shed)
		waits := start(t, u, &Attempt{})
		answered(u, slow)
		require.NoError(t, waits.end(), "those of the line that stands are refused, and he is there")
		require.Equal(t, addr(0), waits.Address)
		for _, c := range line {
			require.ErrorIs(t, c.end(), ErrQueueShed)
		}
		require.EqualValues(t, len(line), u.Stats().Shed)
		answered(u, waits.Attempt)
		answered(u, free.Attempt)
	})
}

func TestConnectionPoolManagerWhoIsSetLooseHasNotWaitedWithThoseWhomHeJoins(t *testing.T) {
	inBubble(t, 2, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		slow, quick := hold(t, u, 0), hold(t, u, 1)
		line := bound(t, u, 0, 3)
		u.clk.Sleep(time.Second)
		require.NoError(t, u.DrainBackend(addr(0)))
		for _, c := range line {
			answered(u, quick)
			require.NoError(t, c.end())
			require.Equal(t, addr(1), c.Address)
			require.Zero(t, u.queue.classes[ClassNormal.rank()].delay)
			quick = c.Attempt
		}
		answered(u, quick)
		answered(u, slow)
	})
}

// What is served elsewhere is no turn of those who wait for one backend alone.
func TestConnectionPoolManagerAClassHasItsTurnsAtEachBackendThatAloneMayServeIt(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		busy, other := hold(t, u, 0), hold(t, u, 1)
		low := start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow})
		next := start(t, u, &Attempt{Prefer: addr(0), Class: ClassHigh})
		for n := 0; !low.returned(); n++ {
			require.Less(t, n, 2*classTurn, "it starves")
			more := start(t, u, &Attempt{Prefer: addr(0), Class: ClassHigh})
			answered(u, busy)
			if low.returned() {
				answered(u, low.Attempt)
			}
			require.NoError(t, next.end())
			busy, next = next.Attempt, more
			elsewhere := start(t, u, &Attempt{Prefer: addr(1), Class: ClassLow})
			answered(u, other)
			require.NoError(t, elsewhere.end())
			other = elsewhere.Attempt
		}
		answered(u, busy)
		require.NoError(t, next.end())
		answered(u, next.Attempt)
		answered(u, other)
	})
}
