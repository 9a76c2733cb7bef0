package http1

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResponsePartsAreAsReceived(t *testing.T) {
	resp := mustParseResponse(t, lines("HTTP/1.1 404 Not  Found\tat all\xff", "Content-Length: 3",
		"Server: x"), "GET")
	require.Equal(t, 404, resp.Status)
	require.Equal(t, 1, resp.Minor)
	require.Equal(t, "Not  Found\tat all\xff", string(resp.Reason))
	require.Equal(t, ContentLength, resp.Framing)
	require.EqualValues(t, 3, resp.ContentLength)
	require.True(t, resp.KeepAlive)
	require.Equal(t, "x", string(resp.Get("server")))
	resp.Reset()
	require.Nil(t, resp.Fields[:1][0].Value, "Reset must let go of the head")
	for _, line := range []string{"HTTP/1.1 200", "HTTP/1.1 200 "} {
		require.Empty(t, mustParseResponse(t, lines(line), "GET").Reason)
	}
}

func TestMalformedStatusLineIsRefused(t *testing.T) {
	for line, want := range map[string]error{
		"HTTP/1.1":              ErrBadStatusLine,
		"HTTP/1.1200 OK":        ErrBadStatusLine,
		"HTTP":                  ErrBadStatusLine,
		"ICY 200 OK":            ErrBadStatusLine,
		" HTTP/1.1 200 OK":      ErrBadStatusLine,
		"http/1.1 200 OK":       ErrBadStatusLine,
		"HTTP/1.1\t200 OK":      ErrBadStatusLine,
		"HTTP/1.1 200\tOK":      ErrBadStatusLine,
		"HTTP/1.1 200-OK":       ErrBadStatusLine,
		"HTTP/1.1 200 O\x00K":   ErrBadStatusLine,
		"HTTP/1.1 200 O\x7fK":   ErrBadStatusLine,
		"HTTP/1.1 200 O\rK":     ErrBareCR,
		"HTTP/1.1 200 OK\r":     ErrBareCR,
		"HTTP/1.1 200 OK\nA: b": ErrBareLF,
		"HTTP/x.1 200 OK":       ErrBadVersion,
		"HTTP/1.2 200 OK":       ErrUnsupportedVersion,
		"HTTP/2.0 200 OK":       ErrUnsupportedVersion,
		"HTTP/0.9 200 OK":       ErrUnsupportedVersion,
		"HTTP/1.1 ":             ErrBadStatus,
		"HTTP/1.1 20":           ErrBadStatus,
		"HTTP/1.1 2000 OK":      ErrBadStatus,
		"HTTP/1.1 099 OK":       ErrBadStatus,
		"HTTP/1.1 +20 OK":       ErrBadStatus,
		"HTTP/1.1  200 OK":      ErrBadStatus,
		"HTTP/1.1 2x0 OK":       ErrBadStatus,
	} {
		require.Equal(t, want, responseError(t, lines(line), "GET"), "%q", line)
	}
	for _, ok := range []string{"100", "599", "600", "999"} {
		require.NoError(t, responseError(t, lines("HTTP/1.1 "+ok), "GET"))
	}
}

func TestResponseFieldsAreParsedAsStrictlyAsRequestFields(t *testing.T) {
	for line, want := range map[string]error{
		"A : b":    ErrSpaceBeforeColon,
		"A":        ErrMissingColon,
		"A: b\x00": ErrBadFieldValue,
		"A: b\nC":  ErrBareLF,
		"A: b\rC":  ErrBareCR,
		" A: b":    ErrLeadingSpace,
	} {
		require.Equal(t, want, responseError(t, lines("HTTP/1.1 200 OK", line), "GET"), "%q", line)
	}
	require.Equal(t, ErrObsFold, responseError(t, lines("HTTP/1.1 200 OK", "A: b", " c"), "GET"))
}

// RFC 9112 section 6.3, in its order.
func TestResponseFramingFollowsMethodStatusAndFields(t *testing.T) {
	const cl, te = "Content-Length: 7", "Transfer-Encoding: chunked"
	for _, c := range []struct {
		method, status, field string
		framing               Framing
		length                int64
		keepAlive             bool
	}{
		{"GET", "200", cl, ContentLength, 7, true},
		{"GET", "200", "Content-Length: 0", ContentLength, 0, true},
		{"GET", "200", te, Chunked, -1, true},
		{"GET", "200", "A: b", UntilClose, -1, false},
		{"HEAD", "200", cl, NoBody, 7, true},
		{"HEAD", "200", te, NoBody, -1, true},
		{"HEAD", "200", "A: b", NoBody, -1, true},
		{"head", "200", cl, ContentLength, 7, true},
		{"GET", "304", cl, NoBody, 7, true},
		{"GET", "304", "A: b", NoBody, -1, true},
		{"GET", "204", "A: b", NoBody, -1, true},
		{"GET", "204", "Content-Length: 0", NoBody, 0, true},
		{"GET", "204", cl, NoBody, 7, false},
		{"GET", "204", te, NoBody, -1, false},
		{"GET", "100", "A: b", NoBody, -1, true},
		{"GET", "103", cl, NoBody, 7, false},
		{"GET", "101", "A: b", NoBody, -1, false},
		{"CONNECT", "200", cl, NoBody, -1, false},
		{"CONNECT", "200", te, NoBody, -1, false},
		{"CONNECT", "407", cl, ContentLength, 7, true},
	} {
		resp := mustParseResponse(t, lines("HTTP/1.1 "+c.status+" X", c.field), c.method)
		require.Equal(t, c.framing, resp.Framing, "%+v", c)
		require.Equal(t, c.length, resp.ContentLength, "%+v", c)
		require.Equal(t, c.keepAlive, resp.KeepAlive, "%+v", c)
	}
}

func TestResponsePersistenceFollowsVersionAndConnectionOptions(t *testing.T) {
	for _, c := range []struct {
		minor, connection string
		want              bool
	}{{"1", "", true}, {"1", "Close", false}, {"0", "", false}, {"0", "keep-alive", true}, {"0",
		"keep-alive, close", false}} {
		resp := mustParseResponse(t, lines("HTTP/1."+c.minor+" 200 OK", "Content-Length: 0", "Connection: "+
			c.connection), "GET")
		require.Equal(t, c.want, resp.KeepAlive, "%+v", c)
	}
}

func TestSwitchingProtocolsTellsTheProtocolOnlyIfConnectionNamesIt(t *testing.T) {
	resp := mustParseResponse(t, lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade",
		"Upgrade: websocket"), "GET")
	require.Equal(t, "websocket", string(resp.Upgrade))
	resp = mustParseResponse(t, lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket"), "GET")
	require.Nil(t, resp.Upgrade)
}

func TestInterimResponsesAreReadAsHeadsOfTheirOwn(t *testing.T) {
	r := newReader(lines("HTTP/1.1 100 Continue")+lines("HTTP/1.1 103 Early Hints", "Link: x")+
		lines("HTTP/1.1 200 OK", "Content-Length: 0"), 5)
	defer r.Reset(nil)
	var resp Response
	for _, want := range []int{100, 103, 200} {
		require.NoError(t, r.ReadResponse(&resp, []byte("POST"), nil))
		require.Equal(t, want, resp.Status)
	}
}
