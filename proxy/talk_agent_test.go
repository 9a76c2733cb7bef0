package proxy_test

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// An agent on a backend's host, asked over TCP, takes its backend out and lets it in again, with whatever words.
func TestAnAgentBesideABackendDecidesWhatItGets(t *testing.T) {
	var settings *config.Config
	var says atomic.Value
	var heard atomic.Value
	serve := func(c *talk) func(string) ([]byte, error) {
		listen := (&net.ListenConfig{}).Listen
		at := "127.0.0.1:0"
		if c.sim != nil {
			listen, at = c.sim.Host("backend-1", backendAddr(0)).Listen, ":5555"
		}
		ln, err := listen(context.Background(), "tcp", at)
		require.NoError(c.t, err)
		_, port, err := net.SplitHostPort(ln.Addr().String())
		require.NoError(c.t, err)
		settings.Upstreams[0].Health.Agent.Port, _ = strconv.Atoi(port)
		says.Store("100%\n")
		ended := make(chan struct{})
		c.clk.AfterFunc(0, func() {
			defer close(ended)
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				_ = nc.SetDeadline(c.clk.Now().Add(time.Minute))
				line := make([]byte, 6)
				if _, err := io.ReadFull(nc, line); err == nil {
					heard.Store(string(line))
					_, _ = io.WriteString(nc, says.Load().(string))
				}
				_ = nc.Close()
			}
		})
		c.after = append(c.after, func() {
			_ = ln.Close()
			<-ended
		})
		return os.ReadFile
	}
	converse(t, []conversation{{promise: "in every word", files: serve, tune: func(s *config.Config) {
		settings = s
		s.Upstreams[0].Health.Agent = &config.AgentCheck{Port: 1, Interval: 50 * time.Millisecond, Timeout: 50 * time.Millisecond, Send: `web-1\n`}
	}, talk: func(c *talk) {
		state := func() health.State { return c.server.Stats().Upstreams[0].Backends[0].Health }
		c.origins[0].serveHTTP1(echo)
		turns := func(line string, reason health.Reason) {
			says.Store(line)
			c.await(line, func() bool { return state().Reason == reason })
		}
		turns("drain # for tonight\r\n", health.AgentDrain)
		require.Equal(c.t, "web-1\n", heard.Load())
		client := c.client()
		require.Equal(c.t, "503 Service Unavailable", client.send(get).answer().start)
		turns("maint\n", health.AgentMaint)
		turns("ready down\n", health.AgentDown)
		turns("up,75%\n", health.AgentReady)
		require.Equal(c.t, "200 OK", client.send(get).answer().start)
		require.Equal(c.t, 75, c.server.Stats().Upstreams[0].Backends[0].Agent.Weight)
		says.Store("down and out\n")
		c.await("it is not understood", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Agent.Trouble == "bad_answer" })
		require.Equal(c.t, "200 OK", client.send(get).answer().start)
		c.counts(2, proxy.FailNoBackend)
	}}})
}
