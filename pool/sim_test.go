package pool_test

import (
	"context"
	"testing"

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

// borrow waits for a connection; what it returns gives it back.
func borrow(t *testing.T, s *netsim.Sim, p *pool.Pool) (release func()) {
	c, err := p.Lend(context.Background(), 0)
	require.NoError(t, err)
	return func() { c.Release(s.Clock().Now()) }
}
