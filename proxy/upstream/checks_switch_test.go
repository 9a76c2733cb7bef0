package upstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/health"
)

// patientProber counts its checks by backend; some backends never answer.
type patientProber struct {
	mu      sync.Mutex
	hangs   map[string]bool
	running map[string]int
	all     int
}

func (p *patientProber) count(address string, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[address] += by
	p.all += by
}

func (p *patientProber) Probe(ctx context.Context, address string) error {
	p.count(address, 1)
	defer p.count(address, -1)
	p.mu.Lock()
	hangs := p.hangs[address]
	p.mu.Unlock()
	if !hangs {
		return nil
	}
	<-ctx.Done()
	return errors.New("hangs")
}

// However checks are switched, each backend has one at most, the bound holds, no place of it is lost, and none outlives Close.
func TestSwitchingChecksDoublesAndStarvesNone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "backends")
		p := &patientProber{hangs: map[string]bool{}, running: map[string]int{}}
		for i := range n {
			p.hangs[addr(i)] = rapid.Bool().Draw(rt, "hangs")
		}
		check := func() Check {
			c := Check{Interval: 100 * time.Millisecond, Timeout: time.Duration(rapid.IntRange(1, 100).Draw(rt, "timeout")) * time.Millisecond,
				MaxConcurrent: rapid.IntRange(0, 3).Draw(rt, "most"), SlowInterval: rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "slow"),
				FastInterval: rapid.SampledFrom([]time.Duration{0, time.Millisecond}).Draw(rt, "fast")}
			if rapid.IntRange(0, 3).Draw(rt, "off") > 0 {
				c.Prober = p
			}
			return c
		}
		type step struct {
			check  Check
			remove bool
			wait   time.Duration
		}
		first, steps := check(), make([]step, rapid.IntRange(1, 12).Draw(rt, "steps"))
		for i := range steps {
			steps[i] = step{check(), rapid.Bool().Draw(rt, "remove"), time.Duration(rapid.IntRange(0, 250).Draw(rt, "ms")) * time.Millisecond}
		}
		inBubble(t, n, Config{Check: first, Health: health.Config{Fall: 1, Rise: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
			u.Start()
			last := first
			for _, s := range steps {
				cfg := u.cfg
				cfg.Check, cfg.Backends = s.check, group(n)
				if s.remove {
					cfg.Backends = group(max(1, n/2))
				}
				require.NoError(t, u.Apply(cfg, 0))
				last = s.check
				u.clk.Sleep(s.wait)
				synctest.Wait()
				p.mu.Lock()
				for address, k := range p.running {
					require.LessOrEqual(t, k, 1, "%s is checked twice at a time", address)
				}
				require.True(t, last.MaxConcurrent == 0 || p.all <= last.MaxConcurrent, "%d of %d", p.all, last.MaxConcurrent)
				require.True(t, last.Prober != nil || p.all == 0, "checks were switched off")
				p.mu.Unlock()
			}
			checks := u.Stats().Backends
			u.clk.Sleep(2 * time.Second)
			for i, b := range u.Stats().Backends {
				require.Equal(t, last.Prober != nil, b.Checks > checks[i].Checks, "%s: its checks go on", b.Address)
			}
		})
		require.Zero(t, p.all)
	})
}
