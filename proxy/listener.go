package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/http2"
)

// listener is one address with its accept loops.
type listener struct {
	s       *Server
	name    string
	ln      net.Listener
	workers int
	tcp     bool                 // it passes connections on as they are
	plan    atomic.Pointer[plan] // what holds for whatever comes next
	taken   atomic.Int64         // places: one for each open connection, and for each that may come next
	h2      *http2.Front         // serves its HTTP/2 connections; nil for TCP
	sources sources              // open connections by where they come from
	closing atomic.Bool          // it takes nothing new any more, while the server goes on

	accepting sync.WaitGroup // accept loops
	serving   sync.WaitGroup // goroutines of its connections
}

// plan is what a configuration says about a listener. It is not changed but replaced, so that whoever has read it has one
// state of all of it.
type plan struct {
	cfg    *config.Listener
	limits http1.Limits
	edge   edge
	table  table
	front  *certs.Front // nil: cleartext
	tcp    *target      // where a TCP listener's connections go that no route takes; nil: nowhere
}

// newPlan makes the plan of one listener.
func newPlan(cfg *config.Listener, front *certs.Front, targets map[string]*target) *plan {
	p := &plan{cfg: cfg, front: front, edge: newEdge(cfg), limits: http1.Limits{
		MaxHeadBytes: cfg.MaxHeadBytes, MaxFields: cfg.MaxFields, MaxTargetBytes: cfg.MaxTargetBytes,
	}}
	if cfg.Protocol == config.ProtocolTCP {
		p.tcp = targets[cfg.Upstream]
	}
	p.table = newTable(cfg.Routes, targets)
	return p
}

const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// newListener opens one listener, which has no plan yet.
func (s *Server) newListener(ctx context.Context, cfg *config.Listener) (*listener, error) {
	// Shards are numbered as the first configuration has them: a listener that came later has no more workers than that.
	l := &listener{s: s, name: cfg.Address, workers: min(cfg.Workers, s.shards), tcp: cfg.Protocol == config.ProtocolTCP}
	var err error
	if l.ln, err = s.cfg.Listen(ctx, "tcp", cfg.Address); err != nil {
		return nil, fmt.Errorf("proxy: listen on %s: %w", cfg.Address, err)
	}
	return l, nil
}

// start begins the accept loops. Each is launched, so that their order is fixed.
func (l *listener) start() {
	if !l.tcp {
		l.h2 = l.s.newHTTP2(l, l.plan.Load().cfg)
	}
	for w := range l.workers {
		l.accepting.Add(1)
		launch(l.s.clk, func() {
			defer l.accepting.Done()
			l.accept(w)
		})
	}
}

// accept takes connections until the listener is closed. The worker's number is their shard in every pool.
func (l *listener) accept(worker int) {
	pause := minAcceptPause
	for {
		if !l.takePlace() {
			return
		}
		nc, err := l.ln.Accept()
		if err == nil {
			pause = minAcceptPause
			l.serve(nc, worker)
			continue
		}
		l.taken.Add(-1)
		if errors.Is(err, net.ErrClosed) || l.draining() {
			return
		}
		// Out of file descriptors or memory, or the peer left while it waited: none of them is the listener's end.
		l.s.counters.acceptErrors.Add(1)
		l.s.log.Warn("accept failed", "listener", l.name, "error", err, "pause", pause)
		l.s.clk.Sleep(pause)
		pause = min(2*pause, maxAcceptPause)
	}
}

// noticeTime is what clients of HTTP/2 have to learn that they are to go, before streams are refused that come nevertheless.
const noticeTime = 500 * time.Millisecond

// noticeWithin is what of it fits into the time of a drain.
func noticeWithin(drain time.Duration) time.Duration { return min(noticeTime, drain/4) }

// warn tells the clients of HTTP/2 connections with streams to open no others, and says whether there are any.
func (l *listener) warn() bool { return l.h2 != nil && l.h2.Warn() }

// goAway tells the clients of HTTP/2 connections that there will be no new streams.
func (l *listener) goAway() {
	if l.h2 != nil {
		l.h2.GoAway()
	}
}

// end is the end of a listener whose connections have ended.
func (l *listener) end() {
	if l.h2 != nil {
		l.h2.Close()
	}
}

// draining says whether connections must end when their request has.
func (l *listener) draining() bool { return l.s.draining.Load() || l.closing.Load() }

// takePlace waits for room for one more connection. It gives up when the listener stops.
func (l *listener) takePlace() bool {
	for {
		n := l.taken.Add(1)
		if limit := l.plan.Load().cfg.MaxConnections; limit <= 0 || n <= int64(limit) {
			return true
		}
		l.taken.Add(-1)
		if l.draining() {
			return false
		}
		l.s.clk.Sleep(minAcceptPause)
	}
}

// serve starts the goroutine of one client connection.
func (l *listener) serve(nc net.Conn, worker int) {
	s := l.s
	p := l.plan.Load()
	awaits := p.edge.expects(nc)
	if p.front != nil {
		nc = p.front.Server(nc)
	}
	c := newClient(l, nc, worker)
	c.front, c.awaits = p.front, awaits
	if !awaits && !l.welcome(c) {
		c.release()
		_ = nc.Close()
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.release()
		_ = nc.Close()
		return
	}
	s.conns.push(c)
	s.serving.Add(1)
	l.serving.Add(1)
	s.mu.Unlock()
	s.counters.accepted.Add(1)
	s.counters.open.Add(1)
	go c.run()
}
