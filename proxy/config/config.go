package config

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Off is the Go value of a number or a duration that the file switches off with the word off. It serves only the
// fields whose documentation offers it.
const Off = -1

// The protocols that a listener speaks.
const (
	ProtocolHTTP = "http" // HTTP/1.1, requests routed one by one
	ProtocolTCP  = "tcp"  // bytes both ways, one backend connection for each client connection
)

// Error is one mistake in a configuration: file, line, path and message.
type Error = form.Error

// Errors lists every mistake of a configuration in line order. Parse, Load and Validate return it.
type Errors = form.Errors

// Config is a whole configuration. The zero value has no listener and no upstream and is therefore not valid; every
// other field of it means its default. See the package comment for off and default.
type Config struct {
	// Listeners are the addresses that clients connect to, in file order. At least one, at most 1000.
	Listeners []Listener
	// Upstreams are the groups of backends, in file order. At least one, at most 1000. Names are unique.
	Upstreams []Upstream
	// Admin is where operators look and act.
	Admin Admin
	// DrainTimeout is how long a shutdown waits for requests and tunnels in flight before it cuts them. Key
	// drain_timeout, default 30s, from 1ms to 24h.
	DrainTimeout time.Duration
	// Zone is where the proxy stands, 1 to 64 letters, digits, hyphens, underscores and dots, such as eu-1a: backends of the same
	// zone are preferred (Upstream.MinZonePercent). Key zone, default empty: none are.
	Zone string
	// Instance is the proxy's own name among those that share its backends, 1 to 64 letters, digits, hyphens, underscores and dots,
	// such as ${HOSTNAME}: Upstream.SubsetSize needs it. It should stay when the proxy starts again. Key instance, default empty.
	Instance string
	// AccessLog is the log of one line for each request, or nil for none. Key access_log, default off.
	AccessLog *AccessLog
}

// Listener is one address that clients connect to.
type Listener struct {
	// Address is host:port or :port to accept on every local address. IPv6 hosts stand in brackets. Port 0 asks the
	// system for a free one. Required; no address is given twice, except with port 0.
	Address string
	// Protocol is ProtocolHTTP (the default) or ProtocolTCP.
	Protocol string
	// Workers is how many goroutines accept connections from the one listening socket. Key workers, default 4, from 1
	// to 256.
	Workers int
	// Upstream is the name of the group that gets everything; of a TCP listener, what no route takes, and without it such
	// a connection is closed. A TCP listener needs it or Routes. An HTTP listener may name it in place of Routes; Parse and WithDefaults then turn it into the single route for the prefix /, so whoever
	// serves HTTP reads only Routes.
	Upstream string
	// Routes say which requests go where: the first that matches, in file order, wins, and a request that none
	// matches is answered 404. At least one (or Upstream), at most 1000. Those of a TCP listener are about the server name
	// (SNI) in the client's TLS hello, which goes on to the backend unchanged; they match by host only. A client has 10
	// seconds for its hello; one that says nothing goes to Upstream, as for protocols in which the server speaks first.
	Routes []Route

	// TLS makes the listener speak TLS; nil is cleartext. Key tls.
	TLS *ListenerTLS

	// HTTP2 offers HTTP/2 to clients: by ALPN over TLS, and in clear text to those that begin with its preface (RFC 9113
	// section 3.3). HTTP only. Key http2, on or off, default on.
	HTTP2 Switch
	// MaxStreams bounds the streams that an HTTP/2 client may have open on one connection. HTTP only. Key max_streams,
	// default 100, from 1 to 10000.
	MaxStreams int

	// MaxConnections is the greatest number of client connections at one time; more wait in the system's backlog. Key
	// max_connections, default 100000, from 1 to 10000000, or Off.
	MaxConnections int

	// HeadTimeout is the time a client has to send a whole request head, from its first byte (for the first request:
	// from the accept). HTTP only. Key head_timeout, default 10s, from 1ms to 1h.
	HeadTimeout time.Duration
	// IdleTimeout is how long a client's keep-alive connection may wait for its next request. HTTP only. Key
	// idle_timeout, default 60s, from 1ms to 24h.
	IdleTimeout time.Duration
	// MaxHeadBytes bounds a request head, in bytes; above it the answer is 431. HTTP only. Key max_head_bytes,
	// default 64KiB, from 1KiB to 1MiB.
	MaxHeadBytes int
	// MaxFields bounds the header fields of a request; above it the answer is 431. HTTP only. Key max_fields, default
	// 100, from 1 to 10000.
	MaxFields int
	// MaxTargetBytes bounds a request target, in bytes; above it the answer is 414. HTTP only. Key max_target_bytes,
	// default 8KiB (or MaxHeadBytes when that is less), from 64 to MaxHeadBytes.
	MaxTargetBytes int
	// MaxRequestBody bounds a request body, in bytes; above it the answer is 413. HTTP only. Key max_request_body,
	// default off, which is 0 here; else from 1 to 1TiB (1024GiB).
	MaxRequestBody int64
	// BodyTimeout is how long a client that sends the body of a request may send nothing of it; once the answer has begun it
	// may be silent for as long as the answer goes on, and the StreamIdleTimeout of the upstream beyond that. HTTP only. Key
	// body_timeout, default 60s, from 1ms to 1h.
	BodyTimeout time.Duration
	// MinBodyRate is the least rate at which a client must send the body of a request, in bytes per second. It is the mean
	// over all the time for which the body was waited for, beyond the first BodyGrace of that: a slow backend is not the
	// client's fault. Once the answer has begun no rate is asked for, nor of gRPC to a backend that speaks HTTP/2. Below it the
	// answer is 408. The default is far below any network that people use, and far above what an attacker needs who wants to
	// hold many connections with few bytes. HTTP only. Key min_body_rate, default 240, from 1B to 1GiB, or Off.
	MinBodyRate int
	// SendTimeout is how long a client may take nothing of an answer; it is exact up to the double. HTTP only. Key
	// send_timeout, default 60s, from 1ms to 1h.
	SendTimeout time.Duration

	// Edge holds the keys about the border between clients and backends; in the file they stand beside the others.
	Edge
}

// BodyGrace is the time that MinBodyRate gives every client: one lost packet on a bad line takes seconds to be sent again.
const BodyGrace = 10 * time.Second

// Route sends the requests that it matches to an upstream.
type Route struct {
	// Match says which requests. The zero Match is every request.
	Match Match
	// Upstream is the name of the group that gets them. Required.
	Upstream string
	// Priority says who goes first when requests wait for room in the queue of the upstream: those of PriorityHigh, then of
	// PriorityNormal, then of PriorityLow, though one of every eight that are served is one of a class that waits behind; and
	// where the queue is full, the last to come of the lowest class gives its place to one of a higher class. Key priority,
	// default PriorityNormal.
	Priority string
}

// What Route.Priority may be.
const (
	PriorityHigh   = "high"
	PriorityNormal = "normal"
	PriorityLow    = "low"
)

// Match is a condition on a request. All of its parts must hold.
type Match struct {
	// Host is the request's host without its port, compared without regard to case (RFC 9110 section 4.2.3). Key host,
	// default empty, which is any host. No wildcards.
	Host string
	// PathPrefix is a beginning of the request's path, compared byte by byte and by whole segments: /api is a prefix
	// of /api and /api/users but not of /apiary. Key path_prefix, default /, which is every path.
	PathPrefix string
}

// Admin is the operators' address: metrics, status, run-time changes. It must not be reachable by clients.
type Admin struct {
	// Address is host:port; the host may not be left out, so that the page is never opened to the world by an
	// oversight. Empty means no admin listener. Key address, 127.0.0.1:9901 when a file says nothing; a file says off
	// for none. The zero Config, built in Go, has none.
	Address string
}

// Unused returns the names of the upstreams that no listener and no route leads to, in their order.
func (c *Config) Unused() []string {
	used := map[string]bool{}
	for i := range c.Listeners {
		used[c.Listeners[i].Upstream] = true
		for j := range c.Listeners[i].Routes {
			used[c.Listeners[i].Routes[j].Upstream] = true
		}
	}
	var names []string
	for i := range c.Upstreams {
		if name := c.Upstreams[i].Name; !used[name] {
			names = append(names, name)
		}
	}
	return names
}

// UpstreamNamed returns the upstream of that name, or nil. The pointer is into c.
func (c *Config) UpstreamNamed(name string) *Upstream {
	for i := range c.Upstreams {
		if c.Upstreams[i].Name == name {
			return &c.Upstreams[i]
		}
	}
	return nil
}

// Nearest returns the word of words that a person most likely meant by writing word, or "" when none is near. Tools
// use it for "did you mean".
func Nearest(word string, words []string) string { return form.Nearest(word, words) }
