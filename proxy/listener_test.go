package proxy_test

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestAListenerHoldsNoMoreConnectionsThanItMay(t *testing.T) {
	converse(t, []conversation{
		{promise: "one more waits and is served later",
			tune: func(s *config.Config) { s.Listeners[0].MaxConnections = 2 },
			talk: func(c *talk) {
				one, two := c.client().send(get), c.client()
				backend := c.origins[0].accept()
				backend.request()
				backend.send(okay)
				one.answer()
				c.accepted(2)
				three := c.client().send(get)
				three.silent()
				require.Equal(c.t, int64(2), c.server.Stats().Accepted)
				two.close()
				backend.request()
				backend.send(okay)
				require.Equal(c.t, "ok", three.answer().body)
				c.counts(2)
			}},
		{promise: "a single place is shared by several workers",
			tune: func(s *config.Config) { s.Listeners[0].MaxConnections, s.Listeners[0].Workers = 1, 4 },
			talk: func(c *talk) {
				var backend *peer
				for range 3 {
					client := c.client().send(get)
					if backend == nil {
						backend = c.origins[0].accept()
					}
					backend.request()
					backend.send(okay)
					require.Equal(c.t, "ok", client.answer().body)
					client.close()
				}
				c.counts(3)
			}},
		{promise: "a drain does not wait for a place",
			tune: func(s *config.Config) { s.Listeners[0].MaxConnections, s.Listeners[0].Workers = 1, 4 },
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				ended := c.drain()
				backend.send(okay)
				client.answer()
				client.close()
				require.NoError(c.t, <-ended)
				c.counts(1)
			}},
	})
}

// shortListener has no file descriptors left for some time.
type shortListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsPauseTheListenerAndDoNotEndIt(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 3, Latency: time.Millisecond}, func(s *netsim.Sim) {
		st := simTalk(t, s)
		listen := st.doors.Listen
		st.doors.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
			ln, err := listen(ctx, network, address)
			short := &shortListener{Listener: ln}
			short.failures.Store(5)
			return short, err
		}
		cv := conversation{talk: func(c *talk) {
			begin := c.clk.Now()
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			// 5, 10, 20, 40 and 80 ms.
			require.InDelta(c.t, 0.155, c.clk.Since(begin).Seconds(), 0.02)
			require.Equal(c.t, uint64(5), c.server.Stats().AcceptErrors)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
		}}
		cv.run(t, st)
	})
}

func TestStartOpensEveryListenerOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	settings := talkSettings("127.0.0.1:0", []string{"127.0.0.1:1"})
	second := settings.Listeners[0]
	second.Address = taken.Addr().String()
	settings.Listeners = append(settings.Listeners, second)
	s, err := proxy.New(proxy.Config{Settings: settings})
	require.NoError(t, err)
	err = s.Start(context.Background())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, taken.Addr().String())
	require.Empty(t, s.Addrs())
	s.Close()
}

func TestNewRefusesSettingsThatAreMissingOrWrong(t *testing.T) {
	_, err := proxy.New(proxy.Config{})
	require.ErrorContains(t, err, "Settings is nil")
	_, err = proxy.New(proxy.Config{Settings: config.Default()})
	require.ErrorContains(t, err, "listeners")
}
