package http2

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
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
	// Clock is the source of time. Default: the real clock. (net/http's own timers are those of package time.)
	Clock clock.Clock

	// MaxStreams bounds the streams that a client may have open on one connection. Default 100.
	MaxStreams int
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
	srv *http.Server
	ln  *handOver

	serving sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]*connection
}

// connection is one that is being served.
type connection struct {
	tag  any
	done chan struct{}
	once sync.Once
}

// NewFront begins to serve what ServeConn will hand over. Close ends it.
func NewFront(cfg FrontConfig) *Front {
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	fill(&cfg.MaxStreams, 100)
	fill(&cfg.MaxHeadBytes, 64<<10)
	fill(&cfg.IdleTimeout, time.Minute)
	fill(&cfg.WriteTimeout, time.Minute)
	f := &Front{cfg: cfg, ln: &handOver{conns: make(chan net.Conn), ended: make(chan struct{})}, open: map[net.Conn]*connection{}}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	f.srv = &http.Server{
		Handler: http.HandlerFunc(f.handle), Protocols: protocols, MaxHeaderBytes: cfg.MaxHeadBytes,
		IdleTimeout: max(cfg.IdleTimeout, 0), ErrorLog: log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: cfg.MaxStreams, WriteByteTimeout: cfg.WriteTimeout},
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
	cfg.Clock.AfterFunc(0, func() {
		defer f.serving.Done()
		_ = f.srv.Serve(f.ln)
	})
	return f
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
// that begins with the preface of RFC 9113 section 3.4. It returns when the connection has ended and is closed. tag comes
// back to Serve.
func (f *Front) ServeConn(nc net.Conn, tag any) {
	c := &connection{tag: tag, done: make(chan struct{})}
	f.mu.Lock()
	f.open[nc] = c
	f.mu.Unlock()
	select {
	case f.ln.conns <- nc:
		<-c.done
	case <-f.ln.ended:
		_ = nc.Close()
	}
	f.mu.Lock()
	delete(f.open, nc)
	f.mu.Unlock()
}

// GoAway tells all clients that no new stream will be served (RFC 9113 section 6.8). Each connection ends when the streams
// that are open have ended, one without streams after a second.
func (f *Front) GoAway() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // who waits for the ends are those that call ServeConn
	_ = f.srv.Shutdown(ctx)
}

// Close ends all connections and waits for those that serve them.
func (f *Front) Close() {
	_ = f.srv.Close()
	_ = f.ln.Close()
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
