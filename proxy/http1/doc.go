// Package http1 is the HTTP/1.1 wire: it parses heads strictly, frames bodies, and writes heads and chunks.
// It knows no policy, starts no goroutine, reads no clock, and imports nothing else of wavepool. The proxy
// uses it towards clients and towards backends; probers, simulated hosts and the load generator use it too.
//
// # Map
//
//   - [Reader] reads heads from an io.Reader through a buffer that it borrows only while it needs one.
//   - [Request] and [Response] parse one complete head in place; their slices alias that head.
//   - [Body] yields the payload of one message in runs, and knows where the message ends.
//   - [AppendRequestHead] and [AppendResponseHead] rewrite a parsed head for the next hop: hop-by-hop fields
//     go, framing is made anew, forwarding fields are added.
//   - [AppendClientRequest], [AppendGet] and [AppendServerResponse] write heads of our own.
//   - [AppendChunkHead], [ChunkEnd], [LastChunk] and [AppendLastChunk] write chunked bodies.
//   - [Limits] bounds everything that a peer can grow; [ParseError] is the closed list of refusals.
//
// # Promises
//
//   - Strict: what two readers could understand differently is refused, not repaired (RFC 9112 and the
//     request-smuggling literature). Every refusal is one of the package's ParseError values. The connection
//     must be closed after any of them: the bytes that follow have no trustworthy meaning.
//   - In place: parsing copies nothing. Slices of a Request or a Response that a Reader filled, and
//     Trailers of a Body, stay valid until the next ReadRequest, ReadResponse, Reset or ReleaseBuffer of
//     that Reader. Reading the BODY never moves or overwrites them: body bytes go behind the head in the
//     same buffer, or into a second borrowed buffer when too little room is left there.
//   - No allocation for a message in the steady state; buffers come from the package's pools.
//   - Independent of arrival: how the bytes were cut into reads changes neither the result nor the error.
//   - Linear: every byte of a head is searched once for the end of the head, however slowly it trickles in.
//   - Nothing received is forwarded as framing: Content-Length is printed again from its number, and
//     Transfer-Encoding is written by us or not at all.
//
// # Choices where the RFC leaves one
//
//   - Only HTTP/1.0 and HTTP/1.1 are served; every other version, HTTP/1.2 included, is refused with 505.
//   - Host must be one valid, non-empty host with an optional port of 1 to 65535. Names are made of
//     letters, digits, '-', '.' and '_'; other sub-delimiters and percent-encoding in a host are refused,
//     as is an empty port.
//   - Equal Content-Length lines are refused like different ones; no list form is accepted.
//   - A field whose name holds an underscore is parsed, and dropped when a request is forwarded: many
//     backends read it as the name with '-' (X_Forwarded_For). See [AppendRequestHead].
//   - One CRLF before a request line is skipped (RFC 9112 section 2.2), a second one is refused.
//   - A status line may lack the space after its code, as many servers write it; codes are 100 to 999.
//
// # Locking law
//
// The package has no locks. A value of any of its types belongs to one goroutine at a time; the buffer
// pools are safe for any number of goroutines.
package http1
