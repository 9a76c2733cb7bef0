package pool_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
)

// withGreeter runs a body with a pool that keeps one connection ready to a server that greets, and the server's end of
// each connection in turn.
func withGreeter(t *testing.T, cfg pool.Config, body func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn)) {
	netsim.Test(t, netsim.Config{Seed: 3, Latency: time.Millisecond}, func(s *netsim.Sim) {
		ln, err := s.Host("mail", "10.0.0.1").Listen(t.Context(), "tcp", ":25")
		require.NoError(t, err)
		cfg.Address, cfg.Dialer, cfg.Clock, cfg.Rand = "mail:25", s.Host("proxy", "10.0.0.2"), s.Clock(), s.Rand
		cfg.MaxConnections, cfg.MinIdle = 4, 1
		p, err := pool.New(cfg)
		require.NoError(t, err)
		p.Warm()
		var ends []net.Conn
		body(s, p, func() *netsim.Conn {
			nc, err := ln.Accept()
			require.NoError(t, err)
			ends = append(ends, nc)
			_, err = nc.Write([]byte("220 hello\r\n"))
			require.NoError(t, err)
			s.Clock().Sleep(time.Second)
			return nc.(*netsim.Conn)
		})
		p.Close()
		for _, nc := range ends {
			_ = nc.Close()
		}
		_ = ln.Close()
	})
}

func TestConnectionPoolLendsAConnectionWithItsPeersGreetingUnread(t *testing.T) {
	withGreeter(t, pool.Config{Greets: true}, func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn) {
		accept()
		c, err := p.Lend(context.Background())
		require.NoError(t, err)
		require.EqualValues(t, 1, c.ID(), "the one that was ready")
		got := make([]byte, 11)
		_, err = io.ReadFull(c.NetConn(), got)
		require.NoError(t, err)
		require.Equal(t, "220 hello\r\n", string(got), "nothing of it was taken by the look")
		c.Discard(pool.ReasonNotReusable)
	})
}

func TestConnectionPoolWithoutGreetingsRetiresAConnectionThatHasOne(t *testing.T) {
	withGreeter(t, pool.Config{}, func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn) {
		accept()
		c, err := p.Lend(context.Background())
		require.NoError(t, err)
		require.EqualValues(t, 2, c.ID())
		require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonUnexpectedData])
		c.Discard(pool.ReasonNotReusable)
	})
}

// A mail server gives up on a silent client after a while: "421 timeout", and the end. The bytes hide the end from a peek.
func TestConnectionPoolSeesTheEndThatStandsBehindAGreeting(t *testing.T) {
	for name, ends := range map[string]func(*netsim.Conn) error{
		"closed": func(c *netsim.Conn) error { return c.CloseWrite() },
		"reset":  func(c *netsim.Conn) error { _ = c.SetLinger(0); return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			withGreeter(t, pool.Config{Greets: true}, func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn) {
				require.NoError(t, ends(accept()))
				s.Clock().Sleep(time.Second)
				c, err := p.Lend(context.Background())
				require.NoError(t, err)
				require.EqualValues(t, 2, c.ID())
				require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonPeerClosed])
				c.Discard(pool.ReasonNotReusable)
			})
		})
	}
}

func TestConnectionPoolAdjustThatEndsGreetingsLetsNobodyHaveOne(t *testing.T) {
	withGreeter(t, pool.Config{Greets: true}, func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn) {
		accept()
		require.NoError(t, p.Adjust(pool.Config{MaxConnections: 4}))
		require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonOutdated])
		require.Zero(t, p.Stats().Idle)
	})
}

func TestConnectionPoolAdjustChangesWhatIsKeptReady(t *testing.T) {
	withGreeter(t, pool.Config{Greets: true, TrimEvery: -1}, func(s *netsim.Sim, p *pool.Pool, accept func() *netsim.Conn) {
		accept()
		hold := func() pool.Conn {
			c, err := p.Lend(context.Background())
			require.NoError(t, err)
			return c
		}
		a, b := hold(), hold()
		s.Clock().Sleep(3 * time.Second)
		require.Zero(t, p.Stats().Idle, "nobody foresees anything")
		require.NoError(t, p.Adjust(pool.Config{MaxConnections: 4, Greets: true, Predict: pool.PredictReactive}))
		s.Clock().Sleep(3 * time.Second)
		require.Equal(t, 1, p.Stats().Idle, "a fifth more than two, rounded up")
		require.NoError(t, p.Adjust(pool.Config{MaxConnections: 4, Greets: true, TrimEvery: time.Second, MaxUses: 1}))
		a.Release()
		require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonMaxUses])
		b.Discard(pool.ReasonNotReusable)
	})
}
