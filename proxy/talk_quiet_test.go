package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// talking begins an answer while the request goes on.
func (c *talk) talking() (client, backend *peer) {
	client = c.client().send("POST / HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
	backend = c.origins[0].accept()
	backend.head()
	backend.expect("4\r\nping\r\n")
	backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n")
	client.until("pong\r\n")
	return client, backend
}

// monologue has one side say something just before each end of stream_idle_timeout, and the other nothing.
func (c *talk) monologue(speaks, listens *peer) {
	for range 10 {
		c.clk.Sleep(59 * time.Second)
		speaks.send("4\r\ntalk\r\n")
		listens.expect("4\r\ntalk\r\n")
	}
}

// hangUp ends both sides in order.
func hangUp(client, backend *peer) {
	client.send("0\r\n\r\n")
	backend.expect("0\r\n\r\n")
	backend.send("0\r\n\r\n")
	client.expect("0\r\n\r\n")
}

// In calls of gRPC that go both ways, and whatever works like them, one side may only listen.
func TestAConversationEndsWhenNeitherSideHasSaidAnythingForStreamIdleTimeout(t *testing.T) {
	tenMinutes := func(s *config.Config) { s.Upstreams[0].StreamIdleTimeout = 10 * time.Minute }
	off := func(s *config.Config) { s.Upstreams[0].StreamIdleTimeout = config.Off }
	quiet := func(of time.Duration) func(*talk) {
		return func(c *talk) {
			client, backend := c.talking()
			c.clk.Sleep(of)
			hangUp(client, backend)
			c.counts(1)
		}
	}
	converse(t, []conversation{
		{promise: "a client that only listens", virtual: true, talk: func(c *talk) {
			client, backend := c.talking()
			c.monologue(backend, client)
			hangUp(client, backend)
			c.counts(1)
		}},
		{promise: "a backend that only listens", virtual: true, talk: func(c *talk) {
			client, backend := c.talking()
			c.monologue(client, backend)
			hangUp(client, backend)
			c.counts(1)
		}},
		{promise: "both, for less than it is", virtual: true, talk: quiet(59 * time.Second)},
		{promise: "for less than a longer one is", virtual: true, tune: tenMinutes, talk: quiet(599 * time.Second)},
		{promise: "for longer, where it is off", virtual: true, tune: off, talk: quiet(25 * time.Minute)},
		{promise: "both, for as long as it is", virtual: true, tune: tenMinutes, talk: func(c *talk) {
			client, _ := c.talking()
			c.clk.Sleep(time.Minute)
			begin := c.clk.Now()
			client.send("4\r\nping\r\n")
			client.cut()
			elapsed(c, begin, 10*time.Minute)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "also in an upload that goes from socket to socket", tune: func(s *config.Config) {
			s.Listeners[0].BodyTimeout, s.Upstreams[0].StreamIdleTimeout = 500*time.Millisecond, time.Second
		}, talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 1000000\r\n\r\nping")
			backend := c.origins[0].accept()
			backend.head()
			backend.expect("ping")
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npong")
			client.until("pong")
			begin := c.clk.Now()
			client.cut()
			require.Less(c.t, c.clk.Since(begin), 20*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "the client's own time is not shortened by a shorter one", virtual: true, tune: streamIdle, talk: quiet(59 * time.Second)},
	})
}

// grpcCall begins a call of which the backend says nothing yet.
func grpcCall(c *talk, kind string) *peer {
	return c.client().send("POST /s/m HTTP/1.1\r\n", host, "Content-Type: ", kind, "\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
}

func TestACallOfGRPCMayWaitInSilenceForItsFirstAnswer(t *testing.T) {
	converse(t, []conversation{
		{promise: "for less than body_timeout", eager: true, virtual: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := grpcCall(c, "Application/gRPC+proto")
			backend := c.origins[0].acceptFrames()
			id := backend.head()
			c.clk.Sleep(59 * time.Second)
			client.send("0\r\n\r\n")
			require.Equal(c.t, "ping", backend.body())
			backend.okay(id)
			c.aside(backend.drain)
			require.Equal(c.t, "ok", unchunked(client.answer().body))
			c.counts(1)
			_ = backend.nc.Close()
		}},
		{promise: "and not for as long", eager: true, virtual: true, tune: speaksHTTP2, talk: func(c *talk) {
			begin := c.clk.Now()
			client := grpcCall(c, "application/grpc")
			backend := c.origins[0].acceptFrames()
			backend.head()
			c.aside(backend.drain)
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, time.Minute)
			c.counts(0, proxy.FailBodyTimeout)
			_ = backend.nc.Close()
		}},
		{promise: "not where it would hold a connection", virtual: true, talk: func(c *talk) {
			begin := c.clk.Now()
			client := grpcCall(c, "application/grpc")
			c.origins[0].accept().head()
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 10*time.Second+4*time.Second/240)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "nor any other request", eager: true, virtual: true, tune: speaksHTTP2, talk: func(c *talk) {
			begin := c.clk.Now()
			client := grpcCall(c, "application/json")
			backend := c.origins[0].acceptFrames()
			backend.head()
			c.aside(backend.drain)
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 10*time.Second+4*time.Second/240)
			c.counts(0, proxy.FailBodyTimeout)
			_ = backend.nc.Close()
		}},
	})
}

// unchunked is a body of one chunk without its frame.
func unchunked(body string) string {
	_, rest, found := strings.Cut(body, "\r\n")
	if !found {
		return body
	}
	body, _, _ = strings.Cut(rest, "\r\n")
	return body
}
