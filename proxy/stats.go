package proxy

import (
	"slices"
	"sync/atomic"

	"github.com/wavepool/wavepool/proxy/accesslog"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// counters are the server's own plain counters.
type counters struct {
	accepted, open     atomic.Int64
	requests, answered atomic.Uint64
	failed             [NumFailures]atomic.Uint64
	repeated           atomic.Uint64
	bytesIn, bytesOut  atomic.Uint64
	acceptErrors       atomic.Uint64
	refused, worn      atomic.Uint64
	badHeaders, floods atomic.Uint64
	sticky             [NumStickies]atomic.Uint64

	handshakes, handshakesFailed atomic.Uint64
	answeredByClass              [6]atomic.Uint64
}

// Stats is a snapshot of a server.
type Stats struct {
	// Accepted counts the client connections; Open those that are open now.
	Accepted, Open int64
	// AcceptErrors counts failures to accept, such as for want of file descriptors.
	AcceptErrors uint64
	// Handshakes and HandshakesFailed count the TLS handshakes of clients.
	Handshakes, HandshakesFailed uint64
	// Refused counts the connections that were closed at once because their source had as many as max_connections_per_source
	// allows; they are not among those accepted, unless a header of the PROXY protocol had to tell the source. HeadersRefused
	// counts those accepted that should have begun with such a header and did not, or not in time. WornOut counts those that
	// ended in order because of max_requests_per_connection, or of heads of HTTP/2 that unpack to too much.
	Refused, HeadersRefused, WornOut uint64
	// Floods counts the HTTP/2 connections that were ended because their clients asked for too much and brought too little.
	Floods uint64
	// Requests counts the requests of which a byte arrived, and the connections of TCP listeners. When nothing is
	// under way it is Answered plus the sum of Failed; in between, InFlight makes up the difference.
	Requests, Answered uint64
	// InFlight is Requests - Answered - Failed. The counters are read one by one, so under load it is approximate.
	InFlight int64
	// Failed counts the requests that got no whole answer from a backend, by reason.
	Failed [NumFailures]uint64
	// Repeated counts the attempts that were made again because a reused connection was dead.
	Repeated uint64
	// Sticky counts the cookies of sticky upstreams by what became of them; a request without one is not among them.
	Sticky [NumStickies]uint64
	// Class counts the answers by the first digit of their status, 1 to 5; 0 is for tunnels of TCP listeners.
	Class [6]uint64
	// BytesIn and BytesOut count body and tunnel bytes from and to clients.
	BytesIn, BytesOut uint64
	// AccessLog counts the lines of the access log.
	AccessLog accesslog.Stats
	// Upstreams are in the order of the configuration, and behind them those that a reload has taken out of it and whose
	// last requests are not over.
	Upstreams []upstream.Stats
	// Retired has the sums of what upstreams have counted that a reload took away, in Begun, Waits, Wait, Retries, OverBudget
	// and Removed. Totals over all upstreams go on to hold with it.
	Retired upstream.Stats
}

// FailedTotal is the number of requests that failed for any reason.
func (s *Stats) FailedTotal() uint64 {
	var n uint64
	for _, x := range s.Failed {
		n += x
	}
	return n
}

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counters
	out := Stats{
		Accepted: c.accepted.Load(), Open: c.open.Load(), AcceptErrors: c.acceptErrors.Load(),
		Handshakes: c.handshakes.Load(), HandshakesFailed: c.handshakesFailed.Load(),
		Refused: c.refused.Load(), HeadersRefused: c.badHeaders.Load(), Floods: c.floods.Load(), WornOut: c.worn.Load(),
		Answered: c.answered.Load(), Repeated: c.repeated.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
	out.AccessLog = accesslog.Stats{
		Written: s.logged.written.Load(), Dropped: s.logged.dropped.Load(), Errors: s.logged.errors.Load(),
	}
	if log := s.access.Load(); log != nil {
		st := log.Stats()
		out.AccessLog.Written += st.Written
		out.AccessLog.Dropped += st.Dropped
		out.AccessLog.Errors += st.Errors
	}
	for i := range out.Failed {
		out.Failed[i] = c.failed[i].Load()
	}
	for i := range out.Sticky {
		out.Sticky[i] = c.sticky[i].Load()
	}
	for i := range out.Class {
		out.Class[i] = c.answeredByClass[i].Load()
	}
	out.Requests = c.requests.Load()
	out.InFlight = int64(out.Requests) - int64(out.Answered) - int64(out.FailedTotal())
	s.mu.Lock()
	groups := slices.Clone(s.upstreams)
	out.Retired = s.retired
	s.mu.Unlock()
	for _, g := range groups {
		out.Upstreams = append(out.Upstreams, g.up.Stats())
	}
	return out
}
