package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// retryOn asks for exactly these conditions.
func retryOn(words ...string) func(*config.Config) {
	return func(s *config.Config) {
		s.Upstreams[0].ResponseTimeout = 3 * time.Second
		s.Upstreams[0].Retry.On = append([]string{}, words...)
	}
}

// perTry gives each attempt but the last a second, of the three that there are.
func perTry(s *config.Config) {
	s.Upstreams[0].ResponseTimeout = 3 * time.Second
	s.Upstreams[0].Retry.PerTryTimeout = time.Second
}

func TestTheSettingsAndTheUpstreamKnowTheSameConditions(t *testing.T) {
	all := upstream.Condition(0)
	for _, word := range config.RetryConditions() {
		require.NotZero(t, upstream.ConditionNamed(word), word)
		all |= upstream.ConditionNamed(word)
	}
	require.Equal(t, upstream.OnStatus504<<1-1, all, "the settings have a word for each")
	set := upstream.Condition(0)
	for _, word := range config.DefaultRetryConditions() {
		set |= upstream.ConditionNamed(word)
	}
	require.Equal(t, upstream.DefaultConditions, set)
}

func TestAnAttemptThatIsSilentForItsTimeIsMadeElsewhere(t *testing.T) {
	converse(t, []conversation{
		{promise: "GET goes to the next backend after the try's own time", backends: 2, virtual: true, tune: perTry,
			talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client().send(get)
				c.origins[0].accept().request()
				backend := c.origins[1].accept()
				elapsed(c, begin, time.Second)
				backend.request()
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				require.Equal(c.t, uint64(1), c.server.Stats().Upstreams[0].Retries)
				c.retires(pool.ReasonUnanswered)
				c.counts(1)
			}},
		{promise: "an answer just before that is taken", backends: 2, virtual: true, tune: perTry, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			c.clk.Sleep(995 * time.Millisecond)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.origins[1].untouched()
			c.counts(1)
		}},
		{promise: "the last attempt has the whole response timeout", backends: 2, virtual: true, tune: perTry,
			talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client().send(get)
				c.origins[0].accept().request()
				backend := c.origins[1].accept()
				backend.request()
				require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
				elapsed(c, begin, 4*time.Second)
				c.retires(pool.ReasonUnanswered, pool.ReasonUnanswered)
				c.counts(0, proxy.FailTimeout)
			}},
	})
}

func TestAnAttemptThatCannotBeMadeElsewhereHasTheWholeResponseTimeout(t *testing.T) {
	converse(t, []conversation{
		{promise: "without another backend the first has it all", virtual: true, tune: perTry, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			c.clk.Sleep(2900 * time.Millisecond)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
		}},
		{promise: "POST waits for as long as the backend likes", backends: 2, virtual: true, tune: perTry,
			talk: func(c *talk) {
				client := c.client().send(post)
				backend := c.origins[0].accept()
				backend.request()
				c.clk.Sleep(2900 * time.Millisecond)
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.origins[1].untouched()
				c.counts(1)
			}},
		{promise: "a backend that has begun its answer is waited for", backends: 2, virtual: true, tune: perTry,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 200 OK\r\n")
				c.clk.Sleep(2900 * time.Millisecond)
				backend.send("Content-Length: 2\r\n\r\nok")
				require.Equal(c.t, "ok", client.answer().body)
				c.origins[1].untouched()
				c.counts(1)
			}},
		{promise: "so is one that has sent an interim answer", backends: 2, virtual: true, tune: perTry,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
				require.Equal(c.t, "103 Early Hints", client.answer().start)
				c.clk.Sleep(2900 * time.Millisecond)
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.origins[1].untouched()
				c.counts(1)
			}},
	})
}

func TestTheResponseTimeoutEndsARequestUnlessAnotherAttemptIsAskedFor(t *testing.T) {
	converse(t, []conversation{
		{promise: "it ends it by default", backends: 2, virtual: true,
			tune: func(s *config.Config) { s.Upstreams[0].ResponseTimeout = 3 * time.Second },
			talk: func(c *talk) {
				client := c.client().send(get)
				c.origins[0].accept().request()
				require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
				c.origins[1].untouched()
				c.retires(pool.ReasonUnanswered)
				c.counts(0, proxy.FailTimeout)
			}},
		{promise: "where it is asked for the next backend has as long", backends: 2, virtual: true,
			tune: retryOn("response_timeout"), talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client().send(get)
				c.origins[0].accept().request()
				backend := c.origins[1].accept()
				elapsed(c, begin, 3*time.Second)
				backend.request()
				c.clk.Sleep(2900 * time.Millisecond)
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.retires(pool.ReasonUnanswered)
				c.counts(1)
			}},
		{promise: "a reset is not followed by another attempt where that is not asked for", backends: 2,
			tune: retryOn("response_timeout"), talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.close()
				require.Equal(c.t, "502 Bad Gateway", client.answer().start)
				c.origins[1].untouched()
				c.retires(pool.ReasonBroken)
				c.counts(0, proxy.FailReset)
			}},
		{promise: "nor a refused connection", backends: 2, tune: retryOn(), talk: func(c *talk) {
			require.NoError(c.t, c.origins[0].ln.Close())
			client := c.client().send(get)
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.counts(0, proxy.FailConnect)
		}},
	})
}

const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

func TestAnAnswerWithAStatusThatIsAskedForIsSwallowed(t *testing.T) {
	converse(t, []conversation{
		{promise: "another backend answers and the connection is kept", backends: 2, tune: retryOn("503"), talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(busy)
			other := c.origins[1].accept()
			other.request()
			other.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Backends[0].Pool.Idle)
			c.dialled = 2
			c.counts(1)
		}},
		{promise: "a chunked body that comes at once is read to its end", backends: 2, virtual: true, tune: retryOn("502"),
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noops\r\n")
				c.clk.Sleep(5 * time.Millisecond)
				backend.send("0\r\n\r\n")
				other := c.origins[1].accept()
				other.request()
				other.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.dialled = 2
				c.counts(1)
			}},
		{promise: "one that does not come costs its connection and hardly any time", backends: 2, virtual: true,
			tune: retryOn("502"), talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				begin := c.clk.Now()
				backend.send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\noops")
				other := c.origins[1].accept()
				require.Less(c.t, c.clk.Since(begin), 20*time.Millisecond)
				other.request()
				other.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.retires(pool.ReasonAborted)
				c.counts(1)
			}},
	})
}

func TestAnAnswerThatCannotBeReplacedIsPassedOnWhateverItsStatus(t *testing.T) {
	converse(t, []conversation{
		{promise: "the last attempt's is passed on", backends: 3, tune: retryOn("503"), talk: func(c *talk) {
			client := c.client().send(get)
			for i := range 2 {
				backend := c.origins[i].accept()
				backend.request()
				backend.send(busy)
			}
			require.Equal(c.t, "busy", client.answer().body)
			c.origins[2].untouched()
			c.counts(1)
		}},
		{promise: "and so is the only backend's", tune: retryOn("503"), talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(busy)
			require.Equal(c.t, "busy", client.answer().body)
			c.counts(1)
		}},
		{promise: "another status is passed on", backends: 2, tune: retryOn("502", "504"), talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(busy)
			require.Equal(c.t, "busy", client.answer().body)
			c.origins[1].untouched()
			c.counts(1)
		}},
		{promise: "the answer to POST is passed on", backends: 2, tune: retryOn("503"), talk: func(c *talk) {
			client := c.client().send(post)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(busy)
			require.Equal(c.t, "busy", client.answer().body)
			c.origins[1].untouched()
			c.counts(1)
		}},
		{promise: "and so is the answer to a PUT whose body was streamed", backends: 2, tune: retryOn("503"), talk: func(c *talk) {
			client := c.client().send("PUT / HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\n")
			backend := c.origins[0].accept()
			backend.head()
			client.send("body")
			backend.expect("body")
			backend.send(busy)
			require.Equal(c.t, "busy", client.answer().body)
			c.origins[1].untouched()
			c.counts(1)
		}},
	})
}

// Also over real sockets the wait for an answer ends when health gives the backend up.
func TestARequestIsMovedFromABackendThatAnotherOneHasBroughtDown(t *testing.T) {
	converse(t, []conversation{
		{promise: "one failure is enough here", backends: 2, tune: func(s *config.Config) {
			u := &s.Upstreams[0]
			u.Pool.MaxConnections, u.Health.Passive.ConsecutiveFailures = 50, 1
		}, talk: func(c *talk) {
			var clients, backends []*peer
			for i := range 3 {
				clients = append(clients, c.client().send(get))
				backends = append(backends, c.origins[i%2].accept())
				backends[i].request()
			}
			backends[0].close() // the third request is at the same backend
			for range 2 {
				backend := c.origins[1].accept()
				backend.request()
				backend.send(okay)
			}
			backends[1].send(okay)
			backends[2].cut()
			for _, client := range clients {
				require.Equal(c.t, "ok", client.answer().body)
			}
			require.EqualValues(c.t, 1, c.server.Stats().Upstreams[0].Backends[0].Outcomes[upstream.OutcomeLost])
			c.retires(pool.ReasonBroken, pool.ReasonUnanswered)
			c.counts(3)
		}},
	})
}
