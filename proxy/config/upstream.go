package config

import "time"

// The strategies that choose a backend.
const (
	StrategyRoundRobin       = "round-robin"       // weighted, evenly interleaved
	StrategyLeastConnections = "least-connections" // fewest requests in flight for its weight
	StrategyRandom           = "random"            // weighted chance
	StrategyP2C              = "p2c"               // of two by chance, the one with fewer requests in flight
	StrategyPeakEWMA         = "peak-ewma"         // of two by chance, the one that is expected to answer first
	StrategyLeastTime        = "least-time"        // of all, the one that is expected to answer first
	StrategyRingHash         = "ring-hash"         // by a key of the request, on a ring
	StrategyMaglev           = "maglev"            // by a key of the request, in a table
	StrategyRendezvous       = "rendezvous"        // by a key of the request, the highest random weight
	StrategyFirst            = "first"             // the first in the list that has room
)

// Strategies returns the names that Upstream.Strategy may have, the default first. The slice is the caller's own.
func Strategies() []string {
	return []string{StrategyPeakEWMA, StrategyRoundRobin, StrategyLeastConnections, StrategyRandom, StrategyP2C,
		StrategyLeastTime, StrategyRingHash, StrategyMaglev, StrategyRendezvous, StrategyFirst}
}

// The protocols of backends.
const (
	// UpstreamHTTP1: HTTP/1.1, one request at a time on a connection.
	UpstreamHTTP1 = "http1"
	// UpstreamHTTP2: HTTP/2, many requests at a time on a connection, as many as the backend allows; gRPC needs it. Over TLS
	// it is asked for by ALPN, and a backend that does not choose it is not used; in clear text it is spoken by prior
	// knowledge (h2c). A request to switch protocols (WebSocket) is passed on as one that asks for none.
	UpstreamHTTP2 = "http2"
	// UpstreamAuto: over TLS, whatever each backend chooses by ALPN, HTTP/2 first.
	UpstreamAuto = "auto"
)

// What Upstream.SendProxy may be.
const (
	SendProxyOff = "off" // nothing
	SendProxyV1  = "v1"  // version 1, a line of text
	SendProxyV2  = "v2"  // version 2, binary
)

// Upstream is a named group of backends that serve the same thing.
type Upstream struct {
	// Name is the key under upstreams: 1 to 64 letters, digits, hyphens, underscores and dots, beginning with a letter
	// or a digit.
	Name string
	// Strategy is the name of the picker. Key strategy, default peak-ewma, one of Strategies. Of the strategies without a key
	// it is the one that over all stock scenarios needs the fewest retries and dials and has the lowest 99.9th percentile;
	// backends of different speed get what they can do, and a tunnel, whose time says nothing, counts as in p2c.
	Strategy string
	// Hash says by which key of a request the backend is chosen, with a strategy that chooses by one; with any other it is nil, as
	// it may be for its defaults. Key hash.
	Hash *Hash
	// SlowStart is the time in which a backend that was added at work, or that has come back, gets its whole share: it
	// begins with a tenth of its weight, which goes up on a straight line. At the proxy's own start there is none. Key
	// slow_start, default off, which is 0 here; else from 1ms to 24h. Strategies that choose by a key, and first, have none.
	SlowStart time.Duration
	// MinZonePercent is the part, by weight, of the backends in the proxy's own zone that must be available (within a priority)
	// for them to be preferred; with less the requests go to all zones alike. Key min_zone_percent, default 70, from 1 to 100,
	// or Off: no zone is preferred.
	MinZonePercent int
	// SubsetSize is how many backends of each priority this proxy uses, connects to and checks, where many proxies share many: those whose
	// addresses fit its own name (Config.Instance) best, and of its own zone before others. One that comes or goes changes one of
	// them. While fewer than half of those of a priority are available, or than PanicThreshold if that is more, all backends of that
	// priority are used. Shares (MaxEjectionPercent, PanicThreshold) are of those in use. Each backend is used by its share of the
	// proxies, but for chance: of 100 proxies with 20 of 100 backends it is 9 to 36 of them, of 1000 proxies 172 to 231.
	// Key subset_size, default off, which is 0 here; else from 1 to 10000. Not beside Sticky, nor with a strategy that chooses by a key:
	// there all proxies are to agree.
	SubsetSize int
	// Backends are the members, in file order. At least one, at most 10000. No address is given twice.
	Backends []Backend
	// Protocol is what is spoken with the backends. Key protocol, default UpstreamHTTP1, or UpstreamHTTP2, UpstreamAuto. A TCP
	// listener's upstream has none but the default.
	Protocol string
	// TLS makes the connections to the backends speak TLS; nil is cleartext. Key tls.
	TLS *UpstreamTLS
	// SendProxy says from where the client has come by a header of the PROXY protocol, the first bytes on a connection, before
	// TLS. A connection then serves one request, or one client of a TCP listener, and is closed: it tells of one client, and
	// nobody else may use it. Connections of health checks say that they are the proxy's own. UpstreamHTTP1 only. Key
	// send_proxy, default SendProxyOff, or SendProxyV1, SendProxyV2.
	SendProxy string
	// Pool keeps the connections to each backend.
	Pool Pool
	// Health decides which backends may be chosen.
	Health Health
	// Retry says how often a failed attempt is made again.
	Retry Retry
	// Queue is where requests wait when no backend has room.
	Queue Queue
	// Unavailable is what clients are answered when no backend can serve them.
	Unavailable Unavailable
	// Sticky has a client's requests go to one backend, by a cookie; nil does not. Key sticky. HTTP only.
	Sticky *Sticky
	// Concurrency finds out for each backend how many requests at a time it carries, and lets no more be in flight there; nil does
	// not. Key adaptive_concurrency. HTTP only.
	Concurrency *Concurrency
	// Host is what backends get as the request's Host: HostPass, the default, which is the client's; HostBackend, the
	// address of the backend that gets the request, without the port when that is 80; or a host of its own, with or without
	// a port. X-Forwarded-Host and Forwarded tell the client's in any case. HTTP only. Key host.
	Host string
	// ResponseTimeout is the time a backend has for its response head, counted from the end of the request head. Key
	// response_timeout, default 30s, from 1ms to 24h, or Off.
	ResponseTimeout time.Duration
	// TunnelIdleTimeout ends a TCP connection or an upgraded one when no byte has gone either way for so long. Key
	// tunnel_idle_timeout, default 10m, from 1ms to 168h, or Off.
	TunnelIdleTimeout time.Duration
	// StreamIdleTimeout ends an answer when the backend has sent no byte of its body for so long, and the client none of a request that
	// goes on beside it; and a request of whose body the backend has taken none; of taking it is exact up to the double. It has a reason of its own beside ResponseTimeout: a
	// backend that has begun is alive, and what it sends may pause, as events do. Key stream_idle_timeout, default 60s, from
	// 1ms to 24h, or Off.
	StreamIdleTimeout time.Duration
}

// MaxWeight is the greatest weight of a backend.
const MaxWeight = 1000

// Backend is one member of an upstream.
type Backend struct {
	// Address is host:port with a port from 1 to 65535. IPv6 hosts stand in brackets. Required.
	Address string
	// Weight is its share beside the other members. Key weight, default 1, from 1 to MaxWeight, 1000.
	Weight int
	// Priority is its tier: one of priority 1 gets requests while none of priority 0 is available and has room, and so on. Key
	// priority, default 0, from 0 to MaxPriority, 15; or the key backup, which may be true: that is priority 1.
	Priority int
	// Zone is where it stands: see Config.Zone. Key zone, default empty: in none that is known.
	Zone string
}

// MaxPriority is the last of the tiers of backends.
const MaxPriority = 15

// Pool holds the settings for the connections to each single backend.
type Pool struct {
	// MaxConnections bounds the connections to one backend. Key max_connections, default 50, from 1 to 100000.
	MaxConnections int
	// MinIdle is how many idle connections are kept ready at one backend. Key min_idle, default 0, from 0 to
	// MaxConnections. A client of a TCP listener takes one of them for itself, and the next one is dialled at once; where the
	// server ends connections on which nothing is said (a mail server after half a minute), IdleTimeout should be shorter.
	MinIdle int
	// IdleTimeout retires a connection that nobody has used for so long. Key idle_timeout, default 30s, from 1ms to
	// 24h, or Off.
	IdleTimeout time.Duration
	// MaxLifetime retires a connection of that age when it is next free. Key max_lifetime, default 30m, from 1ms to
	// 720h, or Off.
	MaxLifetime time.Duration
	// LifetimeJitterPercent shortens each connection's lifetime by a random part of it, up to so many percent, so that
	// connections opened together are not retired together. Key lifetime_jitter_percent, default 10, from 1 to 99, or
	// Off.
	LifetimeJitterPercent int
	// ValidateAfter is the idle time after which a connection is looked at (without reading from it) before it is lent.
	// Key validate_after, default 1ms, from 1ns to 24h, or Off.
	ValidateAfter time.Duration
	// ConnectTimeout bounds one dial. Key connect_timeout, default 5s, from 1ms to 10m.
	ConnectTimeout time.Duration
	// MinConnectTimeout is the least to which the limit of a dial comes down: the limit follows the last dials, as three
	// times the longest of 64, and never exceeds ConnectTimeout. Key min_connect_timeout, default 1500ms (or ConnectTimeout
	// when that is less), which survives one lost SYN, from 1ms to ConnectTimeout, or Off: the limit is ConnectTimeout.
	MinConnectTimeout time.Duration
	// MaxDials bounds the dials to one backend that are under way. Key max_dials, default 16, from 1 to 100000;
	// MaxConnections bounds them too.
	MaxDials int
	// MaxIdle bounds the idle connections to one backend; one that comes back beyond it is closed. Key max_idle, default
	// off, which is 0 here: only MaxConnections bounds them. Else from 1 to MaxConnections, and not below MinIdle.
	MaxIdle int
	// MaxUses retires a connection that comes back from so many requests. Key max_uses, default off, which is 0 here:
	// no limit. Else from 1 to 1000000000. A tunnel uses a connection once in any case.
	MaxUses int
	// Order says which idle connection is used next. Key order, default OrderRecent, or OrderFIFO.
	Order string
	// TrimEvery is the interval of the steps in which idle connections that the demand of the last seconds did not need
	// are closed, half of them at a time. Key trim_every, default 5s, from 1ms to 24h, or Off: only IdleTimeout ends them.
	TrimEvery time.Duration
	// Predict says how connections are made ready for the demand to come, beyond MinIdle. Key predict, default
	// PredictOff, or PredictReactive, PredictHolt.
	Predict string
	// PredictEvery is the interval of which Predict takes the peak of demand. Key predict_every, default 1s, from 10ms to
	// 1h. A file may give it only where Predict is not off.
	PredictEvery time.Duration
	// KeepAlive are the TCP keep-alive probes on connections to the backend; nil leaves them as the system's dialer sets
	// them: the first after 15 s of silence, then one every 15 s, nine in all. Key keep_alive.
	KeepAlive *KeepAlive
	// TCPUserTimeout is for how long sent bytes may stay unacknowledged until the connection is broken (RFC 5482; on
	// Linux). Key tcp_user_timeout, default off, which is 0 here: the system's own, about a quarter of an hour. Else from 1ms
	// to 24h.
	TCPUserTimeout time.Duration
	// LeakAfter is how long a connection may be lent to one request before an event tells of it, once. It costs about a
	// microsecond for each request. Key leak_after, default off, which is 0 here; else from 1ms to 168h. A reload cannot
	// change it.
	LeakAfter time.Duration
}

// The orders in which a pool uses its idle connections.
const (
	OrderRecent = "recent" // the one that came back last, and now and then an older one that is still needed
	OrderFIFO   = "fifo"   // the one that has been idle longest: even use, and a pool that never shrinks
)

// The ways in which a pool makes connections ready for the demand to come.
const (
	PredictOff      = "off"      // it dials when somebody waits
	PredictReactive = "reactive" // a fifth more than the last peak of demand
	PredictHolt     = "holt"     // a tenth more than what the trend of the peaks forecasts
)

// KeepAlive are TCP keep-alive probes. The kernel counts in whole seconds; a part of one is a whole one.
type KeepAlive struct {
	// Idle is the silence after which the first probe is sent. Key idle, default 15s, from 1s to 9h, or Off: no probes.
	Idle time.Duration
	// Interval is the time between two probes that are not answered. Key interval, default 15s, from 1s to 9h.
	Interval time.Duration
	// Count is how many probes go unanswered before the connection is broken. Key count, default 9, from 1 to 127.
	Count int
}

// Adaptive is the Retry.PerTryTimeout that is learned from how long answers take.
const Adaptive time.Duration = 0

// RetryConditions returns the words that Retry.On may have. The slice is the caller's own.
func RetryConditions() []string {
	return []string{"connect_failure", "reset", "per_try_timeout", "response_timeout", "backend_down", "500", "502", "503", "504"}
}

// DefaultRetryConditions returns the Retry.On of an upstream that says nothing. The slice is the caller's own.
func DefaultRetryConditions() []string {
	return []string{"connect_failure", "reset", "per_try_timeout", "backend_down"}
}

// Retry says when and how often a request is tried again. Whatever it says, that happens only while no byte of an answer
// has reached the client; only for a request that is whole in memory (16KiB, head and body) and whose method is idempotent,
// unless nothing of it was sent; and a reused connection that turns out to be dead before the first byte of an answer is
// replaced by a fresh one without counting. A backend that was given up may still be at work on what it was asked: of PUT
// and DELETE, which are idempotent, it can carry out an old one late. Where that matters, take per_try_timeout,
// response_timeout and backend_down off the list.
type Retry struct {
	// Attempts is the greatest number of attempts for one request, the first included; 1 means that none is made again.
	// Key attempts, default 2, from 1 to 10.
	Attempts int
	// On lists what is followed by another attempt, each word once:
	//
	//   - connect_failure: no connection could be made; goes on until every backend has been tried, and counts nowhere;
	//   - reset: the connection died before the answer began;
	//   - per_try_timeout: PerTryTimeout is over, and another backend can be asked;
	//   - response_timeout: all of Upstream.ResponseTimeout is over, so that the client may wait for Attempts times as long;
	//   - backend_down: health took the backend down while the request waited there; the budget does not forbid this one
	//     while half of the group is available;
	//   - 500, 502, 503, 504: the answer has that status, and another backend can be asked; otherwise it is passed on.
	//
	// Key on, default DefaultRetryConditions, from RetryConditions; off is the empty list that is not nil.
	On []string
	// PerTryTimeout is for how long a backend may let an answer wait to begin while attempts and budget are left and another
	// backend can be asked; otherwise it has the whole ResponseTimeout. Adaptive is three times the 99th percentile of what
	// answers took lately, from 250ms to 5s, once 200 have been seen; it rests while most of the second attempts take longer
	// than the first ones were given. Key per_try_timeout, default Adaptive (the word adaptive in the file), from 1ms to 1h,
	// or Off.
	PerTryTimeout time.Duration
	// BudgetPercent bounds retries to so many for every hundred requests. Key budget_percent, default 20, from 1 to 100,
	// or Off for no bound.
	BudgetPercent int
}

// Concurrency is a bound on the requests in flight at each backend that follows how long answers take (Envoy's adaptive
// concurrency, the gradient of Netflix's concurrency-limits): what goes beyond what a backend carries waits in the queue, where it
// can still go elsewhere, and not inside the backend. The bound grows while answers are as quick as without load, and comes to rest at
// one to one and a half times the backend's places. What an answer takes without load is learned, and anew each half
// minute, with half of the bound for a moment. An answer that goes on, such as a stream of events or a WebSocket, has its place
// to its end: where there are many, leave this out.
type Concurrency struct {
	// Min is below what the bound, which begins at 20, never comes. Key min, default 3 (or Max when that is less), from 1 to Max.
	Min int
	// Max is what it never exceeds. Key max, default 1000, from 1 to 1000000. Pool.MaxConnections bounds it too, where a
	// connection carries one request at a time.
	Max int
}

func defaultConcurrency() Concurrency { return Concurrency{Min: 3, Max: 1000} }

// filled returns a copy with its defaults, or nil.
func (c *Concurrency) filled() *Concurrency {
	if c == nil {
		return nil
	}
	out, d := *c, defaultConcurrency()
	fill(&out.Max, d.Max)
	fill(&out.Min, min(d.Min, out.Max))
	return &out
}

// Fair is the Queue.MaxWaitingPerBackend that is MaxWaiting divided by the number of backends, without those that
// Upstream.SubsetSize leaves out, or by 100 where there are more; rounded up.
const Fair = 0

// Queue is where requests wait when no backend of the group has room.
type Queue struct {
	// MaxWaiting is how many requests may wait; one more is answered 503 at once, unless it would wait for its session's backend, or the
	// one of its key, and another has an idle connection. Key max_waiting, default 10000, from 1
	// to 1000000, or Off for no queue at all.
	MaxWaiting int
	// MaxWaitingPerBackend is how many of them may wait for one backend that alone may serve them, since it has their session
	// (Upstream.Sticky) or is dialled for them as the one of their key (Upstream.Hash). One more goes to another backend at once,
	// and its session with it, as when its backend is down; where it is more urgent (Route.Priority), the last of the least urgent who wait
	// there goes in its place. So a slow backend never has the whole queue. Key max_waiting_per_backend, default Fair (the word
	// fair in the file), from 1 to MaxWaiting, or Off for no bound but that. A file may give it only where MaxWaiting is not Off.
	MaxWaitingPerBackend int
	// Timeout is how long one request may wait. Key timeout, default 5s, from 1ms to 1h.
	Timeout time.Duration
	// Target is how long a wait may be when the queue does not get shorter (CoDel, RFC 8289; Maurer, Fail at Scale, ACM Queue
	// 13.8). When all who had their turn within Interval had waited for longer, the queue stands: from then on until it has
	// been empty, those who have waited for longer when their turn comes are answered 503 (queue_shed). Each class of
	// Route.Priority is looked at by itself, and so are those before each backend whom it alone may serve. Nothing stays free
	// for it: the last one in the queue is served however late he is. Where clients are patient and load comes in bursts that
	// last longer than Interval, it answers 503 to what would have been served late. Key target, default off, which is 0 here;
	// else from 1ms to Timeout.
	Target time.Duration
	// Interval is the time that a burst may take to pass, some times what an answer takes. Key interval, default 100ms, from
	// 1ms to 1h. A file may give it only where Target is not off.
	Interval time.Duration
}
