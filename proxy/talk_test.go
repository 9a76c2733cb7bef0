package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// conversation is one scripted exchange through the proxy: the same body runs over simulated and over real TCP.
type conversation struct {
	promise  string
	backends int                  // default 1
	tune     func(*config.Config) // changes the settings; active checks are off
	files    func(*talk) func(string) ([]byte, error)
	eager    bool          // connections of the proxy and its clients have eager writes, as net/http's HTTP/2 needs them in a simulation
	virtual  bool          // it is about time: netsim only
	quiet    time.Duration // how long silence is waited for on the real clock; default 30 ms
	talk     func(c *talk)
}

// talk is a conversation under way: the script's hold on the client's side, the proxy and the backends.
type talk struct {
	t      *testing.T
	clk    clock.Clock
	sim    *netsim.Sim // nil over loopback
	dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	}
	eager    netsim.DialFunc // see conversation.eager
	server   *proxy.Server
	clientIP string
	origins  []*origin
	peers    []*peer
	quiet    time.Duration
	asides   sync.WaitGroup
	log      *logFile // what the access log holds

	counted  bool
	careless bool
	closers  []func()
	after    []func() // when the proxy has been drained
	answered int
	failed   map[proxy.Failure]int
	retired  map[pool.Reason]int
	dialled  int // -1: not checked
}

// origin is one scripted backend.
type origin struct {
	c    *talk
	ln   net.Listener
	addr string
}

// converse runs each conversation in both worlds.
func converse(t *testing.T, all []conversation) {
	for _, cv := range all {
		t.Run(strings.ReplaceAll(cv.promise, " ", "_"), func(t *testing.T) {
			t.Run("netsim", func(t *testing.T) {
				netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
					cv.run(t, simTalk(t, s))
				})
			})
			if !cv.virtual {
				t.Run("loopback", func(t *testing.T) { cv.run(t, loopbackTalk(t)) })
			}
		})
	}
}

// start is a world before its proxy runs.
type start struct {
	talk   *talk
	listen func(backend int) (net.Listener, error)
	front  string
	doors  proxy.Config
}

func simTalk(t *testing.T, s *netsim.Sim) *start {
	host := s.Host("proxy", proxyAddr)
	client := s.Host("client", "10.0.0.200")
	return &start{
		talk: &talk{t: t, clk: s.Clock(), sim: s, dialer: client, clientIP: client.Addr(), quiet: 100 * time.Millisecond},
		listen: func(i int) (net.Listener, error) {
			return s.Host("backend-"+strconv.Itoa(i+1), backendAddr(i)).Listen(context.Background(), "tcp", ":80")
		},
		front: frontPort,
		doors: proxy.Config{Dialer: host, Listen: host.Listen, Clock: s.Clock(), Rand: s.Rand},
	}
}

func loopbackTalk(t *testing.T) *start {
	return &start{
		talk: &talk{t: t, clk: clock.New(), dialer: &net.Dialer{}, clientIP: "127.0.0.1", quiet: 30 * time.Millisecond},
		listen: func(int) (net.Listener, error) {
			return (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		},
		front: "127.0.0.1:0",
	}
}

func (cv *conversation) run(t *testing.T, st *start) {
	c := st.talk
	c.failed, c.retired, c.dialled = map[proxy.Failure]int{}, map[pool.Reason]int{}, -1
	if cv.quiet > 0 && c.sim == nil {
		c.quiet = cv.quiet
	}
	var addrs []string
	for i := range max(cv.backends, 1) {
		ln, err := st.listen(i)
		require.NoError(t, err)
		o := &origin{c: c, ln: ln, addr: ln.Addr().String()}
		c.origins = append(c.origins, o)
		addrs = append(addrs, o.addr)
	}
	st.doors.Settings = talkSettings(st.front, addrs)
	c.log = &logFile{}
	st.doors.OpenLog = c.log.open
	if c.sim == nil {
		// Goroutines that run truly at once may dial one connection more than they need, which no script expects.
		st.doors.Settings.Upstreams[0].Pool.MaxConnections = 1
	}
	if cv.tune != nil {
		cv.tune(st.doors.Settings)
	}
	if cv.eager && c.sim != nil {
		listen := st.doors.Listen
		st.doors.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
			ln, err := listen(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return netsim.EagerListener(ln, 0), nil
		}
		c.eager = netsim.EagerDial(c.dialer.DialContext, 0)
		st.doors.Dialer = eagerDialer{netsim.EagerDial(st.doors.Dialer.DialContext, 0)}
	}
	if cv.files != nil {
		st.doors.ReadFile = cv.files(c)
	}
	var err error
	c.server, err = proxy.New(st.doors)
	require.NoError(t, err)
	require.NoError(t, c.server.Start(context.Background()))
	defer c.end()
	cv.talk(c)
	require.True(t, c.counted, "the script does not say how its requests are to be counted")
}

// talkSettings are settings under which nothing happens but what a script says.
func talkSettings(front string, addrs []string) *config.Config {
	s := config.Default()
	l := config.DefaultListener(front)
	l.Upstream, l.Workers = "web", 1
	s.Listeners = []config.Listener{l}
	u := config.DefaultUpstream("web", addrs...)
	u.Strategy = config.StrategyRoundRobin // the first backend first
	u.Health.Active = nil
	u.Health.Passive.Consecutive5xx, u.Health.Passive.ConsecutiveFailures = config.Off, config.Off
	s.Upstreams = []config.Upstream{u}
	s.Admin.Address = ""
	s.DrainTimeout = 5 * time.Second
	return s
}

// counts says what the accounts must be in the end. Each reason stands for one failed request.
func (c *talk) counts(answered int, failed ...proxy.Failure) {
	c.counted, c.answered = true, answered
	for _, f := range failed {
		c.failed[f]++
	}
}

// lenient says that the script does not care how its requests are counted: only that each is.
func (c *talk) lenient() { c.counted, c.careless = true, true }

// retires says for which reason backend connections must have been retired, each reason for one.
func (c *talk) retires(why ...pool.Reason) {
	for _, r := range why {
		c.retired[r]++
	}
}

// end closes everything and checks the accounts.
func (c *talk) end() {
	for _, p := range c.peers {
		_ = p.nc.Close()
		c.clk.Sleep(0)
	}
	for _, f := range c.closers {
		f()
		c.clk.Sleep(0)
	}
	c.asides.Wait()
	_ = c.server.Drain(context.Background()) // a script may have stopped it already
	for _, f := range c.after {
		f()
	}
	for _, o := range c.origins {
		_ = o.ln.Close()
	}
	if c.t.Failed() {
		return
	}
	st := c.server.Stats()
	require.Equal(c.t, st.Requests, st.Answered+st.FailedTotal(), "requests in = answered + failed")
	if c.careless {
		return
	}
	require.Equal(c.t, c.answered, int(st.Answered), "answered; failed: %v", failuresOf(&st))
	failed := map[proxy.Failure]int{}
	for f, n := range st.Failed {
		if n > 0 {
			failed[proxy.Failure(f)] = int(n)
		}
	}
	require.Equal(c.t, c.failed, failed)
	require.Zero(c.t, st.Open)
	retired, dialled := map[pool.Reason]int{}, 0
	var backends []upstream.BackendStats
	for _, u := range st.Upstreams {
		require.Zero(c.t, u.InFlight+u.Waiting)
		backends = append(backends, u.Backends...)
	}
	for _, b := range backends {
		require.Zero(c.t, b.InFlight)
		require.Zero(c.t, b.Pool.Idle+b.Pool.Lent+b.Pool.Dialling)
		dialled += int(b.Pool.Dialled)
		for r, n := range b.Pool.Retired {
			why := pool.Reason(r)
			if n > 0 && why != pool.ReasonPoolClosed && why != pool.ReasonSessionEnded { // either may come first in the end
				retired[why] += int(n)
			}
		}
	}
	require.Equal(c.t, c.retired, retired, "retired backend connections")
	if c.dialled >= 0 {
		require.Equal(c.t, c.dialled, dialled, "backend connections dialled")
	}
}

func failuresOf(st *proxy.Stats) (words []string) {
	for f, n := range st.Failed {
		if n > 0 {
			words = append(words, proxy.Failure(f).String()+"="+strconv.Itoa(int(n)))
		}
	}
	return words
}

// peer is one end of a connection in the hands of the script.
type peer struct {
	c    *talk
	nc   net.Conn
	r    http1.Reader
	wire []byte // what has been read, for messages about failures
}

func (c *talk) peer(nc net.Conn) *peer {
	p := &peer{c: c, nc: nc}
	limit := hung
	if c.sim != nil {
		limit = 24 * time.Hour
	}
	require.NoError(c.t, nc.SetDeadline(c.clk.Now().Add(limit)))
	p.r.Reset(p)
	c.peers = append(c.peers, p)
	return p
}

// Read is the source of the peer's own parser.
func (p *peer) Read(b []byte) (int, error) {
	n, err := p.nc.Read(b)
	p.wire = append(p.wire, b[:n]...)
	return n, err
}

// client opens a client connection.
func (c *talk) client() *peer {
	nc, err := c.dialer.DialContext(context.Background(), "tcp", c.front())
	require.NoError(c.t, err)
	return c.peer(nc)
}

// front is the proxy's address as clients see it.
func (c *talk) front() string {
	if c.sim != nil {
		return proxyAddr + frontPort
	}
	return c.server.Addrs()[0].String()
}

// accept waits for the proxy's next connection to a backend.
func (o *origin) accept() *peer {
	d, ok := o.ln.(interface{ SetDeadline(time.Time) error })
	require.True(o.c.t, ok)
	limit := hung
	if o.c.sim != nil {
		limit = time.Hour
	}
	require.NoError(o.c.t, d.SetDeadline(o.c.clk.Now().Add(limit)))
	nc, err := o.ln.Accept()
	require.NoError(o.c.t, err, "the proxy does not connect to %s", o.addr)
	return o.c.peer(nc)
}

// untouched checks that the proxy has not connected to the backend.
func (o *origin) untouched() {
	d := o.ln.(interface{ SetDeadline(time.Time) error })
	require.NoError(o.c.t, d.SetDeadline(o.c.clk.Now().Add(o.c.quiet)))
	_, err := o.ln.Accept()
	require.Error(o.c.t, err, "the proxy has connected to %s", o.addr)
}

func (p *peer) send(parts ...string) *peer {
	_, err := p.nc.Write([]byte(strings.Join(parts, "")))
	require.NoError(p.c.t, err)
	return p
}

// message is one request or answer as it stood on the wire.
type message struct {
	start    string   // the start line
	fields   []string // each as it was written
	body     string
	trailers []string
	whole    bool // it ended as its framing says
}

// named returns the values of a field.
func (m *message) named(name string) (values []string) {
	for _, f := range m.fields {
		if n, v, _ := strings.Cut(f, ": "); strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

// request reads one request, as a backend.
func (p *peer) request() *message {
	var req http1.Request
	require.NoError(p.c.t, p.r.ReadRequest(&req, nil), "no request; the wire says %q", p.wire)
	m := &message{start: string(req.Method) + " " + string(req.Target)}
	m.take(p, req.Fields, req.Framing, req.ContentLength)
	return m
}

// head reads the head of a request alone.
func (p *peer) head() *message {
	var req http1.Request
	require.NoError(p.c.t, p.r.ReadRequest(&req, nil), "no request; the wire says %q", p.wire)
	m := &message{start: string(req.Method) + " " + string(req.Target)}
	m.addFields(req.Fields)
	return m
}

// answer reads one answer to a GET, as a client.
func (p *peer) answer() *message { return p.answerTo("GET") }

func (p *peer) answerTo(method string) *message {
	var resp http1.Response
	require.NoError(p.c.t, p.r.ReadResponse(&resp, []byte(method), nil), "no answer; the wire says %q", p.wire)
	m := &message{start: strconv.Itoa(resp.Status) + " " + string(resp.Reason)}
	m.take(p, resp.Fields, resp.Framing, resp.ContentLength)
	return m
}

func (m *message) addFields(fields []http1.Field) {
	for _, f := range fields {
		m.fields = append(m.fields, string(f.Name)+": "+string(f.Value))
	}
}

func (m *message) take(p *peer, fields []http1.Field, framing http1.Framing, length int64) {
	m.addFields(fields)
	var body http1.Body
	body.Start(&p.r, framing, length, nil)
	var text []byte
	for {
		run, err := body.Next()
		if err != nil {
			m.whole = err == io.EOF
			break
		}
		text = append(text, run...)
	}
	m.body = string(text)
	for _, f := range body.Trailers() {
		m.trailers = append(m.trailers, string(f.Name)+": "+string(f.Value))
	}
}

// expect reads exactly these bytes.
func (p *peer) expect(text string) {
	p.c.t.Helper()
	for p.r.Buffered() < len(text) {
		require.NoError(p.c.t, p.r.Fill(), "want %q; the wire says %q", text, p.wire)
	}
	require.Equal(p.c.t, text, string(p.r.Peek()[:len(text)]))
	p.r.Discard(len(text))
}

// ended checks that the other side has ended the stream in order, with nothing before.
func (p *peer) ended() {
	p.c.t.Helper()
	n, err := p.more()
	require.Zero(p.c.t, n, "more bytes: %q", p.wire)
	require.Equal(p.c.t, io.EOF, err)
}

// cut checks that the other side has ended the connection in any way, with nothing before.
func (p *peer) cut() {
	p.c.t.Helper()
	n, err := p.more()
	require.Zero(p.c.t, n, "more bytes: %q", p.wire)
	require.True(p.c.t, err == io.EOF || errors.Is(err, syscall.ECONNRESET), "%v", err)
}

// more reads on behind the last message.
func (p *peer) more() (int, error) {
	if n := p.r.Buffered(); n > 0 {
		return n, nil
	}
	var b [64]byte
	return p.Read(b[:])
}

// silent checks that nothing comes, and that the connection is open.
func (p *peer) silent() {
	p.c.t.Helper()
	require.Zero(p.c.t, p.r.Buffered(), "%q", p.r.Peek())
	require.NoError(p.c.t, p.nc.SetReadDeadline(p.c.clk.Now().Add(p.c.quiet)))
	var b [64]byte
	n, err := p.nc.Read(b[:])
	require.Zero(p.c.t, n, "%q", b[:n])
	var ne net.Error
	require.True(p.c.t, errors.As(err, &ne) && ne.Timeout(), "%v", err)
	require.NoError(p.c.t, p.nc.SetReadDeadline(p.c.clk.Now().Add(24*time.Hour)))
}

// raw reads everything until the end of the stream.
func (p *peer) raw() (string, error) {
	b, err := io.ReadAll(p.nc)
	return string(p.r.Peek()) + string(b), err
}

// abort ends the connection with a reset.
func (p *peer) abort() {
	hard, ok := p.nc.(interface{ SetLinger(int) error })
	require.True(p.c.t, ok)
	require.NoError(p.c.t, hard.SetLinger(0))
	require.NoError(p.c.t, p.nc.Close())
}

// fin ends the stream towards the other side.
func (p *peer) fin() {
	half, ok := p.nc.(interface{ CloseWrite() error })
	require.True(p.c.t, ok)
	require.NoError(p.c.t, half.CloseWrite())
}

// close ends the connection and lets the other side see it.
func (p *peer) close() {
	require.NoError(p.c.t, p.nc.Close())
	p.c.settle()
}

// settle waits until what is under way has arrived.
func (c *talk) settle() { c.clk.Sleep(c.quiet) }

// hung is when a script on the real clock is given up. It is far away, so that a busy machine's delays end none.
const hung = time.Minute

// await waits until something has come to pass in the server, which settle alone cannot promise on a busy machine.
func (c *talk) await(what string, happened func() bool) {
	c.t.Helper()
	for begin := c.clk.Now(); !happened(); c.clk.Sleep(time.Millisecond) {
		require.Less(c.t, c.clk.Since(begin), hung, "it never happened: %s", what)
	}
}

// accepted waits until the server holds that many connections, or has held them.
func (c *talk) accepted(n int64) {
	c.t.Helper()
	c.await("as many connections are accepted", func() bool { return c.server.Stats().Accepted >= n })
}

// queued waits until that many requests wait for a backend.
func (c *talk) queued(n int) {
	c.t.Helper()
	c.await("as many requests wait", func() bool { return c.server.Stats().Upstreams[0].Waiting >= n })
}

// soon checks that something took no longer than that. On the real clock only the machine's haste could break it, and
// what hangs is found by its own limit, so there it is checked in the simulation alone.
func (c *talk) soon(begin time.Time, limit time.Duration) {
	c.t.Helper()
	if c.sim != nil {
		require.Less(c.t, c.clk.Since(begin), limit)
	}
}

// sameBytes compares long bodies; a failure shows where they part, and not the megabytes.
func (c *talk) sameBytes(want, got string) {
	c.t.Helper()
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	require.True(c.t, want == got, "%d bytes instead of %d, the same up to byte %d", len(got), len(want), at)
}

const (
	get  = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
	okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	host = "Host: a.test\r\n"
	crlf = "\r\n"
)

// exchange carries one plain GET over a client's and a backend's connection.
func (c *talk) exchange(client, backend *peer) {
	c.t.Helper()
	client.send(get)
	require.Equal(c.t, "GET /", backend.request().start)
	backend.send(okay)
	require.Equal(c.t, "ok", client.answer().body)
}

// until reads to the end of the marker.
func (p *peer) until(marker string) string {
	p.c.t.Helper()
	for !strings.Contains(string(p.r.Peek()), marker) {
		require.NoError(p.c.t, p.r.Fill(), "want %q; the wire says %q", marker, p.wire)
	}
	text := string(p.r.Peek())
	text = text[:strings.Index(text, marker)+len(marker)]
	p.r.Discard(len(text))
	return text
}

// aside runs a part of the script beside the rest; the conversation does not end before it.
func (c *talk) aside(do func()) {
	c.asides.Add(1)
	c.clk.AfterFunc(0, func() {
		defer c.asides.Done()
		do()
	})
}
