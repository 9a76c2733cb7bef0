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

// hundred asks for a hundred bytes a second.
func hundred(s *config.Config) { s.Listeners[0].MinBodyRate = 100 }

// upload begins a request of a thousand bytes, of which none comes with its head.
func (c *talk) upload(more ...string) (client, backend *peer) {
	client = c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 1000\r\n")
	client.send(append(more, crlf)...)
	backend = c.origins[0].accept()
	backend.head()
	return client, backend
}

// drip sends n pieces of the body, each after a while.
func (p *peer) drip(n, size int, after time.Duration) {
	for range n {
		p.c.clk.Sleep(after)
		p.send(pattern(size))
	}
}

func TestABodyThatComesTooSlowlyIsRefused(t *testing.T) {
	converse(t, []conversation{
		{promise: "one just over the rate is carried", virtual: true, tune: hundred, talk: func(c *talk) {
			client, backend := c.upload() // ten seconds of grace, and nine for nine hundred bytes
			client.drip(10, 100, 1890*time.Millisecond)
			backend.expect(strings.Repeat(pattern(100), 10))
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
			c.dialled = 1
		}},
		{promise: "one just under it is not", virtual: true, tune: hundred, talk: func(c *talk) {
			client, _ := c.upload()
			begin := c.clk.Now()
			client.drip(9, 100, 1920*time.Millisecond) // the tenth piece would come after 19.2 seconds
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 19*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "nothing at all has the grace", virtual: true, tune: hundred, talk: func(c *talk) {
			client, _ := c.upload()
			begin := c.clk.Now()
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 10*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "the default asks for 240 bytes a second", virtual: true, talk: func(c *talk) {
			client, _ := c.upload()
			begin := c.clk.Now()
			client.drip(1, 480, time.Second)
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 12*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "off carries any that does not stop for body_timeout", virtual: true, tune: func(s *config.Config) {
			s.Listeners[0].MinBodyRate, s.Listeners[0].BodyTimeout = config.Off, 5*time.Second
		}, talk: func(c *talk) {
			client, _ := c.upload()
			client.drip(100, 1, 4900*time.Millisecond)
			begin := c.clk.Now()
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
	})
}

func TestTheRateOfABodyIsTheClientsAlone(t *testing.T) {
	converse(t, []conversation{
		{promise: "a backend that thinks about the 100 costs the client nothing", virtual: true, tune: hundred,
			talk: func(c *talk) {
				client, backend := c.upload("Expect: 100-continue\r\n")
				c.clk.Sleep(25 * time.Second)
				backend.send("HTTP/1.1 100 Continue\r\n\r\n")
				client.answer()
				client.drip(10, 100, 1900*time.Millisecond)
				backend.expect(strings.Repeat(pattern(100), 10))
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.counts(1)
			}},
		{promise: "once the answer has begun the two may keep silent for as long as they like", virtual: true, tune: hundred,
			talk: func(c *talk) {
				client := c.client().send("POST / HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
				backend := c.origins[0].accept()
				backend.head()
				backend.expect("4\r\nping\r\n")
				c.clk.Sleep(5 * time.Second)
				backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n")
				client.until("pong\r\n")
				for range 5 {
					c.clk.Sleep(50 * time.Second)
					client.send("4\r\nping\r\n")
					backend.expect("4\r\nping\r\n")
				}
				client.send("0\r\n\r\n")
				backend.expect("0\r\n\r\n")
				backend.send("0\r\n\r\n")
				client.expect("0\r\n\r\n")
				c.counts(1)
			}},
	})
}

// streamIdle gives bodies five seconds between two bytes.
func streamIdle(s *config.Config) { s.Upstreams[0].StreamIdleTimeout = 5 * time.Second }

func TestTheTimesOfBodiesAreSettings(t *testing.T) {
	const begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	converse(t, []conversation{
		{promise: "an answer that goes on just before stream_idle_timeout is whole", virtual: true, tune: streamIdle,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send(begun)
				for range 10 {
					c.clk.Sleep(4900 * time.Millisecond)
					backend.send("x")
				}
				require.Equal(c.t, "xxxxxxxxxx", client.answer().body)
				c.counts(1)
			}},
		{promise: "one that stops for longer is broken off", virtual: true, tune: streamIdle, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(begun)
			begin := c.clk.Now()
			require.False(c.t, client.answer().whole)
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
		{promise: "off lets it stop for hours", virtual: true,
			tune: func(s *config.Config) {
				s.Upstreams[0].StreamIdleTimeout, s.Upstreams[0].Pool.MaxLifetime = config.Off, config.Off
			},
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send(begun)
				c.clk.Sleep(5 * time.Hour)
				backend.send("0123456789")
				require.Equal(c.t, "0123456789", client.answer().body)
				c.counts(1)
			}},
	})
}

func TestTheTimesInWhichBodiesAreTakenAreSettings(t *testing.T) {
	converse(t, []conversation{
		{promise: "a client that takes nothing is cut off after send_timeout and before its double", virtual: true,
			tune: func(s *config.Config) { s.Listeners[0].SendTimeout = 5 * time.Second },
			talk: func(c *talk) {
				c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				begin := c.clk.Now()
				c.aside(func() {
					_, _ = backend.nc.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + pattern(5000000)))
					require.Greater(c.t, c.clk.Since(begin), 5*time.Second)
					require.Less(c.t, c.clk.Since(begin), 11*time.Second)
				})
				c.clk.Sleep(20 * time.Second)
				c.retires(pool.ReasonAborted)
				c.counts(0, proxy.FailClientGone)
			}},
		{promise: "a backend that takes nothing is given up after stream_idle_timeout and before its double", virtual: true,
			tune: streamIdle, talk: func(c *talk) {
				client := c.client()
				c.aside(func() { _, _ = client.nc.Write([]byte(upload(large))) })
				backend := c.origins[0].accept()
				begin := c.clk.Now()
				m := client.answer()
				require.Equal(c.t, "504 Gateway Timeout", m.start)
				require.Greater(c.t, c.clk.Since(begin), 5*time.Second)
				require.Less(c.t, c.clk.Since(begin), 11*time.Second)
				_ = backend.nc.Close()
				c.retires(pool.ReasonUnanswered)
				c.counts(0, proxy.FailTimeout)
			}},
	})
}
