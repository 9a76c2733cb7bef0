package probe

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// countingProber counts its checks, of which each takes some time.
type countingProber struct {
	takes time.Duration

	mu      sync.Mutex
	running int
	doubled bool // two were under way at a time
	all     int
}

func (p *countingProber) count(by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running += by; by > 0 {
		p.all++
	}
	p.doubled = p.doubled || p.running > 1
}

// made is how many there were.
func (p *countingProber) made() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

func (p *countingProber) Probe(ctx context.Context, _ string) error {
	p.count(1)
	defer p.count(-1)
	select {
	case <-time.After(p.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// audience is a watcher that notes what it is told.
type audience struct {
	Watcher
	begun time.Time
	notes []int // milliseconds
	ended int
	end   func()
	hurry func()
}

func (a *audience) seconds() []int {
	var all []int
	for _, n := range a.notes {
		all = append(all, n/1000)
	}
	return all
}

// join has a watcher watch.
func join(t *testing.T, c *Checkers, s Schedule, p Prober, address string) *audience {
	a := &audience{begun: time.Now()}
	a.Report = func(now time.Time, err error) {
		require.NoError(t, err)
		require.Equal(t, time.Now(), now)
		a.notes = append(a.notes, int(now.Sub(a.begun)/time.Millisecond))
	}
	a.Rand = func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
	a.Ended = func() { a.ended++ }
	return a.joins(t, c, s, p, address)
}

func (a *audience) joins(t *testing.T, c *Checkers, s Schedule, p Prober, address string) *audience {
	hold, err := c.Watch(s, p, address, &a.Watcher)
	require.NoError(t, err)
	a.end, a.hurry = hold.End, hold.Hurry
	hold.Begin()
	return a
}

func each5s() Schedule { return Schedule{Spread: -1, Interval: 5 * time.Second} }

func TestThoseWhoCheckInTheSameWayHearOfTheSameChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := NewCheckers(), &countingProber{}
		a := join(t, c, each5s(), p, address)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		b := join(t, c, each5s(), p, address)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		a.end()
		require.Equal(t, 1, a.ended, "it has nothing to wait for")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.end()
		synctest.Wait()
		require.Equal(t, []int{0, 5, 10, 15}, a.seconds())
		require.Equal(t, []int{3, 8, 13, 18}, b.seconds())
		require.Equal(t, []int{6, 1, 1, 0}, []int{p.all, a.ended, b.ended, c.Len()})
	})
}

func TestThoseWhoCheckOtherwiseHaveChecksOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, q := NewCheckers(), &countingProber{}, &countingProber{}
		all := []*audience{join(t, c, each5s(), p, address), join(t, c, each5s(), q, address), join(t, c, each5s(), p, "10.0.0.2:80")}
		for _, change := range []func(*Schedule){
			func(s *Schedule) { s.Interval = 6 * time.Second }, func(s *Schedule) { s.Timeout = 2 * time.Second },
			func(s *Schedule) { s.Fast = time.Second }, func(s *Schedule) { s.Down = time.Second }, func(s *Schedule) { s.Slow = time.Hour },
			func(s *Schedule) { s.Spread = 0.2 }, func(s *Schedule) { s.Reuse = true },
		} {
			s := each5s()
			change(&s)
			all = append(all, join(t, c, s, p, address))
		}
		well := proberFunc(well)
		all = append(all, join(t, c, each5s(), well, address), join(t, c, each5s(), well, address))
		require.Equal(t, len(all), c.Len())
		defaults := join(t, c, Schedule{Spread: -1, Timeout: time.Second}, p, address)
		require.Equal(t, len(all), c.Len(), "what is left out is as its default")
		for _, a := range append(all, defaults) {
			a.end()
		}
		synctest.Wait()
		require.Zero(t, c.Len())
	})
}

func TestWatchRefusesAScheduleOutOfRangeAndWatchesNothing(t *testing.T) {
	c := NewCheckers()
	for _, s := range []Schedule{{Interval: -1}, {Timeout: -1, Spread: -1}, {Spread: 1.1}} {
		_, err := c.Watch(s, &countingProber{}, address, &Watcher{})
		require.Error(t, err)
	}
	require.Zero(t, c.Len())
}

func TestThoseWhoWatchAreToldInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := NewCheckers(), &countingProber{}
		var told []int
		ends := make([]func(), 5)
		var begins []func()
		for i := range ends {
			hold, err := c.Watch(each5s(), p, address, &Watcher{Ended: func() {}, Report: func(time.Time, error) {
				told = append(told, i)
				if i == 1 && len(told) == 2 { // who leaves before its turn is not told
					ends[3]()
				}
			}})
			require.NoError(t, err)
			begins, ends[i] = append(begins, hold.Begin), hold.End
		}
		for _, begin := range begins {
			begin()
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		for i, end := range ends {
			if i != 3 {
				end()
			}
		}
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 4}, told[:4])
	})
}

func TestTheMostUrgentStandingDecides(t *testing.T) {
	k := func(all ...Standing) Standing {
		k := &checker{of: NewCheckers()}
		for _, s := range all {
			k.watchers = append(k.watchers, &watch{Watcher: &Watcher{Standing: func() Standing { return s }}, on: true})
		}
		return k.standing()
	}
	require.Equal(t, Settled, k(Settled))
	require.Equal(t, Failing, k(Failing, Failing))
	require.Equal(t, Settled, k(Failing, Settled), "its time for those that are down is not for all")
	require.Equal(t, Doubtful, k(Failing, Settled, Doubtful))
}

func TestRequestsTakeThePlaceOfChecksOnlyIfNobodyHasSeenTheBackendFail(t *testing.T) {
	type seen struct{ well, ill bool }
	for _, c := range []struct {
		all  []seen
		want bool
	}{
		{nil, false}, {[]seen{{}}, false}, {[]seen{{well: true}}, true}, {[]seen{{}, {well: true}}, true},
		{[]seen{{ill: true}, {well: true}}, false}, {[]seen{{true, true}}, false},
	} {
		k, asked := &checker{of: NewCheckers()}, 0
		for _, s := range c.all {
			k.watchers = append(k.watchers, &watch{on: true, Watcher: &Watcher{Evidence: func() (bool, bool) { asked++; return s.well, s.ill }}})
		}
		require.Equal(t, c.want, k.vouched(), "%v", c.all)
		require.Equal(t, len(c.all), asked, "each is asked about its own time")
	}
}

// Who joins checks that are silent for long is not to wait for that.
func TestWhoJoinsSilentChecksHearsOfOneWithinAnInterval(t *testing.T) {
	for name, set := range map[string]func(*Schedule, *audience){
		"because the backend is down for others": func(s *Schedule, a *audience) {
			s.Down = time.Hour
			a.Standing = func() Standing { return Failing }
		},
		"because requests take their place": func(s *Schedule, a *audience) {
			s.Slow = time.Hour
			a.Evidence = func() (bool, bool) { return true, false }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p, s := NewCheckers(), &countingProber{}, each5s()
				a := &audience{}
				a.Report, a.Ended = func(time.Time, error) {}, func() {}
				set(&s, a)
				a.joins(t, c, s, p, address)
				time.Sleep(31 * time.Minute)
				synctest.Wait()
				require.Equal(t, 1, p.all)
				b := join(t, c, s, p, address)
				time.Sleep(5*time.Second + time.Millisecond)
				synctest.Wait()
				a.end()
				b.end()
				synctest.Wait()
				require.NotEmpty(t, b.notes)
			})
		})
	}
}

func TestTheBoundIsThatOfTheOneWhoWasThereFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := NewCheckers(), &countingProber{}
		one, other := NewLimit(1), NewLimit(1)
		a, b := &audience{}, &audience{}
		for x, l := range map[*audience]*Limit{a: one, b: other} {
			x.Limit, x.Ended, x.Report = l, func() {}, func(time.Time, error) {}
		}
		a.joins(t, c, each5s(), p, address)
		b.joins(t, c, each5s(), p, address)
		clk := clock.New()
		require.True(t, one.enter(t.Context(), clk))
		time.Sleep(12 * time.Second)
		synctest.Wait()
		require.Zero(t, p.all, "its place is taken")
		a.end()
		one.leave(clk)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.NotZero(t, p.all)
		b.end()
		synctest.Wait()
	})
}

// Whoever comes and goes when: each hears of every check from its beginning to its end and of no other, none is made twice at a
// time, the stream has no gap while anybody watches, and nothing is left behind.
func TestNobodyNoticesThatOthersComeAndGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			c := NewCheckers()
			p := &countingProber{takes: time.Duration(rapid.IntRange(0, 300).Draw(t, "takes")) * time.Millisecond}
			s := Schedule{Spread: -1, Interval: 100 * time.Millisecond, Timeout: 200 * time.Millisecond}
			type member struct {
				Watcher
				end          func()
				heard, ended atomic.Int32
			}
			var here []*member
			heard := map[*member]int{} // how often the others of the same time were told
			t.Repeat(map[string]func(*rapid.T){
				"join": func(t *rapid.T) {
					m := &member{}
					m.Report = func(now time.Time, err error) {
						m.heard.Add(1)
					}
					m.Ended = func() { m.ended.Add(1) }
					hold, err := c.Watch(s, p, address, &m.Watcher)
					require.NoError(t, err)
					hold.Begin()
					m.end = hold.End
					synctest.Wait()
					here = append(here, m)
					heard[m] = p.made()
				},
				"leave": func(t *rapid.T) {
					if len(here) == 0 {
						t.Skip()
					}
					m := rapid.SampledFrom(here).Draw(t, "who")
					here = slices.DeleteFunc(here, func(x *member) bool { return x == m })
					m.end()
					synctest.Wait()
					require.EqualValues(t, 1, m.ended.Load())
				},
				"wait": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
					synctest.Wait()
				},
				"": func(t *rapid.T) {
					p.mu.Lock()
					defer p.mu.Unlock()
					require.False(t, p.doubled)
					require.Equal(t, len(here) > 0, c.Len() == 1)
					for _, m := range here { // the one that is under way, and the one that was when it joined
						require.InDelta(t, p.all-heard[m], m.heard.Load(), 1)
						require.Zero(t, m.ended.Load())
					}
				},
			})
			for _, m := range here {
				before := m.heard.Load()
				time.Sleep(time.Second)
				synctest.Wait()
				require.Greater(t, m.heard.Load(), before, "the checks go on")
			}
			for _, m := range here {
				m.end()
			}
			synctest.Wait()
			require.Zero(t, c.Len())
		})
	})
}

func TestAWatchThatEndsBeforeItHasBegunIsNeverTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := NewCheckers(), &countingProber{}
		ended := 0
		hold, err := c.Watch(each5s(), p, address, &Watcher{Report: func(time.Time, error) { panic(errors.New("told")) }, Ended: func() { ended++ }})
		require.NoError(t, err)
		hold.End()
		hold.Begin()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int{1, 0, 0}, []int{ended, p.all, c.Len()})
	})
}

func TestWhoIsInHasteGetsACheckAtOnceButNotTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := NewCheckers(), &countingProber{}
		a, b := join(t, c, each5s(), p, address), join(t, c, each5s(), p, address)
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, p.made())
		a.hurry()
		synctest.Wait()
		require.Equal(t, 1, p.made(), "the last check is younger than a tenth of the interval")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, 2, p.made(), "and now it is not")
		b.hurry()
		synctest.Wait()
		require.Equal(t, 2, p.made())
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 3, p.made())
		b.hurry()
		time.Sleep(499 * time.Millisecond)
		b.hurry()
		synctest.Wait()
		require.Equal(t, 3, p.made(), "who is in haste twice gets one")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, 4, p.made())
		time.Sleep(4999 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 4, p.made(), "the interval begins anew")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, 5, p.made())
		a.end()
		a.hurry()
		b.end()
		synctest.Wait()
		require.Equal(t, 0, c.Len())
		b.hurry() // of a run that has ended
		synctest.Wait()
		require.Equal(t, 5, p.made())
	})
}

// Whoever is in haste while a check is under way, or waits for its turn, has no reason to think that another one would find more.
func TestHasteWhileACheckIsUnderWayCountsFromItsBeginning(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // the beginning of the check
		want  []int
	}{
		"just under a tenth of the interval": {499 * time.Millisecond, []int{1000, 6000}},
		"a tenth of the interval":            {500 * time.Millisecond, []int{1000, 2000}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := NewCheckers()
				a := join(t, k, each5s(), &countingProber{takes: 990 * time.Millisecond}, address)
				time.Sleep(c.after)
				a.hurry()
				time.Sleep(6100*time.Millisecond - c.after)
				synctest.Wait()
				a.end()
				synctest.Wait()
				for i := range c.want {
					require.InDelta(t, c.want[i], a.notes[i], 20, "%v", a.notes)
				}
			})
		})
	}
}
