package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
)

// A wait of five seconds is long enough for a look at the client.
func TestAClientThatLeavesDuringALongWaitIsNoticed(t *testing.T) {
	const begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
	converse(t, []conversation{
		{promise: "by its reset before the answer begins", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			begin := c.clk.Now()
			client.abort()
			backend.cut()
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "at the second look too", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			begin := c.clk.Now()
			c.clk.Sleep(6 * time.Second)
			client.abort()
			backend.cut()
			elapsed(c, begin, 10*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "by its reset in a body that has stopped", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(begun)
			begin := c.clk.Now()
			client.until("half")
			client.abort()
			backend.cut()
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "and there by the end of its stream", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(begun)
			begin := c.clk.Now()
			client.until("half")
			client.fin()
			backend.cut()
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
	})
}

func TestAClientThatIsThereIsServedHoweverLongItWaits(t *testing.T) {
	converse(t, []conversation{
		{promise: "who has ended its stream still wants its answer", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			client.fin()
			backend := c.origins[0].accept()
			backend.request()
			c.clk.Sleep(29 * time.Second)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			client.ended()
			c.counts(1)
		}},
		{promise: "a body that stops for shorter reaches it as well", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			client.fin()
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				c.clk.Sleep(4900 * time.Millisecond)
				backend.send("x")
			}
			require.Equal(c.t, "xxxxxxxxxx", client.answer().body)
			client.ended()
			c.counts(1)
		}},
		{promise: "who has sent its next request meanwhile is there", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			client.send(get)
			c.clk.Sleep(59 * time.Second)
			backend.send("ok")
			require.Equal(c.t, "ok", client.answer().body)
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(2)
		}},
	})
}
