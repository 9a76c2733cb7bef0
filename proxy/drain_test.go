package proxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// drain begins a drain and says later how it ended. When it returns the server drains.
func (c *talk) drain() <-chan error {
	ended := make(chan error, 1)
	c.aside(func() { ended <- c.server.Drain(context.Background()) })
	c.settle()
	c.await("the drain begins", c.server.Draining)
	return ended
}

func TestADrainFinishesRequestsAndClosesIdleConnections(t *testing.T) {
	converse(t, []conversation{
		{promise: "a request under way is finished with Connection close", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			ended := c.drain()
			backend.send(okay)
			m := client.answer()
			require.Equal(c.t, "ok", m.body)
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			client.ended()
			client.close()
			require.NoError(c.t, <-ended)
			c.counts(1)
		}},
		{promise: "idle connections close at once", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.settle()
			begin := c.clk.Now()
			require.NoError(c.t, c.server.Drain(context.Background()))
			c.soon(begin, time.Second)
			client.ended()
			backend.cut()
			c.counts(1)
		}},
		{promise: "new connections are refused", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			ended := c.drain()
			c.await("the listener is closed", func() bool {
				nc, err := c.dialer.DialContext(context.Background(), "tcp", c.front())
				if err == nil {
					_ = nc.Close()
				}
				return err != nil
			})
			backend.send(okay)
			client.answer()
			client.close()
			require.NoError(c.t, <-ended)
			c.counts(1)
		}},
		{promise: "a client that has just connected may still ask once", talk: func(c *talk) {
			client := c.client()
			c.accepted(1)
			ended := c.drain()
			client.send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, []string{"close"}, client.answer().named("Connection"))
			client.ended()
			client.close()
			require.NoError(c.t, <-ended)
			c.counts(1)
		}},
	})
}

func TestADrainServesThoseWhoAreHereUntilItsLimit(t *testing.T) {
	converse(t, []conversation{
		{promise: "a request that waits in the queue is served", tune: func(s *config.Config) {
			s.Upstreams[0].Pool.MaxConnections = 1
		}, talk: func(c *talk) {
			one, two := c.client().send(get), c.client()
			backend := c.origins[0].accept()
			backend.request()
			two.send(get)
			c.queued(1)
			ended := c.drain()
			backend.send(okay)
			one.answer()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", two.answer().body)
			one.close()
			two.close()
			require.NoError(c.t, <-ended)
			c.counts(2)
		}},
		{promise: "a streamed body goes on to its end", talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 8\r\n\r\nhalf")
			backend := c.origins[0].accept()
			backend.head()
			ended := c.drain()
			client.send("rest")
			backend.expect("halfrest")
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			client.close()
			require.NoError(c.t, <-ended)
			c.counts(1)
		}},
		{promise: "its limit cuts off what is left", virtual: true, talk: func(c *talk) {
			waiting, sending, asking := c.client().send(get), c.client(), c.client()
			backend := c.origins[0].accept()
			backend.request()
			sending.send("POST / HTTP/1.1\r\n", host, "Content-Length: 8\r\n\r\nhalf")
			other := c.origins[0].accept()
			other.head()
			asking.send("GET / HT")
			begin := c.clk.Now()
			require.ErrorContains(c.t, <-c.drain(), "3 connections were cut off")
			require.InDelta(c.t, 5, c.clk.Since(begin).Seconds(), 0.01)
			for _, p := range []*peer{waiting, sending, asking, backend} {
				p.cut()
			}
			c.retires(pool.ReasonAborted, pool.ReasonAborted)
			c.counts(0, proxy.FailShutdown, proxy.FailShutdown, proxy.FailShutdown)
		}},
	})
}

func TestWhatADrainCannotFinishIsCutOff(t *testing.T) {
	converse(t, []conversation{
		{promise: "its context cuts off what is left", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			short, stop := context.WithCancel(context.Background())
			c.aside(func() {
				c.clk.Sleep(time.Second)
				stop()
			})
			begin := c.clk.Now()
			require.ErrorContains(c.t, c.server.Drain(short), "1 connections were cut off")
			require.InDelta(c.t, 1, c.clk.Since(begin).Seconds(), 0.01)
			client.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailShutdown)
		}},
		{promise: "Close may come at any moment and again", talk: func(c *talk) {
			idle, waiting := c.client().send(get), c.client()
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			idle.answer()
			waiting.send(get)
			backend.request()
			c.client()
			c.accepted(3)
			begin := c.clk.Now()
			c.server.Close()
			c.server.Close()
			c.soon(begin, 3*time.Second)
			require.NoError(c.t, c.server.Drain(context.Background()))
			require.Error(c.t, c.server.Start(context.Background()))
			waiting.cut()
			c.retires(pool.ReasonAborted)
			c.counts(1, proxy.FailShutdown)
		}},
		{promise: "Close does not wait for a client that has just been accepted", virtual: true, talk: func(c *talk) {
			begin := c.clk.Now()
			for range 3 {
				c.client()
			}
			c.server.Close()
			c.soon(begin, time.Second)
			c.counts(0)
		}},
	})
}
