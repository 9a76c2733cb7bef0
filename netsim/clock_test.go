package netsim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEveryKindOfWakeUpHasItsOwnInstantNeverTooEarly(t *testing.T) {
	Test(t, Config{Seed: 7}, func(s *Sim) {
		clk := s.Clock()
		var mu sync.Mutex
		var wg sync.WaitGroup
		at := map[time.Time]bool{}
		woke := func() {
			mu.Lock()
			defer mu.Unlock()
			now := clk.Now()
			require.False(t, at[now], "two wake-ups at %v", now)
			at[now] = true
		}
		start := clk.Now()
		const each = 100
		for range each {
			wg.Go(func() { clk.Sleep(time.Second); woke() })
			wg.Go(func() { <-clk.After(time.Second); woke() })
			wg.Go(func() { <-clk.Timer(time.Second).C; woke() })
			wg.Go(func() {
				ctx, cancel := clk.WithTimeout(context.Background(), time.Second)
				defer cancel()
				<-ctx.Done()
				woke()
			})
			wg.Go(func() {
				ctx, cancel := clk.WithDeadline(context.Background(), start.Add(time.Second))
				defer cancel()
				<-ctx.Done()
				woke()
			})
			wg.Add(1)
			clk.AfterFunc(time.Second, func() { defer wg.Done(); woke() })
		}
		wg.Wait()
		require.Len(t, at, 6*each)
		for now := range at {
			require.GreaterOrEqual(t, now.Sub(start), time.Second)
			require.Less(t, now.Sub(start), time.Second+2*time.Microsecond)
		}
	})
}

func TestSleepOfZeroMovesToANewInstant(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		for range 100 {
			before := s.Elapsed()
			s.Clock().Sleep(0)
			require.Greater(t, s.Elapsed(), before)
		}
		require.Less(t, s.Elapsed(), 100*time.Microsecond)
	})
}

func TestTheSeedOrdersTimersOfOneInstant(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(8) {
		var order []int
		run := func(s *Sim) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			wg.Add(6)
			order = nil
			for i := range 6 {
				s.Clock().AfterFunc(time.Second, func() {
					defer wg.Done()
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
				})
			}
			wg.Wait()
		}
		require.NoError(t, Run(Config{Seed: seed}, run).Err)
		first := slices.Clone(order)
		require.NoError(t, Run(Config{Seed: seed}, run).Err)
		require.Equal(t, first, order)
		orders[fmt.Sprint(order)] = true
	}
	require.Greater(t, len(orders), 5, "seeds must explore orders")
}

func TestTickersPanicAndNameTheLaw(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		require.PanicsWithValue(t, tickerBan, func() { s.Clock().Tick(time.Second) })
		require.PanicsWithValue(t, tickerBan, func() { s.Clock().Ticker(time.Second) })
		require.Contains(t, tickerBan, "a fresh Timer")
	})
}

func TestTheClockIsPlainOutsideABubble(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	require.Equal(t, clock.New(), s.Clock())
	tick := s.Clock().Ticker(time.Hour)
	tick.Stop()
}

func TestContextsThatEndAtOnceOrWithTheirParentClaimNothing(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		clk := s.Clock()
		ctx, cancel := clk.WithTimeout(context.Background(), 0)
		defer cancel()
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		require.Empty(t, s.claims.taken)
		parent, cancelParent := clk.WithTimeout(context.Background(), time.Second)
		require.Len(t, s.claims.taken, 1)
		child, cancelChild := clk.WithTimeout(parent, time.Minute)
		require.Len(t, s.claims.taken, 1)
		cancelParent()
		require.Empty(t, s.claims.taken, "a cancelled context gives its instant back")
		require.ErrorIs(t, child.Err(), context.Canceled)
		cancelChild()
	})
}

func TestClaimsAreForgottenWhenTheirTimeHasPassed(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		for range 20 * minSweep {
			s.Clock().Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, len(s.claims.taken), minSweep+1)
	})
}

// wishFor finds a time for which a timer would be set to the instant x, if there is one.
func wishFor(seed uint64, x, now int64) (target int64, ok bool) {
	for target = max(now+1, x-nudgeMask); target <= x; target++ {
		if shift, _ := nudge(seed, 0, target); target+shift == x {
			return target, true
		}
	}
	return 0, false
}

// A goroutine that sets a timer and one that sends may want one nanosecond in one instant.
func TestATimerAndAPacketThatWantOneInstantGetTheSameTwoInEitherOrder(t *testing.T) {
	clashes := 0
	for seed := range uint64(50) {
		var packet, timer, wanted [2]int64
		for order := range 2 {
			Test(t, Config{Seed: seed}, func(s *Sim) {
				var out releaser
				out.init(s, 7)
				shift, _ := nudge(seed, out.ev.key, s.now()+1)
				wanted[order] = s.now() + 1 + shift
				target, ok := wishFor(seed, wanted[order], s.now())
				if !ok {
					return
				}
				clashes++
				set := func() { timer[order], _ = s.clk.(*simClock).claim(duration(target - s.now())) }
				send := func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					out.run(func() {
						s.mu.Lock()
						defer s.mu.Unlock()
						packet[order] = s.now()
					}, s.now())
				}
				if order == 0 {
					set()
					send()
				} else {
					send()
					set()
				}
				s.Clock().Sleep(time.Millisecond)
				s.mu.Lock()
				defer s.mu.Unlock()
				require.Equal(t, wanted[order], timer[order], "the timer gets what it wants")
				require.Equal(t, wanted[order]+1, packet[order], "the packet gives way")
			})
		}
	}
	require.Greater(t, clashes, 20)
}

func TestClaimsAreUniqueFreeAndNearTheirTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		var c instants
		used := map[int64]bool{}
		now := int64(0)
		for range rapid.IntRange(1, 600).Draw(t, "claims") {
			now += rapid.Int64Range(0, 2).Draw(t, "step")
			target := now + rapid.Int64Range(-3, 5).Draw(t, "off")
			x := c.claim(seed, target, now)
			if used[x] || x <= now || x < target {
				t.Fatalf("claim of %d at %d gave %d (used before: %v)", target, now, x, used[x])
			}
			if x > max(target, now+1)+nudgeMask+int64(len(used))+2 {
				t.Fatalf("claim of %d gave %d, too far off", target, x)
			}
			used[x] = true
		}
	})
}

func TestTheEventQueueGivesEventsInOrderWhateverCameFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q eventQueue
		var model []*event
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch {
			case len(model) == 0 || rapid.IntRange(0, 2).Draw(t, "op") > 0:
				e := &event{at: rapid.Int64Range(0, 50).Draw(t, "at"), tie: rapid.Uint64Range(0, 1<<60).Draw(t, "tie")}
				q.push(e)
				model = append(model, e)
			default:
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				q.remove(model[i])
				model = slices.Delete(model, i, i+1)
			}
		}
		last := &slot{}
		for range len(model) {
			top := q.heap[0]
			if top.before(last) || !top.ev.queued() {
				t.Fatalf("%v comes after %v", top, last)
			}
			last = &slot{top.at, top.tie, nil}
			q.remove(top.ev)
		}
		if len(q.heap) != 0 {
			t.Fatal("events are left that nobody put in")
		}
	})
}

func TestNetworkEventsAndTimersNeverShareAnInstant(t *testing.T) {
	res := Run(Config{Seed: 1, Latency: time.Millisecond, KeepTrace: true}, func(s *Sim) {
		clk := s.Clock()
		var wg, servers sync.WaitGroup
		l := echoServer(s.Host("server", "10.0.0.1"), &servers)
		for i := range 20 {
			name := fmt.Sprint("timer", i)
			wg.Go(func() {
				for range 300 {
					clk.Sleep(time.Millisecond)
					s.Note(name, "woke", "")
				}
			})
			h := s.Host(fmt.Sprint("c", i), "")
			wg.Go(func() {
				c, err := h.DialContext(context.Background(), "tcp", "server:80")
				if err != nil {
					panic(err)
				}
				defer c.Close()
				for range 100 {
					_, _ = c.Write([]byte("x"))
					_, _ = c.Read(make([]byte, 1))
				}
			})
		}
		wg.Wait()
		_ = l.Close()
		servers.Wait()
	})
	require.NoError(t, res.Err)
	owner := map[int64]string{}
	for _, e := range res.Trace.Events {
		if e.Kind == "woke" || e.Kind == "recv" {
			require.Empty(t, owner[e.At], "%s and %s at %d", owner[e.At], e.Actor, e.At)
			owner[e.At] = e.Actor
		}
	}
	require.Greater(t, len(owner), 9000)
}
