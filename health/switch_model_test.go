package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// switched is a group whose settings change under random evidence, with what its changes have told.
type switched struct {
	cfg   Config
	g     *Group
	now   time.Time
	up    map[int]bool // as the changes tell it
	born  [8]int       // how many backends there were at an index before
	under []switchedRequest
	over  int // so many were ejected when the reserve last changed
}

// switchedRequest is a request under way.
type switchedRequest struct {
	i, born int
	p       Probe
}

func drawSwitched(t *rapid.T) Config {
	cfg := drawConfig(t)
	cfg.Active = rapid.Bool().Draw(t, "active")
	if rapid.Bool().Draw(t, "breakers") {
		cfg.Breaker = drawBreaker(t)
		cfg.Breaker.Window = rapid.SampledFrom([]time.Duration{10, time.Second, time.Minute}).Draw(t, "window")
	}
	if rapid.Bool().Draw(t, "outliers") {
		cfg.Passive.Outliers = Outliers{SuccessRate: 1, Latency: 1.5, Interval: 5 * time.Second, MinBackends: 3, MinRequests: 1}
	}
	cfg.PanicPercent = rapid.SampledFrom([]int{0, 1, 50, 100}).Draw(t, "panic")
	cfg.FailOpen = rapid.Bool().Draw(t, "open")
	return cfg
}

func (s *switched) present() (all []int) {
	for i := range s.g.backends {
		if s.g.backends[i].present {
			all = append(all, i)
		}
	}
	return all
}

func (s *switched) told(t *rapid.T, changes ...Change) {
	for _, c := range changes {
		require.NotEqual(t, c.Available, s.up[c.Backend], "a change that is none: %v", c)
		s.up[c.Backend] = c.Available
	}
}

// ends takes a request from those under way.
func (s *switched) ends(t *rapid.T) switchedRequest {
	if len(s.under) == 0 {
		t.Skip("none is under way")
	}
	k := rapid.IntRange(0, len(s.under)-1).Draw(t, "which")
	r := s.under[k]
	s.under = append(s.under[:k], s.under[k+1:]...)
	if s.born[r.i] != r.born || !s.g.backends[r.i].present {
		t.Skip("its backend was removed")
	}
	return r
}

func (s *switched) actions() map[string]func(*rapid.T) {
	index := func(t *rapid.T) int { return rapid.SampledFrom(s.present()).Draw(t, "backend") }
	maybe := func(t *rapid.T, c Change, changed bool) {
		if changed {
			s.told(t, c)
		}
	}
	ask := func(t *rapid.T) {
		i := index(t)
		if !s.g.Admits(i) {
			t.Skip("not admitted")
		}
		p, c, changed := s.g.Admit(s.now, i)
		maybe(t, c, changed)
		s.under = append(s.under, switchedRequest{i, s.born[i], p})
	}
	answer := func(t *rapid.T) {
		r, signal := s.ends(t), rapid.SampledFrom([]Signal{Success, Success, Response5xx, ResponseGateway, Reset, Timeout}).Draw(t, "signal")
		took := rapid.SampledFrom([]time.Duration{0, 1, time.Second}).Draw(t, "took")
		c, changed := s.g.ObserveRequest(s.now, r.i, signal, took, r.p)
		maybe(t, c, changed)
	}
	call := func(f func(now time.Time, i int) (Change, bool)) func(*rapid.T) {
		return func(t *rapid.T) {
			c, changed := f(s.now, index(t))
			maybe(t, c, changed)
		}
	}
	return map[string]func(*rapid.T){
		"ask": ask, "ask2": ask, "ask3": ask, "answer": answer, "answer2": answer,
		"drain": call(s.g.Drain), "undrain": call(s.g.Undrain),
		"check passes": call(func(now time.Time, i int) (Change, bool) { return s.g.Check(now, i, true) }),
		"check fails":  call(func(now time.Time, i int) (Change, bool) { return s.g.Check(now, i, false) }),
		"no dial":      call(func(now time.Time, i int) (Change, bool) { return s.g.Observe(now, i, ConnectFailed) }),
		"forgo": func(t *rapid.T) {
			r := s.ends(t)
			c, changed := s.g.Forgo(s.now, r.i, r.p)
			maybe(t, c, changed)
		},
		"give up": func(t *rapid.T) {
			r := s.ends(t)
			c, changed := s.g.GaveUp(s.now, r.i, rapid.SampledFrom([]time.Duration{0, 1, time.Second, time.Hour}).Draw(t, "waited"), r.p)
			maybe(t, c, changed)
		},
		"tick": s.tick, "switch": s.reconfigure, "switch2": s.reconfigure, "remove": s.remove, "add": s.add, "": s.counts,
		"reserve": func(t *rapid.T) {
			s.g.Reserve(index(t), rapid.Bool().Draw(t, "on"))
			s.over = s.g.EjectedCount()
		},
		"back in time": func(t *rapid.T) {
			s.now = s.now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
		},
	}
}

func (s *switched) tick(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
	s.told(t, s.g.Tick(s.now)...)
	if next, ok := s.g.Next(); ok {
		require.True(t, next.After(s.now), "what is due is done")
	}
}

func (s *switched) reconfigure(t *rapid.T) {
	s.cfg = drawSwitched(t)
	changes, err := s.g.Reconfigure(s.now, s.cfg)
	require.NoError(t, err)
	s.told(t, changes...)
}

func (s *switched) remove(t *rapid.T) {
	if s.g.Size() == 1 {
		t.Skip("the last one")
	}
	i := rapid.SampledFrom(s.present()).Draw(t, "backend")
	s.told(t, s.g.Remove(s.now, i)...)
	delete(s.up, i)
}

func (s *switched) add(t *rapid.T) {
	for i := range len(s.born) - 1 {
		if i == s.g.Len() || !s.g.backends[i].present {
			s.g.Add(i)
			s.born[i]++
			s.up[i] = true
			return
		}
	}
	t.Skip("enough of them")
}

// counts holds that every count of the group is that of its backends.
func (s *switched) counts(t *rapid.T) {
	up, ejected, admitted, blocked, service := 0, 0, 0, 0, 0
	var reserve share
	for _, i := range s.present() {
		require.Equal(t, s.up[i], s.g.Available(i), "a flip that nobody was told of")
		if c := s.g.backends[i].circuit; c != nil {
			s.circuit(t, i, c)
			if c.blocked {
				blocked++
			}
		}
		if s.g.backends[i].reserve {
			held := &Group{}
			b := s.g.backends[i]
			held.enter(&b, 1)
			reserve.size, reserve.resting = reserve.size+1, reserve.resting+held.reserve.resting
			reserve.ejected, reserve.up = reserve.ejected+held.reserve.ejected, reserve.up+held.reserve.up
			continue
		}
		if s.g.Available(i) {
			up++
		}
		if s.g.Admits(i) {
			admitted++
			require.False(t, s.g.Drained(i))
		}
		if !s.g.backends[i].resting() {
			service++
		}
		if !s.g.State(i).EjectedUntil.IsZero() {
			ejected++
		}
	}
	require.Equal(t, []int{up, ejected, admitted, blocked, service},
		[]int{s.g.AvailableCount(), s.g.EjectedCount(), s.g.AdmittedCount(), s.g.blocked, s.g.InService()})
	require.Equal(t, reserve, s.g.reserve)
	require.Equal(t, len(s.present()), s.g.Size())
	require.LessOrEqual(t, ejected, max(s.g.limit, s.over))
}

// circuit holds the invariants of a breaker, and that each of its places is somebody's.
func (s *switched) circuit(t *rapid.T, i int, c *circuit) {
	most := s.g.cfg.Breaker.Probes
	require.True(t, s.cfg.Breaker.on())
	require.Equal(t, c.blocked, !c.until.IsZero())
	require.Equal(t, c.blocked, c.state == Open || c.state == HalfOpen && c.admitted == most)
	sum := tally{}
	for _, p := range c.parts {
		sum.add(p, 1)
	}
	require.Equal(t, sum, c.sum)
	if c.state != HalfOpen {
		return
	}
	probes := 0
	for _, r := range s.under {
		if r.i == i && r.born == s.born[i] && r.p == c.phase {
			probes++
		}
	}
	require.Equal(t, c.admitted, c.passed+probes, "a place is a probe's, or has passed: %+v", c)
	require.LessOrEqual(t, c.admitted, most)
}

func TestAGroupsCountsAreThoseOfItsBackendsWhateverIsSwitched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &switched{cfg: drawSwitched(t), now: instant, up: map[int]bool{}}
		var err error
		s.g, err = New(s.cfg, rapid.IntRange(1, 5).Draw(t, "backends"), nil)
		require.NoError(t, err)
		s.g.Start(s.now)
		for i := range s.g.Len() {
			s.up[i] = true
		}
		t.Repeat(s.actions())
	})
}
