package http2

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

// appendHead appends the request's head as HTTP/1.1 has it. A status other than 0 says that it has no such head: what
// HTTP/2's frames could carry and HTTP/1.1's lines cannot is refused and never bent (RFC 9113 section 10.3). The reader of
// what is written here checks all of it again.
func appendHead(dst []byte, r *http.Request) ([]byte, int) {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace:
		return dst, http.StatusMethodNotAllowed
	case !http1.ValidMethod(r.Method), r.Host == "", !http1.ValidAuthority(r.Host):
		return dst, http.StatusBadRequest
	case r.RequestURI != "*" && !http1.ValidPath(r.RequestURI):
		return dst, http.StatusBadRequest
	}
	req := http1.ClientRequest{Method: r.Method, Authority: r.Host, Path: r.RequestURI, Close: true}
	switch {
	case bodyless(r):
	case r.ContentLength >= 0:
		req.Framing, req.ContentLength = http1.ContentLength, r.ContentLength
	default:
		req.Framing = http1.Chunked
	}
	for _, f := range fieldsOf(r.Header) {
		name := string(f.Name)
		switch {
		case !http1.ValidFieldName(name), !http1.ValidFieldValue(string(f.Value)):
			return dst, http.StatusBadRequest
		case strings.EqualFold(name, "Content-Length"): // written from what was parsed; net/http takes it for granted at times
			if len(r.Header[name]) > 1 || string(f.Value) != strconv.FormatInt(max(r.ContentLength, 0), 10) {
				return dst, http.StatusBadRequest
			}
		case strings.EqualFold(name, "Expect"): // net/http answers it as soon as the body is read, which is at once
		case strings.EqualFold(name, "Host"):
			// Who translates from HTTP/1.1 may send it in the place of :authority (RFC 9113 section 8.3.1; HAProxy does); net/http has
			// then taken it. It may stand beside that when it says the same.
			if len(r.Header[name]) > 1 || string(f.Value) != r.Host {
				return dst, http.StatusBadRequest
			}
		case forbidden(name), strings.EqualFold(name, "Te") && !strings.EqualFold(string(f.Value), "trailers"):
			return dst, http.StatusBadRequest
		default:
			req.Extra = append(req.Extra, f)
		}
	}
	return http1.AppendClientRequest(dst, &req), 0
}

// forbidden says whether a field has no place in an HTTP/2 request (RFC 9113 section 8.2.2), or would be the head's own.
func forbidden(name string) bool {
	for _, f := range hopByHop {
		if strings.EqualFold(name, f) {
			return true
		}
	}
	return strings.EqualFold(name, "Host")
}

// bodyless says whether the stream ended with its head.
func bodyless(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0
}

// remoteOf is the client's address.
func remoteOf(r *http.Request) net.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil { // it is written by net/http from an address
		return &net.TCPAddr{}
	}
	return net.TCPAddrFromAddrPort(addr)
}

// afterDone calls do when the stream is over before stop is called.
func afterDone(r *http.Request, do func()) (stop func()) {
	ended := context.AfterFunc(r.Context(), do)
	return func() { ended() }
}
