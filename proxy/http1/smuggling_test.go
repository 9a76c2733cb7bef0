package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// post is a request head with the given framing lines.
func post(version string, framing ...string) string {
	return lines(append([]string{"POST / HTTP/" + version, "Host: h"}, framing...)...)
}

// CL.TE and TE.CL: RFC 9112 section 6.1; the answer is 400 and the connection ends, in either order of the
// two.
func TestLengthTogetherWithTransferEncodingIsRefused(t *testing.T) {
	for _, framing := range [][]string{
		{"Content-Length: 6", "Transfer-Encoding: chunked"},
		{"Transfer-Encoding: chunked", "Content-Length: 6"},
		{"Transfer-Encoding: identity", "Content-Length: 6"},
		{"Transfer-Encoding: chunked", "Content-Length: 6", "Content-Length: 6"},
		{"transfer-encoding:chunked", "content-length:0"},
	} {
		require.Equal(t, ErrLengthAndChunked, requestError(t, post("1.1", framing...), nil), "%q", framing)
		resp := "HTTP/1.1 200 OK\r\n" + strings.Join(framing, "\r\n") + "\r\n\r\n"
		require.Equal(t, ErrLengthAndChunked, responseError(t, resp, "GET"), "%q", framing)
	}
}

// TE.TE and TE.0: obfuscated codings (RFC 9112 sections 6.1 and 7; CVE-2019-20444, CVE-2021-32714,
// CVE-2022-1705).
func TestTransferEncodingMustBeExactlyOneFinalChunked(t *testing.T) {
	for value, want := range map[string]error{
		"chunked":                                nil,
		"CHUNKED":                                nil,
		" \tchunked\t ":                          nil,
		"":                                       ErrBadTransferEncoding,
		"chunked,":                               ErrBadTransferEncoding,
		",chunked":                               ErrBadTransferEncoding,
		"chunked, chunked":                       ErrBadTransferEncoding,
		"chunked, identity":                      ErrBadTransferEncoding,
		"chunked, gzip":                          ErrBadTransferEncoding,
		"chunked;q=1":                            ErrBadTransferEncoding,
		"\"chunked\"":                            ErrBadTransferEncoding,
		"chunked chunked":                        ErrBadTransferEncoding,
		"gzip, chunked":                          ErrUnknownTransferCoding,
		"gzip":                                   ErrUnknownTransferCoding,
		"identity":                               ErrUnknownTransferCoding,
		"xchunked":                               ErrUnknownTransferCoding,
		"chunke":                                 ErrUnknownTransferCoding,
		"\x0bchunked":                            ErrBadFieldValue,
		"\x00chunked":                            ErrBadFieldValue,
		"chunked\r\nA : b":                       ErrSpaceBeforeColon,
		"\r\n chunked":                           ErrObsFold,
		"x\r\n\tchunked":                         ErrObsFold,
		"\rchunked":                              ErrBareCR,
		"x\nchunked":                             ErrBareLF,
		"chunked\r\nContent-Length : 3":          ErrSpaceBeforeColon,
		"chunked\r\nTransfer-Encoding: chunked":  ErrBadTransferEncoding,
		"chunked\r\nTransfer-Encoding: identity": ErrBadTransferEncoding,
		"gzip\r\nTransfer-Encoding: chunked":     ErrBadTransferEncoding,
	} {
		require.Equal(t, want, requestError(t, post("1.1", "Transfer-Encoding: "+value), nil), "%q", value)
		require.Equal(t, want, responseError(t, lines("HTTP/1.1 200 OK", "Transfer-Encoding: "+value),
			"GET"), "%q", value)
	}
	require.Equal(t, Chunked, mustParse(t, post("1.1", "Transfer-Encoding: Chunked")).Framing)
}

// RFC 9112 section 6.1: an HTTP/1.0 message with Transfer-Encoding has faulty framing.
func TestTransferEncodingOnHTTP10IsRefused(t *testing.T) {
	require.Equal(t, ErrTransferEncodingOn10, requestError(t, post("1.0", "Transfer-Encoding: chunked"), nil))
	require.Equal(t, ErrTransferEncodingOn10, requestError(t, post("1.0", "Transfer-Encoding: identity"),
		nil))
	require.Equal(t, ErrTransferEncodingOn10, responseError(t, lines("HTTP/1.0 200 OK",
		"Transfer-Encoding: chunked"), "GET"))
}

// RFC 9112 section 6.3 and RFC 9110 section 8.6 (CVE-2018-7159, CVE-2020-10108, CVE-2022-24766).
func TestContentLengthIsDigitsOnlyAndFitsAnInt64(t *testing.T) {
	for value, want := range map[string]int64{
		"0": 0, "5": 5, "0005": 5, "9223372036854775807": 1<<63 - 1,
		"000000000000000000000000000000000007": 7,
	} {
		req := mustParse(t, post("1.1", "Content-Length: "+value))
		require.Equal(t, ContentLength, req.Framing)
		require.Equal(t, want, req.ContentLength)
	}
	for _, value := range []string{"", "+5", "-0", "-5", "0x5", "5_0", "5, 5", "5,5", "5 5", "5;", "5.0",
		"1e3", "５", "five", "\"5\"",
		"9223372036854775808", "18446744073709551621", "99999999999999999999"} {
		require.Equal(t, ErrBadContentLength, requestError(t, post("1.1", "Content-Length: "+value), nil),
			"%q", value)
		require.Equal(t, ErrBadContentLength, responseError(t, lines("HTTP/1.1 200 OK", "Content-Length: "+
			value), "GET"))
	}
}

// RFC 9112 section 6.3: we refuse even equal duplicates.
func TestTwoContentLengthLinesAreRefusedEvenIfEqual(t *testing.T) {
	for _, second := range []string{"5", "6", ""} {
		two := []string{"Content-Length: 5", "Content-Length: " + second}
		require.Equal(t, ErrDuplicateContentLength, requestError(t, post("1.1", two...), nil))
		require.Equal(t, ErrDuplicateContentLength,
			responseError(t, lines("HTTP/1.1 200 OK", two[0], two[1]), "GET"))
	}
}

// RFC 9112 section 3.2.
func TestHostMustBeThereOnceAndBeValid(t *testing.T) {
	require.Equal(t, ErrMissingHost, requestError(t, lines("GET / HTTP/1.1", "A: b"), nil))
	require.Equal(t, ErrMissingHost, requestError(t, lines("GET http://h/ HTTP/1.1", "A: b"), nil))
	require.NoError(t, requestError(t, lines("GET / HTTP/1.0", "A: b"), nil))
	require.Empty(t, mustParse(t, lines("GET / HTTP/1.0")).Authority)
	require.Equal(t, ErrDuplicateHost, requestError(t, lines("GET / HTTP/1.1", "Host: h", "Host: h"), nil))
	require.Equal(t, ErrDuplicateHost, requestError(t, lines("GET / HTTP/1.0", "Host: h", "host: i"), nil))
	for _, h := range []string{"h", "H.example", "a_b-c", "1.2.3.4", "1.2.3.4:80", "h:1", "h:65535", "[::]",
		"[::1]:80", "[1::]",
		"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]", "[::ffff:1.2.3.4]",
		"[1:2:3:4:5:6:1.2.3.4]", "[abCD::09]"} {
		require.NoError(t, requestError(t, lines("GET / HTTP/1.1", "Host: "+h), nil), h)
		require.True(t, ValidAuthority(h))
	}
	for _, h := range []string{"", "u@h", "h/", "h/p", "h?q", "h#f", "h i", "h,i", "h:", ":80", "h:0",
		"h:65536", "h:123456", "h:-1", "h:8o", "h:80:80",
		"é", "h\\i", "http://h", "%41", "[", "[]", "[::1", "::1", "[::1]x", "[::1]:", "[:]", "[:::]",
		"[1:2]", "[1::2::3]", "[12345::]",
		"[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:8::]", "[1:2:3:4:5:6:7:]", "[:1:2:3:4:5:6:7]", "[::1.2.3]",
		"[::1.2.3.256]",
		"[::1.2.3.4.5]", "[::01.2.3.4]", "[::1.2.3.]", "[::1.2.3.4:1]", "[fe80::1%25eth0]",
		"[1:2:3:4:5:6:7:1.2.3.4]", "[::g]", "[v1.a]"} {
		require.Equal(t, ErrBadHost, requestError(t, lines("GET / HTTP/1.1", "Host: "+h), nil), "%q", h)
		require.Equal(t, ErrBadHost, requestError(t, lines("GET http://ok/ HTTP/1.1", "Host: "+h), nil),
			"%q", h)
		require.False(t, ValidAuthority(h))
	}
}

// CL.0 and 0.CL: a body on any method is framed as declared, whatever the method usually carries.
func TestBodyIsFramedAsDeclaredOnEveryMethod(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "X"} {
		req := mustParse(t, lines(method+" / HTTP/1.1", "Host: h", "Content-Length: 3"))
		require.Equal(t, ContentLength, req.Framing)
		req = mustParse(t, lines(method+" / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"))
		require.Equal(t, Chunked, req.Framing)
		require.EqualValues(t, -1, req.ContentLength)
		req = mustParse(t, lines(method+" / HTTP/1.1", "Host: h"))
		require.Equal(t, NoBody, req.Framing)
		require.EqualValues(t, -1, req.ContentLength)
	}
}

// Names that look like framing are not framing; a name with an underscore goes no further (see
// AppendRequestHead).
func TestLookalikesOfFramingFieldsFrameNothing(t *testing.T) {
	for _, line := range []string{"Transfer_Encoding: chunked", "Content_Length: 5",
		"X-Transfer-Encoding: chunked",
		"Transfer-Encodin: chunked", "Transfer-Encoding-: chunked", "Content-Lengt: 5"} {
		require.Equal(t, NoBody, mustParse(t, post("1.1", line)).Framing, line)
	}
}

// The bytes behind a refused head must not be taken for a request: the Reader stands behind them or within
// them, and the caller closes. Behind an accepted one the next request begins at the very next byte.
func TestPipelinedRequestsBeginExactlyBehindTheBody(t *testing.T) {
	stream := post("1.1", "Content-Length: 5") + "12345" +
		post("1.1", "Transfer-Encoding: chunked") + "3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n" +
		lines("GET /last HTTP/1.1", "Host: h")
	r := newReader(stream)
	defer r.Reset(nil)
	var req Request
	var b Body
	for _, want := range []string{"12345", "abc", ""} {
		require.NoError(t, r.ReadRequest(&req, nil))
		b.Start(r, req.Framing, req.ContentLength, nil)
		run, ended := b.Available()
		require.Equal(t, want, string(run))
		require.True(t, ended)
	}
	require.Equal(t, "/last", string(req.Path))
	require.Zero(t, r.Buffered())
}
