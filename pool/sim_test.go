package pool_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
)

// simPool makes a pool over a simulated network: a dial takes one round trip, and the server says nothing but keeps its
// side of every connection open until the other one is closed.
func simPool(t *testing.T, s *netsim.Sim, cfg pool.Config) *pool.Pool {
	l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
	require.NoError(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			}()
		}
	}()
	cfg.Address, cfg.Dialer, cfg.Clock, cfg.Rand = "server:80", s.Host("client", "10.0.0.2"), s.Clock(), s.Rand
	p, err := pool.New(cfg)
	require.NoError(t, err)
	return p
}

// loanOf waits for a connection; what it returns gives it back.
func loanOf(t *testing.T, p *pool.Pool) (release func()) {
	c, err := p.Lend(context.Background())
	require.NoError(t, err)
	return c.Release
}

// spike is HikariCP's test of a spike: a pool of five idle connections, at most fifty, whose dials take 150 ms; fifty
// callers come at once and use a connection for 2 ms each. It returns the worst wait and how many connections are open
// after each second from then on, the dials under way included.
func spike(t *testing.T, seed uint64, cfg pool.Config, seconds int) (worst time.Duration, open []int) {
	netsim.Test(t, netsim.Config{Seed: seed, Latency: 75 * time.Millisecond}, func(s *netsim.Sim) {
		clk := s.Clock()
		cfg.MaxConnections, cfg.MinIdle = 50, 5
		p := simPool(t, s, cfg)
		p.Warm()
		clk.Sleep(time.Second)
		require.Equal(t, 5, p.Stats().Idle)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 50 {
			wg.Add(1)
			clk.AfterFunc(0, func() {
				defer wg.Done()
				asked := s.Elapsed()
				release := loanOf(t, p)
				mu.Lock()
				worst = max(worst, s.Elapsed()-asked)
				mu.Unlock()
				clk.Sleep(2 * time.Millisecond)
				release()
			})
		}
		wg.Wait()
		for range seconds {
			clk.Sleep(time.Second)
			st := p.Stats()
			open = append(open, st.Idle+st.Lent+st.Dialling)
		}
		p.Close()
	})
	return worst, open
}

func TestConnectionPoolEndsTheSpikeWithAsManyConnectionsAsBefore(t *testing.T) {
	for seed := range uint64(10) {
		worst, open := spike(t, seed, pool.Config{}, 3)
		t.Logf("seed %d: worst wait %v, open at each second: %v", seed, worst, open)
		require.LessOrEqual(t, open[0], 6)
		require.Less(t, worst, 30*time.Millisecond, "fifty times 2 ms on five connections")
	}
}

// Patience is off, so that the spike leaves the pool fat, and so is the idle timeout: it is the trim alone that makes the
// pool small again.
func TestConnectionPoolIsTrimmedAfterASpikeWithinAMinute(t *testing.T) {
	for seed := range uint64(5) {
		worst, open := spike(t, seed, pool.Config{IdleTimeout: -1, MaxDials: 50, Patience: -1}, 60)
		t.Logf("seed %d: worst wait %v, open at each second: %v", seed, worst, open)
		require.LessOrEqual(t, open[59], 6)
		for i := range open[1:] {
			require.LessOrEqual(t, open[i+1], open[i], "it only becomes smaller")
		}
		require.GreaterOrEqual(t, open[59], 5, "MinIdle")
	}
}
