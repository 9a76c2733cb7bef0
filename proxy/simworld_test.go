package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

const (
	proxyAddr = "10.0.0.100"
	frontPort = ":8080"
)

func backendAddr(i int) string { return fmt.Sprintf("10.0.0.%d", i+1) }

// simWorld is a client, a proxy and some backends in one simulation.
type simWorld struct {
	t        require.TestingT
	sim      *netsim.Sim
	clk      clock.Clock
	server   *proxy.Server
	client   *netsim.Host
	backends []*simBackend

	mu     sync.Mutex
	broken []string // laws found broken by goroutines other than the test's own
}

// collector lets require report to the world instead of ending a goroutine that is not the test's.
type collector struct{ w *simWorld }

func (c collector) Errorf(format string, args ...any) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.broken = append(c.w.broken, fmt.Sprintf(format, args...))
}

func (c collector) FailNow() {}

// newSimWorld starts backends and proxy. The settings are those of n backends, changed by tune.
func newSimWorld(t require.TestingT, sim *netsim.Sim, n int, tune func(*config.Config)) *simWorld {
	w := &simWorld{t: t, sim: sim, clk: sim.Clock(), client: sim.Host("client", "10.0.0.200")}
	var addrs []string
	for i := range n {
		b := &simBackend{w: w, host: sim.Host("backend-"+strconv.Itoa(i+1), backendAddr(i))}
		b.start()
		w.backends = append(w.backends, b)
		addrs = append(addrs, backendAddr(i)+":80")
	}
	c := config.Default()
	l := config.DefaultListener(frontPort)
	l.Upstream = "web"
	c.Listeners = []config.Listener{l}
	c.Upstreams = []config.Upstream{config.DefaultUpstream("web", addrs...)} // tune may leave some of them out
	c.Upstreams[0].Strategy = config.StrategyRoundRobin
	c.Admin.Address = ""
	if tune != nil {
		tune(c)
	}
	host := sim.Host("proxy", proxyAddr)
	var err error
	w.server, err = proxy.New(proxy.Config{
		Settings: c, Dialer: host, Listen: host.Listen, Clock: w.clk, Rand: sim.Rand,
		ReadFile: func(string) ([]byte, error) { return []byte("a secret of sixteen bytes or more"), nil },
		Observer: func(e upstream.Event) { sim.Note(e.Entity, e.Kind, e.Reason) },
	})
	require.NoError(t, err)
	require.NoError(t, w.server.Start(context.Background()))
	return w
}

// stop drains the proxy, stops the backends and checks the accounts.
func (w *simWorld) stop() {
	_ = w.server.Drain(context.Background()) // a limit that is reached is no failure here: the accounts are what counts
	for _, b := range w.backends {
		b.stop()
		w.clk.Sleep(0)
	}
	for _, b := range w.backends {
		b.wg.Wait()
	}
	st := w.server.Stats()
	require.Equal(w.t, st.Requests, st.Answered+st.FailedTotal(), "requests in = answered + failed: %+v", st)
	w.laws(w.t)
	require.Empty(w.t, w.broken)
	for _, u := range st.Upstreams {
		require.Zero(w.t, u.InFlight)
		require.Equal(w.t, 0, leaving(&u), "a removed backend is not gone")
		require.Zero(w.t, u.Waiting)
		for _, b := range u.Backends {
			require.Zero(w.t, b.InFlight, "picks at %s were not given back", b.Address)
			require.Zero(w.t, b.Pool.Idle+b.Pool.Lent+b.Pool.Dialling, "connections left at %s", b.Address)
		}
	}
	require.Zero(w.t, st.Open, "client connections left")
}

func leaving(u *upstream.Stats) (n int) {
	for i := range u.Backends {
		if u.Backends[i].Leaving {
			n++
		}
	}
	return n
}

// laws checks what holds at every instant.
func (w *simWorld) laws(t require.TestingT) {
	st := w.server.Stats()
	require.GreaterOrEqual(t, st.InFlight, int64(0))
	for _, u := range st.Upstreams {
		var ended uint64
		for _, b := range u.Backends {
			p := b.Pool
			require.Equal(t, p.Begun, uint64(p.Dialling)+p.Dialled+p.DialFailed, "%s: %+v", b.Address, p)
			require.Equal(t, p.Dialled, uint64(p.Idle)+uint64(p.Lent)+p.RetiredTotal(), "%s: %+v", b.Address, p)
			require.LessOrEqual(t, p.Idle+p.Lent+p.Dialling, p.Ceiling)
			ended += b.Ended()
		}
		for _, n := range u.Removed.Outcomes {
			ended += n
		}
		gone := u.Removed.Pool
		require.Equal(t, gone.Begun, gone.Dialled+gone.DialFailed, "removed: %+v", gone)
		require.Equal(t, gone.Dialled, gone.RetiredTotal(), "removed: %+v", gone)
		require.Equal(t, u.Begun, uint64(u.InFlight)+ended, "attempts: %+v", u)
	}
}

// simBackend is an HTTP server whose answer is a function of the request alone, so that answers can be compared.
type simBackend struct {
	w       *simWorld
	host    *netsim.Host
	service time.Duration
	ln      net.Listener
	wg      sync.WaitGroup

	mu    sync.Mutex
	out   bool // crashed or killed, and not yet back
	conns []net.Conn
	seen  map[string]int // how often each nonce was served here
	// closeAfter closes a connection after so many answers; 0: never.
	closeAfter int
	// closeIdle closes a connection on which nothing has come for so long; 0: never. Set before the first connection.
	closeIdle time.Duration
}

func (b *simBackend) start() {
	ln, err := b.host.Listen(context.Background(), "tcp", ":80")
	require.NoError(collector{b.w}, err)
	if err != nil {
		return
	}
	b.ln = ln
	if b.seen == nil {
		b.seen = map[string]int{}
	}
	b.wg.Add(1)
	b.w.clk.AfterFunc(0, func() {
		defer b.wg.Done()
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, nc)
			b.mu.Unlock()
			b.wg.Add(1)
			b.w.clk.AfterFunc(0, func() {
				defer b.wg.Done()
				b.serve(nc)
			})
		}
	})
}

// stop ends the service in order: listener and connections are closed.
func (b *simBackend) stop() {
	_ = b.ln.Close()
	b.w.clk.Sleep(0)
	b.mu.Lock()
	conns := b.conns
	b.conns = nil
	b.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		b.w.clk.Sleep(0)
	}
}

func (b *simBackend) serve(nc net.Conn) {
	defer nc.Close()
	var r http1.Reader
	r.Reset(nc)
	defer r.Reset(nil)
	var req http1.Request
	var body http1.Body
	for n := 1; ; n++ {
		if b.closeIdle > 0 {
			_ = nc.SetReadDeadline(b.w.clk.Now().Add(b.closeIdle))
		}
		if r.ReadRequest(&req, nil) != nil {
			return
		}
		body.Start(&r, req.Framing, req.ContentLength, nil)
		size := 0
		for {
			run, err := body.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			size += len(run)
		}
		nonce := string(req.Get("X-Nonce"))
		b.mu.Lock()
		b.seen[nonce]++ // when it is here: work on it goes on after its connection has died, and nobody knows of it then
		last := b.closeAfter > 0 && n >= b.closeAfter
		b.mu.Unlock()
		if b.service > 0 {
			b.w.clk.Sleep(b.service)
		}
		if _, err := nc.Write(answerTo(&req, nonce, size, last)); err != nil || last {
			return
		}
	}
}

// answerTo makes the answer: length and framing follow from the nonce.
func answerTo(req *http1.Request, nonce string, size int, last bool) []byte {
	text := fmt.Sprintf("%s %s %s got %d bytes;", req.Method, req.Path, nonce, size)
	n, _ := strconv.Atoi(nonce[strings.LastIndexByte(nonce, '-')+1:])
	text += strings.Repeat("x", n*37%5000)
	var out []byte
	connection := ""
	if last {
		connection = "Connection: close\r\n"
	}
	if n%3 == 0 {
		out = fmt.Appendf(out, "HTTP/1.1 200 OK\r\nX-Nonce: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n", nonce, connection)
		for len(text) > 0 {
			k := min(len(text), 999)
			out = http1.AppendChunkHead(out, k)
			out = append(append(out, text[:k]...), http1.ChunkEnd...)
			text = text[k:]
		}
		return append(out, http1.LastChunk...)
	}
	out = fmt.Appendf(out, "HTTP/1.1 200 OK\r\nX-Nonce: %s\r\n%sContent-Length: %d\r\n\r\n", nonce, connection, len(text))
	return append(out, text...)
}

// simRequest is one request of a workload, and answer what came back.
type simRequest struct {
	method string
	nonce  string
	body   int
	pause  time.Duration
	user   string // X-User, if any
}

type simAnswer struct {
	status int
	nonce  string
	text   string
	err    string
}

// simClient sends its requests one after the other, on one connection as long as that lives.
type simClient struct {
	w       *simWorld
	timeout time.Duration
	nc      net.Conn
	reader  http1.Reader
	answers []simAnswer
	cookies bool   // it takes what it is given
	cookie  string // and gives it back
}

// run sends them all.
func (c *simClient) run(requests []simRequest) {
	for _, r := range requests {
		c.w.clk.Sleep(r.pause)
		a, err := c.exchange(r)
		if err != nil {
			a = simAnswer{err: errorWord(err)}
			c.hangUp()
		}
		c.answers = append(c.answers, a)
	}
	c.hangUp()
}

func (c *simClient) hangUp() {
	if c.nc != nil {
		c.reader.Reset(nil)
		_ = c.nc.Close()
		c.nc = nil
	}
}

func errorWord(err error) string {
	var ne net.Error
	switch {
	case errors.As(err, &ne) && ne.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return err.Error()
}

func (c *simClient) exchange(r simRequest) (simAnswer, error) {
	ctx, cancel := c.w.clk.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	if c.nc == nil {
		nc, err := c.w.client.DialContext(ctx, "tcp", proxyAddr+frontPort)
		if err != nil {
			return simAnswer{}, err
		}
		c.nc = nc
		c.reader.Reset(nc)
	}
	deadline, _ := ctx.Deadline()
	if err := c.nc.SetDeadline(deadline); err != nil {
		return simAnswer{}, err
	}
	head := fmt.Sprintf("%s /path/%s HTTP/1.1\r\nHost: example.test\r\nX-Nonce: %s\r\n", r.method, r.nonce, r.nonce)
	if r.user != "" {
		head += "X-User: " + r.user + "\r\n"
	}
	if c.cookie != "" {
		head += "Cookie: " + c.cookie + "\r\n"
	}
	if r.method == "POST" || r.method == "PUT" {
		head += fmt.Sprintf("Content-Length: %d\r\n", r.body)
	}
	if _, err := c.nc.Write(append([]byte(head+"\r\n"), make([]byte, r.bodyBytes())...)); err != nil {
		return simAnswer{}, err
	}
	var resp http1.Response
	if err := c.reader.ReadResponse(&resp, []byte(r.method), nil); err != nil {
		return simAnswer{}, err
	}
	a := simAnswer{status: resp.Status, nonce: string(resp.Get("X-Nonce"))}
	if set := string(resp.Get("Set-Cookie")); c.cookies && set != "" {
		c.cookie, _, _ = strings.Cut(set, ";")
	}
	keep := resp.KeepAlive
	var body http1.Body
	body.Start(&c.reader, resp.Framing, resp.ContentLength, nil)
	for {
		run, err := body.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return simAnswer{}, err
		}
		a.text += string(run)
	}
	if !keep {
		c.hangUp()
	}
	return a, nil
}

func (r simRequest) bodyBytes() int {
	if r.method == "POST" || r.method == "PUT" {
		return r.body
	}
	return 0
}

// runClients runs one workload for each client, all at the same time, and returns their answers.
func (w *simWorld) runClients(timeout time.Duration, work [][]simRequest) [][]simAnswer {
	clients := make([]*simClient, len(work))
	var wg sync.WaitGroup
	for i, requests := range work {
		c := &simClient{w: w, timeout: timeout, cookies: true}
		clients[i] = c
		wg.Add(1)
		w.clk.AfterFunc(0, func() {
			defer wg.Done()
			c.run(requests)
		})
	}
	wg.Wait()
	answers := make([][]simAnswer, len(work))
	for i, c := range clients {
		answers[i] = c.answers
	}
	return answers
}
