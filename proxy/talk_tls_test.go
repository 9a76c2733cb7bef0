package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

const year = 365 * 24 * time.Hour

// paper is the files that TLS needs, in memory, and what the script's own sides are made of.
type paper struct {
	files  map[string][]byte
	root   *certs.Authority
	served tls.Certificate // for the scripted backends
	trust  *x509.CertPool
}

// papers makes a new set for each world: the certificates are good at its time.
func papers(hold **paper) func(*talk) func(string) ([]byte, error) {
	return func(c *talk) func(string) ([]byte, error) {
		p := &paper{files: map[string][]byte{}, trust: x509.NewCertPool()}
		p.root = certs.NewAuthority("root", rand.New(rand.NewPCG(1, 2)), c.clk.Now())
		p.files["ca.pem"] = p.root.PEM()
		p.trust.AppendCertsFromPEM(p.root.PEM())
		p.issue("site", "a.test", "*.a.test")
		p.issue("other", "b.test")
		p.issue("client", "a client")
		p.served = p.issue("backend", "backend.test")
		*hold = p
		return func(name string) ([]byte, error) {
			if text, ok := p.files[name]; ok {
				return text, nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
}

func (p *paper) issue(file string, names ...string) tls.Certificate {
	p.files[file+".pem"], p.files[file+".key"] = p.root.Issue(year, names...)
	c, err := tls.X509KeyPair(p.files[file+".pem"], p.files[file+".key"])
	if err != nil {
		panic(err)
	}
	return c
}

// shakenClient opens a client connection and makes the handshake.
func (c *talk) shakenClient(p *paper, name string, change ...func(*tls.Config)) *peer {
	c.t.Helper()
	peer, err := c.tryClient(p, name, change...)
	require.NoError(c.t, err)
	return peer
}

func (c *talk) tryClient(p *paper, name string, change ...func(*tls.Config)) (*peer, error) {
	cfg := &tls.Config{RootCAs: p.trust, ServerName: name, Time: c.clk.Now, NextProtos: []string{"http/1.1"}}
	for _, f := range change {
		f(cfg)
	}
	peer := c.client()
	tc := tls.Client(peer.nc, cfg)
	peer.nc = tc
	return peer, tc.Handshake()
}

// acceptShaken waits for the proxy's next connection to a backend and makes the handshake.
func (o *origin) acceptShaken(p *paper, change ...func(*tls.Config)) *peer {
	o.c.t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{p.served}, Time: o.c.clk.Now}
	for _, f := range change {
		f(cfg)
	}
	peer := o.accept()
	tc := tls.Server(peer.nc, cfg)
	require.NoError(o.c.t, tc.Handshake())
	peer.nc = tc
	return peer
}

// secureFront makes the listener speak TLS with two certificates.
func secureFront(s *config.Config) {
	s.Listeners[0].TLS = &config.ListenerTLS{Certificates: []config.Certificate{
		{Cert: "site.pem", Key: "site.key"}, {Cert: "other.pem", Key: "other.key"},
	}}
}

func secureBack(s *config.Config) {
	s.Upstreams[0].TLS = &config.UpstreamTLS{CA: "ca.pem", ServerName: "backend.test"}
}

func TestRequestsOverTLSAreServedAsAnyOther(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "requests over one TLS connection share a backend connection", files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.shakenClient(p, "a.test").send(get)
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(t, []string{"https"}, m.named("X-Forwarded-Proto"))
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			c.exchange(client, backend)
			require.Equal(t, "http/1.1", client.nc.(*tls.Conn).ConnectionState().NegotiatedProtocol)
			c.dialled = 1
			c.counts(2)
		}},
		{promise: "five megabytes go both ways over TLS on both sides", files: papers(&p),
			tune: func(s *config.Config) { secureFront(s); secureBack(s) },
			talk: func(c *talk) {
				client := c.shakenClient(p, "x.a.test")
				c.aside(func() { _, _ = client.nc.Write([]byte(upload(large))) })
				backend := c.origins[0].acceptShaken(p)
				c.sameBytes(pattern(large), backend.request().body)
				c.aside(func() { _, _ = backend.nc.Write([]byte(chunkedAnswer(pattern(large), 70000))) })
				c.sameBytes(pattern(large), client.answer().body)
				c.counts(1)
			}},
		{promise: "a request to another host is misdirected unless the certificate is its too", files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.shakenClient(p, "a.test").send("GET / HTTP/1.1\r\nHost: x.a.test:443\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			for range 2 {
				client.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
				require.Contains(t, client.answer().start, "421 ")
			}
			c.counts(1, proxy.FailMisdirected, proxy.FailMisdirected)
		}},
		{promise: "a drain ends a quiet TLS connection", files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.shakenClient(p, "a.test")
			client.send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.settle()
			c.aside(func() { require.NoError(t, c.server.Drain(context.Background())) })
			client.ended()
			c.counts(1)
		}},
		{promise: "a quiet TLS client may come back after it has rested", files: papers(&p), virtual: true, tune: secureFront, talk: func(c *talk) {
			client := c.shakenClient(p, "a.test").send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.clk.Sleep(20 * time.Second) // longer than head_timeout, shorter than idle_timeout
			c.exchange(client, backend)
			c.clk.Sleep(65 * time.Second)
			client.ended()
			c.retires(pool.ReasonIdleTimeout)
			c.counts(2)
		}},
	})
}

func TestAHandshakeThatComesToNothingIsCountedAndServesNothing(t *testing.T) {
	var p *paper
	failed := func(c *talk) {
		c.await("the handshake has failed", func() bool { return c.server.Stats().HandshakesFailed == 1 })
		c.origins[0].untouched()
		c.counts(0)
	}
	converse(t, []conversation{
		{promise: "a client without a certificate is refused where one is required", files: papers(&p),
			tune: func(s *config.Config) { secureFront(s); s.Listeners[0].TLS.ClientCA = "ca.pem" },
			talk: func(c *talk) {
				client, err := c.tryClient(p, "a.test")
				if err == nil { // with TLS 1.3 it hears of it when it reads
					_, err = client.nc.Read(make([]byte, 1))
				}
				require.ErrorContains(t, err, "certificate required")
				failed(c)
			}},
		{promise: "plain HTTP gets an answer that says so", files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.client().send(get)
			require.Contains(t, client.answer().body, "speaks HTTPS")
			client.ended()
			failed(c)
		}},
		{promise: "a client that stops in its handshake is let go", files: papers(&p), tune: secureFront, virtual: true, talk: func(c *talk) {
			client := c.client().send("\x16\x03\x01\x02\x00\x01")
			began := c.clk.Now()
			client.ended()
			require.InDelta(t, 10, c.clk.Since(began).Seconds(), 0.1)
			failed(c)
		}},
	})
}

func TestNoConnectionIsUsedUnderAnIdentityThatItWasNotMadeFor(t *testing.T) {
	var p *paper
	reload := func(c *talk, change func(*config.Config)) {
		next := *c.server.Settings()
		next.Upstreams = append([]config.Upstream(nil), next.Upstreams...)
		change(&next)
		_, err := c.server.Reload(&next)
		require.NoError(t, err)
	}
	// Each changes who we are, or whom we believe, and a connection is idle from before.
	for _, change := range []struct {
		name string
		do   func(*talk)
	}{
		{"another server name", func(c *talk) {
			reload(c, func(s *config.Config) {
				tls := *s.Upstreams[0].TLS
				tls.ServerName = "second.test"
				s.Upstreams[0].TLS = &tls
			})
		}},
		{"a client certificate", func(c *talk) {
			reload(c, func(s *config.Config) {
				tls := *s.Upstreams[0].TLS
				tls.Certificate = config.Certificate{Cert: "client.pem", Key: "client.key"}
				s.Upstreams[0].TLS = &tls
			})
		}},
		{"no verification", func(c *talk) {
			reload(c, func(s *config.Config) {
				s.Upstreams[0].TLS = &config.UpstreamTLS{Verify: config.SwitchOff, ServerName: "backend.test"}
			})
		}},
		{"other authorities in the same file", func(c *talk) {
			p.files["ca.pem"] = append(p.root.PEM(), certs.NewAuthority("more", rand.New(rand.NewPCG(3, 4)), c.clk.Now()).PEM()...)
			reload(c, func(*config.Config) {})
		}},
	} {
		converse(t, []conversation{{promise: change.name, files: papers(&p), tune: secureBack, talk: func(c *talk) {
			p.served = p.issue("backend", "backend.test", "second.test")
			client := c.client().send(get)
			first := c.origins[0].acceptShaken(p)
			first.request()
			first.send(okay)
			client.answer()
			change.do(c)
			client.send(get)
			second := c.origins[0].acceptShaken(p)
			second.request()
			second.send(okay)
			client.answer()
			c.await("the old group is gone", func() bool { return len(c.server.Stats().Upstreams) == 1 })
			c.counts(2)
		}}})
	}
}

func TestABackendThatCannotProveItsNameGetsNoRequest(t *testing.T) {
	var p *paper
	converse(t, []conversation{{promise: "502 and not a byte of the request", files: papers(&p),
		tune: func(s *config.Config) { secureBack(s); s.Upstreams[0].TLS.ServerName = "" },
		talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			tc := tls.Server(backend.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
			require.Error(t, tc.Handshake())
			require.Contains(t, client.answer().start, "502 ")
			c.retires(pool.ReasonSetupFailed)
			c.counts(0, proxy.FailConnect)
		}}})
}

func TestCertificatesAreReadAgainWithoutAReload(t *testing.T) {
	var p *paper
	converse(t, []conversation{{promise: "new connections get the new certificate", files: papers(&p), tune: secureFront, virtual: true, talk: func(c *talk) {
		serial := func(client *peer) string {
			return client.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.SerialNumber
		}
		first := serial(c.shakenClient(p, "a.test"))
		p.issue("site", "a.test")
		require.Equal(t, first, serial(c.shakenClient(p, "a.test")))
		c.clk.Sleep(61 * time.Second)
		require.NotEqual(t, first, serial(c.shakenClient(p, "a.test")))
		p.files["site.key"] = []byte("half")
		c.clk.Sleep(61 * time.Second)
		c.shakenClient(p, "a.test")
		var told bool
		for _, e := range c.server.Events() {
			told = told || e.Kind == proxy.KindCertificates && e.Detail != "changed"
		}
		require.True(t, told)
		c.counts(0)
	}}})
}
