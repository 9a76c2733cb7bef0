package proxy_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"

// What a backend says over TLS without being asked would be the next client's answer, and each answer that follows the one of the request
// before. It lies in the socket, where the pool looks, or already in TLS's own memory.
func TestAnAnswerOverTLSThatNobodyAskedForIsNobodys(t *testing.T) {
	var p *paper
	next := func(c *talk, client *peer, method string, why pool.Reason) {
		client.send(method + " / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
		backend := c.origins[0].acceptShaken(p)
		backend.request()
		backend.send(okay)
		require.Equal(c.t, "ok", client.answer().body)
		c.retires(why)
		c.counts(2)
	}
	converse(t, []conversation{
		{promise: "later, while the connection is idle", files: papers(&p), tune: secureBack, quiet: 150 * time.Millisecond, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].acceptShaken(p)
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			backend.send(stray)
			c.settle()
			next(c, client, "POST", pool.ReasonUnexpectedData)
		}},
		{promise: "in the same segment", files: papers(&p), tune: secureBack, talk: func(c *talk) {
			client := c.client().send(get)
			backend, g := c.gathering(p)
			backend.request()
			g.on = true
			backend.send(okay).send(stray)
			g.send(c)
			require.Equal(c.t, "ok", client.answer().body)
			next(c, client, "POST", pool.ReasonUnexpectedData)
		}},
		{promise: "nor is the end, in the same segment", files: papers(&p), tune: secureBack, talk: func(c *talk) {
			client := c.client().send(get)
			backend, g := c.gathering(p)
			backend.request()
			g.on = true
			backend.send(okay)
			require.NoError(c.t, backend.nc.(*tls.Conn).CloseWrite())
			require.NoError(c.t, g.SetWriteDeadline(time.Time{})) // which that has set
			g.send(c)
			require.Equal(c.t, "ok", client.answer().body)
			c.settle()
			next(c, client, "POST", pool.ReasonPeerClosed)
		}},
	})
}

// gathering accepts over TLS a connection whose backend may hold back what it sends.
func (c *talk) gathering(p *paper) (*peer, *gathering) {
	b := c.origins[0].accept()
	g := &gathering{Conn: b.nc}
	tc := tls.Server(g, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
	require.NoError(c.t, tc.Handshake())
	b.nc = tc
	return b, g
}
