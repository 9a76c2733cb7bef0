package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
)

func TestEveryAnswerHasOneDate(t *testing.T) {
	const own = "Tue, 15 Nov 1994 08:12:31 GMT"
	converse(t, []conversation{
		{promise: "that of the backend, or else of the proxy", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\ndate: " + own + "\r\nContent-Length: 2\r\n\r\nok")
			require.Equal(c.t, []string{own}, client.answer().named("Date"))
			client.send(get)
			backend.request()
			backend.send(okay)
			requireNow(c, client.answer().named("Date"))
			require.NoError(c.t, backend.nc.Close())
			c.refuseAll()
			requireNow(c, client.send(get).answer().named("Date"))
			c.lenient()
		}},
		{promise: "of the second in which it begins", virtual: true, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			for range 5 {
				backend.request()
				c.clk.Sleep(700 * time.Millisecond)
				backend.send(okay)
				requireNow(c, client.answer().named("Date"))
				client.send(get)
			}
			backend.request()
			require.NoError(c.t, backend.nc.Close())
			client.answer()
			c.counts(5, proxy.FailReset)
			c.careless = true
		}},
	})
}

// requireNow wants one date, of less than two seconds ago.
func requireNow(c *talk, dates []string) {
	c.t.Helper()
	require.Len(c.t, dates, 1)
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", dates[0])
	require.NoError(c.t, err)
	age := c.clk.Now().Sub(at)
	require.True(c.t, age >= 0 && age < 2*time.Second, "%s is %s old", dates[0], age)
}
