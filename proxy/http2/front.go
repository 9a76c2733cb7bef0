package http2

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// FrontConfig says what becomes of a client's streams. Serve is required.
type FrontConfig struct {
	// Serve serves one HTTP/1.1 connection in memory, which carries one request, on a goroutine of its own. It returns when it
	// has closed the connection. The connection's RemoteAddr is the client's. conn is what ServeConn was told of.
	Serve func(stream net.Conn, conn any)
	// Refused, if set, is told of each request that was answered with an error status instead of being served.
	Refused func(status int, conn any)
	// WornOut, if set, is told once of each connection that ends in order because of MaxRequests, or because its heads have become too
	// many times larger, unpacked, than what has come on it.
	WornOut func(conn any)
	// Flooded, if set, is told of each connection that is ended because its client asks for too much, and why.
	Flooded func(why string, conn any)
	// Clock is the source of time. Default: the real clock. (net/http's own timers are those of package time.)
	Clock clock.Clock

	// FrontLimits hold until Adjust.
	FrontLimits
}

// FrontLimits are the limits and times of a client's connection.
type FrontLimits struct {
	// MaxStreams bounds the streams that a client may have open on one connection. Default 100.
	MaxStreams int
	// MaxRequests ends a connection with the answer to that many requests, by a GOAWAY; from 100 on its client is warned after
	// nine tenths of them, as by Warn. Default 0: no bound.
	MaxRequests int
	// MaxHeadBytes bounds the fields of a request, as net/http counts them. Default 64 KiB.
	MaxHeadBytes int
	// IdleTimeout ends a connection without a stream. Default 60 s; negative: none.
	IdleTimeout time.Duration
	// WriteTimeout ends a connection that takes no byte for so long while there are some. Default 60 s.
	WriteTimeout time.Duration
}

// Front serves HTTP/2 connections. It is safe for concurrent use.
type Front struct {
	cfg FrontConfig

	serving sync.WaitGroup
	mu      sync.Mutex // guards what follows
	now     *server    // for connections that come now
	old     []*server  // with other limits, for those that came before these changed
	open    map[net.Conn]*connection
	late    *server // for connections that come after GoAway; nil before the first one
	leaving bool    // GoAway
	closed  bool
}

// server is one of net/http's with the connections that it is handed, and the limits that hold for them.
type server struct {
	FrontLimits
	srv   *http.Server
	ln    *handOver
	conns int // under Front.mu
}

// connection is one that is being served.
type connection struct {
	tag    any
	nc     *guarded
	takes  time.Duration // its WriteTimeout
	most   int           // its MaxRequests
	served atomic.Int64  // requests
	worn   atomic.Bool   // WornOut has been told
	done   chan struct{}
	once   sync.Once

	mu      sync.Mutex
	ended   bool // no more streams begin
	streams int
	empty   chan struct{} // closed when the last one has ended after that
}

// enter counts a stream that begins. It is false when the connection has ended.
func (c *connection) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.streams++
	}
	return !c.ended
}

// leave counts it out.
func (c *connection) leave(clk clock.Clock) {
	c.mu.Lock()
	c.streams--
	last := c.ended && c.streams == 0
	c.mu.Unlock()
	if last {
		rouse(clk, c.empty)
	}
}

// busy says whether there are streams.
func (c *connection) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams > 0
}

// end lets no more streams begin, and waits for those that have.
func (c *connection) end() {
	c.mu.Lock()
	c.ended = true
	some := c.streams > 0
	c.mu.Unlock()
	if some {
		<-c.empty
	}
}

// NewFront begins to serve what ServeConn will hand over. Close ends it.
func NewFront(cfg FrontConfig) *Front {
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	f := &Front{cfg: cfg, open: map[net.Conn]*connection{}}
	f.now = f.begin(cfg.FrontLimits.filled())
	return f
}

func (l FrontLimits) filled() FrontLimits {
	fill(&l.MaxStreams, 100)
	fill(&l.MaxHeadBytes, 64<<10)
	fill(&l.IdleTimeout, time.Minute)
	fill(&l.WriteTimeout, time.Minute)
	return l
}

// Adjust puts other limits in force for the connections that come from now on. Those that are open keep what they have:
// clients have been told of it.
func (f *Front) Adjust(limits FrontLimits) {
	limits = limits.filled()
	f.mu.Lock()
	was := f.now
	if f.leaving || f.closed || was.FrontLimits == limits {
		f.mu.Unlock()
		return
	}
	f.now = f.begin(limits)
	unused := was.conns == 0
	if !unused {
		f.old = append(f.old, was)
	}
	f.mu.Unlock()
	if unused {
		was.end(f.cfg.Clock)
	}
}

// end ends a server that has no connections and gets none.
func (s *server) end(clk clock.Clock) {
	rest := apart(clk)
	_ = s.srv.Close()
	_ = s.ln.Close()
	rest()
}

// begin starts a server.
func (f *Front) begin(limits FrontLimits) *server {
	s := &server{FrontLimits: limits, ln: &handOver{conns: make(chan net.Conn), ended: make(chan struct{})}}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.srv = &http.Server{
		Handler: http.HandlerFunc(f.handle), Protocols: protocols, MaxHeaderBytes: limits.MaxHeadBytes,
		IdleTimeout: max(limits.IdleTimeout, 0), ErrorLog: log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: limits.MaxStreams, WriteByteTimeout: limits.WriteTimeout},
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, f.of(nc))
		},
		ConnState: func(nc net.Conn, s http.ConnState) {
			if c := f.of(nc); c != nil && (s == http.StateClosed || s == http.StateHijacked) {
				c.once.Do(func() { close(c.done) })
			}
		},
	}
	f.serving.Add(1)
	launch(f.cfg.Clock, func() {
		defer f.serving.Done()
		_ = s.srv.Serve(s.ln)
	})
	return s
}

func fill[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

type connKey struct{}

func (f *Front) of(nc net.Conn) *connection {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[nc]
}

// ServeConn serves a connection on which a client speaks HTTP/2: a *tls.Conn whose handshake chose h2, or one in clear text
// that begins with the preface of RFC 9113 section 3.4. It returns when the connection has ended and is closed, and all its
// streams have ended. tag comes back to Serve.
func (f *Front) ServeConn(nc net.Conn, tag any) {
	c := &connection{tag: tag, done: make(chan struct{}), empty: make(chan struct{})}
	c.nc = newGuarded(nc, f.cfg.Clock, func(why string) {
		if f.cfg.Flooded != nil {
			f.cfg.Flooded(why, tag)
		}
	}, func() { f.wornOut(c) })
	f.mu.Lock()
	s := f.now
	s.conns++
	c.takes, c.most = s.WriteTimeout, s.MaxRequests
	f.open[c.nc] = c
	f.mu.Unlock()
	if s.take(c.nc) || f.latecomer(c.nc) {
		<-c.done
		c.end()
		c.nc.work.Wait()
	} else {
		_ = nc.Close()
	}
	f.mu.Lock()
	delete(f.open, c.nc)
	s.conns--
	i := slices.Index(f.old, s)
	over := i >= 0 && s.conns == 0
	if over {
		f.old = slices.Delete(f.old, i, i+1)
	}
	f.mu.Unlock()
	if over {
		s.end(f.cfg.Clock)
	}
}

// take hands a connection over, unless the server takes no more.
func (s *server) take(nc net.Conn) bool {
	select {
	case s.ln.conns <- nc:
		return true
	case <-s.ln.ended:
		return false
	}
}

// latecomer hands over a connection that had come before GoAway and says only now what it speaks.
func (f *Front) latecomer(nc net.Conn) bool {
	f.mu.Lock()
	if f.late == nil && !f.closed {
		limits := f.now.FrontLimits
		limits.IdleTimeout = lateTime
		f.late = f.begin(limits)
		f.late.srv.SetKeepAlivesEnabled(false)
	}
	s := f.late
	f.mu.Unlock()
	return s != nil && s.take(nc)
}

// lateTime is how long a latecomer may be without a stream: its first request is on its way.
const lateTime = 5 * time.Second

// Warn tells the clients that have streams open that they should open their next ones elsewhere, and refuses none yet: a GOAWAY for
// streams that have no number, with the next frames of an answer (RFC 9113 section 6.8). Whoever gives them a moment for what is on its
// way before GoAway loses nobody a request that cannot be sent again. It says whether there are any.
func (f *Front) Warn() (some bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.open { // marks alone: in no order that could be seen
		if c.busy() {
			c.nc.warns.Store(true)
			some = true
		}
	}
	return some
}

// GoAway tells all clients that no new stream will be served (RFC 9113 section 6.8). Each connection ends when the streams
// that are open have ended, one without streams after a second. A connection that is handed over from now on is served
// until its first streams have ended.
func (f *Front) GoAway() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // who waits for the ends are those that call ServeConn
	f.mu.Lock()
	f.leaving = true
	all := append([]*server{f.now}, f.old...)
	f.mu.Unlock()
	for _, s := range all {
		_ = s.srv.Shutdown(ctx)
	}
}

// Close ends all connections and waits for those that serve them.
func (f *Front) Close() {
	f.mu.Lock()
	f.closed = true
	all := append([]*server{f.now}, f.old...)
	if f.late != nil {
		all = append(all, f.late)
	}
	f.mu.Unlock()
	for _, s := range all {
		_ = s.srv.Close()
		_ = s.ln.Close()
	}
	f.serving.Wait()
}

// IsHTTP2 says whether a TLS client has chosen HTTP/2.
func IsHTTP2(nc *tls.Conn) bool { return nc.ConnectionState().NegotiatedProtocol == "h2" }

// handOver is a listener whose connections are handed to it.
type handOver struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (l *handOver) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handOver) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

// Addr implements net.Listener.
func (*handOver) Addr() net.Addr { return &net.TCPAddr{} }
