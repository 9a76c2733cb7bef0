package proxy

import (
	"sync"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// KindRequestFailed is the kind of event that a server itself tells: a request that got no whole answer. Its Entity is
// the listener's address, its Reason a Failure's word.
const KindRequestFailed = "request_failed"

// ringSize is how many events a server remembers.
const ringSize = 1024

// ring keeps the last events.
type ring struct {
	mu     sync.Mutex
	events []upstream.Event
	next   int
}

func (r *ring) add(e upstream.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) < ringSize {
		r.events = append(r.events, e)
		return
	}
	r.events[r.next] = e
	r.next = (r.next + 1) % ringSize
}

func (r *ring) list() []upstream.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]upstream.Event, 0, len(r.events))
	out = append(out, r.events[r.next:]...)
	return append(out, r.events[:r.next]...)
}

// Events returns the last events, oldest first, at most 1024.
func (s *Server) Events() []upstream.Event { return s.events.list() }

// tell records an event of the server's own.
func (s *Server) tell(e upstream.Event) {
	e.At, e.Seq = s.clk.Now(), s.seq.Add(1)
	s.observe(e)
}

// observe is every room's observer.
func (s *Server) observe(e upstream.Event) {
	s.events.add(e)
	switch {
	case e.Kind == upstream.KindUp:
		s.log.Info("backend up", "backend", e.Entity, "reason", e.Reason, "detail", e.Detail)
	case e.Kind == upstream.KindOperation, e.Kind == upstream.KindGone, e.Reason == health.DrainAsked.String():
		s.log.Info(e.Kind, "entity", e.Entity, "operation", e.Reason, "detail", e.Detail)
	case e.Kind == upstream.KindDown:
		s.log.Warn("backend down", "backend", e.Entity, "reason", e.Reason, "detail", e.Detail)
	default:
		s.log.Debug(e.Kind, "entity", e.Entity, "reason", e.Reason, "detail", e.Detail)
	}
	if s.cfg.Observer != nil {
		s.cfg.Observer(e)
	}
}
