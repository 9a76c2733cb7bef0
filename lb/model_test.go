package lb

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model is a picker too dumb to be wrong: it knows who may be picked, and counts.
type model struct {
	weight, inFlight, ready, priority []int // a weight of 0 stands for a vacant index
	available                         []bool
}

// present lists the indexes that have a backend.
func (m *model) present() []int {
	var is []int
	for i, w := range m.weight {
		if w > 0 {
			is = append(is, i)
		}
	}
	return is
}

func newModel(ws []int) *model {
	m := &model{weight: slices.Clone(ws), inFlight: make([]int, len(ws)), priority: make([]int, len(ws))}
	for range ws {
		m.ready = append(m.ready, -1)
		m.available = append(m.available, true)
	}
	return m
}

// candidates are those that may be picked: of the first tier that has any.
func (m *model) candidates(tried []int) []int {
	for tier := range MaxPriority + 1 {
		var cs []int
		for i := range m.weight {
			if m.weight[i] > 0 && m.priority[i] == tier && m.available[i] && m.ready[i] != 0 && !slices.Contains(tried, i) {
				cs = append(cs, i)
			}
		}
		if len(cs) > 0 {
			return cs
		}
	}
	return nil
}

// load is the load of i as an exact fraction.
func (m *model) load(i int) *big.Rat { return big.NewRat(int64(m.inFlight[i]), int64(m.weight[i])) }

// machine runs one picker beside the model.
type machine struct {
	strategy string
	picker   Picker
	model    *model
	most     int // backends
	now      time.Time
}

func (m *machine) index(t *rapid.T) int {
	return rapid.SampledFrom(m.model.present()).Draw(t, "backend")
}

func (m *machine) pick(t *rapid.T) {
	tried := rapid.SliceOfN(rapid.IntRange(0, len(m.model.weight)-1), 0, 4).Draw(t, "tried")
	may := m.model.candidates(tried)
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
	i := m.picker.Pick(m.now, &Query{Tried: tried, Key: rapid.Uint64Range(0, 9).Draw(t, "key")})
	if len(may) == 0 {
		require.Equal(t, -1, i)
		return
	}
	require.Contains(t, may, i)
	if m.strategy == "least-connections" {
		for _, other := range may {
			require.LessOrEqual(t, m.model.load(i).Cmp(m.model.load(other)), 0, "%d carries less than %d", other, i)
		}
	}
	if m.strategy == "first" {
		require.Equal(t, may[0], i)
	}
	m.model.inFlight[i]++
}

func (m *machine) done(t *rapid.T) {
	i := m.index(t)
	o := rapid.SampledFrom(Outcomes()).Draw(t, "outcome")
	if m.model.inFlight[i] == 0 {
		require.Panics(t, func() { m.picker.Done(i, o, time.Millisecond) })
		return
	}
	m.picker.Done(i, o, time.Millisecond)
	m.model.inFlight[i]--
}

// add puts a backend at a vacant index or behind the last one.
func (m *machine) add(t *rapid.T) {
	if len(m.model.weight) >= m.most && !slices.Contains(m.model.weight, 0) {
		t.Skip("enough of them")
	}
	i := slices.Index(m.model.weight, 0)
	if i < 0 || len(m.model.weight) < m.most && rapid.Bool().Draw(t, "behind the last") {
		i = len(m.model.weight)
		m.model.weight, m.model.inFlight = append(m.model.weight, 0), append(m.model.inFlight, 0)
		m.model.ready, m.model.available = append(m.model.ready, 0), append(m.model.available, false)
		m.model.priority = append(m.model.priority, 0)
	}
	w := rapid.IntRange(1, 5).Draw(t, "w")
	tier := rapid.SampledFrom([]int{0, 0, 1, MaxPriority}).Draw(t, "tier")
	m.picker.Add(i, Backend{Weight: w, Priority: tier})
	m.model.priority[i] = tier
	m.model.weight[i], m.model.inFlight[i], m.model.ready[i], m.model.available[i] = w, 0, -1, true
	require.Panics(t, func() { m.picker.Add(i, Backend{}) }, "there is one")
}

// remove takes a backend out, once nothing is in flight there.
func (m *machine) remove(t *rapid.T) {
	i := m.index(t)
	if m.model.inFlight[i] > 0 {
		require.Panics(t, func() { m.picker.Remove(i) })
		return
	}
	if len(m.model.present()) == 1 {
		t.Skip("the last one")
	}
	m.picker.Remove(i)
	m.model.weight[i] = 0
	require.Panics(t, func() { m.picker.Remove(i) }, "it is gone")
	require.Panics(t, func() { m.picker.Take(i) }, "it is gone")
}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"pick":    m.pick,
		"pick2":   m.pick, // picks are what the machine is about: more of them
		"done":    m.done,
		"add":     m.add,
		"remove":  m.remove,
		"rebuild": func(*rapid.T) { RebuildNow(m.picker) },
		"tier": func(t *rapid.T) {
			i, tier := m.index(t), rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "tier")
			m.picker.SetPriority(i, tier)
			m.model.priority[i] = tier
		},
		"slow start": func(t *rapid.T) {
			if m.strategy != "least-connections" { // whose loads would be for other weights
				m.picker.SlowStart(m.index(t), m.now)
			}
		},
		"take": func(t *rapid.T) {
			i := m.index(t)
			m.picker.Take(i)
			m.model.inFlight[i]++
		},
		"available": func(t *rapid.T) {
			i, ok := m.index(t), rapid.Bool().Draw(t, "ok")
			m.picker.SetAvailable(i, ok)
			m.model.available[i] = ok
		},
		"ready": func(t *rapid.T) {
			i, n := m.index(t), rapid.IntRange(-1, 2).Draw(t, "n")
			m.picker.SetReady(i, n)
			m.model.ready[i] = n
		},
		"weight": func(t *rapid.T) {
			i := m.index(t)
			w := rapid.OneOf(rapid.IntRange(1, 5), rapid.Just(MaxWeight)).Draw(t, "w")
			m.picker.SetWeight(i, w)
			m.model.weight[i] = w
		},
		"": func(t *rapid.T) { // what holds at every instant
			require.Equal(t, len(m.model.weight), m.picker.Len())
			for _, i := range m.model.present() {
				require.Equal(t, m.model.inFlight[i], m.picker.InFlight(i), "in flight at %d", i)
			}
		},
	}
}

func TestEveryStrategyAgreesWithTheModel(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		rapid.Check(t, func(t *rapid.T) {
			ws := rapid.OneOf(rapid.SliceOfN(rapid.IntRange(1, 5), 1, 6), rapid.SliceOfN(rapid.IntRange(1, 5), few-1, few+4)).Draw(t, "weights")
			p, err := NewWith(strategy, weights(ws...), stream(rapid.Uint64().Draw(t, "seed")), Options{SlowStart: 5 * time.Second})
			require.NoError(t, err)
			m := &machine{strategy, p, newModel(ws), len(ws) + 2, instant}
			t.Repeat(m.actions())
		})
	})
}

// TestCreditsStayBoundedHoweverTheCandidatesChange guards the rotation's memory: whatever subset of the fleet
// is asked, step after step, nobody's credit runs away, so that nobody is starved or favoured for long.
func TestCreditsStayBoundedHoweverTheCandidatesChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := rapid.SliceOfN(rapid.IntRange(1, 100), 2, 8).Draw(t, "weights")
		total := 0
		for _, w := range ws {
			total += w
		}
		masks := rapid.SliceOfN(rapid.IntRange(0, 1<<len(ws)-1), 1, 40).Draw(t, "who is saturated, step by step")
		p := core[*roundRobin](build(t, "round-robin", ws...))
		for step := range 4000 {
			mask := masks[step%len(masks)]
			for i := range ws {
				p.SetReady(i, 1-(mask>>i)&1)
			}
			if i := p.Pick(instant, nil); i >= 0 {
				p.Done(i, Success, 0)
			}
			sum := int64(0)
			for i := range p.members {
				require.LessOrEqual(t, abs(p.members[i].credit), int64(len(ws)*total), "step %d, backend %d", step, i)
				sum += p.members[i].credit
			}
			require.Zero(t, sum, "what is paid is charged")
		}
	})
}

func abs(n int64) int64 { return max(n, -n) }
