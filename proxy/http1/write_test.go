package http1

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChunksWeWriteAreReadBack(t *testing.T) {
	var wire []byte
	var want strings.Builder
	for _, n := range []int{1, 9, 10, 15, 16, 255, 4096, 100_000} {
		data := strings.Repeat("d", n)
		before := len(wire)
		wire = AppendChunkHead(wire, n)
		require.LessOrEqual(t, len(wire)-before, MaxChunkHead)
		wire = append(append(wire, data...), ChunkEnd...)
		want.WriteString(data)
	}
	trailers := []Field{{[]byte("X-Sum"), []byte("1")}, {[]byte("Host"), []byte("evil")}}
	got, b, r, err := readBody(string(AppendLastChunk(wire, trailers)), Chunked, -1, nil)
	require.NoError(t, err)
	require.Equal(t, want.String(), got)
	require.Equal(t, []string{"X-Sum: 1"}, fieldStrings(b.Trailers()))
	r.Reset(nil)
	require.Equal(t, LastChunk, string(AppendLastChunk(nil, nil)))
	require.LessOrEqual(t, len(AppendChunkHead(nil, 1<<62)), MaxChunkHead)
	require.Panics(t, func() { AppendChunkHead(nil, 0) })
}

// RFC 9110 section 6.5.1.
func TestForbiddenTrailersAreDropped(t *testing.T) {
	for _, name := range []string{"Transfer-Encoding", "content-length", "HOST", "Authorization", "Cookie",
		"Set-Cookie", "Cache-Control", "Expect", "TE",
		"Trailer", "Connection", "Keep-Alive", "Content-Type", "Content-Encoding", "Content-Range",
		"Max-Forwards", "Range", "If-Match", "Date", "Via",
		"X-Forwarded-For", "X-Forwarded-Whatever", "Forwarded", "X-Real-IP", "WWW-Authenticate",
		"Proxy-Authorization", "Location", "Vary", "a_b"} {
		require.False(t, TrailerAllowed([]byte(name)), name)
	}
	for _, name := range []string{"X-Sum", "Grpc-Status", "Digest", "Server-Timing", "ETag"} {
		require.True(t, TrailerAllowed([]byte(name)), name)
	}
}

func TestResponsesOfOurOwnAreWholeAndParse(t *testing.T) {
	retry := []Field{{[]byte("Retry-After"), []byte("3")}}
	require.Equal(t, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
		string(AppendServerResponse(nil, &ServerResponse{Status: 503, Framing: ContentLength, ContentLength: 5, Close: true, Extra: retry})))
	require.Equal(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		string(AppendServerResponse(nil, &ServerResponse{Status: 404, Framing: ContentLength})))
	require.Equal(t, "HTTP/1.1 204 No Content\r\n\r\n", string(AppendServerResponse(nil, &ServerResponse{Status: 204})))
	for status := 100; status < 1000; status++ {
		for _, method := range []string{"GET", "HEAD"} {
			own := ServerResponse{Status: status}
			if !bodyless(status) && status != 304 {
				own.Framing, own.ContentLength = ContentLength, 4
			}
			wire := AppendServerResponse(nil, &own)
			if own.Framing == ContentLength && method != "HEAD" {
				wire = append(wire, "text"...)
			}
			r := newReader(string(wire))
			var resp Response
			require.NoError(t, r.ReadResponse(&resp, []byte(method), nil))
			require.Equal(t, StatusText(status), string(resp.Reason))
			require.Equal(t, status != 101, resp.KeepAlive)
			var b Body
			b.Start(r, resp.Framing, resp.ContentLength, nil)
			b.Available()
			require.True(t, b.Done())
			require.Zero(t, r.Buffered())
			r.Reset(nil)
		}
	}
}

func TestClientRequestsParseAsWhatWasAsked(t *testing.T) {
	accept := Field{[]byte("Accept"), []byte("*/*")}
	require.Equal(t, "GET /healthz HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		string(AppendGet(nil, "GET", "h", "/healthz", false, accept)))
	req := mustParse(t, string(AppendClientRequest(nil, &ClientRequest{Authority: "h:1"})))
	require.Equal(t, "GET", string(req.Method))
	require.Equal(t, "/", string(req.Path))
	require.Equal(t, NoBody, req.Framing)
	require.True(t, req.KeepAlive)
	req = mustParse(t, string(AppendClientRequest(nil, &ClientRequest{Method: "PUT", Authority: "h",
		Path: "/x", Framing: ContentLength, ContentLength: 9})))
	require.EqualValues(t, 9, req.ContentLength)
	req = mustParse(t, string(AppendClientRequest(nil, &ClientRequest{Method: "PUT", Authority: "h",
		Framing: Chunked, Close: true})))
	require.Equal(t, Chunked, req.Framing)
	require.False(t, req.KeepAlive)
	require.Panics(t, func() { AppendClientRequest(nil, &ClientRequest{Framing: UntilClose}) })
}

func TestServerResponsesParseAsWhatWasAsked(t *testing.T) {
	for _, s := range []ServerResponse{{Status: 200, Framing: ContentLength, ContentLength: 3},
		{Status: 200, Framing: Chunked, Close: true},
		{Status: 500, Framing: UntilClose}, {Status: 204}, {Status: 304, Extra: []Field{{[]byte("ETag"),
			[]byte("x")}}}} {
		resp := mustParseResponse(t, string(AppendServerResponse(nil, &s)), "GET")
		require.Equal(t, s.Status, resp.Status)
		require.Equal(t, s.Framing, resp.Framing)
		require.Equal(t, !s.Close && s.Framing != UntilClose, resp.KeepAlive)
		require.GreaterOrEqual(t, len(resp.Fields), len(s.Extra))
	}
}

func TestValidatorsAgreeWithTheParser(t *testing.T) {
	for _, s := range []string{"", "a", "a b", "A-b_c", "\x00", "é"} {
		err := (&Request{}).Parse([]byte(lines("GET / HTTP/1.1", "Host: h", s+": v")), nil)
		require.Equal(t, err == nil, ValidFieldName(s), "%q", s)
	}
	for s, want := range map[string]bool{"": true, "a": true, "a\tb c": true, "\xff": true, " a": false,
		"a ": false, "a\t": false,
		"a\r\nb: c": false, "a\nb": false, "a\x00": false, "a\x7f": false} {
		require.Equal(t, want, ValidFieldValue(s), "%q", s)
	}
	for s, want := range map[string]bool{"": false, "/": true, "/a?b=%": true, "a": false, "*": false,
		"/%zz": false, "/ a": false, "/#": false, "/é": false} {
		require.Equal(t, want, ValidPath(s), "%q", s)
	}
	require.False(t, ValidMethod(""))
	require.False(t, ValidMethod("G T"))
	require.True(t, ValidMethod("GET"))
}

// The fields of a hand-filled Request, as another protocol's front makes it, are written in order.
func TestHandFilledRequestIsWritten(t *testing.T) {
	req := Request{Method: []byte("GET"), Authority: []byte("h"), Minor: 1, ContentLength: -1,
		Fields: []Field{{[]byte("a"), []byte("b")}}}
	require.Equal(t, "GET / HTTP/1.1\r\nHost: h\r\na: b\r\nX-Forwarded-Host: h\r\n\r\n",
		string(AppendRequestHead(nil, &req, &ForwardRequest{})))
	r := newReader("")
	require.Equal(t, io.EOF, r.Fill())
}
