package http1

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequestPartsAliasTheHeadAndKeepTheirSpelling(t *testing.T) {
	head := []byte(lines("PUT /a/b%20c?x=%&y HTTP/1.1", "hOsT: Example.com:8080", "Content-length:  012 ",
		"X-Empty:",
		"Accept: \t a, b \t", "Accept: c"))
	var req Request
	require.NoError(t, req.Parse(head, nil))
	require.Equal(t, "PUT", string(req.Method))
	require.Equal(t, "/a/b%20c?x=%&y", string(req.Path))
	require.Equal(t, req.Target, req.Path)
	require.Equal(t, "Example.com:8080", string(req.Authority))
	require.Equal(t, ContentLength, req.Framing)
	require.EqualValues(t, 12, req.ContentLength)
	require.True(t, req.KeepAlive)
	require.Equal(t, []string{"hOsT: Example.com:8080", "Content-length: 012", "X-Empty: ", "Accept: a, b",
		"Accept: c"},
		fieldStrings(req.Fields))
	require.Equal(t, "a, b", string(req.Get("ACCEPT")))
	require.NotNil(t, req.Get("x-empty"))
	require.Nil(t, req.Get("x-absent"))
	head[0] = 'X'
	require.Equal(t, "XUT", string(req.Method), "the parts must alias the head")
	req.Reset()
	require.Empty(t, req.Fields)
	require.Nil(t, req.Fields[:1][0].Value, "Reset must let go of the head")
}

// RFC 9112 section 3.2: the four forms of the target, and whose host counts.
func TestTargetFormsYieldPathAndAuthority(t *testing.T) {
	for _, c := range []struct{ method, target, path, authority string }{
		{"GET", "/", "/", "h"},
		{"GET", "//x/y", "//x/y", "h"},
		{"GET", "/a:b?http://q/", "/a:b?http://q/", "h"},
		{"GET", "http://other/p?q", "/p?q", "other"},
		{"GET", "HTTPS://Other:1/p", "/p", "Other:1"},
		{"GET", "http://other", "/", "other"},
		{"GET", "http://other?q=1", "/?q=1", "other"},
		{"GET", "http://[::1]:80/", "/", "[::1]:80"},
		{"OPTIONS", "*", "*", "h"},
		{"OPTIONS", "http://other", "*", "other"},
		{"OPTIONS", "http://other/", "/", "other"},
		{"CONNECT", "other:443", "", "other:443"},
		{"CONNECT", "[::1]:443", "", "[::1]:443"},
	} {
		req := mustParse(t, lines(c.method+" "+c.target+" HTTP/1.1", "Host: h"))
		require.Equal(t, c.path, string(req.Path), c.target)
		require.Equal(t, c.authority, string(req.Authority), c.target)
		require.Equal(t, c.target, string(req.Target))
		require.Equal(t, c.method == "CONNECT", req.IsConnect)
	}
}

// The path that an absolute form lacks is made in memory that the next request reuses, never in the
// caller's head.
func TestParsingTwiceYieldsTheSame(t *testing.T) {
	head := []byte(lines("GET http://other?q=1 HTTP/1.1", "Host: h"))
	before := string(head)
	var req Request
	for range 3 {
		require.NoError(t, req.Parse(head, nil))
		require.Equal(t, "/?q=1", string(req.Path))
		require.Equal(t, before, string(head))
	}
}

func TestMalformedRequestLineIsRefused(t *testing.T) {
	for line, want := range map[string]error{
		"GET":                             ErrBadRequestLine,
		"GET /":                           ErrBadRequestLine, // HTTP/0.9
		"GET  / HTTP/1.1":                 ErrBadRequestLine,
		"GET /  HTTP/1.1":                 ErrBadRequestLine,
		"GET / HTTP/1.1 ":                 ErrBadRequestLine,
		"GET / HTTP/1.1 x":                ErrBadRequestLine,
		"GET / ":                          ErrBadRequestLine,
		"GET /a b HTTP/1.1":               ErrBadRequestLine,
		" GET / HTTP/1.1":                 ErrBadMethod,
		"GET\t/ HTTP/1.1":                 ErrBadMethod,
		"G(T / HTTP/1.1":                  ErrBadMethod,
		"\x16\x03\x01 / HTTP/1.1":         ErrBadMethod, // a TLS hello on a plain port
		"GET /\tHTTP/1.1":                 ErrBadRequestLine,
		"GET /\t HTTP/1.1":                ErrBadTarget,
		"GET /\x00 HTTP/1.1":              ErrBadTarget,
		"GET /\x7f HTTP/1.1":              ErrBadTarget,
		"GET /\xc3\xa9 HTTP/1.1":          ErrBadTarget,
		"GET /?\xff HTTP/1.1":             ErrBadTarget,
		"GET a/b HTTP/1.1":                ErrBadTarget,
		"GET ?a HTTP/1.1":                 ErrBadTarget,
		"GET * HTTP/1.1":                  ErrBadTarget,
		"OPTIONS ** HTTP/1.1":             ErrBadTarget,
		"GET ftp://h/ HTTP/1.1":           ErrBadTarget,
		"GET http:/h/ HTTP/1.1":           ErrBadTarget,
		"GET h:443 HTTP/1.1":              ErrBadTarget,
		"GET /a#b HTTP/1.1":               ErrFragmentInTarget,
		"GET /?a#b HTTP/1.1":              ErrFragmentInTarget,
		"GET http://h#b HTTP/1.1":         ErrFragmentInTarget,
		"GET /% HTTP/1.1":                 ErrBadEscape,
		"GET /%2 HTTP/1.1":                ErrBadEscape,
		"GET /%2g?a HTTP/1.1":             ErrBadEscape,
		"GET /%u0041 HTTP/1.1":            ErrBadEscape,
		"GET http://h/%zz HTTP/1.1":       ErrBadEscape,
		"GET http:// HTTP/1.1":            ErrBadAuthority,
		"GET http:///p HTTP/1.1":          ErrBadAuthority,
		"GET http://u@h/ HTTP/1.1":        ErrBadAuthority, // user information, RFC 9110 section 4.2.4
		"GET http://u:p@h/ HTTP/1.1":      ErrBadAuthority,
		"GET http://h:0/ HTTP/1.1":        ErrBadAuthority,
		"GET http://h\\@evil/ HTTP/1.1":   ErrBadAuthority,
		"CONNECT h HTTP/1.1":              ErrBadAuthority,
		"CONNECT / HTTP/1.1":              ErrBadAuthority,
		"CONNECT http://h:1/ HTTP/1.1":    ErrBadAuthority,
		"CONNECT u@h:1 HTTP/1.1":          ErrBadAuthority,
		"GET / http/1.1":                  ErrBadVersion,
		"GET / HTTP/1":                    ErrBadVersion,
		"GET / HTTP/1.":                   ErrBadVersion,
		"GET / HTTP/1.10":                 ErrBadVersion,
		"GET / HTTP/01.1":                 ErrBadVersion,
		"GET / HTTP/1,1":                  ErrBadVersion,
		"GET / HTTP/a.1":                  ErrBadVersion,
		"GET / HTCPCP/1.0":                ErrBadVersion,
		"GET / HTTP/0.9":                  ErrUnsupportedVersion,
		"GET / HTTP/1.2":                  ErrUnsupportedVersion,
		"GET / HTTP/2.0":                  ErrUnsupportedVersion,
		"PRI * HTTP/2.0":                  ErrUnsupportedVersion, // the preface of RFC 9113 section 3.4
		"GET / HTTP/1.1\rX":               ErrBareCR,
		"GET /\r HTTP/1.1":                ErrBareCR,
		"GET / HTTP/1.1\r":                ErrBareCR,
		"GET / HTTP/1.1\nHost: h\r\nA: b": ErrBareLF,
	} {
		require.Equal(t, want, requestError(t, lines(line, "Host: h"), nil), "%q", line)
	}
}

func TestEmptyRequestLineIsRefused(t *testing.T) {
	var req Request
	require.Equal(t, ErrBadRequestLine, req.Parse([]byte("\r\n\r\n"), nil))
}

func TestMalformedFieldLineIsRefused(t *testing.T) {
	for line, want := range map[string]error{
		"A: b\nC: d":         ErrBareLF,
		"A: b\n":             ErrBareLF,
		"\nA: b":             ErrBareLF,
		"A: b\rC: d":         ErrBareCR,
		"A: b\r":             ErrBareCR,
		"A\r: b":             ErrBareCR,
		"A: \rb":             ErrBareCR,
		"A:\r b":             ErrBareCR,
		" A: b":              ErrObsFold,
		"\tfolded":           ErrObsFold,
		" ":                  ErrObsFold,
		"A : b":              ErrSpaceBeforeColon,
		"A\t: b":             ErrSpaceBeforeColon,
		"Content-Length : 5": ErrSpaceBeforeColon, // CVE-2019-16869
		": b":                ErrEmptyFieldName,
		":":                  ErrEmptyFieldName,
		"A":                  ErrMissingColon,
		"A b":                ErrMissingColon,
		"A b: c":             ErrBadFieldName,
		"A\x00: b":           ErrBadFieldName,
		"A\x0b: b":           ErrBadFieldName,
		"\xc3\xa9: b":        ErrBadFieldName,
		"A(): b":             ErrBadFieldName,
		"\"A\": b":           ErrBadFieldName,
		"A/B: c":             ErrBadFieldName,
		"A: b\x00c":          ErrBadFieldValue,
		"A: \x01":            ErrBadFieldValue,
		"A: b\x7f":           ErrBadFieldValue,
		"A: b\x0bc":          ErrBadFieldValue,
		"A: 12345678\x1f":    ErrBadFieldValue,
		"A: 1234567\x1b9":    ErrBadFieldValue,
	} {
		require.Equal(t, want, requestError(t, lines("GET / HTTP/1.1", "Host: h", line), nil), "%q", line)
	}
	require.NoError(t, requestError(t, lines("GET / HTTP/1.1", "Host: h", "A: \tb\tc\xff\x80 d \t",
		"!#$%&'*+-.^_`|~09aZ:x"), nil))
}

// RFC 9112 section 2.2: white space between the start line and the first field.
func TestWhitespaceBeforeTheFirstFieldIsRefused(t *testing.T) {
	for _, line := range []string{" Host: h", "\tHost: h", " "} {
		require.Equal(t, ErrLeadingSpace, requestError(t, lines("GET / HTTP/1.1", line, "Host: h"), nil))
	}
}

func TestParseRefusesBytesThatAreNotExactlyOneHead(t *testing.T) {
	var req Request
	for _, head := range []string{"GET / HTTP/1.0", "GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\nA: b\r\n",
		"GET / HTTP/1.0\r\n\r\nx", "GET / HTTP/1.0\r\n\r\n\r\n"} {
		require.Equal(t, ErrBadHeadEnd, req.Parse([]byte(head), nil), "%q", head)
	}
	var resp Response
	require.Equal(t, ErrBadHeadEnd, resp.Parse([]byte("HTTP/1.1 200 OK"), nil, nil))
	require.Equal(t, ErrBareLF, resp.Parse([]byte("\n"), nil, nil))
	require.Equal(t, ErrBareLF, req.Parse([]byte("\n"), nil))
}

// RFC 9112 section 9.3.
func TestPersistenceFollowsVersionAndConnectionOptions(t *testing.T) {
	for _, c := range []struct {
		minor, connection string
		want              bool
	}{
		{"1", "", true},
		{"1", "close", false},
		{"1", "CLOSE", false},
		{"1", "x, close ,y", false},
		{"1", "keep-alive, close", false},
		{"1", "closed", true},
		{"1", "keep-alive\r\nConnection: close", false},
		{"0", "", false},
		{"0", "Keep-Alive", true},
		{"0", "keep-alive, close", false},
	} {
		req := mustParse(t, lines("GET / HTTP/1."+c.minor, "Host: h", "Connection: "+c.connection))
		require.Equal(t, c.want, req.KeepAlive, "%+v", c)
	}
}

// RFC 9110 section 10.1.1.
func TestExpectationCountsOnlyForHTTP11WithABody(t *testing.T) {
	for _, c := range []struct {
		minor, length string
		want          bool
	}{{"1", "5", true}, {"1", "0", false}, {"0", "5", false}} {
		req := mustParse(t, lines("POST / HTTP/1."+c.minor, "Host: h", "Expect: 100-Continue",
			"Content-Length: "+c.length))
		require.Equal(t, c.want, req.ExpectContinue, "%+v", c)
	}
}

// RFC 9110 section 7.8: Upgrade counts only when Connection names it.
func TestUpgradeCountsOnlyWhenConnectionNamesIt(t *testing.T) {
	req := mustParse(t, lines("GET / HTTP/1.1", "Host: h", "Connection: keep-alive, Upgrade",
		"Upgrade: websocket"))
	require.Equal(t, "websocket", string(req.Upgrade))
	req = mustParse(t, lines("GET / HTTP/1.1", "Host: h", "Upgrade: websocket"))
	require.Nil(t, req.Upgrade)
	req = mustParse(t, lines("GET / HTTP/1.0", "Host: h", "Connection: upgrade", "Upgrade: websocket"))
	require.Nil(t, req.Upgrade)
}

func TestEveryRefusalHasItsOwnReasonAndIsFoundByErrorsAs(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range Refusals() {
		require.Regexp(t, `^[a-z]+(_[a-z0-9]+)*$`, e.Reason)
		require.False(t, seen[e.Reason], e.Reason)
		require.Contains(t, []int{400, 414, 431, 501, 505}, e.Status)
		require.Equal(t, "http1: "+e.Reason, e.Error())
		seen[e.Reason] = true
	}
	var pe *ParseError
	require.True(t, errors.As(requestError(t, "GET / HTTP/1.1\n\n", nil), &pe))
	require.Same(t, ErrBareLF, pe)
}

func TestIdempotentMethodsAreThoseOfTheRFC(t *testing.T) {
	for m, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true,
		"PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "get": false, "": false} {
		require.Equal(t, want, MethodIdempotent([]byte(m)), m)
	}
}
