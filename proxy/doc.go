// Package proxy is the server: it listens, routes, carries each request to a backend and its answer back, and drains.
// Its configuration and its backends change at work: see [Server.Reload] and [Server.DrainBackend].
//
// A [Server] is made from a plain configuration (proxy/config) and four doors: a dialer, a listen function, a clock and
// a source of chance. With the real ones it is the production proxy; with a simulator's it is the same code in memory
// and in virtual time.
//
// # One request's way
//
// A worker's accept loop takes a connection, whose goroutine waits without a buffer until bytes come, reads one head
// and parses it in place. The route names an upstream; the upstream opens an attempt, which has a connection. The head
// leaves rewritten, the body behind it: one that is in the buffer already leaves in the same write and can be sent
// again; a longer one streams from a second goroutine, so that a backend may answer early. The answer comes back the
// same way, and the attempt is finished with one outcome, which for a call of gRPC is that of its own status (grpc.go). The
// backend's connection returns to its pool as soon as the answer has been read, before a slow client has taken it.
//
// An attempt on a reused connection that dies before the first byte of an answer is repeated on a fresh connection,
// when the request is idempotent or not a byte of it was sent; one that fails otherwise before the first byte is
// repeated on the next backend, when it is idempotent and the upstream's policy and budget allow it. So is one that has
// waited for longer than answers take, one whose backend health takes down, and one whose answer has a status that the
// settings name. After the first byte of an answer has been passed on nothing is repeated.
//
// Times are read and write deadlines, which are set only where the one that is set will not do: whoever meets a deadline
// looks whose it is, and after five seconds whether the client is still there. So a try's own time (per_try_timeout) costs a setting now and then, and no timer.
//
// A client of a TCP listener gets a connection of its own, which nobody has used before: one that was made ready
// beforehand (min_idle, predict), or a dial. As long as no byte has gone either way it may go elsewhere, by the rules for
// requests; from then on it ends with its backend. Where only TCP listeners lead to an upstream, the peer may speak first, so
// that unread bytes on a connection that is ready are a greeting; where HTTP listeners share it, they retire it.
//
// # Operations
//
// Operations happen one after the other, and each as a whole: what may fail does so before anything changes. What the
// settings say about a listener is a plan that is not changed but replaced; a request takes one, and keeps its route and
// its limits to its end. Who is gone from the settings, a backend, an upstream or a listener, takes nothing new, finishes
// what it has within DrainTimeout, and is then cut off.
//
// # What others are told, and believed
//
// told.go reads the PROXY protocol's header with which the proxies that the settings name begin: exactly its bytes, so that the
// connection stays bare for TLS, peeks and splices. tell.go writes one to backends: their connections tell of one client,
// serve one request or tunnel, and what precedes it, TLS included, happens when the client is known and not when the pool dials.
// policy.go writes and believes forwarding fields; path.go has the one rule about paths; source.go counts the connections of
// each source. access.go gathers a request's line while it is served, in memory of its own: without an access log a request
// pays for one look at a pointer. The line is given to proxy/accesslog when the request has ended.
//
// # Accounts
//
// Requests in = in flight + answered + failed, each failure with one [Failure]; see [Stats].
//
// # Locking law
//
// Server.mu guards the lists of client connections, listeners and upstreams and is never held over I/O. A client connection's goroutine owns its
// parser and its attempt; its small mutex guards only what a forced end needs.
package proxy
