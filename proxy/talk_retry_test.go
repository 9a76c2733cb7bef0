package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody"

// never switches the look at idle connections off, so that a dead one is found by using it.
func never(s *config.Config) { s.Upstreams[0].Pool.ValidateAfter = time.Hour }

// primed makes one exchange, after which the backend ends the idle connection and says whether the proxy could know.
func primed(c *talk, end func(*peer)) *peer {
	client := c.client().send(get)
	backend := c.origins[0].accept()
	backend.request()
	backend.send(okay)
	client.answer()
	end(backend)
	c.settle()
	return client
}

func TestADeadIdleConnectionCostsARepetition(t *testing.T) {
	converse(t, []conversation{
		{promise: "GET on a connection that the backend has closed is repeated on a fresh one", tune: never,
			talk: func(c *talk) {
				client := primed(c, (*peer).close)
				client.send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				require.Equal(c.t, uint64(1), c.server.Stats().Repeated)
				c.retires(pool.ReasonBroken)
				c.counts(2)
			}},
		{promise: "a PUT with its body in hand is repeated whole", tune: never, talk: func(c *talk) {
			client := primed(c, (*peer).close)
			client.send("PUT / HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-T: 1\r\n\r\n")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, "body", m.body)
			require.Equal(c.t, []string{"X-T: 1"}, m.trailers)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonBroken)
			c.counts(2)
		}},
		{promise: "a GET with a long head is repeated as well", tune: never, talk: func(c *talk) {
			client := primed(c, (*peer).close)
			client.send("GET / HTTP/1.1\r\n", host, "Cookie: ", pattern(20000), "\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonBroken)
			c.counts(2)
		}},
		{promise: "POST of which bytes were sent is not repeated", tune: never, talk: func(c *talk) {
			client := primed(c, (*peer).close)
			client.send(post)
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.retires(pool.ReasonBroken)
			c.dialled = 1
			c.counts(1, proxy.FailReset)
		}},
	})
}

func TestARequestIsTriedAgainWhereThatIsSafe(t *testing.T) {
	converse(t, []conversation{
		{promise: "POST of which nothing was sent is repeated", tune: never, talk: func(c *talk) {
			client := primed(c, (*peer).abort) // the write fails at once
			client.send(post)
			backend := c.origins[0].accept()
			require.Equal(c.t, "body", backend.request().body)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonBroken)
			c.counts(2)
		}},
		{promise: "a look at the idle connection spares POST the failure", quiet: 150 * time.Millisecond, talk: func(c *talk) {
			client := primed(c, (*peer).close)
			client.send(post)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonPeerClosed)
			c.counts(2)
		}},
		{promise: "GET that a fresh connection loses is tried on the next backend", backends: 2, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.close()
			backend = c.origins[1].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			require.Equal(c.t, uint64(1), c.server.Stats().Upstreams[0].Retries)
			c.retires(pool.ReasonBroken)
			c.counts(1)
		}},
		{promise: "attempts are counted", backends: 3, talk: func(c *talk) {
			client := c.client().send(get)
			for i := range 2 {
				backend := c.origins[i].accept()
				backend.request()
				backend.close()
			}
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[2].untouched()
			c.retires(pool.ReasonBroken, pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
	})
}

func TestRetriesAreCountedAndBudgeted(t *testing.T) {
	converse(t, []conversation{
		{promise: "one attempt means no retry", backends: 2, tune: once, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.close()
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "a budget that is off bounds no retry", backends: 2, virtual: true,
			tune: func(s *config.Config) { s.Upstreams[0].Retry.BudgetPercent = config.Off },
			talk: func(c *talk) {
				var clients []*peer
				for range 12 { // more at a time than any share of them allows
					clients = append(clients, c.client().send(get))
				}
				var lost []*peer
				for i := range 12 {
					backend := c.origins[i%2].accept()
					backend.request()
					lost = append(lost, backend)
					c.retires(pool.ReasonBroken)
				}
				for _, backend := range lost {
					require.NoError(c.t, backend.nc.Close())
				}
				for i := range 12 {
					backend := c.origins[i%2].accept()
					backend.request()
					backend.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
					c.retires(pool.ReasonNotReusable)
				}
				for _, client := range clients {
					require.Equal(c.t, "ok", client.answer().body)
				}
				c.counts(12)
			}},
	})
}

func TestWhatCannotBeRepeatedIsNot(t *testing.T) {
	converse(t, []conversation{
		{promise: "POST is not tried on the next backend", backends: 2, talk: func(c *talk) {
			client := c.client().send(post)
			backend := c.origins[0].accept()
			backend.request()
			backend.close()
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "a PUT whose body is streaming is not tried again", backends: 2, talk: func(c *talk) {
			client := c.client().send("PUT / HTTP/1.1\r\n", host, "Content-Length: 100000\r\n\r\nsome")
			backend := c.origins[0].accept()
			backend.head()
			backend.close()
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "GET is not repeated after an interim answer", backends: 2, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").close()
			require.Equal(c.t, "103 Early Hints", client.answer().start)
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "a 503 of the backend is an answer and is passed on", backends: 2, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
			require.Equal(c.t, "busy", client.answer().body)
			c.origins[1].untouched()
			c.counts(1)
		}},
	})
}

func TestRequestsWithoutABackendAreAnsweredByTheProxy(t *testing.T) {
	converse(t, []conversation{
		{promise: "refused by all is 502 and the client goes on", backends: 2, talk: func(c *talk) {
			c.refuseAll()
			client := c.client()
			for range 2 {
				require.Equal(c.t, "502 Bad Gateway", client.send(get).answer().start)
			}
			c.dialled = 0
			c.counts(0, proxy.FailConnect, proxy.FailConnect)
		}},
		{promise: "refused by one goes to the other, POST as well", backends: 2, talk: func(c *talk) {
			require.NoError(c.t, c.origins[0].ln.Close())
			client := c.client().send(post)
			backend := c.origins[1].accept()
			require.Equal(c.t, "body", backend.request().body)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
		}},
		{promise: "no backend up is 503 with Retry-After", backends: 2, tune: func(s *config.Config) {
			p := &s.Upstreams[0].Health.Passive
			p.ConsecutiveFailures, p.MaxEjectionPercent = 1, 100
		}, talk: func(c *talk) {
			c.refuseAll()
			client := c.client()
			require.Equal(c.t, "502 Bad Gateway", client.send(get).answer().start)
			m := client.send(get).answer()
			require.Equal(c.t, "503 Service Unavailable", m.start)
			require.Equal(c.t, []string{"1"}, m.named("Retry-After"))
			require.Equal(c.t, "HTTP/1.1 503", string(client.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").until("\r\n\r\n"))[:12])
			client.silent() // the answer to HEAD has no body
			c.counts(0, proxy.FailConnect, proxy.FailNoBackend, proxy.FailNoBackend)
		}},
	})
}

func TestRefusedRequestsLeaveTheConnectionInOrder(t *testing.T) {
	converse(t, []conversation{
		{promise: "a full queue is 503 with Retry-After", tune: func(s *config.Config) {
			s.Upstreams[0].Pool.MaxConnections, s.Upstreams[0].Queue.MaxWaiting = 1, 1
		}, talk: func(c *talk) {
			first := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			second := c.client().send(get)
			c.queued(1)
			m := c.client().send(get).answer()
			require.Equal(c.t, "503 Service Unavailable", m.start)
			require.Equal(c.t, []string{"1"}, m.named("Retry-After"))
			backend.send(okay)
			require.Equal(c.t, "ok", first.answer().body)
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", second.answer().body)
			c.dialled = 1
			c.counts(2, proxy.FailQueueFull)
		}},
		{promise: "a small body behind a refused head does not disturb the next request", talk: func(c *talk) {
			c.refuseAll()
			client := c.client().send(post, post)
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.counts(0, proxy.FailConnect, proxy.FailConnect)
		}},
		{promise: "a large body that nobody wants ends the connection", talk: func(c *talk) {
			c.refuseAll()
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 1000000\r\n\r\n", pattern(50000))
			m := client.answer()
			require.Equal(c.t, "502 Bad Gateway", m.start)
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			client.ended()
			c.counts(0, proxy.FailConnect)
		}},
	})
}

// refuseAll closes every backend's listener.
func (c *talk) refuseAll() {
	for _, o := range c.origins {
		require.NoError(c.t, o.ln.Close())
	}
}
