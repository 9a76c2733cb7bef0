package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesOfBackendsHaveAHostAndAPort(t *testing.T) {
	for _, good := range []string{
		"10.0.0.1:80", "[::1]:443", "[fe80::1%eth0]:1", "localhost:65535", "web-1.example.com:8080", "web_1:80",
		"example.com.:80", "1und1.example:80", "[::ffff:10.0.0.1]:80", strings.Repeat("a", 63) + ".b:80",
	} {
		require.Empty(t, checkBackend(good), good)
		require.Empty(t, checkListen(good), good)
		require.Empty(t, checkAdmin(good), good)
	}
	for _, bad := range []string{
		"", ":", ":80", "a", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:http", "a:80:80", "::1:80", "[::1]", "[a]:80", "[]:80",
		"1.2.3:80", "1.2.3.4.5:80", "010.0.0.1:80", "1.2.3.256:80", "a..b:80", ".a:80", ".:80", "-a:80", "a-:80", "a b:80",
		"a/b:80", "ä:80", "a@b:80", "*:80", "a\x00:80", strings.Repeat("a", 64) + ":80", strings.Repeat("a.", 127) + "a:80",
	} {
		require.NotEmpty(t, checkBackend(bad), bad)
	}
}

func TestOnlyAListenerMayLeaveTheHostOut(t *testing.T) {
	require.Empty(t, checkListen(":80"))
	require.Empty(t, checkListen(":0"))
	require.NotEmpty(t, checkAdmin(":80"))
	require.NotEmpty(t, checkBackend(":80"))
	require.Empty(t, checkAdmin("localhost:0"))
}

func TestAMatchedHostHasNoPortAndNoWildcard(t *testing.T) {
	for _, good := range []string{"", "example.com", "EXAMPLE.com", "10.0.0.1", "[::1]"} {
		require.Empty(t, checkMatchHost(good), good)
		require.Empty(t, checkHostField(good), good)
	}
	for _, bad := range []string{"*", "*.example.com", "example.com:80", "::1", "[::1", "[::1]:80", "a b", "a/", "[a]"} {
		require.NotEmpty(t, checkMatchHost(bad), bad)
	}
	for _, bad := range []string{"[a", "a]", "[[::1]]", "[a]", "[fe80::1%eth0]", "[fe80::1%eth0]:80"} { // what no prober can say
		require.NotEmpty(t, checkMatchHost(bad), bad)
		require.NotEmpty(t, checkHostField(bad), bad)
	}
	require.Empty(t, checkHostField("example.com:80"))
	require.Empty(t, checkHostField("[::1]:80"))
	require.NotEmpty(t, checkHostField("a\r\nX: y"), "a field must not be split")
}

func TestPathsCanStandInARequestLine(t *testing.T) {
	for _, good := range []string{"/", "/a/b", "/a%20b", "/~a:b@c;d=e,f!$&'()*+", "/%2F"} {
		require.Empty(t, checkPath(good), good)
	}
	for _, bad := range []string{"", "a", "/a b", "/a\r\n", "/ä", "/a?b", "/a#b", "/%", "/%2", "/%zz", "/\x7f",
		"/" + strings.Repeat("a", 8<<10)} {
		require.NotEmpty(t, checkPath(bad), bad)
	}
}

func TestNamesOfUpstreamsAreShortWords(t *testing.T) {
	for _, good := range []string{"a", "1", "web-1", "a.b_c", strings.Repeat("a", 64)} {
		require.Empty(t, checkName(good), good)
	}
	for _, bad := range []string{"", "-a", ".a", "_a", "a b", "a/b", "ä", "a\"", strings.Repeat("a", 65)} {
		require.NotEmpty(t, checkName(bad), bad)
	}
}
