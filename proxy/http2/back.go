package http2

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/pool"
)

// BackConfig says how connections to backends are made into sessions. The zero value is ready.
type BackConfig struct {
	// Clock is the source of time. Default: the real clock. (net/http's own timers are those of package time.)
	Clock clock.Clock
	// Secure says that the connections are those of TLS: it is the scheme of the requests.
	Secure bool
	// MaxHeadBytes bounds the head of an answer, as net/http counts it. Default 64 KiB.
	MaxHeadBytes int
	// WriteTimeout ends a connection that takes no byte for so long while there are some. Default 60 s.
	WriteTimeout time.Duration
}

// Back makes sessions of HTTP/2 out of connections to backends. It is safe for concurrent use.
type Back struct {
	cfg BackConfig
	tr  *http.Transport
}

// streamWindow is how much of an answer's body a backend may send that nobody has read. It bounds what one stream costs.
const streamWindow = 512 << 10

// NewBack makes a Back. It holds nothing that must be closed.
func NewBack(cfg BackConfig) *Back {
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	fill(&cfg.MaxHeadBytes, 64<<10)
	fill(&cfg.WriteTimeout, time.Minute)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	// TLS, where there is any, is below: net/http sees a connection that speaks HTTP/2 from its first byte.
	return &Back{cfg: cfg, tr: &http.Transport{
		Protocols: protocols, DisableCompression: true, MaxResponseHeaderBytes: int64(cfg.MaxHeadBytes),
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, WriteByteTimeout: cfg.WriteTimeout},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(dialledKey{}).(net.Conn), nil
		},
	}}
}

type dialledKey struct{}

// errEnded is why a connection that ended before the backend's SETTINGS is of no use.
var errEnded = errors.New("http2: the backend does not speak HTTP/2: the connection ended before its SETTINGS")

// Setup is what pool.Config.Setup is for: it makes a session of a connection on which the backend speaks HTTP/2, by prior
// knowledge or because the handshake of TLS has chosen it. It returns when the backend's SETTINGS are in force, so that the
// pool knows how many streams there may be. The deadline is the connection's own.
func (b *Back) Setup(ctx context.Context, nc net.Conn) (*Session, error) {
	s := &Session{back: b, clk: b.cfg.Clock}
	s.nc = newWatched(nc, b.cfg.Clock, s.changed)
	s.nc.cut = s.cut
	cc, err := b.tr.NewClientConn(context.WithValue(ctx, dialledKey{}, net.Conn(s.nc)), "http", "backend:80")
	if err != nil {
		return nil, err
	}
	s.cc = cc
	<-s.nc.ready
	if err := s.Err(); err != nil {
		_ = cc.Close()
		return nil, err
	}
	s.limit.Store(int64(s.Available()))
	return s, nil
}

// Session is one connection to a backend, which carries streams: a pool.Session. Each stream is to its user a connection
// of HTTP/1.1 for one request.
type Session struct {
	back *Back
	clk  clock.Clock
	nc   *watched
	cc   *http.ClientConn

	limit  atomic.Int64 // Available at the last look
	notify atomic.Pointer[func()]

	mu   sync.Mutex // never held over a wait
	open []*Stream  // in the order in which they began
}

var _ pool.Session = (*Session)(nil)

// Available implements pool.Session: how many streams the backend allows at a time.
func (s *Session) Available() int {
	if s.nc.goAway.Load() || s.nc.ended.Load() {
		return 0
	}
	return s.cc.Available() + s.cc.InFlight()
}

// Err implements pool.Session.
func (s *Session) Err() error {
	if s.nc.ended.Load() {
		return errEnded
	}
	return s.cc.Err()
}

// Close implements pool.Session.
func (s *Session) Close() error {
	if s.nc.single {
		s.cut(0, net.ErrClosed)
	}
	return s.cc.Close()
}

// OnChange arranges for f to be called when Available or Err may have changed otherwise than by a stream. It must not block.
func (s *Session) OnChange(f func()) { s.notify.Store(&f) }

// changed looks at what may have changed. It is called by the goroutine that reads, or closes.
func (s *Session) changed() {
	f := s.notify.Load()
	if f == nil { // still in set-up: the pool looks afterwards
		return
	}
	if now := int64(s.Available()); s.limit.Swap(now) != now || s.nc.ended.Load() {
		(*f)()
	}
}

// Open begins a stream. What is written to it is one request of HTTP/1.1, what is read from it the answer. Closing it
// before that is complete resets the stream, and never touches the connection.
func (s *Session) Open() *Stream {
	near, far := pipe(s.clk, s.nc.RemoteAddr(), s.nc.LocalAddr())
	st := &Stream{pipeConn: far, of: s, near: near, done: make(chan struct{}), heard: s.nc.heard.Load()}
	st.ctx, st.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	s.open = append(s.open, st)
	s.mu.Unlock()
	launch(s.clk, st.carry)
	return st
}

// over takes a stream off the list.
func (s *Session) over(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.open, st); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
	}
}

// cut ends the streams with higher numbers than last, for a reason, one after the other in the order in which they began. In a
// simulation it is called before net/http learns what ends them, which would do so in no order. Otherwise it must not be: net/http
// knows whose answer has come whole a moment ago, and there, where each frame has an instant of its own, nobody is in such a moment.
func (s *Session) cut(last uint32, why error) {
	s.mu.Lock()
	all := slices.Clone(s.open)
	s.mu.Unlock()
	for _, st := range all {
		if st.id.Load() > last {
			st.cause.CompareAndSwap(nil, &why)
			rest := apart(s.clk)
			st.cancel()
			rest()
		}
	}
}

// Stream is one stream, as a connection of HTTP/1.1 in memory.
type Stream struct {
	*pipeConn // the user's end

	of     *Session
	near   *pipeConn // ours
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	heard  uint64
	id     atomic.Uint32         // its number, once its head has been written
	cause  atomic.Pointer[error] // why it was cut
}

// Silent says that the backend has not sent a byte since the stream was opened, on any stream: the connection may be dead.
func (s *Stream) Silent() bool { return s.of.nc.heard.Load() == s.heard }

// Close implements net.Conn. It returns when nothing of the stream is left but its reset, which may be on its way.
func (s *Stream) Close() error {
	s.cancel()
	s.abort()
	<-s.done
	return nil
}
