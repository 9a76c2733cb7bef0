package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// Handler returns the operators' page of a server. It may be served by any HTTP server.
func Handler(s *proxy.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, StatusOf(s)) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { writeMetrics(w, s) })
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, _ *http.Request) { writeEvents(w, s.Events()) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { ready(w, s) })
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { writeConfig(w, s) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "wavepool\n\n"+
		"/status        everything counted, as JSON\n"+
		"/metrics       waits in the queue, for Prometheus\n"+
		"/events        the last events, oldest first\n"+
		"/ready         200 while requests are served\n"+
		"/config        the configuration in force, as YAML\n"+
		"/debug/pprof/  profiles of the Go runtime\n")
}

// Status is what /status shows: a server's snapshot in words instead of indexes. All counts are since the start.
type Status struct {
	// Draining: the server takes nothing new any more.
	Draining bool `json:"draining"`
	// Accepted and Open count client connections; AcceptErrors failures to accept one.
	Accepted     int64  `json:"connections_accepted"`
	Open         int64  `json:"connections_open"`
	AcceptErrors uint64 `json:"accept_errors"`
	// Refused counts connections closed at once for max_connections_per_source; HeadersRefused those that did not begin with
	// the header of proxy_protocol; Floods those of HTTP/2 that asked for too much; WornOut those that
	// ended in order because of max_requests_per_connection, or of heads of HTTP/2 that unpack to too much.
	Refused        uint64 `json:"connections_refused"`
	HeadersRefused uint64 `json:"proxy_headers_refused"`
	Floods         uint64 `json:"http2_floods"`
	WornOut        uint64 `json:"connections_worn_out"`
	// Requests = InFlight + Answered + the sum of Failed, up to what changed while they were read.
	Requests uint64 `json:"requests"`
	InFlight int64  `json:"in_flight"`
	Answered uint64 `json:"answered"`
	// Repeated counts attempts made again because a reused connection was dead.
	Repeated uint64 `json:"repeated_on_fresh_connection"`
	// Failed counts requests without a whole answer, by the words of proxy.Failure.
	Failed map[string]uint64 `json:"failed"`
	// Sticky counts cookies that name a backend, by the words of proxy.Sticky.
	Sticky map[string]uint64 `json:"sticky_cookies"`
	// BytesIn and BytesOut count body and tunnel bytes from and to clients.
	BytesIn  uint64 `json:"bytes_in"`
	BytesOut uint64 `json:"bytes_out"`
	// LogWritten counts the lines of the access log that are in its file, LogDropped those that found no room or whose write
	// failed, LogErrors the writes that failed.
	LogWritten uint64 `json:"access_log_written"`
	LogDropped uint64 `json:"access_log_dropped"`
	LogErrors  uint64 `json:"access_log_errors"`
	// Upstreams are in the order of the configuration.
	Upstreams []UpstreamStatus `json:"upstreams"`
}

// UpstreamStatus is one group of backends.
type UpstreamStatus struct {
	// Name and Strategy are as configured.
	Name     string `json:"name"`
	Strategy string `json:"strategy"`
	// Begun counts attempts, InFlight those under way, Waiting the requests in the queue.
	Begun    uint64 `json:"attempts"`
	InFlight int    `json:"in_flight"`
	Waiting  int    `json:"waiting"`
	// WaitingByClass is that number by the words of upstream.Class; Shed counts the requests refused because the queue stood.
	WaitingByClass map[string]int `json:"waiting_by_priority"`
	Shed           uint64         `json:"queue_shed"`
	// Overflowed counts the requests that went anywhere because too many waited for their own backend (max_waiting_per_backend).
	Overflowed uint64 `json:"queue_overflowed"`
	// QueueWait is how long those were in the queue that have left it.
	QueueWait WaitStatus `json:"queue_wait"`
	// Retries counts retries made, OverBudget those that only the budget forbade.
	Retries    uint64 `json:"retries"`
	OverBudget uint64 `json:"retries_over_budget"`
	// PerTryTimeout is how long an attempt that is not the last may wait for the beginning of its answer, in seconds; 0
	// while there is no such limit.
	PerTryTimeout float64 `json:"per_try_timeout_seconds"`
	// Available is the number of backends that are available; Panicking says that they are so few that others are used too.
	Available int  `json:"available"`
	Panicking bool `json:"panicking"`
	// Backends are in the order of the configuration, and behind them those that are leaving.
	Backends []BackendStatus `json:"backends"`
	// Removed counts the backends that are gone, RemovedAttempts the attempts that ended there.
	Removed         int    `json:"removed_backends"`
	RemovedAttempts uint64 `json:"removed_backends_attempts"`
}

// WaitStatus is a distribution of waits. Its quantiles are up to an eighth too much.
type WaitStatus struct {
	// Count is the number of waits, Sum their sum in seconds.
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum_seconds"`
	// P50, P99 and Max are quantiles, in seconds; 0 where there was no wait.
	P50 float64 `json:"p50_seconds"`
	P99 float64 `json:"p99_seconds"`
	Max float64 `json:"max_seconds"`
}

// BackendStatus is one backend with its pool.
type BackendStatus struct {
	// Address, Weight and Priority are as configured.
	Address  string `json:"address"`
	Weight   int    `json:"weight"`
	Priority int    `json:"priority"`
	// State is up, down, ejected, drained or broken; Reason a word of health.Reason.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Circuit is the state of its breaker: closed, which it is without one too, open or half_open.
	Circuit string `json:"circuit"`
	// Agent is what its agent has said; null without one.
	Agent *AgentStatus `json:"agent"`
	// Reserve says that it is not among those that subset_size chooses.
	Reserve bool `json:"reserve"`
	// Leaving says that it was removed, and that what it has lent is not back yet.
	Leaving bool `json:"leaving"`
	// InFlight counts the requests at the backend and those that wait for a dial to it.
	InFlight int `json:"in_flight"`
	// Waiting counts the requests in the queue that wait for this backend alone.
	Waiting int `json:"waiting"`
	// Limit is how many in flight adaptive_concurrency admits; 0: there is no such bound.
	Limit int `json:"in_flight_limit"`
	// Outcomes counts the attempts that ended, by the words of upstream.Outcome.
	Outcomes map[string]uint64 `json:"outcomes"`
	// Checks and ChecksPassed count active health checks.
	Checks       uint64 `json:"checks"`
	ChecksPassed uint64 `json:"checks_passed"`
	// Pool is the backend's connections.
	Pool PoolStatus `json:"pool"`
}

// AgentStatus is what the agent beside a backend has said.
type AgentStatus struct {
	// Weight is in percent of the configured one, 100 where it has said nothing; MaxConnections 0 where it has set no bound.
	Weight         int `json:"weight_percent"`
	MaxConnections int `json:"max_connections"`
	// Text is what its last line has for people.
	Text string `json:"text"`
	// Trouble is why the last question has no answer, in a word of probe.Reason; empty where it has one.
	Trouble string `json:"trouble"`
}

// PoolStatus is the connections of one backend: Begun = Dialling + Dialled + DialFailed, and Dialled = Idle + Lent + the
// sum of Retired.
type PoolStatus struct {
	// Limit is the most connections there may be.
	Limit int `json:"limit"`
	// Begun, Dialled and DialFailed count dials; Dialling those under way.
	Begun      uint64 `json:"dials_begun"`
	Dialled    uint64 `json:"dialled"`
	DialFailed uint64 `json:"dial_failed"`
	Dialling   int    `json:"dialling"`
	// Idle and Lent are the connections that are open.
	Idle int `json:"idle"`
	Lent int `json:"lent"`
	// Retired counts the connections that left, by the words of pool.Reason.
	Retired map[string]uint64 `json:"retired"`
	// Lends counts uses of a connection; ReuseRate is the share of them that were not the connection's first, 0 to 1.
	Lends     uint64  `json:"lends"`
	ReuseRate float64 `json:"reuse_rate"`
	// Utilization is Lent over Limit, 0 to 1.
	Utilization float64 `json:"utilization"`
	// MeanLifetime is the mean age of retired connections, in seconds.
	MeanLifetime float64 `json:"mean_lifetime_seconds"`
}

// StatusOf takes a server's snapshot.
func StatusOf(s *proxy.Server) Status {
	st := s.Stats()
	out := Status{
		Draining: s.Draining(), Accepted: st.Accepted, Open: st.Open, AcceptErrors: st.AcceptErrors,
		LogWritten: st.AccessLog.Written, LogDropped: st.AccessLog.Dropped, LogErrors: st.AccessLog.Errors,
		Refused: st.Refused, HeadersRefused: st.HeadersRefused, Floods: st.Floods, WornOut: st.WornOut,
		Requests: st.Requests, InFlight: st.InFlight, Answered: st.Answered, Repeated: st.Repeated,
		BytesIn: st.BytesIn, BytesOut: st.BytesOut, Failed: map[string]uint64{},
	}
	out.Sticky = map[string]uint64{}
	for _, k := range proxy.Stickies() {
		out.Sticky[k.String()] = st.Sticky[k]
	}
	for _, f := range proxy.Failures() {
		out.Failed[f.String()] = st.Failed[f]
	}
	for _, u := range st.Upstreams {
		out.Upstreams = append(out.Upstreams, upstreamStatus(&u))
	}
	return out
}

func upstreamStatus(u *upstream.Stats) UpstreamStatus {
	out := UpstreamStatus{
		Name: u.Name, Strategy: u.Strategy, Begun: u.Begun, InFlight: u.InFlight, Waiting: u.Waiting,
		Retries: u.Retries, OverBudget: u.OverBudget, Available: u.Available, Panicking: u.Panicking,
		PerTryTimeout: u.PerTryTimeout.Seconds(),
	}
	out.Shed, out.Overflowed, out.WaitingByClass = u.Shed, u.Overflowed, map[string]int{}
	for r, c := range upstream.Classes() {
		out.WaitingByClass[c.String()] = u.WaitingByClass[r]
	}
	w := &u.Wait
	out.QueueWait = WaitStatus{Count: w.Count, Sum: w.Sum.Seconds(), P50: w.Quantile(0.5).Seconds(),
		P99: w.Quantile(0.99).Seconds(), Max: w.Quantile(1).Seconds()}
	out.Removed = u.Removed.Backends
	for _, n := range u.Removed.Outcomes {
		out.RemovedAttempts += n
	}
	for _, b := range u.Backends {
		bs := BackendStatus{
			Address: b.Address, Weight: b.Weight, Priority: b.Priority, State: b.Health.Status.String(), Reason: b.Health.Reason.String(),
			Circuit: b.Health.Circuit.String(),
			Leaving: b.Leaving, InFlight: b.InFlight, Waiting: b.Waiting, Limit: b.Limit, Reserve: b.Reserve, Checks: b.Checks, ChecksPassed: b.ChecksPassed, Outcomes: map[string]uint64{},
		}
		for _, o := range upstream.Outcomes() {
			bs.Outcomes[o.String()] = b.Outcomes[o]
		}
		if a := b.Agent; a.Asked {
			bs.Agent = &AgentStatus{Weight: a.Weight, MaxConnections: a.MaxConnections, Text: a.Text, Trouble: a.Trouble}
		}
		p := &b.Pool
		bs.Pool = PoolStatus{
			Limit: p.Limit, Begun: p.Begun, Dialled: p.Dialled, DialFailed: p.DialFailed, Dialling: p.Dialling,
			Idle: p.Idle, Lent: p.Lent, Lends: p.Lends, ReuseRate: p.ReuseRate(), Utilization: p.Utilization(),
			MeanLifetime: p.MeanLifetime().Seconds(), Retired: map[string]uint64{},
		}
		for _, r := range pool.Reasons() {
			bs.Pool.Retired[r.String()] = p.Retired[r]
		}
		out.Backends = append(out.Backends, bs)
	}
	return out
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the reader left: nothing to be done
}

func writeEvents(w http.ResponseWriter, events []upstream.Event) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, e := range events {
		line := fmt.Sprintf("%s %s #%d %s %s %s", e.At.UTC().Format(time.RFC3339Nano), e.Entity, e.Seq, e.Kind,
			e.Reason, e.Detail)
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func ready(w http.ResponseWriter, s *proxy.Server) {
	st := s.Stats()
	up := 0
	for _, u := range st.Upstreams {
		up += u.Available
	}
	if s.Draining() || up == 0 {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func writeConfig(w http.ResponseWriter, s *proxy.Server) {
	w.Header().Set("Content-Type", "application/yaml")
	text, err := s.Settings().Marshal()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text) // the reader left: nothing to be done
}
