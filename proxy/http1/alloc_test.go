package http1

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// loop is a source that yields the same bytes for ever, one whole message at a Read.
type loop struct{ data []byte }

func (l *loop) Read(p []byte) (int, error) { return copy(p, l.data), nil }

// exchange is what a proxy does for one request and its response, with all memory kept from one to the next.
type exchange struct {
	client, backend   Reader
	req               Request
	resp              Response
	reqBody, respBody Body
	fwd               ForwardRequest
	back              ForwardResponse
	out               []byte
}

var browserHead = lines("GET /static/app.js?v=12345 HTTP/1.1", "Host: www.example.com",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br",
	"Cookie: session=0123456789abcdef; theme=dark", "Referer: https://www.example.com/",
	"Connection: keep-alive", "Cache-Control: no-cache")

var originHead = lines("HTTP/1.1 200 OK", "Server: origin", "Date: Mon, 01 Jan 2024 00:00:00 GMT",
	"Content-Type: text/javascript",
	"Content-Length: 128", "ETag: \"abc\"", "Cache-Control: max-age=60")

func newExchange(request, response string) *exchange {
	x := &exchange{fwd: ForwardRequest{ClientIP: "192.0.2.1", Proto: "http", Via: "wavepool"},
		out: make([]byte, 0, 8<<10)}
	x.client.Reset(&loop{[]byte(request)})
	x.backend.Reset(&loop{[]byte(response)})
	return x
}

func (x *exchange) run(t testing.TB) {
	if err := x.client.ReadRequest(&x.req, nil); err != nil {
		t.Fatal(err)
	}
	x.fwd.Framing, x.fwd.ContentLength = x.req.Framing, x.req.ContentLength
	x.out = AppendRequestHead(x.out[:0], &x.req, &x.fwd)
	x.reqBody.Start(&x.client, x.req.Framing, x.req.ContentLength, nil)
	x.drain(t, &x.reqBody)
	if err := x.backend.ReadResponse(&x.resp, x.req.Method, nil); err != nil {
		t.Fatal(err)
	}
	x.back.Framing, x.back.ContentLength = x.resp.Framing, x.resp.ContentLength
	x.out = AppendResponseHead(x.out[:0], &x.resp, &x.back)
	x.respBody.Start(&x.backend, x.resp.Framing, x.resp.ContentLength, nil)
	x.drain(t, &x.respBody)
	if !x.client.ReleaseBuffer() || !x.backend.ReleaseBuffer() {
		t.Fatal("bytes are left over")
	}
}

func (x *exchange) drain(t testing.TB, b *Body) {
	for {
		run, err := b.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		x.out = AppendChunkHead(x.out, len(run))
		x.out = append(append(x.out, run...), ChunkEnd...)
	}
}

func TestSteadyExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops values under the race detector")
	}
	chunked := "5;ext=1\r\nhello\r\n80\r\n" + strings.Repeat("x", 128) + "\r\n0\r\nX-Sum: 1\r\n\r\n"
	for name, x := range map[string]*exchange{
		"length": newExchange(browserHead, originHead+strings.Repeat("x", 128)),
		"chunked": newExchange(post("1.1", "Transfer-Encoding: chunked",
			"Connection: a, b")+chunked, lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+chunked),
		"absolute form without a path": newExchange(lines("GET http://h?q HTTP/1.1", "Host: h",
			"X-Forwarded-For: 1"), lines("HTTP/1.1 204 No Content")),
	} {
		require.Zero(t, testing.AllocsPerRun(200, func() { x.run(t) }), name)
	}
	var req Request
	bad := []byte("GET / HTTP/1.1\r\nA : b\r\n\r\n")
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = req.Parse(bad, nil) }),
		"refusing must allocate nothing either")
	out := make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		out = AppendServerResponse(out[:0], &ServerResponse{Status: 503, Close: true})
		out = AppendGet(out[:0], "GET", "h", "/", true)
	}))
}

func BenchmarkParseRequest(b *testing.B) {
	var req Request
	head := []byte(browserHead)
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if err := req.Parse(head, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForwardRequest(b *testing.B) {
	var req Request
	if err := req.Parse([]byte(browserHead), nil); err != nil {
		b.Fatal(err)
	}
	f := ForwardRequest{ClientIP: "192.0.2.1", Proto: "http", Via: "wavepool"}
	var out []byte
	for b.Loop() {
		out = AppendRequestHead(out[:0], &req, &f)
	}
}

func BenchmarkWholeExchange(b *testing.B) {
	x := newExchange(browserHead, originHead+strings.Repeat("x", 128))
	for b.Loop() {
		x.run(b)
	}
}
