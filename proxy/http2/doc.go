// Package http2 lets HTTP/2 meet what speaks HTTP/1.1: each stream of a connection becomes an HTTP/1.1 connection of its own,
// in memory, that carries one request. Whoever serves or makes those needs no second set of rules for routes, limits,
// retries and timeouts, and what reaches it goes through the same strict parser as any bytes from a stranger, so that there is
// no second place where a name or a length could be understood differently.
//
// [Back] is the backends' side: a [Session] is one connection in a pool, and each [Stream] of it an HTTP/1.1 connection for one
// request. Its frames are those of net/http's ClientConn; what that keeps to itself, and what it must not see, is found by
// looking at the heads of frames (watched.go, windows.go). Its errors are judged in trouble.go alone.
//
// [Front] is the clients' side. The frames, HPACK and flow control of RFC 9113 are net/http's server. Its guards against
// floods bound memory; what a client may ask for that costs us work and brings it nothing is bounded in calm.go, for clients
// (guarded.go) and backends alike. How much their heads unpack to by HPACK, which net/http tells nobody in time, is counted in
// unpacked.go. What is refused beyond that is in request.go: a stream is reset, or answered 400, whose
// fields HTTP/1.1 could not carry as they are.
package http2
