package config

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Health says what counts as evidence against a backend and what follows from it.
type Health struct {
	// Active are the checks that the proxy makes itself. nil means none: a file says active: off. A file that says
	// nothing gets DefaultActive.
	Active *Active
	// Agent are the agents beside the backends; nil, the default, is none. Key agent.
	Agent *AgentCheck
	// Passive is what the proxy learns from the requests that it carries. passive: off ejects nobody, and a reload that says so
	// lets those in again that are ejected.
	Passive Passive
	// Breaker is a circuit breaker for each backend; nil is none. Key breaker.
	Breaker *Breaker
	// PanicThreshold is the percentage of available backends, of those in use (subset_size) that are not drained, below which all others are used too, but for
	// the drained ones and those to which the last connection that was wanted could not be made. Key panic_threshold, default off, which is 0
	// here; else from 1% to 100%.
	PanicThreshold int
	// OnNoBackend says what becomes of requests when no backend is available: NoBackendRefuse, the default, or NoBackendFailOpen.
	// Key on_no_backend.
	OnNoBackend string
}

// What becomes of requests when no backend is available.
const (
	// NoBackendRefuse: they are answered 503 at once, and connections of TCP listeners are closed.
	NoBackendRefuse = "refuse"
	// NoBackendFailOpen: they are sent to the backends that PanicThreshold would use.
	NoBackendFailOpen = "fail_open"
)

// Active are the health checks that the proxy makes on its own. At most one of HTTP, GRPC, TLS and TCP says what a check
// is; without any it is a TCP connect. Where the upstream has TLS, every check is made over TLS, the connect included.
type Active struct {
	// Interval is the time from one check of a backend to the next. Key interval, default 5s, from 1ms to 24h.
	Interval time.Duration
	// FastInterval takes the place of Interval while a backend is in doubt: a check has failed, and Fall of them have not, or
	// one has passed while it is down, and Rise of them have not. Key fast_interval, default off, which is 0 here: it is
	// Interval then. Else from 1ms to Interval.
	FastInterval time.Duration
	// DownInterval takes the place of Interval while a backend is down and no check passes. Key down_interval, default off,
	// which is 0 here: it is Interval then. Else from 1ms to 24h.
	DownInterval time.Duration
	// SlowInterval is for how long requests may take the place of checks: a check that would come is left out when the
	// backend has answered a request since the one before would have, and has failed none, until the last check that was
	// made is so old. None is left out while a backend is in doubt, or down. Key slow_interval, default off, which is 0 here: none is left out. Else from twice Interval to 24h.
	SlowInterval time.Duration
	// Timeout bounds one check, connect included. Key timeout, default 1s (or Interval when that is
	// less), from 1ms to Interval.
	Timeout time.Duration
	// MaxConcurrent bounds the checks of the group's backends that are under way at a time; the others wait for their turn, and
	// their Timeout begins with it. Key max_concurrent, default 256, from 1 to 100000.
	MaxConcurrent int
	// Rise is how many checks in a row must pass before a backend that is down is up. Key rise, default 2, from 1 to 100.
	Rise int
	// Fall is how many checks in a row must fail before a backend that is up is down. Key fall, default 3, from 1 to 100.
	Fall int
	// Reuse keeps the connection of a check for the next ones, but every fourth check is made on a fresh one. It is for checks
	// of the kinds http and grpc. A kept connection that is dead, or holds bytes that nobody asked for, is no evidence: a fresh one
	// is tried at once. Key reuse, on or off, default off: a fresh connection for each check, which finds a backend that takes no
	// new ones at once.
	Reuse Switch
	// HTTP makes the check an HTTP request. Key http.
	HTTP *HTTPCheck
	// GRPC makes the check a call of gRPC's health service. Key grpc. The upstream has protocol http2 or auto, or no TLS.
	GRPC *GRPCCheck
	// TLS makes the check a handshake, for backends whose TLS the proxy passes on unread. Key tls. An upstream that has TLS of
	// its own has no use for it: its checks shake hands anyway.
	TLS *TLSCheck
	// TCP makes the check an exchange of a few bytes. Key tcp. The upstream has protocol http1.
	TCP *TCPCheck
}

// HTTPCheck is a health check by a request without a body.
type HTTPCheck struct {
	// Method is the request's method. Key method, default GET; or HEAD, OPTIONS, POST, PUT, PATCH, DELETE.
	Method string
	// Path is the request's target, beginning with a slash. Key path, default /.
	Path string
	// Host is the Host field of the request. Key host, default empty, which is the backend's own address.
	Host string
	// Status are the answers that pass. Key status, one code or a range such as 200-399, the default.
	Status StatusRange
	// Body says what the body of an answer that passes holds; nil, the default, is anything, and it is not read then. Key body. The method
	// is not HEAD.
	Body *BodyCheck
}

// BodyCheck says what a body holds. One of Contains and Matches is given.
type BodyCheck struct {
	// Contains is a text that stands in it. Key contains, at most MaxBytes.
	Contains string
	// Matches is a pattern that matches in it (RE2's syntax; one that begins with ^ must match at the beginning). Key matches, at
	// most 1024 bytes, and its states, when its repetitions are written out, times MaxBytes at most 16 Mi.
	Matches string
	// MaxBytes is how much of a body is looked at, in bytes of payload. Key max_bytes, default 16KiB, from 1 to 64KiB.
	MaxBytes int
}

// GRPCCheck is a health check by the method Check of grpc.health.v1.Health; SERVING passes, and nothing else does.
type GRPCCheck struct {
	// Service is the service that is asked about. Key service, default empty, which is the server as a whole; at most 1024
	// bytes of visible ASCII.
	Service string
	// Authority is the request's :authority. Key authority, default empty, which is the backend's own address.
	Authority string
}

// TLSCheck is a health check by a handshake of TLS, 1.2 or later.
type TLSCheck struct {
	// ServerName is the name that the backend is asked for (SNI) and must prove. Key server_name, default empty, which is the
	// host of its address.
	ServerName string
	// CA is a PEM file with the authorities whose backends are believed. Key ca, default empty, which is the system's.
	CA string
	// Verify says whether the certificate must be believed and valid. Key verify, on or off, default on. Off asks only
	// whether somebody shakes hands.
	Verify Switch
	// ReloadEvery is the time after which it is looked whether CA has changed. Key reload_every, default 1m, from 1ms to 24h, or
	// off, which is Off here: at a reload only.
	ReloadEvery time.Duration
}

// TCPCheck is a health check by what a backend says: Send is written to a fresh connection, and the answer must begin with
// Expect or match Regexp. Bytes are written as ParseBytes reads them. Redis is asked by {send: 'PING\r\n', expect: '+PONG'},
// PostgreSQL by its SSLRequest, {send: 'hex:00000008 04d2162f', expect_regexp: '^[SN]'}, and a mail server, which greets,
// by {expect: '220'}.
type TCPCheck struct {
	// Send is what is sent first. Key send, default empty: the backend speaks first. At most 4096 bytes.
	Send string
	// Expect is the beginning of a good answer. Key expect, default empty. It or Regexp is required, and not both.
	Expect string
	// Regexp matches within a good answer (RE2's syntax). Key expect_regexp, default empty, at most 1024 bytes, and 4096 states when
	// its repetitions are written out. A pattern that begins with ^ must match at the beginning.
	Regexp string
	// MaxBytes is how much of an answer is looked at. Key max_bytes, default 1KiB, from 1 to 4KiB, and no less than Expect.
	MaxBytes int
}

// StatusRange is a closed range of HTTP status codes, from 100 to 599. The zero value means 200-399.
type StatusRange struct{ Low, High int }

// The bounds of what a TCPCheck sends and looks at, and of a GRPCCheck's service. The probers have the same.
const (
	maxExchange = 4 << 10
	maxPattern  = 1 << 10
	// maxStates bounds what a pattern is compiled to. A match takes the product of that and the length of the answer, and
	// cannot be broken off: 4096 times 4096 takes a few tenths of a second, and x{1000} alone has 1000 states.
	maxStates  = 4 << 10
	maxService = 1 << 10
	maxBody    = 64 << 10
	// maxWork bounds the product of a pattern's states and the bytes that it is tried on, for the same reason.
	maxWork = maxStates * maxExchange
)

func defaultHTTPCheck() HTTPCheck {
	return HTTPCheck{Method: "GET", Path: "/", Status: StatusRange{Low: 200, High: 399}}
}

func defaultGRPCCheck() GRPCCheck { return GRPCCheck{} }

func defaultBodyCheck() BodyCheck { return BodyCheck{MaxBytes: 16 << 10} }

func defaultTLSCheck() TLSCheck { return TLSCheck{Verify: SwitchOn, ReloadEvery: time.Minute} }

func defaultTCPCheck() TCPCheck { return TCPCheck{MaxBytes: 1 << 10} }

// checks is the part of the form that says what a check is.
func (a *Active) checks() form.Form {
	return form.Form{
		{Key: "http", Value: form.Optional(&a.HTTP, defaultHTTPCheck, func(h *HTTPCheck) form.Form {
			return form.Form{
				{Key: "method", Value: form.OneOf(&h.Method, "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")},
				{Key: "path", Value: form.String(&h.Path, checkPath)},
				{Key: "host", Value: form.String(&h.Host, checkHostField)},
				{Key: "status", Value: statusRange{&h.Status}},
				{Key: "body", Value: form.Optional(&h.Body, defaultBodyCheck, func(b *BodyCheck) form.Form {
					return form.Form{
						{Key: "contains", Value: form.String(&b.Contains, nil)},
						{Key: "matches", Value: form.String(&b.Matches, checkPattern)},
						{Key: "max_bytes", Value: form.Size(&b.MaxBytes, 1, maxBody)},
					}
				})},
			}
		})},
		{Key: "grpc", Value: form.Optional(&a.GRPC, defaultGRPCCheck, func(g *GRPCCheck) form.Form {
			return form.Form{
				{Key: "service", Value: form.String(&g.Service, checkService)},
				{Key: "authority", Value: form.String(&g.Authority, checkHostField)},
			}
		})},
		{Key: "tls", Value: form.Optional(&a.TLS, defaultTLSCheck, func(t *TLSCheck) form.Form {
			return form.Form{
				{Key: "server_name", Value: form.String(&t.ServerName, checkMatchHost)},
				{Key: "ca", Value: form.String(&t.CA, nil)},
				{Key: "verify", Value: form.OneOf((*string)(&t.Verify), string(SwitchOn), string(SwitchOff))},
				{Key: "reload_every", Value: form.DurationOrOff(&t.ReloadEvery, tick, day, Off)},
			}
		})},
		{Key: "tcp", Value: form.Optional(&a.TCP, defaultTCPCheck, func(t *TCPCheck) form.Form {
			return form.Form{
				{Key: "send", Value: form.String(&t.Send, checkBytes)},
				{Key: "expect", Value: form.String(&t.Expect, checkBytes)},
				{Key: "expect_regexp", Value: form.String(&t.Regexp, checkPattern)},
				{Key: "max_bytes", Value: form.Size(&t.MaxBytes, 1, maxExchange)},
			}
		})},
	}
}

// fillChecks gives what says what a check is its defaults. Nothing of it is shared with its source then.
func (a *Active) fillChecks() {
	if a.HTTP != nil {
		check := *a.HTTP
		fill(&check.Method, "GET")
		fill(&check.Path, "/")
		fill(&check.Status, defaultHTTPCheck().Status)
		if check.Body != nil {
			body := *check.Body
			fill(&body.MaxBytes, defaultBodyCheck().MaxBytes)
			check.Body = &body
		}
		a.HTTP = &check
	}
	if a.GRPC != nil {
		check := *a.GRPC
		a.GRPC = &check
	}
	if a.TLS != nil {
		check := *a.TLS
		fill(&check.Verify, SwitchOn)
		fill(&check.ReloadEvery, time.Minute)
		a.TLS = &check
	}
	if a.TCP != nil {
		check := *a.TCP
		fill(&check.MaxBytes, defaultTCPCheck().MaxBytes)
		a.TCP = &check
	}
}

// check finds the settings of checks that contradict each other, or the upstream, which is at path.
func (a *Active) check(r *form.Report, path string, u *Upstream) {
	at := form.Join(path, "health.active")
	if a == nil || r.Skipped(at) {
		return
	}
	interval := form.Join(at, "interval")
	for _, d := range []struct {
		key string
		is  time.Duration
	}{{"timeout", a.Timeout}, {"fast_interval", a.FastInterval}} {
		if key := form.Join(at, d.key); d.is > a.Interval && !r.Failed(key, interval) {
			r.Fail(key, "is more than interval (%s > %s)", form.FormatDuration(d.is), form.FormatDuration(a.Interval))
		}
	}
	if key := form.Join(at, "slow_interval"); a.SlowInterval != 0 && a.SlowInterval < 2*a.Interval && !r.Failed(key, interval) {
		r.Fail(key, "is less than twice interval, so that no check could be left out (%s < 2 * %s)", form.FormatDuration(a.SlowInterval), form.FormatDuration(a.Interval))
	}
	a.checkKind(r, at)
	if t := a.TLS; t != nil && t.Verify == SwitchOff && t.CA != "" {
		r.Fail(form.Join(at, "tls.ca"), "is given, but verify is off")
	}
	if a.HTTP != nil && a.HTTP.Body != nil {
		a.HTTP.checkBody(r, form.Join(at, "http"))
	}
	if a.TCP != nil {
		a.TCP.check(r, form.Join(at, "tcp"))
	}
	if a.Reuse == SwitchOn && a.HTTP == nil && a.GRPC == nil {
		r.Fail(form.Join(at, "reuse"), "is for checks of the kinds http and grpc; after others a connection is of no more use")
	}
	if r.Failed(form.Join(path, "protocol"), form.Join(path, "tls")) {
		return
	}
	if a.GRPC != nil && u.TLS != nil && u.Protocol == UpstreamHTTP1 {
		r.Fail(form.Join(at, "grpc"), "needs HTTP/2, which over tls only protocol http2 or auto asks for")
	}
	if a.TLS != nil && u.TLS != nil {
		r.Fail(form.Join(at, "tls"), "stands beside the upstream's own tls, with which every check shakes hands anyway; leave it out")
	}
	if a.TCP != nil && u.Protocol != UpstreamHTTP1 {
		r.Fail(form.Join(at, "tcp"), "cannot be said to backends that speak protocol %s; take http or grpc", u.Protocol)
	}
}

// checkKind wants a check to be of one kind.
func (a *Active) checkKind(r *form.Report, path string) {
	first := ""
	for _, kind := range []struct {
		key   string
		given bool
	}{{"http", a.HTTP != nil}, {"grpc", a.GRPC != nil}, {"tls", a.TLS != nil}, {"tcp", a.TCP != nil}} {
		switch {
		case !kind.given:
		case first == "":
			first = kind.key
		default:
			r.Fail(form.Join(path, kind.key), "stands beside %s; a check is of one kind", first)
		}
	}
}

// checkBody finds what is wrong with the demands on a body.
func (h *HTTPCheck) checkBody(r *form.Report, path string) {
	at := form.Join(path, "body")
	text, pattern, most := form.Join(at, "contains"), form.Join(at, "matches"), form.Join(at, "max_bytes")
	if r.Skipped(at) || r.Failed(text, pattern, most) {
		return
	}
	b := h.Body
	switch {
	case h.Method == "HEAD":
		r.Fail(at, "is given, but the answer to method HEAD has none")
	case b.Contains == "" && b.Matches == "":
		r.Fail(at, "needs contains, a text that stands in a good one, or matches, a pattern")
	case b.Contains != "" && b.Matches != "":
		r.Fail(pattern, "stands beside contains; give one or the other")
	case len(b.Contains) > b.MaxBytes:
		r.Fail(text, "is longer than max_bytes (%d > %d)", len(b.Contains), b.MaxBytes)
	case states(b.Matches)*b.MaxBytes > maxWork:
		r.Fail(pattern, "repeats too much for max_bytes: it has %d states; at most %d", states(b.Matches), maxWork/b.MaxBytes)
	}
}

func (t *TCPCheck) check(r *form.Report, path string) {
	expect, pattern, most := form.Join(path, "expect"), form.Join(path, "expect_regexp"), form.Join(path, "max_bytes")
	if r.Skipped(path) || r.Failed(expect, pattern) {
		return
	}
	switch {
	case t.Expect == "" && t.Regexp == "":
		r.Fail(path, "needs expect, the beginning of a good answer, or expect_regexp")
	case t.Expect != "" && t.Regexp != "":
		r.Fail(pattern, "stands beside expect; give one or the other")
	}
	switch want, _ := ParseBytes(t.Expect); {
	case t.Expect != "" && len(want) == 0:
		r.Fail(expect, "stands for no bytes at all, with which every answer begins")
	case len(want) > t.MaxBytes && !r.Failed(most):
		r.Fail(expect, "is longer than max_bytes (%d > %d)", len(want), t.MaxBytes)
	}
}

func checkBytes(s string) string {
	b, err := ParseBytes(s)
	switch {
	case err != nil:
		return err.Error()
	case len(b) > maxExchange:
		return fmt.Sprintf("has %d bytes; at most %d", len(b), maxExchange)
	}
	return ""
}

func checkPattern(s string) string {
	if len(s) > maxPattern {
		return fmt.Sprintf("has %d bytes; at most %d", len(s), maxPattern)
	}
	if _, err := regexp.Compile(s); err != nil {
		return "is no regular expression: " + err.Error()
	}
	if n := states(s); n > maxStates {
		return fmt.Sprintf("repeats too much: it has %d states; at most %d", n, maxStates)
	}
	return ""
}

// states is how many states a pattern is compiled to; 0 for one that is none.
func states(s string) int {
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return 0
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0
	}
	return len(prog.Inst)
}

// checkService wants what a person could have written: a name in a package of protocol buffers is ASCII.
func checkService(s string) string {
	if len(s) > maxService {
		return fmt.Sprintf("has %d bytes; at most %d", len(s), maxService)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Sprintf("holds a byte that no name of a service holds, at offset %d", i)
		}
	}
	return ""
}
