package netsim

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echoServer answers every connection with what it gets, until its listener is closed and its clients have
// left.
func echoServer(h *Host, wg *sync.WaitGroup) net.Listener {
	l, err := h.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				b := make([]byte, 4096)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err = c.Write(b[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return l
}

// echoLoad has clients exchange messages with an echo server and returns how many round trips there were.
func echoLoad(t testing.TB, s *Sim, clients, rounds, size int) {
	var servers, wg sync.WaitGroup
	server := s.Host("server", "10.0.0.1")
	l := echoServer(server, &servers)
	for i := range clients {
		h := s.Host(fmt.Sprintf("client%d", i), "")
		s.Clock().Sleep(time.Microsecond)
		wg.Go(func() {
			c, err := h.DialContext(context.Background(), "tcp", "server:80")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			b := make([]byte, size)
			for range rounds {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(c, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, l.Close())
	servers.Wait()
}

func BenchmarkEcho(b *testing.B) {
	b.ReportAllocs()
	const clients = 10
	rounds := b.N/clients + 1
	start := time.Now()
	res := Run(Config{Seed: 1, Latency: time.Millisecond, Jitter: time.Millisecond}, func(s *Sim) {
		echoLoad(b, s, clients, rounds, 100)
	})
	require.NoError(b, res.Err)
	b.ReportMetric(float64(res.Events)/time.Since(start).Seconds(), "events/s")
	b.ReportMetric(res.Virtual.Seconds()/time.Since(start).Seconds(), "virtual/wall")
}

func BenchmarkNetHTTP(b *testing.B) {
	const workers = 10
	rounds := b.N/workers + 1
	start := time.Now()
	res := Run(Config{Seed: 1, Latency: time.Millisecond, Jitter: time.Millisecond}, func(s *Sim) {
		httpLoad(s, workers, rounds)
	})
	require.NoError(b, res.Err)
	b.ReportMetric(float64(res.Events)/time.Since(start).Seconds(), "events/s")
	b.ReportMetric(float64(workers*rounds)/time.Since(start).Seconds(), "requests/s")
}

func BenchmarkConnect(b *testing.B) {
	b.ReportAllocs()
	res := Run(Config{Seed: 1, Latency: time.Millisecond}, func(s *Sim) {
		server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
		l, err := server.Listen(context.Background(), "tcp", ":80")
		require.NoError(b, err)
		for range b.N {
			c, err := client.DialContext(context.Background(), "tcp", "server:80")
			require.NoError(b, err)
			d, err := l.Accept()
			require.NoError(b, err)
			_ = c.Close()
			_ = d.Close()
		}
	})
	require.NoError(b, res.Err)
}
