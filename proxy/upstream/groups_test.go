package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
)

// flaky is a check that takes up to 33 ms and fails two times in five.
type flaky struct {
	clk clock.Clock
	mu  sync.Mutex
	rnd *rand.Rand
}

func (f *flaky) Probe(context.Context, string) error {
	f.mu.Lock()
	x := f.rnd.IntN(100)
	f.mu.Unlock()
	f.clk.Sleep(time.Duration(x) * time.Millisecond / 3)
	if x < 40 {
		return errors.New("no")
	}
	return nil
}

// storm does something with a group, by chance.
func storm(t *testing.T, u *Upstream, cfg Config, ag *agents, rnd *rand.Rand) {
	within := time.Duration(rnd.IntN(50)) * time.Millisecond
	switch address := addr(rnd.IntN(8)); rnd.IntN(6) {
	case 0:
		_ = u.RemoveBackend(address, within)
	case 1:
		_ = u.AddBackend(Backend{Address: address})
	case 2:
		cfg.Backends, cfg.SubsetSize = group(1+rnd.IntN(7)), cfg.SubsetSize*rnd.IntN(2)
		cfg.Check.Interval = time.Duration(1+rnd.IntN(2)) * 100 * time.Millisecond
		if rnd.IntN(4) == 0 {
			cfg.Check = Check{}
		}
		if rnd.IntN(3) == 0 {
			cfg.Agent = Agent{Port: 5555, Interval: 50 * time.Millisecond}
		}
		require.NoError(t, u.Apply(cfg, within))
	case 3:
		_ = u.DrainBackend(address)
	case 4:
		_ = u.UndrainBackend(address)
	case 5:
		lines := []string{"up ready 100%\n", "drain\n", "maint\n", "0%\n", "250% maxconn:3\n", "down\n", "1000% up\n", "maxconn:1 50%\n", "bad\n"}
		ag.mu.Lock()
		ag.says[fmt.Sprintf("b%d", rnd.IntN(8))] = lines[rnd.IntN(len(lines))]
		ag.mu.Unlock()
	}
	a := &Attempt{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if u.Begin(ctx, a) == nil {
		answered(u, a)
	}
}

// Groups that have their checks in common, while their backends flap, are reloaded, drained and removed, and while agents say
// whatever they like: each group's accounts balance, and at the end no check is left.
func TestGroupsThatShareChecksEndCleanInAnyStorm(t *testing.T) {
	for seed := range 2 {
		inBubble(t, 1, Config{}, func(t *testing.T, _ *Upstream, f *fakeNet) {
			ag := &agents{fakeNet: f, says: map[string]string{}}
			checkers, p := probe.NewCheckers(), &flaky{clk: f.clk, rnd: rand.New(rand.NewPCG(uint64(seed), 1))}
			var all sync.WaitGroup
			for g := range 8 {
				cfg := Config{
					Name: fmt.Sprintf("g%d", g), Backends: group(6), Dialer: ag, Rand: byName, Checkers: checkers,
					Health: health.Config{Rise: 1 + g%3, Fall: 1 + g%2}, Instance: "p", SubsetSize: g % 2 * 3,
					Check: Check{Prober: p, Interval: 100 * time.Millisecond, FastInterval: 30 * time.Millisecond,
						DownInterval: 300 * time.Millisecond, MaxConcurrent: g % 4, Reuse: true},
				}
				u, err := New(cfg)
				require.NoError(t, err)
				all.Go(func() {
					rnd := byName(fmt.Sprint(seed, g))
					u.Start()
					for range 60 {
						u.clk.Sleep(time.Duration(1+rnd.IntN(40)) * time.Millisecond)
						storm(t, u, cfg, ag, rnd)
						requireConserved(t, u, u.Stats())
					}
					u.Close()
					requireConserved(t, u, u.Stats())
				})
			}
			all.Wait()
			require.Zero(t, checkers.Len())
		})
	}
}
