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

// A day in the life of a pool in the simulator: the backend's process dies and comes back, its network swallows
// everything and mends, while callers come at random. Everything that is released in a group is released one by one, so
// that each run of a seed takes the same way.
func TestConnectionPoolOutagesRepeatExactlyInTheSimulator(t *testing.T) {
	for seed := range uint64(8) {
		first, stats := runOutageSim(seed)
		require.NoError(t, first.Err)
		again, _ := runOutageSim(seed)
		require.Equal(t, first.Hash, again.Hash, "seed %d", seed)
		require.Positive(t, stats.TurnedAway)
		require.Greater(t, stats.DialFailed, uint64(5))
		require.Greater(t, stats.Lends, uint64(300))
		t.Logf("seed %d: %d events, %d lent, %d turned away, %d dials, %d of them failed", seed, first.Events, stats.Lends,
			stats.TurnedAway, stats.Begun, stats.DialFailed)
	}
}

func runOutageSim(seed uint64) (netsim.Result, pool.Stats) {
	var stats pool.Stats
	res := netsim.Run(netsim.Config{Seed: seed, Latency: 5 * time.Millisecond, Jitter: time.Millisecond}, func(s *netsim.Sim) {
		clk := s.Clock()
		server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
		clk.AfterFunc(0, func() { accept(server) })
		p, err := pool.New(pool.Config{
			Name: "db", Address: "server:80", Dialer: client, Clock: clk, Rand: s.Rand,
			MaxConnections: 6, MinIdle: 1, MaxDials: 3, DialTimeout: 2 * time.Second,
			Observer: func(e pool.Event) { s.Note("pool", e.Kind.String(), fmt.Sprint(e.Conn, e.Reason, e.Err)) },
		})
		if err != nil {
			panic(err)
		}
		p.Warm()
		for i, at := range []time.Duration{5, 20, 35} {
			clk.AfterFunc(at*time.Second, server.Kill)
			clk.AfterFunc((at+time.Duration(3*i+1))*time.Second, func() {
				server.Restart()
				accept(server)
			})
		}
		clk.AfterFunc(48*time.Second, func() {
			cut := s.Partition("server", "client")
			clk.Sleep(6 * time.Second)
			cut.Stop()
		})
		rng := s.Rand("callers")
		var callers sync.WaitGroup
		at := time.Duration(0)
		for i := range 600 {
			at += time.Duration(rng.ExpFloat64() * float64(100*time.Millisecond))
			hold := time.Duration(rng.ExpFloat64() * float64(200*time.Millisecond))
			callers.Add(1)
			clk.AfterFunc(at, func() {
				defer callers.Done()
				visit(s, p, fmt.Sprintf("caller-%d", i), hold)
			})
		}
		callers.Wait()
		clk.Sleep(10 * time.Second)
		stats = p.Stats()
		p.Close()
		server.Kill()
	})
	return res, stats
}

// accept takes connections until its host dies.
func accept(h *netsim.Host) {
	l, err := h.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		return
	}
	for err == nil {
		_, err = l.Accept()
	}
}

// visit is one caller, who writes down how it went.
func visit(s *netsim.Sim, p *pool.Pool, name string, hold time.Duration) {
	clk := s.Clock()
	ctx, cancel := clk.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := p.Lend(ctx)
	if err != nil {
		s.Note(name, "failed", err.Error())
		return
	}
	s.Note(name, "lent", fmt.Sprint(c.ID()))
	clk.Sleep(hold)
	if _, err := c.NetConn().Write([]byte("x")); err != nil {
		c.Discard(pool.ReasonBroken)
		return
	}
	c.Release()
}
