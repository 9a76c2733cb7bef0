package http1

import (
	"bytes"
	"strconv"
)

// ForwardRequest says what AppendRequestHead changes in a request for its next hop.
type ForwardRequest struct {
	// ClientIP is the peer's address without port, for X-Forwarded-For. Empty adds none.
	ClientIP string
	// Proto is how the client reached us, "http" or "https", for X-Forwarded-Proto. Empty adds none.
	Proto string
	// Via is our pseudonym for the Via field (RFC 9110 section 7.6.3). Empty adds none; lines of others stay.
	Via string
	// Host replaces the Host value; nil keeps the request's Authority. It must be given for an HTTP/1.0
	// request without Authority, since the head is written as HTTP/1.1.
	Host []byte
	// Forwarding says which fields tell the next hop about the client. Default: WriteXForwarded.
	Forwarding Forwarding
	// TrustForwarded believes the forwarding fields of the client, which must be a proxy of ours then:
	// X-Forwarded-For and Forwarded are continued, X-Forwarded-Proto and -Host keep what it says, and what is
	// not written here passes as it is. False, the default, drops them all: anybody can write them.
	TrustForwarded bool
	// RequestIDName, if not empty, is the name of the field that carries RequestID. Fields of that name, in
	// any case, do not pass.
	RequestIDName string
	// RequestID is the request's identity. Empty adds none.
	RequestID []byte
	// Framing and ContentLength say how the body leaves. They must be set whenever the request has a body;
	// AppendRequestHead panics on NoBody for such a request, and on UntilClose, because both smuggle
	// requests.
	Framing       Framing
	ContentLength int64
	// Trailers passes on that the client takes trailers (TE: trailers), for a next hop that may ask for it, as gRPC does.
	Trailers bool
	// Upgrade, if not nil, asks the backend for that protocol by Upgrade and Connection fields.
	Upgrade []byte
	// Close adds "Connection: close": the last request on the backend's connection.
	Close bool
}

// AppendRequestHead appends the head of req as it goes to the next hop, and returns the extended slice. It
// allocates only if dst has too little room. The head is HTTP/1.1 in origin form (or as received for "*"
// and CONNECT), with Host first.
//
// Fields keep their order and spelling, except that it drops
//   - hop-by-hop fields: Connection, every field it names, Keep-Alive, Proxy-Connection, TE,
//     Transfer-Encoding, Upgrade, HTTP2-Settings, Proxy-Authorization, Proxy-Authenticate (RFC 9110 section
//     7.6.1), and Trailer unless chunked,
//   - Proxy (CVE-2016-5385), and names with an underscore, which backends confuse with those with '-',
//   - forwarding fields, X-Real-IP and every other X-Forwarded-* included, unless trusted, and fields that
//     carry the request's identity,
//   - Expect of an HTTP/1.0 request, which must not be obeyed (RFC 9110 section 10.1.1).
//
// Max-Forwards of OPTIONS is one less than it was.
//
// Then our own fields follow. A client cannot remove them, nor Host, Content-Length, Authorization, Cookie
// and the like, by naming them in Connection (CVE-2024-45410).
func AppendRequestHead(dst []byte, req *Request, f *ForwardRequest) []byte {
	if f.Framing == UntilClose || f.Framing == NoBody && req.hasBody() {
		panic("http1: AppendRequestHead with a framing that loses the body")
	}
	dst = appendForwardLine(dst, req, f)
	options := hasOptions(req.Fields)
	for i := range req.Fields {
		fl := &req.Fields[i]
		c := classOf(fl.Name)
		switch c {
		case classOther:
			if options && named(req.Fields, fl.Name) {
				continue
			}
		case classEndToEnd, classDate, classVia:
		case classMaxForwards:
			if n := req.MaxForwards(); n > 0 {
				dst = appendMaxForwards(dst, n-1)
				continue
			}
		case classTrailer:
			if f.Framing != Chunked {
				continue
			}
		case classExpect:
			if req.Minor == 0 {
				continue
			}
		case classForwardedElse, classForwarded, classForwardedFor, classForwardedProto, classForwardedHost:
			if !f.TrustForwarded || f.Forwarding.writes(c) {
				continue
			}
		default:
			continue
		}
		if bytes.IndexByte(fl.Name, '_') >= 0 {
			continue
		}
		if id := f.RequestIDName; len(fl.Name) == len(id) && equalFold(fl.Name, id) {
			continue
		}
		dst = appendField(dst, fl.Name, fl.Value)
	}
	dst = appendFraming(dst, f.Framing, f.ContentLength)
	dst = appendForwarding(dst, req, f)
	if len(f.RequestID) > 0 {
		dst = appendField(dst, f.RequestIDName, f.RequestID)
	}
	dst = appendVia(dst, req.Minor, f.Via)
	if f.Trailers && takesTrailers(req) {
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	dst = appendConnection(dst, f.Upgrade, f.Close, false)
	return append(dst, "\r\n"...)
}

// takesTrailers says whether a TE field has the word trailers (RFC 9110 section 10.1.4).
func takesTrailers(req *Request) bool {
	for i := range req.Fields {
		if f := &req.Fields[i]; len(f.Name) == 2 && equalFold(f.Name, "te") {
			for word := range bytes.SplitSeq(f.Value, []byte(",")) {
				if equalFold(bytes.Trim(word, " \t"), "trailers") {
					return true
				}
			}
		}
	}
	return false
}

// appendForwardLine writes the request line and Host.
func appendForwardLine(dst []byte, req *Request, f *ForwardRequest) []byte {
	dst = append(dst, req.Method...)
	dst = append(dst, ' ')
	switch {
	case req.IsConnect:
		dst = append(dst, req.Authority...)
	case len(req.Path) == 0:
		dst = append(dst, '/')
	default:
		dst = append(dst, req.Path...)
	}
	host := f.Host
	if host == nil {
		host = req.Authority
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	return append(dst, "\r\n"...)
}

// hasOptions reports whether a Connection field may name another field: whether it has an option beyond the
// two that nearly all connections use.
func hasOptions(fields []Field) bool {
	for i := range fields {
		if classOf(fields[i].Name) != classConnection {
			continue
		}
		if v := fields[i].Value; !equalFold(v, "keep-alive") && !equalFold(v, "close") && len(v) > 0 {
			return true
		}
	}
	return false
}

// named reports whether a Connection field names the field, in any case (CVE-2026-29054 compared exactly).
func named(fields []Field, name []byte) bool {
	for i := range fields {
		if classOf(fields[i].Name) != classConnection {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var t []byte
			t, list = nextToken(list)
			if equalFold(t, name) {
				return true
			}
		}
	}
	return false
}

func appendField[N, V ~string | ~[]byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// appendFraming writes the framing field anew; a received one is never copied.
func appendFraming(dst []byte, f Framing, length int64) []byte {
	switch f {
	case ContentLength:
		if length < 0 {
			panic("http1: a negative ContentLength to be written")
		}
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, length, 10)
		dst = append(dst, "\r\n"...)
	case Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}

// appendVia adds our line behind those of others, which is where the last recipient stands.
func appendVia(dst []byte, minor int, via string) []byte {
	if via == "" {
		return dst
	}
	if minor == 0 {
		dst = append(dst, "Via: 1.0 "...)
	} else {
		dst = append(dst, "Via: 1.1 "...)
	}
	dst = append(dst, via...)
	return append(dst, "\r\n"...)
}

// appendConnection writes what our own connection needs: at most one Connection line, and Upgrade.
func appendConnection(dst, upgrade []byte, closes, keepAlive bool) []byte {
	switch {
	case upgrade != nil:
		dst = append(dst, "Connection: Upgrade\r\n"...)
		dst = appendField(dst, "Upgrade", upgrade)
	case closes:
		dst = append(dst, "Connection: close\r\n"...)
	case keepAlive:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}
