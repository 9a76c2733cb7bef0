package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestBackendsThatSpeakHTTP2AreServedAsAnyOther(t *testing.T) {
	converse(t, []conversation{
		{promise: "requests of HTTP/1.1 with and without bodies", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			c.origins[0].serve(echo)
			client := c.client()
			client.send("GET /x?y=%20 HTTP/1.1\r\n", host, "\r\n")
			m := client.answer()
			require.Equal(c.t, []string{"HTTP/2.0 GET a.test /x?y=%20"}, m.named("X-Seen"))
			require.True(c.t, m.whole)
			client.send("POST //z HTTP/1.1\r\n", host, "TE: trailers\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-T: 1\r\n\r\n")
			m = client.answer()
			require.Equal(c.t, []string{"HTTP/2.0 POST a.test //z trailers"}, m.named("X-Seen"))
			require.Equal(c.t, "body", m.body)
			require.Equal(c.t, []string{"X-End: X-T=1"}, m.trailers)
			client.send("PUT /w HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\nbody")
			require.Equal(c.t, "body", client.answer().body)
			client.send("HEAD / HTTP/1.1\r\n", host, "\r\n")
			require.Equal(c.t, "200 OK", client.answerTo("HEAD").start)
			c.dialled = 1
			c.counts(4)
		}},
		{promise: "answers without a body, and those before the answer", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			c.origins[0].serve(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/204":
					w.WriteHeader(204)
				case "/304":
					w.Header().Set("Etag", `"x"`)
					w.WriteHeader(304)
				case "/103":
					w.Header().Set("Link", "</a.css>")
					w.WriteHeader(103)
					w.WriteHeader(200)
				}
			})
			client := c.client()
			for _, path := range []string{"/204", "/304"} {
				client.send("GET ", path, " HTTP/1.1\r\n", host, "\r\n")
				m := client.answer()
				require.Equal(c.t, path[1:], m.start[:3])
				require.Empty(c.t, m.named("Transfer-Encoding"))
			}
			client.send("GET /103 HTTP/1.1\r\n", host, "\r\n")
			early := client.answer()
			require.Equal(c.t, "103 Early Hints", early.start)
			require.Equal(c.t, []string{"</a.css>"}, early.named("Link"))
			require.Equal(c.t, []string{"0"}, client.answer().named("Content-Length"))
			c.counts(3)
		}},
	})
}

func TestBackendsThatSpeakHTTP2GetLongBodiesAndHealthChecks(t *testing.T) {
	converse(t, []conversation{
		{promise: "five megabytes both ways", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			c.origins[0].serve(echo)
			got := c.fetch(c.browser(nil), request("POST", "http://a.test/", struct{ io.Reader }{strings.NewReader(pattern(large))}))
			require.NoError(c.t, got.err)
			c.sameBytes(pattern(large), got.body)
			c.counts(1)
		}},
		{promise: "a health check", eager: true, tune: func(s *config.Config) {
			speaksHTTP2(s)
			a := config.DefaultActive()
			a.HTTP = &config.HTTPCheck{Path: "/healthz", Status: config.StatusRange{Low: 200, High: 299}}
			a.Interval, a.Timeout = time.Second, time.Second
			s.Upstreams[0].Health.Active = &a
		}, virtual: true, talk: func(c *talk) {
			checks := make(chan string, 100)
			c.origins[0].serve(func(_ http.ResponseWriter, r *http.Request) { checks <- r.Proto + " " + r.URL.Path })
			c.clk.Sleep(5 * time.Second)
			require.GreaterOrEqual(c.t, len(checks), 3)
			require.Equal(c.t, "HTTP/2.0 /healthz", <-checks)
			c.counts(0)
		}},
	})
}

func TestAnHTTP2BackendIsChosenInTheHandshakeOfTLS(t *testing.T) {
	var p *paper
	for _, speaks := range []string{config.UpstreamAuto, config.UpstreamHTTP2} {
		for _, offers := range []string{"h2", "http/1.1"} {
			converse(t, []conversation{{promise: speaks + " meets " + strings.ReplaceAll(offers, "/", ""), files: papers(&p), eager: true,
				tune: func(s *config.Config) { secureBack(s); s.Upstreams[0].Protocol = speaks }, talk: func(c *talk) {
					c.origins[0].serveTLS(p, offers, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
					client := c.client().send(get)
					m := client.answer()
					switch {
					case offers == "h2":
						require.Equal(c.t, "HTTP/2.0", m.body)
					case speaks == config.UpstreamAuto:
						require.Equal(c.t, "HTTP/1.1", m.body)
					default:
						require.Equal(c.t, "502 Bad Gateway", m.start)
						c.retires(pool.ReasonSetupFailed)
						c.counts(0, proxy.FailConnect)
						return
					}
					c.counts(1)
				}}})
		}
	}
}

func TestStreamsShareABackendConnection(t *testing.T) {
	converse(t, []conversation{
		{promise: "fifty at a time on one", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			const n = 50
			all := make(chan struct{})
			var there sync.WaitGroup
			there.Add(n)
			c.origins[0].serve(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/wait" {
					there.Done()
					within(r, all)
				}
			})
			client := c.browser(nil)
			require.Equal(c.t, 200, c.fetch(client, request("GET", "http://a.test/", nil)).StatusCode)
			var done sync.WaitGroup
			for range n {
				done.Add(1)
				c.clk.AfterFunc(0, func() {
					defer done.Done()
					require.Equal(c.t, 200, c.fetch(client, request("GET", "http://a.test/wait", nil)).StatusCode)
				})
			}
			there.Wait()
			close(all)
			done.Wait()
			c.dialled = 1
			c.counts(n + 1)
		}},
		{promise: "when the backend allows no more streams a connection is added, and then they wait", eager: true,
			tune: func(s *config.Config) { speaksHTTP2(s); s.Upstreams[0].Pool.MaxConnections = 2 }, talk: func(c *talk) {
				all := make(chan struct{})
				c.origins[0].serve(func(_ http.ResponseWriter, r *http.Request) { within(r, all) },
					func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 3} })
				var done sync.WaitGroup
				for range 8 {
					done.Add(1)
					p := c.client().send(get)
					c.clk.AfterFunc(0, func() {
						defer done.Done()
						require.Equal(c.t, "200 OK", p.answer().start)
					})
				}
				c.await("both connections are full and two requests wait", func() bool {
					u := c.server.Stats().Upstreams[0]
					return u.InFlight == 6 && u.Waiting == 2
				})
				close(all)
				done.Wait()
				c.dialled = 2
				c.counts(8)
			}},
	})
}

func TestAStreamToABackendEndsAndSpeaksForItself(t *testing.T) {
	converse(t, []conversation{
		{promise: "a client that leaves resets its stream, and the connection goes on", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			left := make(chan struct{})
			c.origins[0].serve(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/wait" {
					_, _ = io.WriteString(w, "some")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					close(left)
				}
			})
			client := c.browser(nil)
			ctx, cancel := context.WithCancel(context.Background())
			resp, err := client.Do(request("GET", "http://a.test/wait", nil).WithContext(ctx))
			require.NoError(c.t, err)
			cancel()
			_ = resp.Body.Close()
			<-left
			c.await("it is counted", func() bool { return c.server.Stats().InFlight == 0 })
			require.Equal(c.t, 200, c.fetch(client, request("GET", "http://a.test/", nil)).StatusCode)
			c.dialled = 1
			c.counts(1, proxy.FailClientGone)
		}},
		{promise: "trailers and bytes both ways while both sides speak", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			c.origins[0].serve(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("X-Te", r.Header.Get("Te"))
				w.(http.Flusher).Flush()
				p := make([]byte, 4)
				for {
					if _, err := io.ReadFull(r.Body, p); err != nil {
						break
					}
					_, _ = w.Write([]byte("pong"))
					w.(http.Flusher).Flush()
				}
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			})
			resp, feed := c.bidi(c.browser(nil), "/svc/Method")
			require.Equal(c.t, "trailers", resp.Header.Get("X-Te"))
			p := make([]byte, 4)
			for range 3 {
				_, err := feed.Write([]byte("ping"))
				require.NoError(c.t, err)
				_, err = io.ReadFull(resp.Body, p)
				require.NoError(c.t, err)
			}
			require.NoError(c.t, feed.Close())
			rest, err := io.ReadAll(resp.Body)
			require.NoError(c.t, err)
			require.Empty(c.t, rest)
			require.Equal(c.t, http.Header{"Grpc-Status": {"0"}}, resp.Trailer)
			_ = resp.Body.Close()
			c.counts(1)
		}},
	})
}

func TestAStreamThatNoBackendHasProcessedIsSentAgainWhateverItAsksFor(t *testing.T) {
	converse(t, []conversation{
		{promise: "POST behind a GOAWAY, and what is before it is answered", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			clients := []*peer{c.posting()}
			first := c.origins[0].acceptFrames()
			first.stream()
			for range 3 {
				clients = append(clients, c.posting())
				first.stream()
			}
			require.NoError(c.t, first.fr.WriteGoAway(3, http2.ErrCodeNo, nil))
			first.okay(1)
			second := c.origins[0].acceptFrames()
			for range 2 {
				second.okay(second.stream().StreamID)
			}
			first.okay(3)
			for _, p := range clients {
				require.Equal(c.t, "ok", p.answer().body)
			}
			require.EqualValues(c.t, 2, c.server.Stats().Repeated)
			c.await("it is given up", func() bool {
				return c.server.Stats().Upstreams[0].Backends[0].Pool.Retired[pool.ReasonSessionEnded] == 1
			})
			c.dialled = 2
			c.counts(4)
		}},
		{promise: "POST whose body comes after its head", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := c.client().send("POST /x HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n")
			first := c.origins[0].acceptFrames()
			first.head()
			client.send("4\r\nbody\r\n")
			c.settle()
			require.NoError(c.t, first.fr.WriteGoAway(0, http2.ErrCodeNo, nil))
			second := c.origins[0].acceptFrames()
			id := second.head()
			client.send("4\r\nmore\r\n0\r\n\r\n")
			require.Equal(c.t, "bodymore", second.body())
			second.okay(id)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
		}},
		{promise: "POST that the backend has refused", backends: 2, eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := c.posting()
			first := c.origins[0].acceptFrames()
			require.NoError(c.t, first.fr.WriteRSTStream(first.stream().StreamID, http2.ErrCodeRefusedStream))
			second := c.origins[1].acceptFrames()
			second.okay(second.stream().StreamID)
			require.Equal(c.t, "ok", client.answer().body)
			require.EqualValues(c.t, 1, c.server.Stats().Upstreams[0].Retries)
			c.counts(1)
		}},
		{promise: "but not a POST that was reset", backends: 2, eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := c.posting()
			first := c.origins[0].acceptFrames()
			require.NoError(c.t, first.fr.WriteRSTStream(first.stream().StreamID, http2.ErrCodeInternal))
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.counts(0, proxy.FailReset)
		}},
	})
}

func TestABackendConnectionThatDiesWithAHundredStreamsLosesNoRequestFromTheAccounts(t *testing.T) {
	converse(t, []conversation{{promise: "each is answered, or fails by the rules", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
		const n = 100
		client := c.browser(nil)
		var done sync.WaitGroup
		var mu sync.Mutex
		got := map[int]int{}
		one := func() {
			status := c.fetch(client, request("GET", "http://a.test/", nil)).StatusCode
			mu.Lock()
			got[status]++
			mu.Unlock()
		}
		begin := func() {
			done.Add(1)
			c.clk.AfterFunc(0, func() {
				defer done.Done()
				one()
			})
		}
		begin()
		first := c.origins[0].acceptFrames(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n})
		first.okay(first.stream().StreamID)
		done.Wait()
		for range n {
			begin()
		}
		for range n {
			first.stream()
		}
		_ = first.nc.Close()
		second := c.origins[0].acceptFrames()
		c.aside(func() {
			for {
				f, err := second.fr.ReadFrame()
				if err != nil {
					return
				}
				if h, ok := f.(*http2.MetaHeadersFrame); ok {
					second.okay(h.StreamID)
				}
			}
		})
		done.Wait()
		require.Equal(c.t, n+1, got[200]+got[502], "%v", got)
		require.GreaterOrEqual(c.t, got[200], 1+3, "what the budget lets be tried again")
		require.EqualValues(c.t, got[200], c.server.Stats().Answered)
		_ = second.nc.Close()
		c.lenient()
	}}})
}

func TestAHostileHTTP2BackendGetsA502AndNoMoreOfOurTime(t *testing.T) {
	head := func(f *framed, id uint32, fields ...string) { f.open(id, true, fields...) }
	var cases []conversation
	for name, attack := range map[string]func(f *framed, id uint32){
		"settings out of range": func(f *framed, _ uint32) {
			_ = f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		},
		"a frame of garbage":         func(f *framed, _ uint32) { _, _ = f.nc.Write([]byte(strings.Repeat("\xff", 100))) },
		"an answer without a status": func(f *framed, id uint32) { head(f, id, "x", "y") },
		"a status that is none":      func(f *framed, id uint32) { head(f, id, ":status", "abc") },
		"a status beyond all":        func(f *framed, id uint32) { head(f, id, ":status", "1000") },
		"a switch of protocols":      func(f *framed, id uint32) { head(f, id, ":status", "101") },
		"a line break in a value":    func(f *framed, id uint32) { head(f, id, ":status", "200", "x", "a\r\nb: c") },
		"two lengths": func(f *framed, id uint32) {
			head(f, id, ":status", "200", "content-length", "1", "content-length", "2")
		},
		"a length that is none":   func(f *framed, id uint32) { head(f, id, ":status", "200", "content-length", "x") },
		"data before the head":    func(f *framed, id uint32) { _ = f.fr.WriteData(id, false, []byte("x")) },
		"a window that overflows": func(f *framed, id uint32) { _ = f.fr.WriteWindowUpdate(id, 1<<31-1) },
		"interim answers without end": func(f *framed, id uint32) {
			for range 20 {
				f.open(id, false, ":status", "103", "link", "</x>")
			}
		},
		"a head without end": func(f *framed, id uint32) {
			_ = f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: blockOf(":status", "200")})
			for range 100 {
				if f.fr.WriteContinuation(id, false, blockOf("x", strings.Repeat("y", 10_000))) != nil {
					return
				}
			}
		},
	} {
		cases = append(cases, conversation{promise: name, eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := c.posting()
			f := c.origins[0].acceptFrames()
			id := f.stream().StreamID
			c.aside(func() { attack(f, id); f.drain() })
			m := client.answer()
			for strings.HasPrefix(m.start, "103") {
				m = client.answer()
			}
			require.Equal(c.t, "502 Bad Gateway", m.start)
			_ = f.nc.Close()
			st := c.server.Stats()
			require.EqualValues(c.t, 1, st.Upstreams[0].Backends[0].Pool.Dialled, "one dial was enough")
			c.lenient()
		}})
	}
	cases = append(cases, conversation{promise: "HTTP/1.1 in return", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
		client := c.posting()
		backend := c.origins[0].accept()
		backend.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		require.Equal(c.t, "502 Bad Gateway", client.answer().start)
		c.retires(pool.ReasonSetupFailed)
		c.counts(0, proxy.FailConnect)
	}})
	converse(t, cases)
}

func TestAnHTTP2ConnectionIsGivenUpAfterATimeoutOnlyIfItHasFallenSilent(t *testing.T) {
	quick := func(s *config.Config) {
		speaksHTTP2(s)
		s.Upstreams[0].ResponseTimeout = time.Second
	}
	converse(t, []conversation{
		{promise: "no byte has come", eager: true, virtual: true, tune: quick, talk: func(c *talk) {
			client := c.posting()
			f := c.origins[0].acceptFrames()
			f.stream()
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			c.await("it is given up", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Pool.Retired[pool.ReasonUnanswered] == 1 })
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
		{promise: "another stream was answered meanwhile", eager: true, virtual: true, tune: quick, talk: func(c *talk) {
			slow := c.posting()
			f := c.origins[0].acceptFrames()
			f.stream()
			fast := c.posting()
			f.okay(f.stream().StreamID)
			require.Equal(c.t, "ok", fast.answer().body)
			require.Equal(c.t, "504 Gateway Timeout", slow.answer().start)
			fast = c.posting()
			f.okay(f.stream().StreamID)
			require.Equal(c.t, "ok", fast.answer().body)
			c.dialled = 1
			c.counts(2, proxy.FailTimeout)
		}},
	})
}
