package proxy_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/proxy/config"
)

// keeps has checks of HTTP keep their connections, long enough apart that a script gets a word in between.
func keeps(s *config.Config) {
	s.Upstreams[0].Health.Active = &config.Active{
		Interval: 300 * time.Millisecond, Timeout: 300 * time.Millisecond, Rise: 1, Fall: 1, HTTP: &config.HTTPCheck{}, Reuse: config.SwitchOn,
	}
}

// rounds is how often a script that waits for checks is played: once where that takes real time.
func (c *talk) rounds(simulated int) int {
	if c.sim == nil {
		return 1
	}
	return simulated
}

// passed requires that so many checks were made, and that all of them passed. A busy machine may have made one late on loopback.
func (c *talk) passed(n int) {
	c.t.Helper()
	c.await("the last one has been told of", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Checks >= uint64(n) })
	if b := &c.server.Stats().Upstreams[0].Backends[0]; c.sim != nil {
		require.Equal(c.t, []uint64{uint64(n), uint64(n)}, []uint64{b.Checks, b.ChecksPassed})
	}
}

// gathering is a connection that sends nothing until it is told to, and then all at once.
type gathering struct {
	net.Conn
	on   bool
	held bytes.Buffer
}

func (g *gathering) Write(p []byte) (int, error) {
	if g.on {
		return g.held.Write(p)
	}
	return g.Conn.Write(p)
}

// send writes what has been held back.
func (g *gathering) send(c *talk) {
	g.on = false
	_, err := g.Conn.Write(g.held.Bytes())
	require.NoError(c.t, err)
}

// An answer that nobody has asked for, and that is taken for the one to the next check, would have each check judged by the
// answer to the one before.
func TestAKeptConnectionOnWhichSomethingHasComeServesNoFurtherCheck(t *testing.T) {
	var p *paper
	secure := func(s *config.Config) { secureBack(s); keeps(s) }
	plain := func(o *origin) *peer { return o.accept() }
	shaken := func(o *origin) *peer { return o.acceptShaken(p) }
	script := func(accept func(*origin) *peer, spoil func(*peer)) func(*talk) {
		return func(c *talk) {
			for n := range c.rounds(6) {
				b := accept(c.origins[0])
				require.Equal(c.t, "GET /", b.request().start)
				b.send(okay)
				c.passed(n + 1)
				spoil(b)
				b.cut() // and no second request before
			}
			c.counts(0)
		}
	}
	answer := func(b *peer) { b.send(okay) }
	fin := func(b *peer) {
		if tc, ok := b.nc.(*tls.Conn); ok {
			require.NoError(b.c.t, tc.CloseWrite())
			return
		}
		b.fin()
	}
	converse(t, []conversation{
		{promise: "an answer", tune: keeps, talk: script(plain, answer)},
		{promise: "a single byte", tune: keeps, talk: script(plain, func(b *peer) { b.send("\n") })},
		{promise: "its end", tune: keeps, talk: script(plain, fin)},
		{promise: "an answer over TLS", tune: secure, files: papers(&p), talk: script(shaken, answer)},
		{promise: "its end over TLS", tune: secure, files: papers(&p), talk: script(shaken, fin)},
		{promise: "an answer in the same segment over TLS", tune: secure, files: papers(&p), talk: func(c *talk) {
			for n := range c.rounds(6) {
				b := c.origins[0].accept()
				g := &gathering{Conn: b.nc}
				tc := tls.Server(g, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
				require.NoError(c.t, tc.Handshake())
				b.nc = tc
				b.request()
				g.on = true
				b.send(okay).send(okay) // two records
				g.send(c)
				c.passed(n + 1)
				b.cut()
			}
			c.counts(0)
		}},
	})
}

// What is reset while nobody looks is found by the look, and not by the check.
func TestAKeptConnectionThatWasResetIsNoEvidence(t *testing.T) {
	converse(t, []conversation{{promise: "reset", tune: keeps, talk: func(c *talk) {
		for n := range c.rounds(3) {
			b := c.origins[0].accept()
			b.request()
			b.send(okay)
			c.passed(n + 1)
			b.abort()
		}
		b := c.origins[0].accept()
		b.request()
		b.send(okay)
		c.passed(c.rounds(3) + 1)
		c.counts(0)
	}}})
}

func TestAKeptConnectionOnWhichNothingHasComeServesFourChecks(t *testing.T) {
	var p *paper
	script := func(accept func(*origin) *peer) func(*talk) {
		return func(c *talk) {
			for n := range c.rounds(2) {
				b := accept(c.origins[0])
				for i := range 4 {
					b.request()
					b.send(okay)
					c.passed(4*n + i + 1)
				}
				b.cut()
			}
			c.counts(0)
		}
	}
	converse(t, []conversation{
		{promise: "in clear text", tune: keeps, talk: script(func(o *origin) *peer { return o.accept() })},
		{promise: "over TLS", files: papers(&p), tune: func(s *config.Config) { secureBack(s); keeps(s) },
			talk: script(func(o *origin) *peer { return o.acceptShaken(p) })},
	})
}

// A connection of HTTP/2 says itself that it takes no more; answers cannot be mistaken for each other there.
func TestAKeptConnectionThatHasSaidGOAWAYServesNoFurtherCheck(t *testing.T) {
	converse(t, []conversation{{promise: "HTTP2", eager: true, tune: func(s *config.Config) { speaksHTTP2(s); keeps(s) }, talk: func(c *talk) {
		for n := range c.rounds(3) {
			b := c.origins[0].acceptFrames()
			id := b.stream().StreamID
			require.EqualValues(c.t, 1, id)
			b.okay(id)
			c.passed(n + 1)
			require.NoError(c.t, b.fr.WriteGoAway(id, http2.ErrCodeNo, nil))
			b.drain() // until the proxy has closed it
		}
		c.counts(0)
	}}})
}
