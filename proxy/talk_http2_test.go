package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func withoutHTTP2(s *config.Config) { s.Listeners[0].HTTP2 = config.SwitchOff }

// browser is a client of net/http that speaks HTTP/2, over one connection: in clear text, or over TLS if there are papers.
func (c *talk) browser(p *paper) *http.Client {
	dial := c.dialer.DialContext
	if c.eager != nil {
		dial = c.eager
	}
	protocols := new(http.Protocols)
	tr := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, c.front())
	}}
	if p == nil {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP2(true)
		tr.TLSClientConfig = &tls.Config{RootCAs: p.trust, Time: c.clk.Now, ServerName: "a.test"}
	}
	c.closers = append(c.closers, tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// fetched is an answer as net/http's client has it.
type fetched struct {
	*http.Response
	body string
	err  error // of reading the body
}

func (c *talk) fetch(client *http.Client, req *http.Request) fetched {
	resp, err := client.Do(req)
	if err != nil {
		return fetched{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fetched{resp, string(body), err}
}

func request(method, url string, body io.Reader) *http.Request {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		panic(err)
	}
	return req
}

func TestStreamsOfHTTP2AreServedAsRequests(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "a stream in clear text", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				m := backend.request()
				require.Equal(t, "GET /x?y=%20", m.start)
				require.Equal(t, []string{"a.test"}, m.named("Host"))
				require.Equal(t, []string{"http"}, m.named("X-Forwarded-Proto"))
				require.Equal(t, []string{c.clientIP}, m.named("X-Forwarded-For"))
				require.Equal(t, []string{"a=1; b=2"}, m.named("Cookie"))
				backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\nConnection: x-b\r\nX-B: 3\r\n\r\nok")
			})
			req := request("GET", "http://a.test/x?y=%20", nil)
			req.Header.Set("Cookie", "a=1; b=2")
			got := c.fetch(client, req)
			require.NoError(t, got.err)
			require.Equal(t, "HTTP/2.0 200 ok", got.Proto+" "+got.Status[:3]+" "+got.body)
			require.Equal(t, []string{"1", "2"}, got.Header["X-A"])
			require.Empty(t, got.Header["X-B"])
			require.Empty(t, got.Header["Connection"])
			c.counts(1)
		}},
		{promise: "streams over TLS share a connection to the proxy, and wait for no other", files: papers(&p), eager: true,
			tune: func(s *config.Config) { secureFront(s); s.Upstreams[0].Pool.MaxConnections = 3 }, talk: func(c *talk) {
				client := c.browser(p)
				first := make(chan *peer, 1)
				c.aside(func() {
					backend := c.origins[0].accept()
					backend.request()
					backend.send(okay)
					first <- backend
				})
				require.Equal(t, "ok", c.fetch(client, request("GET", "https://a.test/", nil)).body)
				var all sync.WaitGroup
				for range 3 {
					all.Add(1)
					c.clk.AfterFunc(0, func() {
						defer all.Done()
						got := c.fetch(client, request("GET", "https://a.test/", nil))
						require.NoError(t, got.err)
						require.Equal(t, "ok", got.body)
					})
				}
				backends := []*peer{<-first}
				for range 2 {
					backends = append(backends, c.origins[0].accept())
				}
				for _, b := range backends {
					require.Equal(t, []string{"https"}, b.request().named("X-Forwarded-Proto"))
				}
				for i := range backends {
					backends[len(backends)-1-i].send(okay)
				}
				all.Wait()
				require.EqualValues(t, 1, c.server.Stats().Accepted)
				c.counts(4)
			}},
	})
}

func TestBodiesOfHTTP2StreamBothWays(t *testing.T) {
	converse(t, []conversation{
		{promise: "five megabytes and trailers go both ways", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				m := backend.request()
				c.sameBytes(pattern(large), m.body)
				_, _ = io.WriteString(backend.nc, chunkedAnswer(pattern(large), 70000))
			})
			got := c.fetch(client, request("POST", "http://a.test/", struct{ io.Reader }{strings.NewReader(pattern(large))}))
			require.NoError(t, got.err)
			c.sameBytes(pattern(large), got.body)
			require.Equal(t, http.Header{"X-End": {"yes"}}, got.Trailer)
			c.counts(1)
		}},
		{promise: "an answer streams while the request does", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			up, feed := io.Pipe()
			c.aside(func() {
				backend := c.origins[0].accept()
				backend.head()
				backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 3 {
					backend.expect("4\r\nping\r\n")
					backend.send("4\r\npong\r\n")
				}
				backend.expect("0\r\n\r\n")
				backend.send("0\r\n\r\n")
			})
			resp, err := client.Do(request("POST", "http://a.test/", up))
			require.NoError(t, err)
			for range 3 {
				_, err := feed.Write([]byte("ping"))
				require.NoError(t, err)
				p := make([]byte, 4)
				_, err = io.ReadFull(resp.Body, p)
				require.NoError(t, err)
				require.Equal(t, "pong", string(p))
			}
			require.NoError(t, feed.Close())
			rest, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Empty(t, rest)
			require.NoError(t, resp.Body.Close())
			c.counts(1)
		}},
	})
}

func TestAStreamEndsWithoutItsConnection(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "an answer that breaks off resets the stream and not the connection", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				c.settle()
				_ = backend.nc.Close()
				backend = c.origins[0].accept()
				backend.request()
				backend.send(okay)
			})
			got := c.fetch(client, request("GET", "http://a.test/", nil))
			require.Error(t, got.err)
			require.Equal(t, "half", got.body)
			require.Equal(t, "ok", c.fetch(client, request("GET", "http://a.test/", nil)).body)
			require.EqualValues(t, 1, c.server.Stats().Accepted)
			c.retires(pool.ReasonBroken)
			c.counts(1, proxy.FailReset)
		}},
		{promise: "a stream that its client resets ends its request", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			ctx, cancel := context.WithCancel(context.Background())
			backend := make(chan *peer, 1)
			c.aside(func() {
				b := c.origins[0].accept()
				b.request()
				b.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				backend <- b
			})
			resp, err := client.Do(request("GET", "http://a.test/", nil).WithContext(ctx))
			require.NoError(t, err)
			cancel()
			_ = resp.Body.Close()
			b := <-backend
			c.settle()
			b.send("more")
			b.ended()
			c.await("it is counted", func() bool { return c.server.Stats().InFlight == 0 })
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "another host than the connection's is misdirected", eager: true, files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.browser(p)
			req := request("GET", "https://a.test/", nil)
			req.Host = "b.test"
			require.Equal(t, 421, c.fetch(client, req).StatusCode)
			c.counts(0, proxy.FailMisdirected)
		}},
		{promise: "a drain lets the streams that are open end", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			drained := make(chan error, 1)
			c.aside(func() {
				backend := c.origins[0].accept()
				backend.request()
				c.clk.AfterFunc(0, func() { drained <- c.server.Drain(context.Background()) })
				c.settle()
				backend.send(okay)
			})
			require.Equal(t, "ok", c.fetch(client, request("GET", "http://a.test/", nil)).body)
			require.NoError(t, <-drained)
			c.counts(1)
		}},
	})
}

// wire is a client that writes frames itself.
type wire struct {
	gone string // the code of a GOAWAY
	c    *talk
	nc   net.Conn
	fr   *http2.Framer
	buf  bytes.Buffer
	enc  *hpack.Encoder
}

func (c *talk) wire() *wire {
	dial := c.dialer.DialContext
	if c.eager != nil {
		dial = c.eager
	}
	nc, err := dial(context.Background(), "tcp", c.front())
	require.NoError(c.t, err)
	w := &wire{c: c, nc: c.peer(nc).nc}
	_, err = io.WriteString(nc, http2.ClientPreface)
	require.NoError(c.t, err)
	w.fr, w.enc = http2.NewFramer(nc, nc), hpack.NewEncoder(&w.buf)
	w.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(c.t, w.fr.WriteSettings())
	return w
}

// open writes the head of a stream: names and values in turn.
func (w *wire) open(id uint32, end bool, fields ...string) {
	w.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		require.NoError(w.c.t, w.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	require.NoError(w.c.t, w.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.buf.Bytes(),
		EndHeaders: true, EndStream: end}))
}

// fate reads on to what becomes of a stream: its status, or "reset", or "closed" with the whole connection.
func (w *wire) fate(id uint32) string {
	for {
		f, err := w.fr.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset"
			}
		case *http2.GoAwayFrame:
			w.gone = f.ErrCode.String()
		}
	}
}

// goneAway reads to the end, and says with which code there was a GOAWAY.
func (w *wire) goneAway() string {
	require.Equal(w.c.t, "closed", w.fate(1<<30))
	return w.gone
}

// The downgrade from HTTP/2 to HTTP/1.1 is where requests are smuggled (RFC 9113 section 10.3): a field that the frames carry
// and the lines would understand otherwise.
func TestWhatHTTP2CannotHandToHTTP1IsRefusedAndTheBackendNeverSeesAByte(t *testing.T) {
	plain := []string{":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"}
	with := func(more ...string) []string { return append(append([]string(nil), plain...), more...) }
	instead := func(name, value string) []string {
		out := append([]string(nil), plain...)
		for i := 0; i < len(out); i += 2 {
			if out[i] == name {
				out[i+1] = value
			}
		}
		return out
	}
	var cases []conversation
	for name, fields := range map[string][]string{
		"a line break in a value":           with("x", "a\r\nb: c"),
		"a bare line feed in a value":       with("x", "a\nTransfer-Encoding: chunked"),
		"a NUL in a value":                  with("x", "a\x00b"),
		"a line break in a name":            with("x\r\ny", "a"),
		"a colon in a name":                 with("x:y", "a"),
		"a space in a name":                 with("x y", "a"),
		"an upper-case name":                with("X", "a"),
		"transfer-encoding":                 with("transfer-encoding", "chunked"),
		"connection":                        with("connection", "x-forwarded-for"),
		"keep-alive":                        with("keep-alive", "1"),
		"upgrade":                           with("upgrade", "h2c"),
		"te that is not trailers":           with("te", "chunked"),
		"a space in the path":               instead(":path", "/ HTTP/1.1"),
		"a line break in the path":          instead(":path", "/\r\nx: y"),
		"no path":                           instead(":path", ""),
		"a path without a slash":            instead(":path", "x"),
		"a fragment":                        instead(":path", "/#x"),
		"a space in the method":             instead(":method", "GET /x"),
		"a line break in the method":        instead(":method", "GET\r\n"),
		"a line break in the authority":     instead(":authority", "a\r\nb"),
		"userinfo in the authority":         instead(":authority", "a@b"),
		"a path in the authority":           instead(":authority", "a/b"),
		"a host beside another authority":   with("host", "b.test"),
		"two hosts":                         with("host", "a.test", "host", "a.test"),
		"two paths":                         with(":path", "/x"),
		"a pseudo-header that nobody knows": with(":x", "y"),
		"a pseudo-header behind a field":    append([]string{"x", "y"}, plain...),
		"a length that is none":             with("content-length", "1x"),
		"a length and no body":              with("content-length", "5"),
		"two lengths":                       with("content-length", "0", "content-length", "1"),
		"CONNECT":                           {":method", "CONNECT", ":authority", "a.test:80"},
		"TRACE":                             instead(":method", "TRACE"),
	} {
		cases = append(cases, conversation{promise: name, eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, fields...)
			require.Contains(t, []string{"400", "405", "reset", "closed"}, w.fate(1))
			c.origins[0].untouched()
			c.await("nothing is under way", func() bool { return c.server.Stats().InFlight == 0 })
			c.lenient()
		}})
	}
	cases = append(cases, conversation{promise: "a body shorter than its length", eager: true, talk: func(c *talk) {
		w := c.wire()
		w.open(1, false, append(instead(":method", "POST"), "content-length", "5")...)
		backend := c.origins[0].accept()
		backend.head()
		require.NoError(t, w.fr.WriteData(1, true, []byte("abc")))
		require.Contains(t, []string{"400", "reset", "closed"}, w.fate(1))
		rest, _ := backend.raw()
		require.NotContains(t, rest, "HTTP/", "the connection ends where the body broke off")
		c.await("nothing is under way", func() bool { return c.server.Stats().InFlight == 0 })
		c.lenient()
	}})
	converse(t, cases)
}

// An intermediary that translates from HTTP/1.1 has a Host, and need not make an authority of it.
func TestTheHostOfAnHTTP2RequestIsItsAuthorityWhereItSaysTheSameOrStandsAlone(t *testing.T) {
	plain := []string{":method", "GET", ":scheme", "http", ":path", "/"}
	var cases []conversation
	for name, fields := range map[string][]string{
		"alone":            append(append([]string{}, plain...), "host", "a.test"),
		"the same besides": append(append([]string{":authority", "a.test"}, plain...), "host", "a.test"),
	} {
		cases = append(cases, conversation{promise: name, eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, fields...)
			backend := c.origins[0].accept()
			require.Equal(t, []string{"a.test"}, backend.request().named("Host"))
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			require.Equal(t, "200", w.fate(1))
			c.lenient()
		}})
	}
	for name, hosts := range map[string][]string{
		"two and no authority": {"host", "a.test", "host", "b.test"}, "none and no authority": nil, "an empty one": {"host", ""},
	} {
		cases = append(cases, conversation{promise: name, eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, append(append([]string{}, plain...), hosts...)...)
			require.Contains(t, []string{"400", "reset"}, w.fate(1))
			c.origins[0].untouched()
			c.lenient()
		}})
	}
	converse(t, cases)
}

func TestAnIdleHTTP2ConnectionEnds(t *testing.T) {
	converse(t, []conversation{{promise: "after idle_timeout", virtual: true, eager: true, talk: func(c *talk) {
		w := c.wire()
		began := c.clk.Now()
		require.Equal(t, "closed", w.fate(1))
		require.InDelta(t, 61, c.clk.Since(began).Seconds(), 2)
		c.counts(0)
	}}})

}
