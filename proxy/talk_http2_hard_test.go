package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

var plainStream = []string{":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"}

func TestAStreamThatIsResetLeavesItsBackendThoughNothingHasBeenAnswered(t *testing.T) {
	converse(t, []conversation{
		{promise: "it is noticed at the next look at the client", virtual: true, eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, plainStream...)
			backend := c.origins[0].accept()
			backend.request()
			begin := c.clk.Now()
			require.NoError(t, w.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			backend.cut()
			require.Less(t, c.clk.Since(begin), 6*time.Second)
			c.await("nothing is under way", func() bool { return c.server.Stats().InFlight == 0 })
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
	})
}

func TestAClientThatOpensNoWindowHoldsNoStreamForEver(t *testing.T) {
	for name, size := range map[string]int{"a short answer": 2, "an answer longer than any buffer": 300_000} {
		converse(t, []conversation{
			{promise: name, virtual: true, eager: true, talk: func(c *talk) {
				w := c.wire()
				require.NoError(t, w.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
				w.open(1, true, plainStream...)
				c.aside(func() {
					backend := c.origins[0].accept()
					backend.request()
					_, _ = fmt.Fprintf(backend.nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
				})
				begin := c.clk.Now()
				require.Equal(t, "200", w.fate(1))
				_ = w.nc.SetReadDeadline(begin.Add(10 * time.Minute))
				require.Equal(t, "reset", w.fate(1))
				require.Less(t, c.clk.Since(begin), 5*time.Minute)
				c.lenient()
			}},
		})
	}
}

func TestAnUnfinishedPrefaceHasTheTimeOfAHead(t *testing.T) {
	for n := range 24 {
		if n == 0 {
			continue
		}
		converse(t, []conversation{
			{promise: fmt.Sprint(n, " bytes"), virtual: true, eager: true, talk: func(c *talk) {
				client := c.client()
				client.send(http2.ClientPreface[:n])
				begin := c.clk.Now()
				_ = client.nc.SetReadDeadline(begin.Add(10 * time.Minute))
				_, err := io.ReadAll(client.nc)
				require.NoError(t, err)
				require.Less(t, c.clk.Since(begin), time.Minute)
				c.lenient()
			}},
		})
	}
}

func TestAnAnswerAtTheLimitsOfHeadsReachesAStreamToo(t *testing.T) {
	many := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
	for i := range 99 {
		many += fmt.Sprintf("X-%d: 1\r\n", i)
	}
	long := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: "
	long += strings.Repeat("a", 64<<10-len(long)-8) + "\r\n"
	for name, head := range map[string]string{"a hundred fields": many, "64 KiB": long} {
		converse(t, []conversation{
			{promise: name, eager: true, talk: func(c *talk) {
				client := c.browser(nil)
				c.aside(func() {
					backend := c.origins[0].accept()
					backend.request()
					backend.send(head, "\r\nok")
				})
				got := c.fetch(client, request("GET", "http://a.test/", nil))
				require.NoError(t, got.err)
				require.Equal(t, "ok", got.body)
				c.counts(1)
			}},
		})
	}
}

func TestAConnectionInItsFirstMomentsIsNotLostToADrain(t *testing.T) {
	converse(t, []conversation{
		{promise: "HTTP/2 in clear text", eager: true, talk: func(c *talk) {
			dial := c.dialer.DialContext
			if c.eager != nil {
				dial = c.eager
			}
			nc, err := dial(context.Background(), "tcp", c.front())
			require.NoError(t, err)
			c.accepted(1)
			c.settle()
			drained := make(chan error, 1)
			c.clk.AfterFunc(0, func() { drained <- c.server.Drain(context.Background()) })
			c.settle()
			c.aside(func() {
				backend := c.origins[0].accept()
				backend.request()
				backend.send(okay)
			})
			tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nc, nil
			}}
			tr.Protocols.SetUnencryptedHTTP2(true)
			c.closers = append(c.closers, tr.CloseIdleConnections)
			got := c.fetch(&http.Client{Transport: tr}, request("GET", "http://a.test/", nil))
			if got.err != nil {
				for _, o := range c.origins {
					_ = o.ln.Close()
				}
			}
			require.NoError(t, got.err)
			require.Equal(t, "ok", got.body)
			require.NoError(t, <-drained)
			c.counts(1)
		}},
	})
}

func TestAnEarlyAnswerReachesAStreamWhoseBodyNobodyReads(t *testing.T) {
	converse(t, []conversation{
		{promise: "a slow reader gets all of it", virtual: true, eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, false, ":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/")
			backend := c.origins[0].accept()
			backend.head()
			const size = 120_000
			_, err := fmt.Fprintf(backend.nc, "HTTP/1.1 403 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", size, strings.Repeat("x", size))
			require.NoError(t, err)
			for range 40 {
				require.NoError(t, w.fr.WriteData(1, false, make([]byte, 16<<10)))
			}
			require.Equal(t, "403", w.fate(1))
			c.clk.Sleep(5 * time.Second)
			require.NoError(t, w.fr.WriteWindowUpdate(1, 1<<20))
			require.NoError(t, w.fr.WriteWindowUpdate(0, 1<<20))
			got := 0
			for got < size {
				f, err := w.fr.ReadFrame()
				require.NoError(t, err)
				if d, ok := f.(*http2.DataFrame); ok {
					got += len(d.Data())
				}
				if _, ok := f.(*http2.RSTStreamFrame); ok {
					break
				}
			}
			require.Equal(t, size, got)
			c.lenient()
		}},
	})
}

// Streams that are opened and reset at once (CVE-2023-44487): what they cost the backends is bounded, and ends.
func TestAFloodOfResetStreamsIsBounded(t *testing.T) {
	converse(t, []conversation{{promise: "ten thousand", virtual: true, eager: true, tune: func(s *config.Config) {
		s.Upstreams[0].Pool.MaxConnections = 1000
	}, talk: func(c *talk) {
		w := c.wire()
		gone := make(chan string, 1)
		c.clk.AfterFunc(0, func() { gone <- w.fate(1 << 30) })
		for i := range uint32(10000) {
			w.buf.Reset()
			for j := 0; j < len(plainStream); j += 2 {
				_ = w.enc.WriteField(hpackField(plainStream[j], plainStream[j+1]))
			}
			head := http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: w.buf.Bytes(), EndHeaders: true, EndStream: true}
			if w.fr.WriteHeaders(head) != nil || w.fr.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
				break
			}
		}
		require.Equal(t, "closed", <-gone)
		require.LessOrEqual(t, c.server.Stats().InFlight, int64(100))
		c.await("nothing is under way", func() bool { return c.server.Stats().InFlight == 0 })
		st := c.server.Stats()
		require.LessOrEqual(t, st.Requests, uint64(100))
		c.lenient()
	}}})
}

func hpackField(name, value string) hpack.HeaderField {
	return hpack.HeaderField{Name: name, Value: value}
}

func TestAStreamedAnswerThatWasTakenIsAnsweredAndItsConnectionKept(t *testing.T) {
	converse(t, []conversation{
		{promise: "in two pieces", eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				for range 2 {
					backend.request()
					backend.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
					c.settle()
					backend.send("cd")
				}
			})
			for range 2 {
				got := c.fetch(client, request("GET", "http://a.test/", nil))
				require.NoError(t, got.err)
				require.Equal(t, "abcd", got.body)
			}
			c.dialled = 1
			c.counts(2)
		}},
	})
}

func TestAClientOverTLSThatResetsDuringALongWaitIsNoticed(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "before the answer begins", virtual: true, files: papers(&p), tune: secureFront, talk: func(c *talk) {
			client := c.shakenClient(p, "a.test").send(get)
			backend := c.origins[0].accept()
			backend.request()
			begin := c.clk.Now()
			below := client.nc.(*tls.Conn).NetConn()
			require.NoError(t, below.(interface{ SetLinger(int) error }).SetLinger(0))
			require.NoError(t, below.Close())
			backend.cut()
			elapsed(c, begin, 5*time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
	})
}

func TestAReloadThatFailsLeavesTheIdentityOfConnectionsAsItWas(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "and the next one still finds the changed file", files: papers(&p), tune: func(s *config.Config) {
			secureBack(s)
			s.Upstreams[0].TLS.Certificate = config.Certificate{Cert: "client.pem", Key: "client.key"}
		}, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].acceptShaken(p)
			backend.request()
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			p.issue("client", "another client")
			bad := *c.server.Settings()
			taken := config.DefaultListener(c.origins[0].addr)
			if c.sim != nil {
				taken.Address = "10.99.99.99:1"
			}
			taken.Upstream = "web"
			bad.Listeners = append(append([]config.Listener(nil), bad.Listeners...), taken)
			_, err := c.server.Reload(&bad)
			require.Error(t, err)
			_, err = c.server.Reload(c.server.Settings())
			require.NoError(t, err)
			client.send(get)
			backend = c.origins[0].acceptShaken(p)
			backend.request()
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			c.dialled = -1
			c.lenient()
		}},
	})
}

func TestAnswersWithoutABodyAndInterimOnesReachAStream(t *testing.T) {
	for _, one := range []struct{ method, answer, want string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "200 7"},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 -1"},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 0"},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n", "304 0"},
		{"GET", "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "204 0"},
		{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 0"},
		{"POST", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", "205 0"},
	} {
		converse(t, []conversation{{promise: one.method + " " + one.want, eager: true, talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				for range 2 {
					backend.request()
					backend.send(one.answer)
				}
			})
			for range 2 {
				got := c.fetch(client, request(one.method, "http://a.test/", nil))
				require.NoError(t, got.err)
				require.Equal(t, one.want, fmt.Sprint(got.StatusCode, " ", got.ContentLength))
				require.Empty(t, got.body)
				require.Empty(t, got.Header["Link"])
			}
			c.dialled = 1
			c.counts(2)
		}}})
	}
}

func TestAStreamThatIsRefusedHasALineOfTheAccessLog(t *testing.T) {
	converse(t, []conversation{{promise: "with its status and its outcome", eager: true, tune: func(s *config.Config) {
		s.AccessLog = &config.AccessLog{Path: "log"}
	}, talk: func(c *talk) {
		w := c.wire()
		w.open(1, true, ":method", "TRACE", ":scheme", "http", ":authority", "a.test", ":path", "/")
		require.Equal(t, "405", w.fate(1))
		c.await("it is counted", func() bool { return c.server.Stats().Requests == 1 })
		_ = c.server.Drain(context.Background())
		lines := c.log.lines(t)
		require.Len(t, lines, 1)
		require.Equal(t, "HTTP/2.0 405", fmt.Sprint(lines[0].Protocol, " ", lines[0].Status))
		require.Equal(t, proxy.FailMethod.String(), lines[0].Outcome)
		c.counts(0, proxy.FailMethod)
	}}})
}
