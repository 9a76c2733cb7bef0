package proxy_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// byName sends a.test to the first backend, b.test to the second, and everything else nowhere.
func byName(s *config.Config) {
	l, u := &s.Listeners[0], s.Upstreams[0]
	first, second := u, u
	first.Name, first.Backends = "first", u.Backends[:1]
	second.Name, second.Backends = "second", u.Backends[1:]
	first.Pool.MaxConnections, second.Pool.MaxConnections = 10, 10
	s.Upstreams = []config.Upstream{first, second}
	l.Protocol, l.Upstream = config.ProtocolTCP, ""
	l.Routes = []config.Route{
		{Match: config.Match{Host: "a.test"}, Upstream: "first"}, {Match: config.Match{Host: "b.test"}, Upstream: "second"},
	}
}

func byNameOrFirst(s *config.Config) {
	byName(s)
	s.Listeners[0].Upstream = "first"
}

// inPieces is a connection whose writes leave as records of a few bytes each, as a client may cut its hello.
type inPieces struct {
	net.Conn
	clk interface{ Sleep(time.Duration) }
}

// Write cuts one record of TLS into several.
func (c inPieces) Write(p []byte) (int, error) {
	if len(p) < 5 || p[0] != 22 {
		return c.Conn.Write(p)
	}
	for body := p[5:]; len(body) > 0; {
		n := min(len(body), 40)
		if _, err := c.Conn.Write(append([]byte{22, p[1], p[2], 0, byte(n)}, body[:n]...)); err != nil {
			return 0, err
		}
		body = body[n:]
		c.clk.Sleep(time.Millisecond)
	}
	return len(p), nil
}

// through makes a handshake with the backend behind the proxy, and a round trip.
func (c *talk) through(p *paper, backend int, name string, cut bool) {
	done := make(chan struct{})
	client := c.client()
	c.aside(func() {
		defer close(done)
		b := c.origins[backend].acceptShaken(p)
		b.expect("ping")
		b.send("pong")
		b.fin()
	})
	nc := client.nc
	if cut {
		nc = inPieces{nc, c.clk}
	}
	tc := tls.Client(nc, &tls.Config{RootCAs: p.trust, ServerName: name, Time: c.clk.Now, InsecureSkipVerify: true})
	require.NoError(c.t, tc.Handshake())
	client.nc = tc
	client.send("ping")
	client.expect("pong")
	<-done
	require.NoError(c.t, tc.Close())
}

func TestATunnelGoesWhereTheServerNameInItsHelloSays(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "by exact name, without regard to case", backends: 2, files: papers(&p), tune: byName, talk: func(c *talk) {
			c.through(p, 0, "a.test", false)
			c.through(p, 1, "b.test", false)
			c.through(p, 1, "B.Test", false)
			c.lenient()
		}},
		{promise: "however small the pieces are in which the hello comes", backends: 2, files: papers(&p), tune: byName, talk: func(c *talk) {
			c.through(p, 1, "b.test", true)
			c.lenient()
		}},
		{promise: "another name goes to the upstream of the listener", backends: 2, files: papers(&p), tune: byNameOrFirst, talk: func(c *talk) {
			c.through(p, 0, "c.test", false)
			c.through(p, 1, "b.test", false)
			c.lenient()
		}},
		{promise: "another name goes nowhere without one", backends: 2, files: papers(&p), tune: byName, talk: func(c *talk) {
			client := c.client()
			tc := tls.Client(client.nc, &tls.Config{ServerName: "c.test", InsecureSkipVerify: true})
			require.Error(c.t, tc.Handshake())
			c.origins[0].untouched()
			c.origins[1].untouched()
			c.counts(0, proxy.FailNoRoute)
		}},
	})
}

func TestAConnectionWithoutAHelloGoesToTheUpstreamOfItsListener(t *testing.T) {
	converse(t, []conversation{
		{promise: "what is no TLS goes to the upstream of the listener, whole", backends: 2, tune: byNameOrFirst, talk: func(c *talk) {
			client := c.client().send("HELO me\r\n")
			backend := c.origins[0].accept()
			backend.expect("HELO me\r\n")
			backend.send("250 you\r\n")
			client.expect("250 you\r\n")
			client.close()
			c.lenient()
		}},
		{promise: "a client that waits for the server goes there too", backends: 2, virtual: true, tune: byNameOrFirst, talk: func(c *talk) {
			client := c.client()
			backend := c.origins[0].accept()
			backend.send("220 ready\r\n")
			client.expect("220 ready\r\n")
			client.close()
			c.lenient()
		}},
		{promise: "half a hello has its time", backends: 2, virtual: true, tune: byName, talk: func(c *talk) {
			client := c.client().send("\x16\x03\x01\x02\x00\x01\x00")
			began := c.clk.Now()
			client.ended()
			require.InDelta(c.t, 10, c.clk.Since(began).Seconds(), 0.1)
			c.counts(0, proxy.FailHeadTimeout)
		}},
		{promise: "a hello without an end is not kept for ever", backends: 2, tune: byName, talk: func(c *talk) {
			client := c.client()
			for range 3 { // records of a hello that says it is as long as it can be
				record := append([]byte{22, 3, 1, 64, 0}, make([]byte, 16<<10)...)
				copy(record[5:], []byte{1, 255, 255, 255})
				if _, err := client.nc.Write(record); err != nil {
					break
				}
			}
			client.cut()
			c.counts(0, proxy.FailNoRoute)
		}},
	})
}
