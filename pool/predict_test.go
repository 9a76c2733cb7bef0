package pool_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
)

// load is requests that arrive by chance, at a rate per second that changes. Each uses a connection for a while.
type load struct {
	name     string
	lasts    time.Duration
	rate     func(seconds float64) float64
	most     float64 // the highest rate
	foreseen bool    // demand grows over several intervals
}

const (
	loadUse   = 50 * time.Millisecond
	loadDial  = 150 * time.Millisecond
	loadSeeds = 3
)

var loads = []load{
	{"ramp, 10 to 200/s in 60 s", time.Minute, func(s float64) float64 { return 10 + 190*s/60 }, 200, true},
	{"ramp, 20 to 1500/s in 15 s", 15 * time.Second, func(s float64) float64 { return 20 + 1480*s/15 }, 1500, true},
	{"sawtooth, 20 to 400/s in 20 s", time.Minute, func(s float64) float64 {
		for s >= 20 {
			s -= 20
		}
		return 20 + 380*s/20
	}, 400, true},
	{"spike, 20 to 400/s for 5 s", time.Minute, func(s float64) float64 {
		if s >= 20 && s < 25 {
			return 400
		}
		return 20
	}, 400, false},
}

// outcome is what the callers of a load saw, and what it cost.
type outcome struct {
	requests, waits, dials, open int
	waited, worst                time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("%6d requests, %4d waits, mean %6s, worst %5s, %3d dials, %3d open at the end", o.requests, o.waits,
		(o.waited / time.Duration(o.requests)).Round(time.Microsecond), o.worst.Round(time.Millisecond), o.dials, o.open)
}

// carry runs a load over a simulated network and a pool with that prediction, eight connections being open at first.
func carry(t *testing.T, l load, cfg pool.Config, seed uint64, o *outcome) {
	netsim.Test(t, netsim.Config{Seed: seed, Latency: loadDial / 2}, func(s *netsim.Sim) {
		clk := s.Clock()
		cfg.MaxConnections = 200
		p := simPool(t, s, cfg)
		require.NoError(t, p.WarmUp(context.Background(), 8))
		var mu sync.Mutex
		var wg sync.WaitGroup
		arrivals := s.Rand("arrivals")
		for s.Elapsed() < l.lasts {
			clk.Sleep(time.Duration(arrivals.ExpFloat64() / l.most * float64(time.Second)))
			if arrivals.Float64()*l.most > l.rate(s.Elapsed().Seconds()) {
				continue
			}
			wg.Add(1)
			clk.AfterFunc(0, func() {
				defer wg.Done()
				asked := s.Elapsed()
				release := loanOf(t, p)
				waited := s.Elapsed() - asked
				mu.Lock()
				o.requests++
				o.waited += waited
				o.worst = max(o.worst, waited)
				mu.Unlock()
				clk.Sleep(loadUse)
				release()
			})
		}
		wg.Wait()
		st := p.Stats()
		o.waits, o.dials, o.open = o.waits+int(st.Waits), o.dials+int(st.Begun), o.open+st.Idle
		p.Close()
	})
}

// What is seen: on loads that grow over several intervals both ways of prediction take away most of the waits; reactive
// takes more, since its margin is wider and counts from the last peak, and holt dials less for it. Nothing foresees a
// sudden spike. Hasty is a pool without prediction whose callers are not patient either: each dials at once.
func TestConnectionPoolPredictionDialsAheadOfGrowingDemand(t *testing.T) {
	for _, l := range loads {
		var off, hasty, reactive, holt outcome
		for seed := range uint64(loadSeeds) {
			carry(t, l, pool.Config{}, seed, &off)
			carry(t, l, pool.Config{Patience: -1}, seed, &hasty)
			carry(t, l, pool.Config{Predict: pool.PredictReactive}, seed, &reactive)
			carry(t, l, pool.Config{Predict: pool.PredictHolt}, seed, &holt)
		}
		t.Logf("%s\noff      %v\nhasty    %v\nreactive %v\nholt     %v", l.name, off, hasty, reactive, holt)
		require.Equal(t, off.requests, reactive.requests)
		require.Equal(t, off.requests, holt.requests)
		require.Equal(t, off.requests, hasty.requests)
		if !l.foreseen {
			require.InEpsilon(t, off.waits, holt.waits, 0.1, l.name)
			continue
		}
		require.LessOrEqual(t, 4*holt.waits, off.waits, l.name)
		require.LessOrEqual(t, 4*holt.waited, off.waited, l.name)
		require.Less(t, holt.waits, hasty.waits, l.name)
		require.Less(t, reactive.waits, holt.waits, l.name)
		require.IsIncreasing(t, []int{off.dials, hasty.dials, holt.dials, reactive.dials}, l.name)
		require.LessOrEqual(t, holt.open, hasty.open*5/4, "%s: what prediction leaves open", l.name)
	}
}
