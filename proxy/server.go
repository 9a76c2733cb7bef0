package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/proxy/accesslog"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/socket"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// ListenFunc opens a listener. The method Listen of *net.ListenConfig fits, and so does a simulated host's.
type ListenFunc func(ctx context.Context, network, address string) (net.Listener, error)

// Config is what a server is made of. Settings is required; nil doors mean the real world.
type Config struct {
	// Settings say what the server does. They are checked, completed with defaults, and not kept.
	Settings *config.Config

	// Dialer opens connections to backends. Default: a *net.Dialer.
	Dialer upstream.Dialer
	// Listen opens the listeners. Default: socket.Listen, which gives TCP connections the keep-alive of the net package.
	Listen ListenFunc
	// ReadFile reads the files of certificates and of secrets. Default: os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Clock is the source of time. Default: the real clock.
	Clock clock.Clock
	// Rand returns the random stream of a named entity. Default: streams that differ from run to run.
	Rand func(entity string) *rand.Rand
	// OpenLog opens the file of the access log, or what the path "stdout" stands for, to append to it. Default: the real
	// file, made where there is none, readable by its owner and group.
	OpenLog func(path string) (io.WriteCloser, error)

	// Logger gets what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
	// Observer, if set, is told every event of every room. It must not block and must not call the server.
	Observer func(upstream.Event)
}

// Server is a running proxy. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	settings atomic.Pointer[config.Config] // in force; replaced as a whole
	clk      clock.Clock
	epoch    time.Time // when it was made: see now
	log      *slog.Logger
	shards   int     // idle lists in every pool
	bursts   []burst // of each worker
	counters counters
	events   ring
	seq      atomic.Uint64
	draining atomic.Bool
	dated    atomic.Pointer[dated] // the text of the present second
	turn     turn                  // of the operations, one after the other
	shared   *shared
	checkers *probe.Checkers

	access atomic.Pointer[accesslog.Log]                    // nil: there is none
	logged struct{ written, dropped, errors atomic.Uint64 } // by those that a reload has replaced

	mu        sync.Mutex
	started   bool
	closed    bool
	conns     connList
	upstreams []*group    // in the order of the settings, and behind them those that are retired
	listeners []*listener // likewise
	retired   upstream.Stats
	fronts    []*certs.Front // of the listeners in the settings, in their order
	watch     certificateWatch

	complained atomic.Int64 // when the log last told of requests without a connection

	serving sync.WaitGroup // goroutines of client connections
	work    sync.WaitGroup // ends of what an operation has retired
}

// New checks the settings and makes the server with its upstreams. Nothing is opened before Start.
func New(cfg Config) (*Server, error) {
	if cfg.Settings == nil {
		return nil, errors.New("proxy: Config.Settings is nil")
	}
	settings := cfg.Settings.WithDefaults()
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	if cfg.Dialer == nil {
		cfg.Dialer = &net.Dialer{} // real: the default of a nil door
	}
	if cfg.Listen == nil {
		cfg.Listen = socket.Listen
	}
	if cfg.Rand == nil {
		cfg.Rand = func(string) *rand.Rand {
			return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) // real: no seed was asked for
		}
	}
	if cfg.OpenLog == nil {
		cfg.OpenLog = openFile
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, clk: cfg.Clock, epoch: cfg.Clock.Now(), log: cfg.Logger,
		turn: newTurn(cfg.Clock), shards: shardsFor(settings), shared: newShared(), checkers: probe.NewCheckers(),
	}
	s.settings.Store(settings)
	s.bursts = make([]burst, s.shards)
	var err error
	if s.fronts, err = s.newFronts(settings.Listeners); err != nil {
		return nil, err
	}
	for i := range settings.Upstreams {
		g, err := s.newGroup(settings, &settings.Upstreams[i], s.shared)
		if err != nil {
			return nil, err
		}
		s.upstreams = append(s.upstreams, g)
	}
	return s, nil
}

// now is the present instant. It asks the clock only for the time that has passed, which costs half of a reading.
func (s *Server) now() time.Time { return s.epoch.Add(s.clk.Since(s.epoch)) }

// Start opens every listener and begins to serve. When one listener cannot be opened, none is, and the error says
// which and why. A server is started once.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	again := s.started || s.closed
	s.started = true
	s.mu.Unlock()
	if again {
		return errors.New("proxy: the server has been started before")
	}
	settings := s.Settings()
	access, err := s.openLog(settings.AccessLog)
	if err != nil {
		return err
	}
	listeners, err := s.openListeners(ctx, settings.Listeners, nil)
	if err != nil {
		if access != nil {
			access.Close()
		}
		return err
	}
	s.access.Store(access)
	s.mu.Lock()
	s.listeners = listeners
	groups := s.upstreams
	s.mu.Unlock()
	s.publish(settings)
	for _, g := range groups {
		g.up.Start()
	}
	for _, l := range listeners {
		l.start()
	}
	s.watchCertificates()
	return nil
}

// openListeners returns a listener for each of the settings: the one that is open already, if there is one, or a new one
// that does not accept yet. When one cannot be opened, none is.
func (s *Server) openListeners(ctx context.Context, want []config.Listener, have []*listener) ([]*listener, error) {
	var all, opened []*listener
	for i := range want {
		if l := listenerFor(&want[i], have, all); l != nil {
			all = append(all, l)
			continue
		}
		l, err := s.newListener(ctx, &want[i])
		if err != nil {
			for _, l := range opened {
				_ = l.ln.Close()
			}
			return nil, err
		}
		all, opened = append(all, l), append(opened, l)
	}
	return all, nil
}

// listenerFor finds the listener of that address which is not taken: several may have port 0.
func listenerFor(want *config.Listener, have, taken []*listener) *listener {
	for _, l := range have {
		if l.name == want.Address && !l.closing.Load() && !slices.Contains(taken, l) {
			return l
		}
	}
	return nil
}

// Addrs are the addresses that the server listens on, in the order of the settings. Empty before Start.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Addr
	for _, l := range s.listeners {
		if !l.closing.Load() {
			all = append(all, l.ln.Addr())
		}
	}
	return all
}

// Settings are the settings in force, defaults filled in, as the last operation has left them. They must not be changed.
func (s *Server) Settings() *config.Config { return s.settings.Load() }

// Draining says whether the server has begun to stop.
func (s *Server) Draining() bool { return s.draining.Load() }

// Drain stops the server without losing a request: it accepts nothing more, closes the connections that are idle,
// lets each request and tunnel under way come to its end, and then closes what is left. When caller ends first, or the
// settings' DrainTimeout, the rest is cut off and Drain says how many connections that were.
func (s *Server) Drain(caller context.Context) error {
	ctx, cancel := s.clk.WithTimeout(caller, s.Settings().DrainTimeout)
	defer cancel()
	s.stopAccepting(noticeWithin(s.Settings().DrainTimeout))
	done := make(chan struct{})
	launch(s.clk, func() {
		s.serving.Wait()
		close(done)
	})
	select {
	case <-done:
		s.Close()
		return nil
	case <-ctx.Done():
	}
	left := s.counters.open.Load()
	s.Close()
	<-done
	if left == 0 {
		return nil // the last one ended in the same moment
	}
	why := "its time was over"
	if caller.Err() != nil {
		why = "it was told to stop"
	}
	return fmt.Errorf("proxy: the drain did not end before %s; %d connections were cut off", why, left)
}

// Close stops the server at once. It returns when every goroutine of the server has ended.
func (s *Server) Close() {
	s.stopAccepting(0)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.eachConn((*client).abort)
	s.mu.Lock()
	groups, listeners := slices.Clone(s.upstreams), slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, l := range listeners {
		l.end() // net/http may just have cleared the deadlines that an abort has set
	}
	s.serving.Wait()
	for _, g := range groups {
		g.up.Close()
	}
	s.work.Wait()
	s.changeLog(nil)
}

// stopAccepting closes the listeners and wakes the connections that are idle. Clients of HTTP/2 are warned so long before
// their streams are refused.
func (s *Server) stopAccepting(notice time.Duration) {
	s.endWatch()
	done := s.turn.take() // an operation that has begun ends first, and none begins after
	s.draining.Store(true)
	done()
	s.mu.Lock()
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, l := range listeners {
		rest := apart(s.clk)
		_ = l.ln.Close()
		rest()
	}
	for _, l := range listeners {
		l.accepting.Wait()
	}
	s.eachConn((*client).wakeIfIdle)
	s.sendAway(listeners, notice)
}

// sendAway tells clients of HTTP/2 that no new stream will be served, and warns those that are busy so long before.
func (s *Server) sendAway(listeners []*listener, notice time.Duration) {
	busy := false
	for _, l := range listeners {
		busy = notice > 0 && l.warn() || busy
	}
	if busy {
		s.clk.Sleep(notice)
	}
	for _, l := range listeners {
		l.goAway()
	}
}

// eachConn does something to every client connection, one instant each.
func (s *Server) eachConn(do func(*client)) {
	s.mu.Lock()
	all := s.conns.all()
	s.mu.Unlock()
	for _, c := range all {
		rest := apart(s.clk)
		do(c)
		rest()
	}
}

// complainEvery is how often the log says that requests find no connection.
const complainEvery = 10 * time.Second

// fail counts a failed request.
func (s *Server) fail(l *listener, f Failure, detail string) {
	n := s.counters.failed[f].Add(1)
	if f == FailQueueTimeout || f == FailQueueFull || f == FailQueueShed {
		s.complain(f, n)
	}
	s.tell(upstream.Event{Entity: l.name, Kind: KindRequestFailed, Reason: f.String(), Detail: detail})
}

// complain tells the operator, now and then, that requests fail for want of a connection: the limits that decide it are
// theirs to set.
func (s *Server) complain(f Failure, n uint64) {
	now := s.now().UnixNano()
	if last := s.complained.Load(); now-last < int64(complainEvery) && last != 0 || !s.complained.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("requests find no connection to a backend", "reason", f.String(), "so_far", n,
		"hint", "every backend that is up has pool.max_connections in use; each tunnel and each WebSocket holds one")
}
