package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// Deadlines are set only where they are met, so that one may be left over from an earlier request.
func TestADeadlineLeftByAnEarlierRequestCutsNothingShort(t *testing.T) {
	tenSeconds := func(s *config.Config) {
		clientTimes(s)
		s.Upstreams[0].ResponseTimeout = 10 * time.Second
	}
	converse(t, []conversation{
		{promise: "a second answer has the whole response timeout", virtual: true, tune: tenSeconds, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.clk.Sleep(6 * time.Second)
			client.send(get)
			backend.request()
			c.clk.Sleep(9 * time.Second)
			backend.send(okay)
			require.Equal(c.t, "200 OK", client.answer().start)
			client.send(get)
			backend.request()
			begin := c.clk.Now()
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			elapsed(c, begin, 10*time.Second)
			c.retires(pool.ReasonUnanswered)
			c.counts(2, proxy.FailTimeout)
		}},
		{promise: "a connection may be idle for longer than its last head took", virtual: true, tune: tenSeconds,
			talk: func(c *talk) {
				client := c.client()
				backend := c.exchangeSlowly(client, nil)
				c.clk.Sleep(25 * time.Second)
				c.exchangeSlowly(client, backend)
				begin := c.clk.Now()
				client.ended()
				elapsed(c, begin, 30*time.Second)
				c.retires(pool.ReasonIdleTimeout)
				c.counts(2)
			}},
		{promise: "the deadline of a body is none for what comes after it", virtual: true, tune: tenSeconds,
			talk: func(c *talk) {
				client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\n")
				backend := c.origins[0].accept()
				backend.head()
				c.clk.Sleep(5 * time.Second)
				client.send("body")
				backend.expect("body")
				c.clk.Sleep(8 * time.Second)
				backend.send(okay)
				client.answer()
				begin := c.clk.Now()
				client.ended()
				elapsed(c, begin, 30*time.Second)
				c.retires(pool.ReasonIdleTimeout)
				c.counts(1)
			}},
	})
}

// exchangeSlowly is one exchange whose head comes in two pieces; nil takes the backend's next connection.
func (c *talk) exchangeSlowly(client, backend *peer) *peer {
	client.send(get[:7])
	c.clk.Sleep(2 * time.Second)
	client.send(get[7:])
	if backend == nil {
		backend = c.origins[0].accept()
	}
	backend.request()
	backend.send(okay)
	require.Equal(c.t, "200 OK", client.answer().start)
	return backend
}
