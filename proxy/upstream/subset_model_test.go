package upstream

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
)

// subsetStep is something that happens to a group with a subset.
type subsetStep struct {
	does, which, priority, size, percent, panics int
	ok                                           bool
	instance                                     string
}

func drawSubsetStep(t *rapid.T) subsetStep {
	return subsetStep{
		does: rapid.IntRange(0, 9).Draw(t, "does"), which: rapid.IntRange(0, 99).Draw(t, "which"),
		priority: rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "priority"), size: rapid.IntRange(0, 5).Draw(t, "size"),
		percent: rapid.SampledFrom([]int{10, 50, 75, 100}).Draw(t, "percent"), panics: rapid.SampledFrom([]int{0, 30, 50, 80}).Draw(t, "panics"),
		ok: rapid.Bool().Draw(t, "ok"), instance: rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "instance"),
	}
}

// subsetWorld is a group, and what is expected of it by going through all of it again.
type subsetWorld struct {
	t     *rapid.T
	u     *Upstream
	added int
}

// use lists the members, and says of each whether it is in use.
func (w *subsetWorld) use() map[*backend]bool {
	u, use := w.u, map[*backend]bool{}
	for tier := range 2 {
		var all []*backend
		for _, b := range u.members {
			if !b.leaving && b.tier == tier {
				all = append(all, b)
			}
		}
		slices.SortFunc(all, func(a, b *backend) int {
			return cmp.Compare(scoreOf(u.cfg.Instance, b.address), scoreOf(u.cfg.Instance, a.address))
		})
		size := len(all)
		if u.cfg.SubsetSize > 0 {
			size = min(size, u.cfg.SubsetSize)
		}
		up := 0
		for _, b := range all[:size] {
			if u.judge.Available(b.index) {
				up++
			}
		}
		few := 2*up < size || 100*up < u.cfg.Health.PanicPercent*size
		for i, b := range all {
			use[b] = i < size || few
		}
	}
	return use
}

// counts are those that are in use: all, those that nobody wants out, those available, and those ejected.
func (w *subsetWorld) counts(use map[*backend]bool) (all, service, up, ejected int) {
	for b, used := range use {
		if !used {
			continue
		}
		all++
		if !w.u.judge.Rests(b.index) {
			service++
		}
		if w.u.judge.Available(b.index) {
			up++
		}
		if !w.u.judge.State(b.index).EjectedUntil.IsZero() {
			ejected++
		}
	}
	return all, service, up, ejected
}

// look compares the group with what is expected.
func (w *subsetWorld) look() {
	u := w.u
	s := u.Stats()
	u.mu.Lock()
	defer u.mu.Unlock()
	use := w.use()
	_, service, up, ejected := w.counts(use)
	panics := 100*up < u.cfg.Health.PanicPercent*service
	require.Equal(w.t, []int{service, up, ejected}, []int{u.judge.InService(), u.judge.AvailableCount(), u.judge.EjectedCount()})
	require.Equal(w.t, []bool{panics, panics}, []bool{s.Panicking, u.judge.Panicking()})
	for b, used := range use {
		want := used && (u.judge.Available(b.index) || panics && !u.judge.Rests(b.index))
		require.Equal(w.t, want, u.availableLocked(b), b.address)
	}
	for range 5 {
		if i := u.pickLocked(u.Now(), &Attempt{}, noPick); i != noPick {
			require.True(w.t, u.availableLocked(u.backends[i]), "%s is picked", u.backends[i].address)
			u.doneLocked(i, lb.Abandoned, 0)
		}
	}
}

// step does one thing.
func (w *subsetWorld) step(s subsetStep) {
	u := w.u
	members := u.Members()
	b := u.findLocked(members[s.which%len(members)].Address)
	switch s.does {
	case 0, 1, 2:
		u.checkDone(u.Now(), b, map[bool]error{false: errRefused}[s.ok])
	case 3, 4:
		w.answer5xx(b)
	case 5:
		if s.ok {
			require.NoError(w.t, u.UndrainBackend(b.address))
		} else {
			require.NoError(w.t, u.DrainBackend(b.address))
		}
	case 6:
		w.added++
		require.NoError(w.t, u.AddBackend(Backend{Address: addr(w.added), Priority: s.priority}))
	case 7:
		if len(members) > 1 {
			require.NoError(w.t, u.RemoveBackend(b.address, 0))
		}
	case 8:
		next := u.cfg
		next.Backends = slices.Clone(members)
		next.Backends[s.which%len(members)].Priority = s.priority
		next.SubsetSize, next.Instance = s.size, s.instance
		next.Health.PanicPercent, next.Health.Passive.MaxEjectionPercent = s.panics, s.percent
		require.NoError(w.t, u.Apply(next, 0))
	case 9:
		u.clk.Sleep(time.Duration(s.which) * time.Second)
	}
	u.clk.Sleep(time.Millisecond)
}

// answer5xx brings the one answer that ejects a backend, where that may be.
func (w *subsetWorld) answer5xx(b *backend) {
	u := w.u
	u.mu.Lock()
	use := w.use()
	all, _, _, ejected := w.counts(use)
	limit := max(1, all*u.cfg.Health.Passive.MaxEjectionPercent/100)
	may := len(use) > 1 && use[b] && u.judge.Available(b.index) && ejected < limit
	before := u.judge.State(b.index).EjectionsTotal
	u.mu.Unlock()
	u.evidence(u.Now(), b, OutcomeAnswered5xx)
	u.mu.Lock()
	defer u.mu.Unlock()
	require.Equal(w.t, may, u.judge.State(b.index).EjectionsTotal > before, "%s: %d of %d in use are ejected", b.address, ejected, all)
}

// Whatever becomes of a group, its judge and its picker know who is in use, and shares are of those.
func TestSharesAreOfTheBackendsInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "backends")
		cfg := Config{Name: "web", Backends: group(n), Instance: "p", SubsetSize: rapid.IntRange(0, 5).Draw(t, "subset"),
			Strategy: rapid.SampledFrom([]string{"round-robin", "least-connections", "p2c"}).Draw(t, "strategy"),
			Check:    Check{Prober: &switchboard{}, Interval: 24 * time.Hour},
			Health: health.Config{Active: true, Rise: 1, Fall: 1, PanicPercent: rapid.SampledFrom([]int{0, 50, 80}).Draw(t, "panic"),
				Passive: health.Passive{Consecutive5xx: 1, ConsecutiveFailures: -1, MaxEjectionPercent: 50, BaseEjectionTime: 10 * time.Second}}}
		steps := rapid.SliceOfN(rapid.Custom(drawSubsetStep), 1, 40).Draw(t, "steps")
		rapid.SyncTest(t, func(t *rapid.T) {
			cfg.Dialer, cfg.Rand = newFakeNet(), seeded
			u, err := New(cfg)
			require.NoError(t, err)
			defer u.Close()
			w := &subsetWorld{t: t, u: u, added: n}
			w.look()
			for _, s := range steps {
				w.step(s)
				w.look()
			}
		})
	})
}
