package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/accesslog"
	"github.com/wavepool/wavepool/proxy/config"
)

// logFile is an access log in memory.
type logFile struct {
	mu    sync.Mutex
	text  bytes.Buffer
	paths []string
}

// unwritable is a path that cannot be opened.
const unwritable = "/unwritable"

func (f *logFile) open(path string) (io.WriteCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path == unwritable {
		return nil, syscall.EACCES
	}
	f.paths = append(f.paths, path)
	return f, nil
}

func (f *logFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Write(p)
}

func (f *logFile) Close() error { return nil }

// entry is a line read back; times are seconds.
type entry struct {
	Time                               time.Time
	Listener, Protocol, Client         string
	ClientRequest                      int `json:"client_request"`
	Method, Host, Path, Query          string
	TargetBytes                        int `json:"target_bytes"`
	Status                             int
	Outcome, Detail, Upstream, Backend string
	Reused                             *bool
	ConnUses                           int     `json:"conn_uses"`
	ConnAge                            float64 `json:"conn_age"`
	QueueWait                          float64 `json:"queue_wait"`
	Connect                            float64
	FirstByte                          float64 `json:"first_byte"`
	Total                              float64
	HeadIn                             int `json:"head_in"`
	BodyIn                             int `json:"body_in"`
	HeadOut                            int `json:"head_out"`
	BodyOut                            int `json:"body_out"`
	Retries                            int
	RequestID                          string `json:"request_id"`
	ForwardedFor                       string `json:"forwarded_for"`
	UserAgent                          string `json:"user_agent"`
	Attempts                           []attempted
}

type attempted struct {
	Backend, Outcome string
	Duration         float64
}

// lines are those of the file so far.
func (f *logFile) lines(t *testing.T) (all []entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(f.text.String()) {
		var e entry
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&e), "%s", line)
		all = append(all, e)
	}
	return all
}

// logs turns the access log on.
func logs(s *config.Config) { s.AccessLog = &config.AccessLog{Path: "access.log"} }

// logged are the lines when everything is over: the server is stopped for it.
func (c *talk) logged() []entry {
	c.t.Helper()
	for _, p := range c.peers {
		_ = p.nc.Close()
		c.clk.Sleep(0)
	}
	c.asides.Wait()
	_ = c.server.Drain(context.Background())
	return c.log.lines(c.t)
}

func TestALineSaysAllOfARequestThatWasAnswered(t *testing.T) {
	converse(t, []conversation{{promise: "and of its successor on the same connections", tune: logs, talk: twoLogged}})
}

func TestALineNamesTheClientBehindAProxyThatIsBelieved(t *testing.T) {
	for trusted, want := range map[string]string{"0.0.0.0/0": "9.9.9.9, 8.8.8.8", "192.0.2.0/24": ""} {
		tune := func(s *config.Config) { logs(s); s.Listeners[0].TrustedProxies = []string{trusted} }
		converse(t, []conversation{{promise: "and nobody that another one invents, " + trusted, tune: tune, talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\n", host, "X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\nUser-Agent: a browser\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.counts(1)
			line := c.logged()[0]
			require.Equal(c.t, want, line.ForwardedFor)
			require.Equal(c.t, "a browser", line.UserAgent)
		}}})
	}
}

func twoLogged(c *talk) {
	client := c.client().send("GET /p?q=1&r HTTP/1.1\r\nHost: a.test\r\n\r\n")
	backend := c.origins[0].accept()
	backend.request()
	backend.send(okay)
	client.answer()
	client.send("POST http://b.test/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	require.Equal(c.t, "abc", backend.request().body)
	backend.send("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n")
	client.answer()
	c.counts(2)

	all := c.logged()
	require.Len(c.t, all, 2)
	a, b := all[0], all[1]
	require.WithinDuration(c.t, c.clk.Now(), a.Time, time.Minute)
	require.Equal(c.t, c.server.Settings().Listeners[0].Address, a.Listener)
	require.True(c.t, strings.HasPrefix(a.Client, c.clientIP+":"), a.Client)
	require.Equal(c.t, a.Client, b.Client)
	require.Equal(c.t, []any{"HTTP/1.1", 1, "GET", "a.test", "/p", "q=1&r", 8, 200, "answered", "web", c.origins[0].addr},
		[]any{a.Protocol, a.ClientRequest, a.Method, a.Host, a.Path, a.Query, a.TargetBytes, a.Status, a.Outcome, a.Upstream, a.Backend})
	require.Equal(c.t, []any{"HTTP/1.1", 2, "POST", "b.test", "/x", "", 15, 503, "answered", "web", c.origins[0].addr},
		[]any{b.Protocol, b.ClientRequest, b.Method, b.Host, b.Path, b.Query, b.TargetBytes, b.Status, b.Outcome, b.Upstream, b.Backend})
	require.Equal(c.t, []int{len("GET /p?q=1&r HTTP/1.1\r\nHost: a.test\r\n\r\n"), 0, 2, 0},
		[]int{a.HeadIn, a.BodyIn, a.BodyOut, a.Retries})
	require.Equal(c.t, []int{3, 4}, []int{b.BodyIn, b.BodyOut})
	require.Equal(c.t, len("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nVia: 1.1 wavepool\r\n\r\n"), a.HeadOut)
	require.False(c.t, *a.Reused)
	require.True(c.t, *b.Reused)
	require.Equal(c.t, []int{1, 2}, []int{a.ConnUses, b.ConnUses})
	require.Equal(c.t, "answered", a.Attempts[0].Outcome)
	require.Equal(c.t, "gateway_error", b.Attempts[0].Outcome)
	require.Empty(c.t, a.RequestID)
	if c.sim != nil { // a round trip is 2 ms; a dial is one, and so is an exchange
		require.InDelta(c.t, 0.002, a.Connect, 0.001)
		require.InDelta(c.t, 0, a.QueueWait, 0.001)
		require.InDelta(c.t, 0.002, a.Attempts[0].Duration, 0.001)
		require.InDelta(c.t, 0.004, a.FirstByte, 0.001)
		require.Zero(c.t, b.Connect+b.QueueWait)
		require.InDelta(c.t, 0.002, b.Total, 0.001)
	}
	for _, e := range all {
		require.LessOrEqual(c.t, e.QueueWait+e.Connect+e.Attempts[0].Duration, e.Total+0.0001)
		require.LessOrEqual(c.t, e.FirstByte, e.Total)
	}
}

// The first is for the simulation only: on a busy machine a fresh connection may lie for the millisecond after which it counts
// as one that has rested, and the request is then repeated at the same backend.
func TestEveryRequestHasOneLineThatSaysWhatBecameOfIt(t *testing.T) {
	converse(t, []conversation{
		{promise: "one that was repeated has all of its attempts", backends: 2, virtual: true, tune: logs, talk: func(c *talk) {
			client := c.client().send(get)
			first := c.origins[0].accept()
			first.request()
			first.abort()
			second := c.origins[1].accept()
			second.request()
			second.send(okay)
			client.answer()
			c.retires(pool.ReasonBroken)
			c.counts(1)
			e := c.logged()[0]
			require.Equal(c.t, 1, e.Retries)
			require.Equal(c.t, []string{c.origins[0].addr, "backend_reset", c.origins[1].addr, "answered"},
				[]string{e.Attempts[0].Backend, e.Attempts[0].Outcome, e.Attempts[1].Backend, e.Attempts[1].Outcome})
			require.Equal(c.t, c.origins[1].addr, e.Backend)
		}},
		{promise: "one that no backend could be reached for", tune: logs, talk: func(c *talk) {
			require.NoError(c.t, c.origins[0].ln.Close())
			require.Equal(c.t, "502 Bad Gateway", c.client().send(get).answer().start)
			c.counts(0, proxy.FailConnect)
			e := c.logged()[0]
			require.Equal(c.t, []any{502, "connect_failed", "web", c.origins[0].addr, 1},
				[]any{e.Status, e.Outcome, e.Upstream, e.Backend, len(e.Attempts)})
			require.Equal(c.t, "connect_failed", e.Attempts[0].Outcome)
			require.Nil(c.t, e.Reused)
			require.Zero(c.t, e.FirstByte)
			require.Positive(c.t, e.HeadOut)
			require.Positive(c.t, e.BodyOut)
		}},
		{promise: "one that cannot be trusted shows nothing of its bytes", tune: logs, talk: func(c *talk) {
			require.Equal(c.t, "400 Bad Request", c.client().send("GET /secret\n HTTP/1.1\r\n\r\n").answer().start)
			c.counts(0, proxy.FailBadRequest)
			e := c.logged()[0]
			require.Equal(c.t, []any{"http", 1, "", "", 400, "bad_request", "bare_lf", 0},
				[]any{e.Protocol, e.ClientRequest, e.Method, e.Path, e.Status, e.Outcome, e.Detail, len(e.Attempts)})
		}},
		{promise: "one whose client left", tune: logs, talk: func(c *talk) {
			client := c.client().send(line, "Content-Length: 5\r\n\r\nab")
			backend := c.origins[0].accept()
			backend.head()
			client.abort()
			_, _ = backend.raw()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
			e := c.logged()[0]
			require.Equal(c.t, []any{"POST", 0, "client_gone", 2}, []any{e.Method, e.Status, e.Outcome, e.BodyIn})
			require.Equal(c.t, "client_gone", e.Attempts[0].Outcome)
		}},
		{promise: "the identity of a request is in its line", tune: func(s *config.Config) {
			logs(s)
			s.Listeners[0].RequestID = "X-Request-ID"
		}, talk: func(c *talk) {
			var backend *peer
			client := c.client()
			first := c.relayed(client, &backend).named("X-Request-ID")
			second := c.relayed(client, &backend).named("X-Request-ID")
			c.counts(2)
			all := c.logged()
			require.Equal(c.t, append(first, second...), []string{all[0].RequestID, all[1].RequestID})
		}},
		{promise: "a connection without a request has no line", tune: logs, talk: func(c *talk) {
			c.client().close()
			c.counts(0)
			require.Empty(c.t, c.logged())
		}},
	})
}

func TestLongBodiesAndTunnelsAreCountedInTheirLine(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB: spliced where both ends are sockets
	converse(t, []conversation{
		{promise: "long bodies both ways", tune: logs, quiet: 300 * time.Millisecond, talk: func(c *talk) {
			client := c.client()
			c.aside(func() { client.send(line, "Content-Length: 1048576\r\n\r\n", long) })
			backend := c.origins[0].accept()
			c.sameBytes(long, backend.request().body)
			c.aside(func() { backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", long) })
			c.sameBytes(long, client.answer().body)
			c.counts(1)
			e := c.logged()[0]
			require.Equal(c.t, []int{len(long), len(long)}, []int{e.BodyIn, e.BodyOut})
		}},
		{promise: "an upgraded connection", tune: logs, talk: func(c *talk) {
			client := c.client().send("GET /ws HTTP/1.1\r\n", host, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			client.answer()
			client.send("hello")
			backend.expect("hello")
			backend.send("hi")
			client.expect("hi")
			client.fin()
			backend.ended()
			backend.fin()
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
			e := c.logged()[0]
			require.Equal(c.t, []any{101, "answered", 5, 2}, []any{e.Status, e.Outcome, e.BodyIn, e.BodyOut})
		}},
		{promise: "a TCP tunnel", tune: func(s *config.Config) {
			logs(s)
			s.Listeners[0] = config.Listener{Address: s.Listeners[0].Address, Protocol: config.ProtocolTCP, Upstream: "web", Workers: 1}
		}, talk: func(c *talk) {
			client := c.client().send("abc")
			backend := c.origins[0].accept()
			backend.expect("abc")
			backend.send("defgh")
			client.expect("defgh")
			client.fin()
			backend.ended()
			backend.fin()
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
			all := c.logged()
			require.Len(c.t, all, 1)
			e := all[0]
			require.Equal(c.t, []any{"tcp", "answered", "web", c.origins[0].addr, 3, 5, 0, 1},
				[]any{e.Protocol, e.Outcome, e.Upstream, e.Backend, e.BodyIn, e.BodyOut, e.Status, len(e.Attempts)})
			require.True(c.t, strings.HasPrefix(e.Client, c.clientIP+":"))
		}},
	})
}

func TestTheAccessLogFollowsAReloadAndIsOpenedAnewWhenAsked(t *testing.T) {
	converse(t, []conversation{{promise: "on and off and on again", talk: func(c *talk) {
		var backend *peer
		client := c.client()
		reload := func(log *config.AccessLog) {
			_, err := c.server.Reload(changed(c.server, func(s *config.Config) { s.AccessLog = log }))
			require.NoError(c.t, err)
		}
		get := func(path string) {
			client.send("GET ", path, " HTTP/1.1\r\n", host, crlf)
			if backend == nil {
				backend = c.origins[0].accept()
			}
			backend.request()
			backend.send(okay)
			client.answer()
			c.await("it is over", func() bool { return c.server.Stats().InFlight == 0 })
			c.settle()
		}
		require.NoError(c.t, c.server.ReopenLog())
		get("/1")
		reload(&config.AccessLog{Path: "one"})
		get("/2")
		require.NoError(c.t, c.server.ReopenLog())
		get("/3")
		reload(&config.AccessLog{Path: "two"})
		get("/4")
		reload(&config.AccessLog{Path: "two"})
		_, err := c.server.Reload(changed(c.server, func(s *config.Config) {
			s.AccessLog = &config.AccessLog{Path: unwritable}
			s.DrainTimeout = time.Minute
		}))
		require.ErrorIs(c.t, err, syscall.EACCES)
		require.Equal(c.t, 5*time.Second, c.server.Settings().DrainTimeout, "an error changes nothing")
		get("/5")
		reload(nil)
		get("/6")
		c.counts(6)
		require.EqualValues(c.t, 4, c.server.Stats().AccessLog.Written)
		var paths []string
		for _, e := range c.logged() {
			paths = append(paths, e.Path)
		}
		require.Equal(c.t, []string{"/2", "/3", "/4", "/5"}, paths)
		require.Equal(c.t, []string{"one", "one", "two"}, c.log.paths, "the same settings open nothing")
	}}})
}

// The two rooms know nothing of each other.
func TestTheNamesOfTheFieldsAreTheSameInTheSettingsAndInTheLog(t *testing.T) {
	var names []string
	for _, f := range accesslog.Fields() {
		names = append(names, f.String())
	}
	require.Equal(t, names, config.AccessFields())
}
