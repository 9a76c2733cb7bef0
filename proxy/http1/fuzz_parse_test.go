package http1

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stricterThanNetHTTP lists why we may refuse a request that http.ReadRequest reads, with a sample of each.
// Whatever else we refuse, it must refuse too. Some it leaves to net/http's server, which refuses them
// later.
var stricterThanNetHTTP = []struct {
	refusal *ParseError
	sample  string
}{
	{ErrBareLF, "GET / HTTP/1.1\nHost: h\n\n"},
	{ErrObsFold, lines("GET / HTTP/1.1", "Host: h", "A: b", " c")},
	{ErrBadMethod, lines(strings.Repeat("M", 33)+" / HTTP/1.1", "Host: h")},
	{ErrBadTarget, lines("GET /\xff HTTP/1.1", "Host: h")},
	{ErrBadEscape, lines("GET x:%zz HTTP/1.1", "Host: h")},
	{ErrFragmentInTarget, lines("GET /#x HTTP/1.1", "Host: h")},
	{ErrBadAuthority, lines("GET http://u@h/ HTTP/1.1", "Host: h")},
	{ErrTargetTooLong, lines("GET /"+strings.Repeat("a", 9000)+" HTTP/1.1", "Host: h")},
	{ErrHeaderTooLarge, lines("GET / HTTP/1.1", "Host: h", "A: "+strings.Repeat("a", 70_000))},
	{ErrTooManyFields, lines("GET / HTTP/1.1", "Host: h"+strings.Repeat("\r\nA: b", 100))},
	{ErrUnsupportedVersion, lines("GET / HTTP/1.2", "Host: h")},
	{ErrMissingHost, lines("GET / HTTP/1.1", "A: b")},
	{ErrBadHost, lines("GET / HTTP/1.1", "Host: h/i")},
	{ErrLengthAndChunked, post("1.1", "Content-Length: 5", "Transfer-Encoding: chunked")},
	{ErrDuplicateContentLength, post("1.1", "Content-Length: 5", "Content-Length: 5")},
	{ErrTransferEncodingOn10, post("1.0", "Transfer-Encoding: chunked")},
	{ErrBadFieldName, lines("GET / HTTP/1.1", "Host: h", "A b: c")},
	{ErrSpaceBeforeColon, lines("GET / HTTP/1.1", "Host: h", "A : c")},
}

func TestNetHTTPReadsWhatTheListSaysWeRefuse(t *testing.T) {
	for _, s := range stricterThanNetHTTP {
		require.Equal(t, s.refusal, requestError(t, s.sample, nil), "%.60q", s.sample)
		_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(s.sample)))
		require.NoError(t, err, "%v needs no place in the list", s.refusal)
	}
}

// refusedByBoth are the other reasons to refuse the head of a request, with a sample of each.
var refusedByBoth = []struct {
	refusal *ParseError
	sample  string
}{
	{ErrBadRequestLine, lines("GET /", "Host: h")},
	{ErrBadVersion, lines("GET / http/1.1", "Host: h")},
	{ErrBareCR, lines("GET /\r HTTP/1.1", "Host: h")},
	{ErrLeadingSpace, lines("GET / HTTP/1.1", " Host: h")},
	{ErrMissingColon, lines("GET / HTTP/1.1", "Host: h", "A")},
	{ErrEmptyFieldName, lines("GET / HTTP/1.1", "Host: h", ": a")},
	{ErrBadFieldValue, lines("GET / HTTP/1.1", "Host: h", "A: \x00")},
	{ErrDuplicateHost, lines("GET / HTTP/1.1", "Host: h", "Host: h")},
	{ErrBadContentLength, post("1.1", "Content-Length: +5")},
	{ErrBadTransferEncoding, post("1.1", "Transfer-Encoding: chunked, chunked")},
	{ErrUnknownTransferCoding, post("1.1", "Transfer-Encoding: gzip")},
}

// notOfAHead are the refusals that no head of a request meets.
var notOfAHead = []*ParseError{ErrBadHeadEnd, ErrBadChunkSize, ErrChunkTooLarge, ErrBadChunkExtension, ErrChunkOverhead,
	ErrBadChunkEnd, ErrTrailerTooLarge, ErrBadStatusLine, ErrBadStatus}

// Every reason to refuse is either one that net/http does not have, and then it is in the list above with a sample, or one
// that it shares.
func TestTheListOfDifferencesFromNetHTTPIsWhole(t *testing.T) {
	seen := map[*ParseError]int{}
	for _, s := range stricterThanNetHTTP {
		seen[s.refusal]++
	}
	for _, s := range refusedByBoth {
		seen[s.refusal]++
		require.Equal(t, s.refusal, requestError(t, s.sample, nil), "%.60q", s.sample)
		_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(s.sample)))
		require.Error(t, err, "net/http reads it: %v belongs to the other list", s.refusal)
	}
	for _, refusal := range notOfAHead {
		seen[refusal]++
	}
	for _, refusal := range Refusals() {
		require.Equal(t, 1, seen[refusal], "%v", refusal)
	}
}

func weAreStricter(refusal *ParseError) bool {
	for _, s := range stricterThanNetHTTP {
		if s.refusal == refusal {
			return true
		}
	}
	return false
}

// Whatever we accept, net/http accepts, and understands in the same way: a backend written in Go sees the
// request that we routed.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(browserHead))
	f.Add([]byte(post("1.1", "Transfer-Encoding: chunked")))
	f.Add([]byte(post("1.0", "Content-Length: 007", "Connection: keep-alive")))
	f.Add([]byte(lines("GET http://[::1]:80?x HTTP/1.1", "Host: h")))
	f.Add([]byte(lines("CONNECT h:443 HTTP/1.1", "Host: h")))
	f.Add([]byte(lines("OPTIONS * HTTP/1.1", "Host: h")))
	f.Add([]byte("GET / HTTP/1.1\nHost: h\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &Reader{}
		r.Reset(bytes.NewReader(data))
		defer r.Reset(nil)
		var req Request
		err := r.ReadRequest(&req, nil)
		std, stdErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(data,
			[]byte("\r\n")))))
		var refusal *ParseError
		switch {
		case err == nil:
			require.NoError(t, stdErr, "we accept what net/http refuses")
			compareRequests(t, &req, std)
		case errors.As(err, &refusal):
			require.Contains(t, Refusals(), refusal)
			if stdErr == nil && !weAreStricter(refusal) {
				t.Fatalf("refused for an unexpected reason: %v", refusal)
			}
		default:
			require.True(t, err == io.EOF || err == io.ErrUnexpectedEOF, "%v", err)
		}
	})
}

func compareRequests(t *testing.T, req *Request, std *http.Request) {
	require.Equal(t, std.Method, string(req.Method))
	require.Equal(t, std.RequestURI, string(req.Target))
	require.Equal(t, std.Host, string(req.Authority))
	require.Equal(t, std.ProtoMinor, req.Minor)
	require.Equal(t, std.Close, !req.KeepAlive)
	switch req.Framing {
	case NoBody:
		require.Zero(t, std.ContentLength)
	case ContentLength:
		require.Equal(t, std.ContentLength, req.ContentLength)
	case Chunked:
		require.Equal(t, []string{"chunked"}, std.TransferEncoding)
	default:
		t.Fatalf("a request framed %v", req.Framing)
	}
	if !req.IsConnect && string(req.Path) != "*" {
		path, _, _ := strings.Cut(string(req.Path), "?")
		plain, err := url.PathUnescape(path)
		require.NoError(t, err)
		require.Equal(t, cmp.Or(std.URL.Path, "/"), plain)
	}
	n := 0
	for _, values := range std.Header {
		n += len(values)
	}
	hidden := 0 // net/http takes these out of its Header
	for _, fl := range req.Fields {
		if equalFold(fl.Name, "host") || equalFold(fl.Name, "transfer-encoding") ||
			equalFold(fl.Name, "trailer") && req.Framing == Chunked {
			hidden++
		}
	}
	if std.Header.Get("Pragma") != "no-cache" { // which makes net/http add Cache-Control
		require.Equal(t, n, len(req.Fields)-hidden)
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte(originHead), uint8(0))
	f.Add([]byte(lines("HTTP/1.1 200", "Transfer-Encoding: chunked")), uint8(0))
	f.Add([]byte(lines("HTTP/1.0 304 Not Modified", "Content-Length: 5", "Connection: keep-alive")), uint8(1))
	f.Add([]byte(lines("HTTP/1.1 101 X", "Upgrade: y", "Connection: upgrade")), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, m uint8) {
		method := []string{"GET", "HEAD", "CONNECT"}[m%3]
		r := &Reader{}
		r.Reset(bytes.NewReader(data))
		defer r.Reset(nil)
		var resp Response
		err := r.ReadResponse(&resp, []byte(method), nil)
		if err != nil {
			var refusal *ParseError
			require.True(t, err == io.EOF || err == io.ErrUnexpectedEOF || errors.As(err, &refusal), "%v",
				err)
			return
		}
		if method == "CONNECT" && resp.Status/100 == 2 {
			// RFC 9110 section 9.3.6 has us ignore framing fields here, which net/http judges.
			require.Equal(t, NoBody, resp.Framing)
			require.False(t, resp.KeepAlive)
			return
		}
		std, stdErr := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)),
			&http.Request{Method: method})
		require.NoError(t, stdErr, "we accept what net/http refuses")
		require.Equal(t, std.StatusCode, resp.Status)
		require.Equal(t, std.ProtoMinor, resp.Minor)
		switch resp.Framing {
		case ContentLength:
			require.Equal(t, std.ContentLength, resp.ContentLength)
		case Chunked:
			require.Equal(t, []string{"chunked"}, std.TransferEncoding)
		case UntilClose:
			require.EqualValues(t, -1, std.ContentLength)
			require.Empty(t, std.TransferEncoding)
			require.False(t, resp.KeepAlive)
		case NoBody:
			require.True(t, resp.Status < 200 || resp.Status == 204 || resp.Status == 304 || method != "GET")
		}
		cookies := 0
		for _, fl := range resp.Fields {
			if strings.EqualFold(string(fl.Name), "Set-Cookie") {
				cookies++
			}
		}
		require.Len(t, std.Header.Values("Set-Cookie"), cookies)
	})
}
