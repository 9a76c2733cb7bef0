package upstream

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
)

// With the same interval, a backend that dies is down after one interval and a few fast checks instead of three intervals, and
// it is up again as quickly.
func TestFastChecksDecideSoonerAndDownOnesAreRarer(t *testing.T) {
	s := &switchboard{}
	cfg := Config{Health: health.Config{Rise: 2, Fall: 3}, Check: Check{Prober: s, Interval: time.Second, Spread: -1,
		FastInterval: 100 * time.Millisecond, DownInterval: 2 * time.Second}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		checks := func() uint64 { return u.Stats().Backends[0].Checks }
		u.clk.Sleep(1500 * time.Millisecond) // at 0 and 1 s
		require.EqualValues(t, 2, checks())
		s.set(addr(0), true)
		u.clk.Sleep(690 * time.Millisecond) // at 2 and 2.1 s
		require.Equal(t, 1, u.Stats().Available)
		u.clk.Sleep(20 * time.Millisecond) // at 2.2 s
		require.Zero(t, u.Stats().Available)
		require.EqualValues(t, 5, checks())
		u.clk.Sleep(4 * time.Second) // at 4.2 and 6.2 s
		require.EqualValues(t, 7, checks())
		s.set(addr(0), false)
		u.clk.Sleep(2050 * time.Millisecond) // at 8.2 s
		require.Zero(t, u.Stats().Available)
		u.clk.Sleep(50 * time.Millisecond) // at 8.3 s
		require.Equal(t, 1, u.Stats().Available)
		u.clk.Sleep(900 * time.Millisecond)
		require.EqualValues(t, 9, checks())
		u.clk.Sleep(200 * time.Millisecond) // at 9.3 s
		require.EqualValues(t, 10, checks())
	})
}

func TestWhatVouchesForABackendAreItsAnswersAndNothingElse(t *testing.T) {
	s := &switchboard{}
	cfg := Config{Check: Check{Prober: s, Interval: time.Second, Spread: -1, SlowInterval: time.Hour}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(500 * time.Millisecond)
		for _, c := range []struct {
			outcomes []Outcome
			made     uint64
		}{
			{nil, 1},
			{[]Outcome{OutcomeAnswered}, 0},
			{[]Outcome{OutcomeAnswered, OutcomeAnswered, OutcomeClientGone, OutcomeStale}, 0},
			{[]Outcome{OutcomeAnswered, OutcomeAnswered5xx}, 1},
			{[]Outcome{OutcomeReset, OutcomeAnswered}, 1},
			{[]Outcome{OutcomeAnswered5xx}, 1},
			{[]Outcome{OutcomeClientGone}, 1},
			{[]Outcome{OutcomeAnswered}, 0},
			{nil, 1},
		} {
			before := u.Stats().Backends[0].Checks
			for _, o := range c.outcomes {
				u.Finish(begin(t, u), u.clk.Now(), o, true, 0)
			}
			u.clk.Sleep(u.clk.Now().Truncate(time.Second).Add(1500 * time.Millisecond).Sub(u.clk.Now()))
			require.Equal(t, c.made, u.Stats().Backends[0].Checks-before, "%v", c.outcomes)
		}
	})
}

func TestChecksBeyondTheBoundWaitForTheirTurn(t *testing.T) {
	s := &slowProber{}
	cfg := Config{Check: Check{Prober: s, Interval: time.Second, Spread: -1, MaxConcurrent: 2}}
	inBubble(t, 10, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(10 * time.Second)
		require.Equal(t, 2, s.most())
		cfg := u.cfg
		cfg.Check.MaxConcurrent = 5
		require.NoError(t, u.Apply(cfg, time.Second))
		u.clk.Sleep(10 * time.Second)
		require.Equal(t, 10, u.Stats().Available)
		require.LessOrEqual(t, s.most(), 7, "those of the old bound end beside those of the new")
		require.Greater(t, s.most(), 2)
	})
	_, err := New(Config{Name: "web", Backends: group(1), Check: Check{MaxConcurrent: -1}})
	require.ErrorContains(t, err, "MaxConcurrent -1 is negative")
}

// slowProber takes its time for each check, and counts those under way.
type slowProber struct {
	mu            sync.Mutex
	running, peak int
}

func (p *slowProber) Probe(ctx context.Context, _ string) error {
	p.mu.Lock()
	p.running++
	p.peak = max(p.peak, p.running)
	p.mu.Unlock()
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
	return nil
}

func (p *slowProber) most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

// Panic uses backends that are out. What they answer then is no reason to look less often whether they are well.
func TestNobodyVouchesForABackendThatOnlyPanicUses(t *testing.T) {
	cfg := breaking()
	cfg.Health.FailOpen, cfg.Health.Breaker.OpenTime = true, time.Hour
	cfg.Check = Check{Prober: &switchboard{}, Interval: time.Second, Spread: -1, SlowInterval: time.Hour}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(500 * time.Millisecond)
		for range 2 {
			failed(u, begin(t, u), OutcomeReset)
		}
		require.Zero(t, u.Stats().Available)
		u.clk.Sleep(time.Second)
		before := u.Stats().Backends[0].Checks
		for range 3 {
			answered(u, begin(t, u))
			u.clk.Sleep(time.Second)
		}
		require.Equal(t, before+3, u.Stats().Backends[0].Checks)
	})
}
