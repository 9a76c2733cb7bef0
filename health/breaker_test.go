package health

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// breakerModel is the breaker of one backend, with its checks, by keeping everything that was said.
type breakerModel struct {
	cfg    Breaker
	state  Circuit
	calls  []modelCall
	until  time.Time
	phase  int
	probes []int // of this phase: 0 under way, 1 passed
	down   bool
}

type modelCall struct {
	part         int64
	failed, slow bool
}

func (m *breakerModel) blocked() bool {
	return m.state == Open || m.state == HalfOpen && len(m.probes) == m.cfg.Probes
}

func (m *breakerModel) available() bool { return !m.blocked() && !m.down }

// flip returns the reason when the backend's availability is another one than it was.
func (m *breakerModel) flip(was bool, reason string) string {
	if m.available() == was {
		return ""
	}
	if !was {
		m.calls = nil
	}
	return reason
}

func (m *breakerModel) open(now time.Time) string {
	was := m.available()
	m.state, m.until, m.calls, m.probes = Open, now.Add(m.cfg.OpenTime), nil, nil
	return m.flip(was, "breaker_open")
}

func (m *breakerModel) observe(now time.Time, s Signal, took time.Duration, phase int) string {
	c := modelCall{now.UnixNano() / int64(m.cfg.Window/10), s != Success, m.cfg.SlowPercent > 0 && took >= m.cfg.SlowAfter}
	switch {
	case m.state == Closed && !m.down:
		m.calls = append(m.calls, c)
		all, failed, slow := 0, 0, 0
		for _, old := range m.calls {
			if old.part <= c.part-10 {
				continue
			}
			all++
			if old.failed {
				failed++
			}
			if old.slow {
				slow++
			}
		}
		share := func(n int) float64 { return 100 * float64(n) / float64(all) }
		if all >= m.cfg.MinRequests && (m.cfg.ErrorPercent > 0 && share(failed) >= float64(m.cfg.ErrorPercent) ||
			m.cfg.SlowPercent > 0 && share(slow) >= float64(m.cfg.SlowPercent)) {
			return m.open(now)
		}
	case m.state == HalfOpen:
		bad := c.failed && m.cfg.ErrorPercent > 0 || c.slow
		if phase != m.phase && !(s == ConnectFailed && bad) {
			return ""
		}
		if bad {
			return m.open(now)
		}
		passed := 0
		for k, p := range m.probes {
			if p == 0 {
				m.probes[k], passed = 1, passed+1
				break
			}
			passed++
		}
		if passed == m.cfg.Probes {
			was := m.available()
			m.state, m.probes, m.calls = Closed, nil, nil
			return m.flip(was, "breaker_closed")
		}
	}
	return ""
}

func (m *breakerModel) admit(now time.Time) string {
	if m.state != HalfOpen || m.blocked() {
		return ""
	}
	was := m.available()
	if m.probes = append(m.probes, 0); m.blocked() {
		m.until = now.Add(m.cfg.OpenTime)
	}
	return m.flip(was, "breaker_probing")
}

func (m *breakerModel) forgo(phase int) string {
	if m.state != HalfOpen || phase != m.phase {
		return ""
	}
	was := m.available()
	m.probes = m.probes[:len(m.probes)-1]
	return m.flip(was, "breaker_half_open")
}

func (m *breakerModel) check(ok bool) string {
	was := m.available()
	m.down = !ok
	if ok {
		return m.flip(was, "check_passed")
	}
	return m.flip(was, "check_failed")
}

func (m *breakerModel) tick(now time.Time) string {
	if !m.blocked() || m.until.After(now) {
		return ""
	}
	was := m.available()
	m.state, m.probes, m.phase = HalfOpen, nil, m.phase+1
	return m.flip(was, "breaker_half_open")
}

// sorted puts those probes first that have passed, so that one under way is the last.
func (m *breakerModel) sorted() {
	n := 0
	for _, p := range m.probes {
		n += p
	}
	for k := range m.probes {
		m.probes[k] = 0
		if k < n {
			m.probes[k] = 1
		}
	}
}

// asked is a request under way, as group and model know it.
type asked struct {
	probe Probe
	phase int
}

// breakerMachine runs a group beside the model.
type breakerMachine struct {
	now   time.Time
	g     *Group
	m     *breakerModel
	under []asked   // requests under way
	armed time.Time // when whoever calls the group would call Tick
}

func (b *breakerMachine) expect(t *rapid.T, reason string, c Change, changed bool) {
	require.Equal(t, reason != "", changed, "%s: %v", reason, c)
	if changed {
		require.Equal(t, []any{0, b.m.available(), reason, b.now}, []any{c.Backend, c.Available, c.Reason.String(), c.At})
		require.NotEmpty(t, c.Detail)
	}
	next, _ := b.g.Next()
	if b.g.Rearm() || changed {
		b.armed = next
	}
	require.Equal(t, b.armed, next, "Next changed, and nobody was told")
}

// end takes a request from those under way.
func (b *breakerMachine) end(t *rapid.T) asked {
	if len(b.under) == 0 {
		t.Skip("none is under way")
	}
	k := rapid.IntRange(0, len(b.under)-1).Draw(t, "which")
	a := b.under[k]
	b.under = append(b.under[:k], b.under[k+1:]...)
	return a
}

func (b *breakerMachine) request(t *rapid.T) {
	if !b.g.Available(0) || len(b.under) == 20 {
		t.Skip("no request can begin")
	}
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		p, c, changed := b.g.Admit(b.now, 0)
		phase := -1
		if b.m.state == HalfOpen && !b.m.blocked() {
			phase = b.m.phase
		}
		b.expect(t, b.m.admit(b.now), c, changed)
		require.Equal(t, phase >= 0, p != 0)
		b.under = append(b.under, asked{p, phase})
	}
}

func (b *breakerMachine) answer(t *rapid.T) {
	a := b.end(t)
	s := rapid.SampledFrom([]Signal{Success, Success, Response5xx, Timeout}).Draw(t, "signal")
	took := rapid.SampledFrom([]time.Duration{0, time.Second - 1, time.Second}).Draw(t, "took")
	c, changed := b.g.ObserveRequest(b.now, 0, s, took, a.probe)
	reason := b.m.observe(b.now, s, took, a.phase)
	b.m.sorted()
	b.expect(t, reason, c, changed)
}

func (b *breakerMachine) tick(t *rapid.T) {
	if next, ok := b.g.Next(); ok && next.After(b.now) && rapid.Bool().Draw(t, "wait for it") {
		b.now = next
	}
	changes := b.g.Tick(b.now)
	reason := b.m.tick(b.now)
	require.Equal(t, reason != "", len(changes) == 1)
	b.armed, _ = b.g.Next()
	for _, c := range changes {
		b.expect(t, reason, c, true)
	}
}

func (b *breakerMachine) invariants(t *rapid.T) {
	require.Equal(t, b.m.available(), b.g.Available(0))
	require.True(t, b.g.Available(1), "the breaker of one backend is no other's")
	s := b.g.State(0)
	require.Equal(t, b.m.state, s.Circuit)
	want := time.Time{}
	if b.m.blocked() {
		want = b.m.until
	}
	require.Equal(t, want, s.CircuitUntil)
	require.Equal(t, b.m.available(), s.Status == Up)
	require.LessOrEqual(t, len(b.m.probes), b.m.cfg.Probes, "no more probes than the bound")
}

func drawBreaker(t *rapid.T) Breaker {
	b := Breaker{
		ErrorPercent: rapid.SampledFrom([]int{0, 1, 50, 100}).Draw(t, "errors"),
		SlowPercent:  rapid.SampledFrom([]int{0, 30, 100}).Draw(t, "slow"),
		SlowAfter:    time.Second, Window: 10 * time.Second, OpenTime: 7 * time.Second,
		MinRequests: rapid.IntRange(1, 4).Draw(t, "least"),
		Probes:      rapid.IntRange(1, 3).Draw(t, "probes"),
	}
	if b.ErrorPercent == 0 && b.SlowPercent == 0 {
		b.ErrorPercent = 50
	}
	return b
}

func TestABreakerAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Active: true, Rise: 1, Fall: 1, Passive: Passive{MaxEjectionPercent: -1}, Breaker: drawBreaker(t)}
		g, err := New(cfg, 2, nil)
		require.NoError(t, err)
		b := &breakerMachine{now: instant, g: g, m: &breakerModel{cfg: cfg.Breaker}}
		t.Repeat(map[string]func(*rapid.T){
			"request": b.request, "request2": b.request, "answer": b.answer, "answer2": b.answer,
			"forgo": func(t *rapid.T) {
				a := b.end(t)
				c, changed := g.Forgo(b.now, 0, a.probe)
				b.expect(t, b.m.forgo(a.phase), c, changed)
			},
			"no connection": func(t *rapid.T) {
				c, changed := g.Observe(b.now, 0, ConnectFailed)
				b.expect(t, b.m.observe(b.now, ConnectFailed, 0, -1), c, changed)
			},
			"check": func(t *rapid.T) {
				ok := rapid.Bool().Draw(t, "ok")
				c, changed := g.Check(b.now, 0, ok)
				b.expect(t, b.m.check(ok), c, changed)
			},
			"wait": func(t *rapid.T) {
				b.now = b.now.Add(time.Duration(rapid.IntRange(0, 12000).Draw(t, "ms")) * time.Millisecond)
			},
			"tick": b.tick,
			"":     b.invariants,
		})
	})
}

func breaking(t *testing.T, b Breaker) *Group {
	return build(t, Config{Passive: Passive{MaxEjectionPercent: -1}, Breaker: b}, 2)
}

func TestABreakerOpensAtItsShareAndNotBelow(t *testing.T) {
	for _, c := range []struct {
		cfg       Breaker
		good, bad int
		opens     bool
	}{
		{Breaker{ErrorPercent: 50}, 10, 9, false},
		{Breaker{ErrorPercent: 50}, 10, 10, true},
		{Breaker{ErrorPercent: 50}, 11, 10, false},
		{Breaker{ErrorPercent: 1, MinRequests: 100}, 99, 1, true},
		{Breaker{ErrorPercent: 1, MinRequests: 100}, 98, 1, false},
		{Breaker{ErrorPercent: 100}, 1, 19, false},
		{Breaker{ErrorPercent: 100}, 0, 19, false},
		{Breaker{ErrorPercent: 100}, 0, 20, true},
	} {
		g := breaking(t, c.cfg)
		for range c.good {
			_, changed := g.Observe(instant, 0, Success)
			require.False(t, changed)
		}
		opened := false
		for range c.bad {
			_, changed := g.Observe(instant, 0, Timeout)
			opened = opened || changed
		}
		require.Equal(t, c.opens, opened, "%+v", c)
	}
}

func TestABreakerOpensForSlowAnswersThatAreGood(t *testing.T) {
	g := breaking(t, Breaker{SlowPercent: 50, SlowAfter: time.Second, MinRequests: 4})
	for k, took := range []time.Duration{time.Second - 1, time.Second - 1, time.Second, time.Second} {
		c, changed := g.ObserveRequest(instant, 0, Success, took, 0)
		require.Equal(t, k == 3, changed)
		if changed {
			require.Equal(t, "0 open: breaker_open (2 of 4 were slow)", c.String())
		}
	}
	require.Equal(t, 1, g.State(0).Trips)
	require.Equal(t, Broken, g.State(0).Status)
}

func TestABreakerCountsASlidingWindow(t *testing.T) {
	g := breaking(t, Breaker{ErrorPercent: 100, MinRequests: 2})
	_, changed := g.Observe(instant, 0, Timeout)
	require.False(t, changed)
	_, changed = g.Observe(instant.Add(10*time.Second), 0, Timeout)
	require.False(t, changed, "the first one is 10 s old")
	_, changed = g.Observe(instant.Add(19*time.Second), 0, Timeout)
	require.True(t, changed, "the second one is not")
}

func TestProbesThatDoNotEndAreGivenUp(t *testing.T) {
	g := breaking(t, Breaker{ErrorPercent: 1, MinRequests: 1, Probes: 1})
	now := instant
	_, changed := g.Observe(now, 0, Timeout)
	require.True(t, changed)
	now = now.Add(10 * time.Second)
	require.Equal(t, "0 half open: breaker_half_open (after 10s)", g.Tick(now)[0].String())
	p, c, changed := g.Admit(now, 0)
	require.True(t, changed)
	require.Equal(t, "0 probed: breaker_probing (1 of 1)", c.String())
	require.NotZero(t, p)
	require.Equal(t, BreakerProbing, g.State(0).Reason)
	require.Empty(t, g.Tick(now.Add(10*time.Second-1)))
	now = now.Add(10 * time.Second)
	require.Equal(t, "0 half open: breaker_half_open (its probes did not end)", g.Tick(now)[0].String())
	_, changed = g.ObserveRequest(now, 0, Timeout, 0, p)
	require.False(t, changed, "it was given up")
	p, _, _ = g.Admit(now, 0)
	c, changed = g.ObserveRequest(now, 0, Success, 0, p)
	require.True(t, changed)
	require.Equal(t, "0 up: breaker_closed (1 of 1)", c.String())
}

func TestABreakerThatIsSwitchedOffKeepsNobodyOut(t *testing.T) {
	for _, half := range []bool{false, true} {
		on := Config{Passive: Passive{MaxEjectionPercent: -1}, Breaker: Breaker{ErrorPercent: 1, MinRequests: 1, Probes: 2}}
		g := build(t, on, 2)
		_, changed := g.Observe(instant, 0, Timeout)
		require.True(t, changed)
		now := instant.Add(time.Minute)
		if half {
			require.Len(t, g.Tick(now), 1)
			g.Admit(now, 0)
			on.Breaker.Probes = 1 // one is under way already
			changes, err := g.Reconfigure(now, on)
			require.NoError(t, err)
			require.Empty(t, changes)
			require.True(t, g.Available(0))
			_, _, changed = g.Admit(now, 0)
			require.True(t, changed)
		}
		on.Breaker = Breaker{}
		changes, err := g.Reconfigure(now, on)
		require.NoError(t, err)
		require.Len(t, changes, 1)
		require.Equal(t, "0 up: breaker_closed (breakers were switched off)", changes[0].String())
		require.Equal(t, 2, g.AvailableCount())
		_, ok := g.Next()
		require.False(t, ok)
	}
}

func TestABackendThatIsRemovedTakesItsBreakerAlong(t *testing.T) {
	g := breaking(t, Breaker{ErrorPercent: 1, MinRequests: 1})
	g.Observe(instant, 0, Timeout)
	require.Empty(t, g.Remove(instant, 0))
	_, ok := g.Next()
	require.False(t, ok)
	g.Add(0)
	require.True(t, g.Available(0))
	require.Equal(t, Closed, g.State(0).Circuit)
}

func TestABreakerRefusesAConfigOutOfRange(t *testing.T) {
	for _, b := range []Breaker{
		{ErrorPercent: -1}, {ErrorPercent: 101}, {SlowPercent: -1}, {SlowPercent: 101, SlowAfter: 1},
		{SlowPercent: 50}, {SlowPercent: 50, SlowAfter: -1}, {ErrorPercent: 1, Window: 9},
		{ErrorPercent: 1, MinRequests: -1}, {ErrorPercent: 1, OpenTime: -1}, {ErrorPercent: 1, OpenTime: math.MaxInt64},
		{ErrorPercent: 1, Probes: -1},
	} {
		_, err := New(Config{Breaker: b}, 1, nil)
		require.ErrorContains(t, err, "health: Breaker.", "%+v", b)
	}
	for _, b := range []Breaker{{Window: -1, Probes: -1}, {ErrorPercent: 100, Window: 10}, {SlowPercent: 100, SlowAfter: 1}} {
		_, err := New(Config{Breaker: b}, 1, nil)
		require.NoError(t, err, "%+v", b)
	}
	for _, c := range []Circuit{Closed, Open, HalfOpen} {
		require.NotContains(t, c.String(), "circuit")
	}
	require.Equal(t, "circuit(3)", Circuit(3).String())
}
