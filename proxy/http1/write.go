package http1

import "strconv"

// ChunkEnd follows the data of every chunk.
const ChunkEnd = "\r\n"

// LastChunk ends a chunked body without trailers.
const LastChunk = "0\r\n\r\n"

// MaxChunkHead is the most bytes that AppendChunkHead appends.
const MaxChunkHead = 18

// AppendChunkHead appends the size line of a chunk of n bytes, which the data and ChunkEnd follow. It
// panics unless n is positive: a chunk of no bytes ends the body, see AppendLastChunk.
func AppendChunkHead(dst []byte, n int) []byte {
	if n <= 0 {
		panic("http1: AppendChunkHead of no data")
	}
	dst = strconv.AppendInt(dst, int64(n), 16)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the last chunk with its trailer section. Trailers that TrailerAllowed refuses are
// dropped.
func AppendLastChunk(dst []byte, trailers []Field) []byte {
	dst = append(dst, "0\r\n"...)
	for i := range trailers {
		if TrailerAllowed(trailers[i].Name) {
			dst = appendField(dst, trailers[i].Name, trailers[i].Value)
		}
	}
	return append(dst, "\r\n"...)
}

// forbiddenTrailers, beside those that classOf knows: what frames, routes, authenticates, modifies the
// request, or says how to read the content must come before it (RFC 9110 section 6.5.1).
var forbiddenTrailers = [...]string{
	"accept-encoding", "age", "authentication-info", "content-location", "content-range", "expires",
	"if-match",
	"if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "location", "max-forwards",
	"pragma",
	"proxy-authentication-info", "range", "retry-after", "set-cookie2", "vary", "warning", "www-authenticate",
}

// TrailerAllowed reports whether a field of that name may be forwarded in a trailer section: no field that
// frames the message, routes or authenticates it, says where it came from, or changes how it is read, and
// none with an underscore.
func TrailerAllowed(name []byte) bool {
	if classOf(name) != classOther {
		return false
	}
	for i := range forbiddenTrailers {
		if equalFold(name, forbiddenTrailers[i]) {
			return false
		}
	}
	for _, c := range name {
		if c == '_' {
			return false
		}
	}
	return true
}

// ClientRequest describes a request of our own: of a prober, the load generator or a simulated client. Its
// strings are written as they are given; what comes from a user is to be checked before with ValidMethod,
// ValidPath, ValidAuthority, ValidFieldName and ValidFieldValue.
type ClientRequest struct {
	Method    string // empty means GET
	Authority string // the Host value
	Path      string // path and query in origin form; empty means "/"
	// Framing and ContentLength say how the body will follow. UntilClose panics.
	Framing       Framing
	ContentLength int64
	Close         bool    // adds "Connection: close"
	Extra         []Field // further fields, written as they are given
}

// AppendClientRequest appends the HTTP/1.1 head that r describes.
func AppendClientRequest(dst []byte, r *ClientRequest) []byte {
	if r.Framing == UntilClose {
		panic("http1: AppendClientRequest with a body until close")
	}
	method, path := r.Method, r.Path
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/"
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Authority...)
	dst = append(dst, "\r\n"...)
	for i := range r.Extra {
		dst = appendField(dst, r.Extra[i].Name, r.Extra[i].Value)
	}
	dst = appendFraming(dst, r.Framing, r.ContentLength)
	dst = appendConnection(dst, nil, r.Close, false)
	return append(dst, "\r\n"...)
}

// AppendGet appends a whole request without a body: GET, HEAD and the like. It is AppendClientRequest for
// short.
func AppendGet(dst []byte, method, authority, path string, keepAlive bool, extra ...Field) []byte {
	r := ClientRequest{Method: method, Authority: authority, Path: path, Close: !keepAlive, Extra: extra}
	return AppendClientRequest(dst, &r)
}

// ServerResponse describes a response of our own with a body to follow: of a simulated backend, or of an
// origin in a test. Its fields are written as they are given.
type ServerResponse struct {
	// Status is the status code, 100 to 999.
	Status int
	// Framing and ContentLength say how the body will follow; with NoBody nothing is declared, as 204 and 304
	// want it. UntilClose implies Close.
	Framing       Framing
	ContentLength int64
	Close         bool    // adds "Connection: close"
	Extra         []Field // further fields, written as they are given
}

// AppendServerResponse appends the HTTP/1.1 head that r describes.
func AppendServerResponse(dst []byte, r *ServerResponse) []byte {
	dst = appendStatusLine(dst, r.Status, StatusText(r.Status))
	for i := range r.Extra {
		dst = appendField(dst, r.Extra[i].Name, r.Extra[i].Value)
	}
	dst = appendFraming(dst, r.Framing, r.ContentLength)
	dst = appendConnection(dst, nil, r.Close || r.Framing == UntilClose, false)
	return append(dst, "\r\n"...)
}
