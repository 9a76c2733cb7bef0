package health

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model judges a group by keeping everything that was ever said and going through it again for every
// question.
type model struct {
	cfg   Config
	limit int
	over  int // so many were ejected when the reserve last changed
	b     []modelBackend
}

type modelBackend struct {
	gone, drained bool
	reserve       bool
	agent         []AgentReport
	down          bool
	checks        []bool   // since down last changed
	signals       []Signal // since the backend last came back
	until         time.Time
	unreached     bool   // the ejection is for failures, not for 5xx
	vouchers      []bool // checks since the ejection
	remembered    int
	end           time.Time
	total         int
}

func (b *modelBackend) ejected() bool { return !b.until.IsZero() }
func (b *modelBackend) available() bool {
	return !b.gone && !b.down && !b.ejected() && !b.drained && b.agentSays() == ""
}

// agentSays is the reason for which the agent keeps the backend out: the last word on each thing counts.
func (b *modelBackend) agentSays() string {
	var mode, state, weight string
	for _, r := range b.agent {
		mode = map[AgentMode]string{AgentSilent: mode, AgentInService: "", AgentToDrain: "agent_drain", AgentInMaintenance: "agent_maint"}[r.Mode]
		state = map[AgentState]string{AgentMute: state, AgentWell: "", AgentIll: "agent_down"}[r.State]
		if r.Weightless {
			weight = "agent_drain"
		} else if r.Weighty {
			weight = ""
		}
	}
	for _, reason := range []string{"agent_maint", "agent_down", "agent_drain"} {
		if mode == reason || state == reason || weight == reason {
			return reason
		}
	}
	return ""
}

// hears returns the reason for which the backend's availability flips, or "".
func (m *model) hears(i int, r AgentReport) string {
	b := &m.b[i]
	was := b.available()
	b.agent = append(b.agent, r)
	switch now := b.available(); {
	case was && !now:
		return b.agentSays()
	case !was && now:
		b.signals = nil
		return "agent_ready"
	}
	return ""
}

// streak counts the signals at the end of what was said that counts says yes to, up to one that ends says yes
// to.
func (b *modelBackend) streak(counts, ends func(Signal) bool) int {
	n := 0
	for i := len(b.signals) - 1; i >= 0 && !ends(b.signals[i]); i-- {
		if counts(b.signals[i]) {
			n++
		}
	}
	return n
}

func (b *modelBackend) is5xx(s Signal) bool     { return s == Response5xx || s == ResponseGateway }
func (b *modelBackend) isGateway(s Signal) bool { return s == ResponseGateway }
func (b *modelBackend) isOther(s Signal) bool   { return s == Success || s == Response5xx }
func (b *modelBackend) isSuccess(s Signal) bool { return s == Success }
func (b *modelBackend) isAnswer(s Signal) bool  { return s == Success || b.is5xx(s) }
func (b *modelBackend) isFailure(s Signal) bool { return !b.isAnswer(s) }

// present lists the indexes that have a backend.
func (m *model) present() []int {
	var is []int
	for i := range m.b {
		if !m.b[i].gone {
			is = append(is, i)
		}
	}
	return is
}

// settle computes the largest number of backends that is within the share of those in use.
func (m *model) settle() {
	n, all := 0, len(m.present())
	for _, i := range m.present() {
		if !m.b[i].reserve {
			n++
		}
	}
	m.limit = 0
	for k := 1; k <= n && all > 1; k++ {
		if k == 1 || k*100 <= n*m.cfg.Passive.MaxEjectionPercent {
			m.limit = k
		}
	}
}

// reserve says that a backend is not in use, or is again.
func (m *model) reserve(i int, on bool) {
	b := &m.b[i]
	if b.reserve && !on {
		b.signals = nil
	}
	b.reserve = on
	m.settle()
	m.over = m.ejected()
}

// resize follows those who come and go, and lets in whoever is too many.
func (m *model) resize(now time.Time) []string {
	m.settle()
	var back []string
	for m.over = 0; m.ejected() > m.limit; {
		first := -1
		for _, i := range m.present() {
			if m.b[i].ejected() && !m.b[i].reserve && (first < 0 || m.b[i].until.Before(m.b[first].until)) {
				first = i
			}
		}
		b := &m.b[first]
		b.until, b.end = time.Time{}, now
		if b.available() {
			b.signals = nil
			back = append(back, fmt.Sprintf("%d ejection_over", first))
		}
	}
	return back
}

// remove forgets a backend.
func (m *model) remove(now time.Time, i int) []string {
	m.b[i] = modelBackend{gone: true}
	return m.resize(now)
}

// drain returns the reason for which the backend's availability flips, or "".
func (m *model) drain(i int, on bool) string {
	b := &m.b[i]
	was := b.available()
	b.drained = on
	switch now := b.available(); {
	case was && !now:
		return "drain_asked"
	case !was && now:
		b.signals = nil
		return "drain_over"
	}
	return ""
}

func (m *model) ejected() int {
	n := 0
	for i := range m.b {
		if m.b[i].ejected() && !m.b[i].reserve {
			n++
		}
	}
	return n
}

// check returns the reason for which the backend's availability flips, or "".
func (m *model) check(now time.Time, i int, ok bool) string {
	b := &m.b[i]
	if b.ejected() {
		b.vouchers = append(b.vouchers, ok)
	}
	if reason := m.checkAlone(i, ok); reason != "" {
		return reason
	}
	need := m.cfg.Rise * b.remembered
	if !b.ejected() || !b.unreached || b.down || len(b.vouchers) < need {
		return ""
	}
	for _, passed := range b.vouchers[len(b.vouchers)-need:] {
		if !passed {
			return ""
		}
	}
	b.until, b.end = time.Time{}, now
	if !b.available() {
		return ""
	}
	b.signals = nil
	return "check_passed"
}

// checkAlone is check without what it does for ejections.
func (m *model) checkAlone(i int, ok bool) string {
	b := &m.b[i]
	was := b.available()
	b.checks = append(b.checks, ok)
	need, turns := m.cfg.Fall, false
	if b.down {
		need, turns = m.cfg.Rise, true
	}
	for j := range need {
		if j >= len(b.checks) || b.checks[len(b.checks)-1-j] != turns {
			return ""
		}
	}
	b.down, b.checks = !b.down, nil
	switch {
	case was:
		return "check_failed"
	case b.available():
		b.signals = nil
		return "check_passed"
	}
	return ""
}

// observe returns the reason for which the backend's availability flips, or "".
func (m *model) observe(now time.Time, i int, s Signal) string {
	b := &m.b[i]
	if (!b.available() || b.reserve) && s != Success {
		return ""
	}
	b.signals = append(b.signals, s)
	p := &m.cfg.Passive
	reason := ""
	if b.is5xx(s) && p.Consecutive5xx > 0 && b.streak(b.is5xx, b.isSuccess) >= p.Consecutive5xx {
		reason = "consecutive_5xx"
	}
	if s == ResponseGateway && p.ConsecutiveGatewayErrors > 0 && b.streak(b.isGateway, b.isOther) >= p.ConsecutiveGatewayErrors {
		reason = "consecutive_gateway_errors"
	}
	if b.isFailure(s) && p.ConsecutiveFailures > 0 &&
		b.streak(b.isFailure, b.isAnswer) >= p.ConsecutiveFailures {
		reason = "consecutive_failures"
	}
	if reason == "" || m.ejected() >= m.limit {
		return ""
	}
	for at := b.end.Add(p.BaseEjectionTime); b.remembered > 0 && !at.After(now); at = at.Add(p.BaseEjectionTime) {
		b.remembered--
	}
	// Counting beyond what already gives the longest ejection would only take longer to forget.
	if time.Duration(b.remembered)*p.BaseEjectionTime < p.MaxEjectionTime {
		b.remembered++
	}
	b.until = now.Add(min(time.Duration(b.remembered)*p.BaseEjectionTime, p.MaxEjectionTime))
	b.signals, b.vouchers, b.unreached = nil, nil, reason == "consecutive_failures"
	b.total++
	return reason
}

func (m *model) tick(now time.Time) []string {
	var back []string
	for i := range m.b {
		b := &m.b[i]
		if !b.ejected() || b.until.After(now) {
			continue
		}
		b.until, b.end = time.Time{}, now
		if b.available() {
			b.signals = nil
			back = append(back, fmt.Sprintf("%d ejection_over", i))
		}
	}
	return back
}

func drawConfig(t *rapid.T) Config {
	return Config{
		Active: true,
		Rise:   rapid.IntRange(1, 3).Draw(t, "rise"),
		Fall:   rapid.IntRange(1, 3).Draw(t, "fall"),
		Passive: Passive{
			Consecutive5xx:           rapid.SampledFrom([]int{-1, 1, 2, 3}).Draw(t, "5xx"),
			ConsecutiveGatewayErrors: rapid.SampledFrom([]int{-1, 0, 1, 2, 3}).Draw(t, "gateway"),
			ConsecutiveFailures:      rapid.SampledFrom([]int{-1, 1, 2, 3}).Draw(t, "failures"),
			BaseEjectionTime:         10 * time.Second,
			MaxEjectionTime:          rapid.SampledFrom([]time.Duration{10, 25, 40}).Draw(t, "max") * time.Second,
			MaxEjectionPercent:       rapid.SampledFrom([]int{1, 50, 67, 100}).Draw(t, "percent"),
		},
	}
}

// machine runs a group beside the model.
type machine struct {
	now   time.Time
	group *Group
	model *model
}

func (m *machine) expect(t *rapid.T, i int, reason string, c Change, ok bool) {
	if reason == "" {
		require.False(t, ok, "unexpected: %v", c)
		require.Zero(t, c)
		return
	}
	require.True(t, ok, "expected: %d %s", i, reason)
	b := &m.model.b[i]
	require.Equal(t, []any{i, b.available(), reason, m.now}, []any{c.Backend, c.Available, c.Reason.String(), c.At})
	require.NotEmpty(t, c.Detail)
	if b.ejected() && !strings.HasPrefix(reason, "agent_") && reason != "drain_asked" {
		require.Equal(t, b.until, c.Until)
	} else {
		require.Zero(t, c.Until)
	}
}

func (m *machine) actions() map[string]func(*rapid.T) {
	index := func(t *rapid.T) int { return rapid.SampledFrom(m.model.present()).Draw(t, "backend") }
	observe := func(t *rapid.T) {
		i, s := index(t), rapid.SampledFrom(Signals()).Draw(t, "signal")
		n := rapid.IntRange(1, 3).Draw(t, "times")
		for range n {
			c, ok := m.group.Observe(m.now, i, s)
			m.expect(t, i, m.model.observe(m.now, i, s), c, ok)
		}
	}
	return map[string]func(*rapid.T){
		"observe":  observe,
		"observe2": observe, // more of these: they must pile up to matter
		"check": func(t *rapid.T) {
			i, ok := index(t), rapid.Bool().Draw(t, "ok")
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				c, changed := m.group.Check(m.now, i, ok)
				m.expect(t, i, m.model.check(m.now, i, ok), c, changed)
			}
		},
		"wait": func(t *rapid.T) {
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 25).Draw(t, "seconds")) * time.Second)
		},
		"tick": func(t *rapid.T) {
			if next, ok := m.group.Next(); ok && next.After(m.now) && rapid.Bool().Draw(t, "wait for it") {
				m.now = next
			}
			got := m.cameBack(t, m.group.Tick(m.now))
			require.Equal(t, m.model.tick(m.now), got)
		},
		"add": func(t *rapid.T) {
			i := slices.IndexFunc(m.model.b, func(b modelBackend) bool { return b.gone })
			if i < 0 {
				if i = len(m.model.b); i == 7 {
					t.Skip("enough of them")
				}
				m.model.b = append(m.model.b, modelBackend{})
			}
			m.group.Add(i)
			m.model.b[i] = modelBackend{}
			m.model.settle()
		},
		"remove": func(t *rapid.T) {
			i := index(t)
			if len(m.model.present()) == 1 {
				t.Skip("the last one")
			}
			got := m.cameBack(t, m.group.Remove(m.now, i))
			require.Equal(t, m.model.remove(m.now, i), got)
			require.Panics(t, func() { m.group.Available(i) })
		},
		"drain": func(t *rapid.T) {
			i := index(t)
			c, ok := m.group.Drain(m.now, i)
			m.expect(t, i, m.model.drain(i, true), c, ok)
		},
		"undrain": func(t *rapid.T) {
			i := index(t)
			c, ok := m.group.Undrain(m.now, i)
			m.expect(t, i, m.model.drain(i, false), c, ok)
		},
		"reserve": m.reserve,
		"agent": func(t *rapid.T) {
			i, r := index(t), drawAgent(t)
			c, ok := m.group.Agent(m.now, i, r)
			m.expect(t, i, m.model.hears(i, r), c, ok)
		},
		"": m.invariants,
	}
}

func drawAgent(t *rapid.T) AgentReport {
	weight := rapid.IntRange(0, 2).Draw(t, "weight")
	return AgentReport{
		Mode: AgentMode(rapid.IntRange(0, 3).Draw(t, "mode")), State: AgentState(rapid.IntRange(0, 2).Draw(t, "state")),
		Weightless: weight == 1, Weighty: weight == 2,
	}
}

func (m *machine) reserve(t *rapid.T) {
	i, on := rapid.SampledFrom(m.model.present()).Draw(t, "backend"), rapid.Bool().Draw(t, "on")
	m.group.Reserve(i, on)
	m.model.reserve(i, on)
}

// cameBack writes down the changes of a call that only lets backends in.
func (m *machine) cameBack(t *rapid.T, changes []Change) []string {
	var got []string
	for _, c := range changes {
		require.True(t, c.Available)
		require.Equal(t, m.now, c.At)
		got = append(got, fmt.Sprintf("%d %v", c.Backend, c.Reason))
	}
	return got
}

// invariants are what holds at every instant.
func (m *machine) invariants(t *rapid.T) {
	available, next := 0, time.Time{}
	require.Equal(t, len(m.model.present()), m.group.Size())
	for _, i := range m.model.present() {
		b := &m.model.b[i]
		s := m.group.State(i)
		require.Equal(t, b.available(), m.group.Available(i), "backend %d", i)
		require.Equal(t, b.available(), s.Status == Up)
		says, asked := b.agentSays(), b.drained
		if a := m.group.backends[i].agent; a.asked() {
			require.NotEmpty(t, says)
			asked = true
		}
		require.Equal(t, says == "agent_drain" || b.drained, m.group.Drained(i))
		require.Equal(t, asked, s.Status == Drained)
		require.Equal(t, (b.down || says == "agent_down") && !asked, s.Status == Down)
		require.Equal(t, b.until, s.EjectedUntil)
		require.Equal(t, b.total, s.EjectionsTotal)
		require.Less(t, s.ChecksPassed, m.model.cfg.Rise)
		require.Less(t, s.ChecksFailed, m.model.cfg.Fall)
		require.LessOrEqual(t, s.Answers5xx, max(0, m.model.cfg.Passive.Consecutive5xx))
		require.LessOrEqual(t, s.GatewayErrors, max(0, m.model.cfg.Passive.ConsecutiveGatewayErrors))
		require.LessOrEqual(t, s.Failures, max(0, m.model.cfg.Passive.ConsecutiveFailures))
		if b.available() && !b.reserve {
			available++
		}
		if b.ejected() && (next.IsZero() || b.until.Before(next)) {
			next = b.until
		}
	}
	require.Equal(t, available, m.group.AvailableCount())
	require.Equal(t, m.model.ejected(), m.group.EjectedCount())
	require.LessOrEqual(t, m.group.EjectedCount(), max(m.model.limit, m.model.over), "more ejected than allowed")
	got, ok := m.group.Next()
	require.Equal(t, next, got)
	require.Equal(t, !next.IsZero(), ok)
}

func TestAGroupAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		n := rapid.IntRange(1, 5).Draw(t, "backends")
		group, err := New(cfg, n, nil)
		require.NoError(t, err)
		m := &machine{
			now:   time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
			group: group,
			model: &model{cfg: cfg, b: make([]modelBackend, n)},
		}
		m.model.resize(m.now)
		t.Repeat(m.actions())
	})
}
