package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerTheWordsOfClassesAreAClosedList(t *testing.T) {
	require.Len(t, Classes(), NumClasses)
	for r, c := range Classes() {
		require.Equal(t, r, c.rank())
		require.Equal(t, c, ClassNamed(c.String()))
	}
	require.Equal(t, ClassNormal, ClassNamed("urgent"))
	require.Equal(t, ClassNormal, (&Attempt{}).Class)
	require.Equal(t, "unknown", Class(2).String())
	require.Equal(t, "unknown", Class(-2).String())
	require.Equal(t, 0, Class(-100).rank())
	require.Equal(t, 2, Class(100).rank())
}

// The dumb account of a line that stands keeps every turn, and looks at all of them.
func TestConnectionPoolManagerAQueueStandsWhenAllHadWaitedTooLongForAWholeInterval(t *testing.T) {
	type turn struct{ at, wait int }
	const target, interval = 5, 20
	rapid.Check(t, func(t *rapid.T) {
		var d delay
		var turns []turn
		stood := false
		base := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		at := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at += rapid.IntRange(0, 9).Draw(t, "later")
			if rapid.IntRange(0, 12).Draw(t, "empty") == 0 {
				d, turns, stood = delay{}, nil, false
				continue
			}
			wait := rapid.SampledFrom([]int{-1, 0, target, target + 1, 50}).Draw(t, "wait")
			d.served(base.Add(time.Duration(at)*time.Millisecond), time.Duration(wait)*time.Millisecond, target*time.Millisecond, interval*time.Millisecond)
			turns = append(turns, turn{at, wait})
			for i := len(turns) - 1; i >= 0 && turns[i].wait > target; i-- {
				stood = stood || turns[len(turns)-1].at-turns[i].at >= interval
			}
			require.Equal(t, stood, d.stands)
			require.Equal(t, stood, d.late((target+1)*time.Millisecond, target*time.Millisecond))
			require.False(t, d.late(target*time.Millisecond, target*time.Millisecond))
		}
	})
}

// standing is a group of one connection whose line stands: the target is 10 ms, the interval 50, and each turn takes 15.
func standing(t *testing.T, u *Upstream, class Class) (held *Attempt, line []*call) {
	held = begin(t, u)
	for range 12 {
		line = append(line, start(t, u, &Attempt{Class: class}))
	}
	for !u.queue.classes[class.rank()].delay.stands {
		u.clk.Sleep(15 * time.Millisecond)
		answered(u, held)
		require.NoError(t, line[0].end())
		held, line = line[0].Attempt, line[1:]
	}
	return held, line
}

var shedding = Config{QueueTarget: 10 * time.Millisecond, QueueInterval: 50 * time.Millisecond, Pool: pool.Config{MaxConnections: 1}}

func TestConnectionPoolManagerAQueueThatStandsServesOnlyWhoHasNotWaitedForLong(t *testing.T) {
	inBubble(t, 1, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		begun := u.clk.Now()
		held, old := standing(t, u, ClassNormal)
		require.GreaterOrEqual(t, u.clk.Now().Sub(begun), 50*time.Millisecond, "not before an interval is over")
		require.Less(t, u.clk.Now().Sub(begun), 50*time.Millisecond+3*15*time.Millisecond)
		require.Zero(t, u.Stats().Shed)
		fresh := start(t, u, &Attempt{})
		u.clk.Sleep(10 * time.Millisecond)
		answered(u, held)
		require.NoError(t, fresh.end(), "just at the target")
		for _, c := range old {
			require.ErrorIs(t, c.end(), ErrQueueShed)
		}
		require.EqualValues(t, len(old), u.Stats().Shed)
		require.Zero(t, u.Stats().Waiting)
		// The line has been empty: what comes now is a burst again, until it has lasted for an interval.
		late := start(t, u, &Attempt{})
		later := start(t, u, &Attempt{})
		u.clk.Sleep(40 * time.Millisecond)
		answered(u, fresh.Attempt)
		require.NoError(t, late.end())
		answered(u, late.Attempt)
		require.NoError(t, later.end())
		answered(u, later.Attempt)
	})
}

func TestConnectionPoolManagerTheLastInAQueueThatStandsIsServedHoweverLate(t *testing.T) {
	inBubble(t, 1, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, old := standing(t, u, ClassNormal)
		u.clk.Sleep(time.Second)
		answered(u, held)
		last := old[len(old)-1]
		require.NoError(t, last.end(), "or the connection would be idle")
		answered(u, last.Attempt)
		for _, c := range old[:len(old)-1] {
			require.ErrorIs(t, c.end(), ErrQueueShed)
		}
	})
}

func TestConnectionPoolManagerAClassIsShedForItsOwnWaitsAlone(t *testing.T) {
	inBubble(t, 1, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, low := standing(t, u, ClassLow)
		high, more := start(t, u, &Attempt{Class: ClassHigh}), start(t, u, &Attempt{Class: ClassHigh})
		u.clk.Sleep(30 * time.Millisecond)
		answered(u, held)
		require.NoError(t, high.end(), "its own line does not stand")
		u.clk.Sleep(30 * time.Millisecond)
		answered(u, high.Attempt)
		require.NoError(t, more.end())
		require.Zero(t, u.Stats().Shed)
		require.Equal(t, [NumClasses]int{0, 0, len(low)}, u.Stats().WaitingByClass)
		answered(u, more.Attempt)
		require.NoError(t, low[len(low)-1].end())
		answered(u, low[len(low)-1].Attempt)
	})
}

func TestConnectionPoolManagerAReloadThatSwitchesSheddingOffForgetsThatTheQueueStands(t *testing.T) {
	inBubble(t, 1, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		held, old := standing(t, u, ClassNormal)
		cfg := u.cfg
		cfg.QueueTarget = 0
		require.NoError(t, u.Apply(cfg, time.Second))
		cfg.QueueTarget = 10 * time.Millisecond
		require.NoError(t, u.Apply(cfg, time.Second))
		u.clk.Sleep(time.Second)
		for _, c := range old {
			answered(u, held)
			require.NoError(t, c.end(), "all in one moment, which is no interval")
			held = c.Attempt
		}
		answered(u, held)
	})
}

// A dial takes its time on a quiet day too: no answer comes sooner for sending somebody away.
func TestConnectionPoolManagerWaitsForADialOfItsOwnAreNoSignOfAStandingQueue(t *testing.T) {
	cfg := shedding
	cfg.Pool.MaxConnections = 100
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), 300*time.Millisecond)
		var all []*call
		for range 20 {
			all = append(all, start(t, u, &Attempt{}))
			u.clk.Sleep(20 * time.Millisecond)
		}
		for _, c := range all {
			require.NoError(t, c.end())
		}
		for _, c := range all {
			answered(u, c.Attempt)
		}
		require.Zero(t, u.Stats().Shed)
	})
}

func TestConnectionPoolManagerWhereTheQueueIsFullTheLastOfTheLeastUrgentGivesWay(t *testing.T) {
	inBubble(t, 1, Config{MaxWaiting: 3, Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := begin(t, u)
		normal := start(t, u, &Attempt{})
		low, lower := start(t, u, &Attempt{Class: ClassLow}), start(t, u, &Attempt{Class: ClassLow})
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{Class: ClassLow}), ErrQueueFull, "nobody gives way to his like")
		first := start(t, u, &Attempt{Class: ClassHigh})
		require.ErrorIs(t, lower.end(), ErrQueueFull)
		require.False(t, low.returned())
		second := start(t, u, &Attempt{})
		require.ErrorIs(t, low.end(), ErrQueueFull)
		third := start(t, u, &Attempt{Class: ClassHigh})
		require.ErrorIs(t, second.end(), ErrQueueFull, "the last to come")
		require.Equal(t, 3, u.Stats().Waiting)
		for _, c := range []*call{first, third, normal} {
			answered(u, held)
			require.NoError(t, c.end())
			held = c.Attempt
		}
		answered(u, held)
	})
	inBubble(t, 1, Config{MaxWaiting: -1}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{Class: ClassHigh}), ErrQueueFull)
	})
}

func TestConnectionPoolManagerARequestThatGaveWayLeavesNoPickBehind(t *testing.T) {
	inBubble(t, 1, Config{MaxWaiting: 1}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), time.Second)
		low := start(t, u, &Attempt{Class: ClassLow})
		high := start(t, u, &Attempt{Class: ClassHigh})
		require.ErrorIs(t, low.end(), ErrQueueFull)
		require.Equal(t, 1, u.Stats().Backends[0].InFlight)
		require.NoError(t, high.end())
		require.LessOrEqual(t, high.Waited, time.Second, "the dial goes on for whoever is there")
		answered(u, high.Attempt)
	})
}

func TestConnectionPoolManagerTheLastWhomABackendMayServeIsNotShed(t *testing.T) {
	inBubble(t, 2, shedding, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), a))
		b := &Attempt{Prefer: addr(1)}
		require.NoError(t, u.Begin(t.Context(), b))
		free := start(t, u, &Attempt{})
		bound := start(t, u, &Attempt{Prefer: addr(0)})
		u.queue.classes[ClassNormal.rank()].delay.stands = true
		u.clk.Sleep(time.Second)
		answered(u, b)
		require.NoError(t, free.end(), "else what is free stays so")
		answered(u, free.Attempt)
		answered(u, a)
		require.NoError(t, bound.end())
		answered(u, bound.Attempt)
	})
}
