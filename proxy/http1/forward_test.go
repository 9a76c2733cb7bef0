package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forwarded parses a head and returns it as forwarded, split into lines without the blank one.
func forwarded(t *testing.T, head string, f ForwardRequest) []string {
	t.Helper()
	req := mustParse(t, head)
	if f.Framing == NoBody {
		f.Framing, f.ContentLength = req.Framing, req.ContentLength
	}
	out := string(AppendRequestHead(nil, req, &f))
	require.True(t, strings.HasSuffix(out, "\r\n\r\n"))
	return strings.Split(strings.TrimSuffix(out, "\r\n\r\n"), "\r\n")
}

func TestRequestIsForwardedWithHostFirstAndOurFieldsLast(t *testing.T) {
	got := forwarded(t, lines("POST /p?q HTTP/1.0", "Accept: a", "HOST: h:8080", "content-length: 0007",
		"X-a:  b "),
		ForwardRequest{ClientIP: "192.0.2.7", Proto: "https", Via: "wp"})
	require.Equal(t, []string{"POST /p?q HTTP/1.1", "Host: h:8080", "Accept: a", "X-a: b",
		"Content-Length: 7",
		"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: h:8080",
		"Via: 1.0 wp"}, got)
}

// RFC 9112 section 3.2.2: the authority of the absolute form replaces Host, and the target becomes origin
// form.
func TestAbsoluteFormLeavesAsOriginFormWithItsAuthority(t *testing.T) {
	got := forwarded(t, lines("GET http://real/p HTTP/1.1", "Host: forged"), ForwardRequest{})
	require.Equal(t, []string{"GET /p HTTP/1.1", "Host: real", "X-Forwarded-Host: real"}, got)
	got = forwarded(t, lines("OPTIONS http://real HTTP/1.1", "Host: forged"),
		ForwardRequest{Host: []byte("backend:1")})
	require.Equal(t, []string{"OPTIONS * HTTP/1.1", "Host: backend:1", "X-Forwarded-Host: real"}, got)
	got = forwarded(t, lines("CONNECT real:443 HTTP/1.1", "Host: real:443"), ForwardRequest{})
	require.Equal(t, "CONNECT real:443 HTTP/1.1", got[0])
}

// RFC 9110 section 7.6.1, and CVE-2016-5385 for Proxy.
func TestHopByHopFieldsAreNotForwarded(t *testing.T) {
	got := forwarded(t, lines("GET / HTTP/1.1", "Host: h", "Connection: keep-alive, X-Named ,x-other",
		"x-named: 1", "X-OTHER: 2",
		"Connection: third", "Third: 3", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
		"TE: trailers", "Upgrade: h2c",
		"HTTP2-Settings: AAA", "Proxy-Authorization: x", "Proxy-Authenticate: x", "Trailer: X",
		"Proxy: evil", "X-Kept: 4"),
		ForwardRequest{})
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Kept: 4", "X-Forwarded-Host: h"}, got)
}

// CVE-2024-45410 and its bypass CVE-2026-29054: the client names fields in Connection, in any case, to have
// them deleted.
func TestConnectionCannotDeleteWhatTheBackendReliesOn(t *testing.T) {
	got := forwarded(t, lines("POST / HTTP/1.1", "Host: h", "Content-Length: 3", "Authorization: a",
		"Cookie: c", "Cache-Control: no-store",
		"Content-Type: t", "Via: 1.1 loop", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Port: 1", "X-Gone: g",
		"Connection: HOST, content-LENGTH, authorization, Cookie, cache-control, "+
			"content-type, VIA, x-forwarded-FOR, "+
			"X-Forwarded-Proto, x-forwarded-host, X-Forwarded-Port, x-gone"),
		ForwardRequest{ClientIP: "2.2.2.2", Proto: "http", TrustForwarded: true, Via: "wp"})
	require.Equal(t, []string{"POST / HTTP/1.1", "Host: h", "Authorization: a", "Cookie: c",
		"Cache-Control: no-store", "Content-Type: t",
		"Via: 1.1 loop", "X-Forwarded-Port: 1", "Content-Length: 3", "X-Forwarded-For: 1.1.1.1, 2.2.2.2",
		"X-Forwarded-Proto: http",
		"X-Forwarded-Host: h", "Via: 1.1 wp"}, got)
}

func TestForwardingFieldsOfStrangersAreDropped(t *testing.T) {
	inbound := lines("GET / HTTP/1.1", "Host: h", "x-forwarded-for: 6.6.6.6", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: evil",
		"X-Forwarded-Port: 1", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "X_Forwarded_For: 6.6.6.6",
		"X_Real_Ip: 6.6.6.6")
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 2.2.2.2",
		"X-Forwarded-Proto: http", "X-Forwarded-Host: h"},
		forwarded(t, inbound, ForwardRequest{ClientIP: "2.2.2.2", Proto: "http"}))
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Forwarded-Port: 1", "Forwarded: for=6.6.6.6",
		"X-Real-IP: 6.6.6.6",
		"X-Forwarded-For: 6.6.6.6, 2.2.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"},
		forwarded(t, inbound, ForwardRequest{ClientIP: "2.2.2.2", Proto: "http", TrustForwarded: true}))
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Forwarded-Host: h"}, forwarded(t, inbound,
		ForwardRequest{}))
}

func TestTrustedForwardedForLinesAreJoinedIntoOne(t *testing.T) {
	got := forwarded(t, lines("GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 1.1.1.1, 2.2.2.2",
		"X-Forwarded-For:", "X-Forwarded-For: 3.3.3.3"),
		ForwardRequest{TrustForwarded: true})
	require.Contains(t, got, "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3")
}

// CVE-2026-54763: backends read X_Y as X-Y, so such a name goes round every rule about X-Y.
func TestFieldNamesWithUnderscoreAreNotForwarded(t *testing.T) {
	got := forwarded(t, lines("GET / HTTP/1.1", "Host: h", "Transfer_Encoding: chunked",
		"Content_Length: 5", "a_b: c", "Co_okie: x"), ForwardRequest{})
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Forwarded-Host: h"}, got)
}

func TestFramingIsWrittenAnewForTheNextHop(t *testing.T) {
	chunked := lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: CHUNKED", "Trailer: X-Sum")
	require.Equal(t, []string{"POST / HTTP/1.1", "Host: h", "Trailer: X-Sum", "Transfer-Encoding: chunked",
		"X-Forwarded-Host: h"},
		forwarded(t, chunked, ForwardRequest{}))
	require.Equal(t, []string{"POST / HTTP/1.1", "Host: h", "Content-Length: 12", "X-Forwarded-Host: h"},
		forwarded(t, chunked, ForwardRequest{Framing: ContentLength, ContentLength: 12}))
	req := mustParse(t, chunked)
	for _, f := range []Framing{NoBody, UntilClose} {
		require.Panics(t, func() { AppendRequestHead(nil, req, &ForwardRequest{Framing: f}) })
	}
	require.Panics(t, func() {
		AppendRequestHead(nil, req, &ForwardRequest{Framing: ContentLength,
			ContentLength: -1})
	})
}

func TestExpectIsForwardedForHTTP11Only(t *testing.T) {
	for minor, want := range map[string]bool{"0": false, "1": true} {
		got := forwarded(t, lines("POST / HTTP/1."+minor, "Host: h", "Expect: 100-continue",
			"Content-Length: 5"), ForwardRequest{})
		require.Equal(t, want, strings.Contains(strings.Join(got, "\n"), "Expect: 100-continue"))
	}
}

func TestUpgradeAndCloseAreWrittenOnlyOnRequest(t *testing.T) {
	head := lines("GET / HTTP/1.1", "Host: h", "Connection: upgrade", "Upgrade: websocket")
	got := forwarded(t, head, ForwardRequest{Upgrade: []byte("websocket")})
	require.Equal(t, []string{"Connection: Upgrade", "Upgrade: websocket"}, got[len(got)-2:])
	got = forwarded(t, head, ForwardRequest{Close: true})
	require.Equal(t, "Connection: close", got[len(got)-1])
	require.NotContains(t, strings.Join(got, "\n"), "websocket")
}

func answered(t *testing.T, head, method string, f ForwardResponse) []string {
	t.Helper()
	resp := mustParseResponse(t, head, method)
	if f.Framing == NoBody {
		f.Framing, f.ContentLength = resp.Framing, resp.ContentLength
	}
	out := string(AppendResponseHead(nil, resp, &f))
	require.True(t, strings.HasSuffix(out, "\r\n\r\n"))
	return strings.Split(strings.TrimSuffix(out, "\r\n\r\n"), "\r\n")
}

func TestResponseIsForwardedWithoutHopByHopFields(t *testing.T) {
	got := answered(t, lines("HTTP/1.0 200 Fine", "Connection: keep-alive, x-named", "X-Named: 1",
		"Keep-Alive: 5", "Server: s", "Content-Length: 05",
		"Proxy-Authenticate: x", "Trailer: T", "Upgrade: h2c", "Set-Cookie: a", "Set-Cookie: b",
		"X_Y: kept"), "GET",
		ForwardResponse{Via: "wp", Date: "now"})
	require.Equal(t, []string{"HTTP/1.1 200 Fine", "Server: s", "Set-Cookie: a", "Set-Cookie: b",
		"X_Y: kept", "Date: now", "Via: 1.0 wp",
		"Content-Length: 5"}, got)
	got = answered(t, lines("HTTP/1.1 200 OK", "Date: then", "Content-Length: 0"), "GET",
		ForwardResponse{Date: "now"})
	require.Equal(t, []string{"HTTP/1.1 200 OK", "Date: then", "Content-Length: 0"}, got)
	got = answered(t, lines("HTTP/1.1 200 OK", "Connection: set-cookie", "Set-Cookie: a",
		"Content-Length: 0"), "GET", ForwardResponse{})
	require.Contains(t, got, "Set-Cookie: a")
}

func TestResponseFramingIsMadeForTheClient(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked"
	for _, c := range []struct {
		status, field, method string
		f                     ForwardResponse
		want                  []string
	}{
		{"200 OK", chunked, "GET", ForwardResponse{}, []string{chunked}},
		{"200 OK", chunked, "GET", ForwardResponse{Framing: UntilClose, KeepAliveTo10: true},
			[]string{"Connection: close"}},
		{"200 OK", "Content-Length: 5", "GET", ForwardResponse{KeepAliveTo10: true},
			[]string{"Content-Length: 5", "Connection: keep-alive"}},
		{"200 OK", "Content-Length: 5", "GET", ForwardResponse{Close: true, KeepAliveTo10: true},
			[]string{"Content-Length: 5", "Connection: close"}},
		{"200 OK", "A: b", "GET", ForwardResponse{}, []string{"A: b", "Connection: close"}},
		{"200 OK", "A: b", "GET", ForwardResponse{Framing: Chunked}, []string{"A: b", chunked}},
		{"200 OK", "Content-Length: 5", "HEAD", ForwardResponse{}, []string{"Content-Length: 5"}},
		{"200 OK", chunked, "HEAD", ForwardResponse{}, []string{}},
		{"304 X", "Content-Length: 5", "GET", ForwardResponse{Close: true}, []string{"Content-Length: 5",
			"Connection: close"}},
		{"204 X", "Content-Length: 0", "GET", ForwardResponse{}, []string{}},
		{"204 X", chunked, "GET", ForwardResponse{Close: true}, []string{"Connection: close"}},
		{"100 X", "Content-Length: 5", "GET", ForwardResponse{Close: true, KeepAliveTo10: true, Date: "d"},
			[]string{}},
		{"103 X", "Link: l", "GET", ForwardResponse{}, []string{"Link: l"}},
		{"101 X", "Upgrade: u\r\nConnection: upgrade", "GET", ForwardResponse{Upgrade: []byte("u")},
			[]string{"Connection: Upgrade", "Upgrade: u"}},
	} {
		got := answered(t, lines("HTTP/1.1 "+c.status, c.field), c.method, c.f)
		require.Equal(t, append([]string{"HTTP/1.1 " + c.status}, c.want...), got, "%+v", c)
	}
	resp := mustParseResponse(t, lines("HTTP/1.1 200 OK"), "GET")
	require.Panics(t, func() { AppendResponseHead(nil, resp, &ForwardResponse{}) })
	require.Panics(t, func() { AppendResponseHead(nil, &Response{Status: 99}, &ForwardResponse{}) })
}
