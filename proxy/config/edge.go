package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Edge is what a listener does at the border between clients and backends: whom it believes, what it tells backends about
// the client, and how much one client may take.
type Edge struct {
	// MaxConnectionsPerSource is the greatest number of open client connections from one source, which is an IPv4 address
	// or the /64 network of an IPv6 address; more are closed at once, without an answer. Connections from TrustedProxies
	// are not counted: many clients are behind each. Key max_connections_per_source, default off, which is 0 here; else
	// from 1 to 10000000. It is off by default because a source may be a whole company behind one address.
	MaxConnectionsPerSource int
	// ProxyProtocol says which sources tell of their clients by a header of the PROXY protocol; nil: none does. Key
	// proxy_protocol.
	ProxyProtocol *ProxyProtocol
	// MaxRequestsPerConnection ends a client's connection with the answer to that many requests, which says "Connection:
	// close", or in HTTP/2 comes with a GOAWAY (streams that are open are finished). HTTP only. Key max_requests_per_connection, default off, which is 0 here; else from 1 to 1073741824.
	MaxRequestsPerConnection int

	// TrustedProxies are the networks (10.0.0.0/8) and addresses whose word about the client is believed: what they say in
	// X-Forwarded-For and Forwarded is continued, in X-Forwarded-Proto and -Host kept, their request id is taken, and other
	// forwarding fields pass. From everybody else such fields are dropped and written anew. HTTP only. Key trusted_proxies,
	// default none, at most 1000.
	TrustedProxies []string
	// Forwarded says which fields tell backends about the client: ForwardedX (the default), ForwardedStandard,
	// ForwardedBoth, or ForwardedOff for none. Fields that are not written are kept from TrustedProxies as they
	// are, and dropped from everybody else. HTTP only. Key forwarded.
	Forwarded string
	// RequestID is the name of the field that gives each request an identity, such as X-Request-ID: one of a trusted proxy
	// is kept if it is 1 to 128 visible ASCII bytes, otherwise backends get 32 hexadecimal digits drawn from 128 random
	// bits. HTTP only. Key request_id, default off, which is empty here.
	RequestID string
	// MaxHops says when a request is in a loop: when it has passed through a proxy of our name, wavepool, so often by its
	// Via fields. It is answered 508 then (RFC 5842 section 7.2). HTTP only. Key max_hops, default 8, from 1 to 100.
	MaxHops int
}

// ProxyProtocol says from whom a listener expects a header of the PROXY protocol (version 1 or 2), before TLS and everything
// else. The address in it is the client's from then on: in the fields for backends, in the access log, for TrustedProxies and
// for MaxConnectionsPerSource. A header that speaks of nobody (LOCAL, UNKNOWN) leaves the connection's own. Sources that are
// not listed send none: what looks like one is the beginning of their request, or of what a TCP listener passes on.
type ProxyProtocol struct {
	// From are the networks (10.0.0.0/8) and addresses that begin every connection with a header; one without, or with a
	// malformed one, is closed. Whoever is listed can claim any address. Key from, required, at most 1000.
	From []string
	// Timeout is the time for the header, from the accept. Key timeout, default 5s, from 1ms to 1h.
	Timeout time.Duration
}

func defaultProxyProtocol() ProxyProtocol { return ProxyProtocol{Timeout: 5 * time.Second} }

func (p *ProxyProtocol) form() form.Form {
	return form.Form{
		{Key: "from", Value: form.Strings(&p.From, 1000, checkNetwork)},
		{Key: "timeout", Value: form.Duration(&p.Timeout, tick, time.Hour)},
	}
}

// filled is a copy with its defaults.
func (p *ProxyProtocol) filled() *ProxyProtocol {
	if p == nil {
		return nil
	}
	out := *p
	out.From = slices.Clone(p.From)
	fill(&out.Timeout, defaultProxyProtocol().Timeout)
	return &out
}

func (p *ProxyProtocol) check(r *form.Report, path string) {
	if p == nil || r.Skipped(path) {
		return
	}
	if from := form.Join(path, "from"); len(p.From) == 0 && !r.Failed(from, path) {
		r.Fail(from, "is required: the addresses that begin with a header, such as [10.0.0.0/8]")
	}
}

// What Edge.Forwarded may be.
const (
	ForwardedX        = "x-forwarded" // X-Forwarded-For, -Proto and -Host
	ForwardedStandard = "forwarded"   // Forwarded, RFC 7239
	ForwardedBoth     = "both"        // both
	ForwardedOff      = "off"         // none
)

// ForwardedStyles returns the words that Edge.Forwarded may be, the default first. The slice is the caller's own.
func ForwardedStyles() []string {
	return []string{ForwardedX, ForwardedStandard, ForwardedBoth, ForwardedOff}
}

// The words that Upstream.Host may be beside a host.
const (
	HostPass    = "pass"    // the client's
	HostBackend = "backend" // the backend's own address
)

// AccessLog is where one line for each request goes, and what is in it.
type AccessLog struct {
	// Path is the file that lines are appended to, or LogStdout. A relative path begins at the working folder. Required.
	Path string
	// Format is LogJSON (the default) or LogText.
	Format string
	// Fields are the parts of a line that are written, by their names, whatever order they are in here. Key fields, default
	// all of AccessFields.
	Fields []string
	// Buffer is how many bytes of lines may wait to be written, and again as many may be on their way to the file; a line
	// that finds no room is dropped and counted, because a request never waits for its line. Key buffer, default 1MiB,
	// from 64KiB to 64MiB.
	Buffer int
}

// The words of AccessLog.
const (
	LogStdout = "stdout" // AccessLog.Path: the standard output
	LogJSON   = "json"   // AccessLog.Format: one JSON object a line
	LogText   = "text"   // AccessLog.Format: name=value pairs
)

// AccessFields returns the closed list of names that AccessLog.Fields may hold, in the order of a line. The slice is the
// caller's own.
func AccessFields() []string {
	return []string{"time", "listener", "protocol", "client", "forwarded_for", "client_request", "method", "host", "path", "query",
		"target_bytes", "status", "outcome", "detail", "upstream", "backend", "reused", "conn_age", "conn_uses", "queue_wait",
		"connect", "first_byte", "total", "head_in", "body_in", "head_out", "body_out", "retries", "attempts",
		"user_agent", "request_id"}
}

// DefaultAccessLog returns an access log with every default and no path yet.
func DefaultAccessLog() AccessLog { return AccessLog{Format: LogJSON, Buffer: 1 << 20} }

func (a AccessLog) filled() AccessLog {
	d := DefaultAccessLog()
	fill(&a.Format, d.Format)
	fill(&a.Buffer, d.Buffer)
	a.Fields = slices.Clone(a.Fields)
	return a
}

func (a *AccessLog) form() form.Form {
	return form.Form{
		{Key: "path", Value: form.String(&a.Path, checkLogPath)},
		{Key: "format", Value: form.OneOf(&a.Format, LogJSON, LogText)},
		{Key: "fields", Value: form.Strings(&a.Fields, len(AccessFields()), checkLogField)},
		{Key: "buffer", Value: form.Size(&a.Buffer, 64<<10, 64<<20)},
	}
}

func checkLogPath(s string) string {
	switch {
	case s == "":
		return "is required: a file, or " + LogStdout
	case s == "off":
		return "to log nothing write access_log: off; a file of that name is ./off"
	case strings.IndexByte(s, 0) >= 0 || len(s) > 4096:
		return "is not the path of a file"
	}
	return ""
}

func checkLogField(s string) string {
	known := AccessFields()
	if slices.Contains(known, s) {
		return ""
	}
	if near := Nearest(s, known); near != "" {
		return "there is no field \"" + s + "\"; did you mean " + near + "?"
	}
	return "there is no field \"" + s + "\"; known fields: " + strings.Join(known, ", ")
}

// checkNetwork wants a network in CIDR notation without bits behind its prefix, or a single address.
func checkNetwork(s string) string {
	const want = "want a network such as 10.0.0.0/8, or an address; got \""
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" || ip.Is4In6() {
			return want + s + "\""
		}
		return ""
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return want + s + "\""
	case p != p.Masked():
		return "\"" + s + "\" has bits behind its prefix; did you mean " + p.Masked().String() + "?"
	}
	return ""
}

// checkOwnField wants the name of a field that we may write: a token without underscores (backends confuse those with
// hyphens) that means nothing else to a proxy.
func checkOwnField(s string) string {
	if len(s) > 64 || !onlyWord(s, "-") || !onlyWord(s[:1], "") {
		return "want the name of a field: letters, digits and hyphens, at most 64; got \"" + s + "\""
	}
	lower := strings.ToLower(s)
	if slices.Contains(takenFields, lower) || strings.HasPrefix(lower, "x-forwarded-") ||
		strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "proxy-") {
		return s + " has a meaning of its own; choose another name, such as X-Request-ID"
	}
	return ""
}

// takenFields are the names, in lower case, that a request id cannot have.
var takenFields = []string{"accept", "authorization", "cache-control", "connection", "cookie", "date", "expect", "forwarded",
	"host", "http2-settings", "keep-alive", "origin", "proxy", "range", "referer", "te", "trailer", "transfer-encoding",
	"upgrade", "user-agent", "via", "x-real-ip"}

// checkUpstreamHost wants a host, with or without a port, or one of the words.
func checkUpstreamHost(s string) string {
	if s == HostPass || s == HostBackend {
		return ""
	}
	if msg := checkHostField(s); s == "" || msg != "" {
		return "want " + HostPass + ", " + HostBackend + ", or a host with or without a port; got \"" + s + "\""
	}
	return ""
}
