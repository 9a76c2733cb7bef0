package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/http1"
)

func TestServersAreUnderstoodAsPeopleWriteThem(t *testing.T) {
	for _, tc := range []struct {
		server, path string // path "" means not given
		want         target
	}{
		{"localhost:8080", "", target{"localhost", "8080", "localhost:8080", "GET", "/"}},
		{"http://localhost:8080", "", target{"localhost", "8080", "localhost:8080", "GET", "/"}},
		{"HTTP://a.example/x?y=1", "", target{"a.example", "80", "a.example", "GET", "/x?y=1"}},
		{"http://a.example?y=1", "", target{"a.example", "80", "a.example", "GET", "/?y=1"}},
		{"http://a.example:80/x", "/z", target{"a.example", "80", "a.example", "GET", "/z"}},
		{"a.example/x", "", target{"a.example", "80", "a.example", "GET", "/x"}},
		{":9", "", target{"localhost", "9", "localhost:9", "GET", "/"}},
		{"[::1]:8080", "", target{"::1", "8080", "[::1]:8080", "GET", "/"}},
		{"http://[::1]/", "", target{"::1", "80", "[::1]", "GET", "/"}},
	} {
		path := tc.path
		if path == "" {
			path = "/"
		}
		got, err := parseTarget(tc.server, "GET", path, tc.path != "")
		require.NoError(t, err, tc.server)
		require.Equal(t, tc.want, got)
	}
	for _, bad := range []string{"", "http://", "/x", "a:b", "a:0", "a:65536", "a:1:2", "ftp://a", "a b:80", "u@a:80",
		"a:80/x y", "a:80/%zz", "a:80/x#y", "[::1:80", "a\r\nb:80"} {
		_, err := parseTarget(bad, "GET", "/", false)
		require.Error(t, err, "%q", bad)
	}
}

func TestRequestsSayWhatTheirMethodNeeds(t *testing.T) {
	tg := target{"h", "81", "h:81", "POST", "/p"}
	require.Contains(t, string(tg.request(true)), "Content-Length: 0\r\n")
	require.NotContains(t, string(tg.request(true)), "Connection")
	tg.method = "GET"
	require.NotContains(t, string(tg.request(false)), "Content-Length")
	require.Contains(t, string(tg.request(false)), "Connection: close\r\n")
	require.Contains(t, string(tg.request(false)), "GET /p HTTP/1.1\r\nHost: h:81\r\n")
}

// FuzzTarget holds that whatever the flags are taken to mean makes one request that our own strict reader accepts, with
// nothing behind it.
func FuzzTarget(f *testing.F) {
	f.Add("localhost:8080", "GET", "/")
	f.Fuzz(func(t *testing.T, server, method, path string) {
		tg, err := parseTarget(server, method, path, true)
		if err != nil {
			return
		}
		head := tg.request(true)
		var rd http1.Reader
		var req http1.Request
		rd.Reset(bytes.NewReader(head))
		err = rd.ReadRequest(&req, nil)
		if err == http1.ErrTargetTooLong || err == http1.ErrHeaderTooLarge {
			return // the limits of our reader are not those of every server
		}
		require.NoError(t, err, "%q", head)
		require.Equal(t, method, string(req.Method))
		require.Equal(t, tg.authority, string(req.Authority))
		require.Zero(t, rd.Buffered(), "%q", head)
		rd.Reset(nil)
	})
}
