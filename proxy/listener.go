package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// listener is one address with its accept loops.
type listener struct {
	s      *Server
	cfg    *config.Listener
	name   string
	ln     net.Listener
	limits http1.Limits
	table  table
	tcp    *target       // where a TCP listener's connections go
	slots  chan struct{} // one taken for each open connection; nil: no limit
}

const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// newListener opens one listener.
func (s *Server) newListener(ctx context.Context, cfg *config.Listener) (*listener, error) {
	l := &listener{s: s, cfg: cfg, name: cfg.Address}
	l.limits = http1.Limits{
		MaxHeadBytes: cfg.MaxHeadBytes, MaxFields: cfg.MaxFields, MaxTargetBytes: cfg.MaxTargetBytes,
	}
	targets := map[string]*target{}
	for i := range s.settings.Upstreams {
		u := &s.settings.Upstreams[i]
		targets[u.Name] = &target{up: s.upstreams[i], settings: u}
	}
	if cfg.Protocol == config.ProtocolTCP {
		l.tcp = targets[cfg.Upstream]
	} else {
		l.table = newTable(cfg.Routes, targets)
	}
	if cfg.MaxConnections > 0 {
		l.slots = make(chan struct{}, cfg.MaxConnections)
	}
	var err error
	if l.ln, err = s.cfg.Listen(ctx, "tcp", cfg.Address); err != nil {
		return nil, fmt.Errorf("proxy: listen on %s: %w", cfg.Address, err)
	}
	return l, nil
}

// start begins the accept loops. Each is started by AfterFunc so that their order is fixed.
func (l *listener) start() {
	for w := range l.cfg.Workers {
		l.s.accepting.Add(1)
		l.s.clk.AfterFunc(0, func() {
			defer l.s.accepting.Done()
			l.accept(w)
		})
	}
}

// accept takes connections until the listener is closed. The worker's number is their shard in every pool.
func (l *listener) accept(worker int) {
	pause := minAcceptPause
	for {
		if l.slots != nil && !l.takeSlot() {
			return
		}
		nc, err := l.ln.Accept()
		if err == nil {
			pause = minAcceptPause
			l.serve(nc, worker)
			continue
		}
		if l.slots != nil {
			<-l.slots
		}
		if errors.Is(err, net.ErrClosed) || l.s.draining.Load() {
			return
		}
		// Out of file descriptors or memory, or the peer left while it waited: none of them is the listener's end.
		l.s.counters.acceptErrors.Add(1)
		l.s.log.Warn("accept failed", "listener", l.name, "error", err, "pause", pause)
		l.s.clk.Sleep(pause)
		pause = min(2*pause, maxAcceptPause)
	}
}

// takeSlot waits for room for one more connection. It gives up when the server stops.
func (l *listener) takeSlot() bool {
	for {
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		if l.s.draining.Load() {
			return false
		}
		l.s.clk.Sleep(minAcceptPause)
	}
}

// serve starts the goroutine of one client connection.
func (l *listener) serve(nc net.Conn, worker int) {
	s := l.s
	c := newClient(l, nc, worker)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.release()
		_ = nc.Close()
		return
	}
	s.conns.push(c)
	s.serving.Add(1)
	s.mu.Unlock()
	s.counters.accepted.Add(1)
	s.counters.open.Add(1)
	go c.run()
}
