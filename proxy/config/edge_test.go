package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// edge is the one mistake that a listener with these keys has, or "".
func edge(t *testing.T, keys string) string {
	t.Helper()
	return only(t, strings.Replace(minimal, "upstream: web", "upstream: web, "+keys, 1))
}

// only is the one mistake of a file, or "".
func only(t *testing.T, text string) string {
	t.Helper()
	_, err := Parse("test.yaml", []byte(text))
	if err == nil {
		return ""
	}
	var list Errors
	require.ErrorAs(t, err, &list)
	require.Len(t, list, 1, "%v", err)
	return list[0].Path + ": " + list[0].Msg
}

func TestTrustedProxiesAreNetworksAndAddresses(t *testing.T) {
	for _, good := range []string{"10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::1", "10.1.2.3/32"} {
		require.Empty(t, edge(t, `trusted_proxies: ["`+good+`"]`), good)
	}
	for bad, want := range map[string]string{
		"10.0.0.1/8":    "listeners[0].trusted_proxies[0]: \"10.0.0.1/8\" has bits behind its prefix; did you mean 10.0.0.0/8?",
		"10.0.0.0/33":   "listeners[0].trusted_proxies[0]: want a network such as 10.0.0.0/8, or an address; got \"10.0.0.0/33\"",
		"proxy.example": "listeners[0].trusted_proxies[0]: want a network such as 10.0.0.0/8, or an address; got \"proxy.example\"",
		"::ffff:1.2.3.4": "listeners[0].trusted_proxies[0]: want a network such as 10.0.0.0/8, or an address; " +
			"got \"::ffff:1.2.3.4\"",
		"fe80::1%eth0": "listeners[0].trusted_proxies[0]: want a network such as 10.0.0.0/8, or an address; got \"fe80::1%eth0\"",
	} {
		require.Equal(t, want, edge(t, `trusted_proxies: ["`+bad+`"]`))
	}
	require.Equal(t, "listeners[0].trusted_proxies: want a list; got \"10.0.0.0/8\"", edge(t, "trusted_proxies: 10.0.0.0/8"))
	require.Equal(t, "listeners[0].trusted_proxies[1]: want text; got a list", edge(t, "trusted_proxies: [\"::1\", [x]]"))
	require.Empty(t, edge(t, "trusted_proxies: ["+strings.Repeat("10.0.0.1,", 1000)+"]"))
	require.Contains(t, edge(t, "trusted_proxies: ["+strings.Repeat("10.0.0.1,", 1001)+"]"), "holds 1001 items; at most 1000")
}

func TestTheRequestIDCannotTakeTheNameOfAnotherField(t *testing.T) {
	for _, good := range []string{"X-Request-ID", "Request-Id", "traceparent", "X-" + strings.Repeat("a", 62)} {
		require.Empty(t, edge(t, "request_id: "+good), good)
	}
	for _, bad := range []string{"Host", "content-length", "Transfer-Encoding", "VIA", "X-Forwarded-For", "Proxy-Authorization",
		"X_Request_ID", "\"a b\"", "-x", "X-" + strings.Repeat("a", 63), "\"a:\"", "é"} {
		require.Contains(t, edge(t, "request_id: "+bad), "listeners[0].request_id: ", bad)
	}
}

func TestWordsOfTheEdgeHaveANearestWord(t *testing.T) {
	require.Contains(t, edge(t, "forwarded: x-forward"), "did you mean x-forwarded?")
	require.Contains(t, edge(t, "max_conections_per_source: 3"), "did you mean max_connections_per_source?")
	require.Contains(t, edge(t, "max_hops: 0"), "must be between 1 and 100; got 0")
	require.Contains(t, edge(t, "max_hops: 101"), "must be between 1 and 100; got 101")
	require.Contains(t, edge(t, "max_requests_per_connection: 0"), "or the word off; got 0")
}

func TestAnEdgeOfHTTPMeansNothingToATCPListener(t *testing.T) {
	for _, key := range []string{"trusted_proxies: [10.0.0.1]", "forwarded: off", "request_id: X-Id", "max_hops: 3",
		"max_requests_per_connection: 3"} {
		require.Contains(t, edge(t, "protocol: tcp, "+key), "means nothing to a listener of protocol tcp", key)
	}
	require.Empty(t, edge(t, "protocol: tcp, max_connections_per_source: 3"))
}

func TestTheHostForBackendsIsAWordOrAHost(t *testing.T) {
	host := func(value string) string {
		return only(t, strings.Replace(minimal, "{backends", "{host: "+value+", backends", 1))
	}
	for _, good := range []string{"pass", "backend", "www.example.com", "www.example.com:8080", `"[::1]:80"`} {
		require.Empty(t, host(good), good)
	}
	for _, bad := range []string{`""`, `"a b"`, `"a/b"`, `"a:0"`, `"*.example.com"`} {
		require.Contains(t, host(bad), "upstreams.web.host: want pass, backend, or a host with or without a port", bad)
	}
}

func TestAnAccessLogNeedsAPathAndKnowsItsFields(t *testing.T) {
	log := func(value string) string { return only(t, minimal+"access_log: "+value+"\n") }
	for _, good := range []string{"off", "{path: stdout}", "{path: /a, format: text, fields: [status]}", "{path: ./off}"} {
		require.Empty(t, log(good), good)
	}
	require.Equal(t, "access_log.path: is required: a file, or stdout", log("{format: json}"))
	require.Contains(t, log("{path: off}"), "to log nothing write access_log: off")
	require.Contains(t, log("{path: a, format: xml}"), "access_log.format: unknown value \"xml\"; one of json, text")
	require.Contains(t, log("{path: a, fields: [stauts]}"), "access_log.fields[0]: there is no field \"stauts\"; did you mean status?")
	require.Contains(t, log("{path: a, buffer: 65535}"), "must be between 64KiB and 64MiB; got 65535")
	require.Contains(t, log("{path: a, buffer: 67108865}"), "must be between 64KiB and 64MiB")
	require.Empty(t, log("{path: a, buffer: 64KiB}"))
	require.Empty(t, log("{path: a, buffer: 64MiB}"))
}

func TestDiffNamesChangesOfTheEdge(t *testing.T) {
	before := parse(t, minimal)
	after := parse(t, strings.Replace(minimal, "upstream: web", "upstream: web, trusted_proxies: [10.0.0.0/8], request_id: X-Id", 1)+
		"access_log: {path: a.log}\n")
	lines, err := Diff(before, after)
	require.NoError(t, err)
	require.Equal(t, []string{
		"listeners[:8080]: trusted_proxies added",
		"listeners[:8080].request_id: X-Id instead of off",
		"access_log: {path: a.log, format: json, buffer: 1MiB} instead of off",
	}, lines)
	more := parse(t, strings.Replace(minimal, "upstream: web", "upstream: web, trusted_proxies: [10.0.0.0/8, 10.9.0.1], request_id: X-Id", 1)+
		"access_log: {path: b.log}\n")
	lines, err = Diff(after, more)
	require.NoError(t, err)
	require.Equal(t, []string{
		"listeners[:8080].trusted_proxies[1]: 10.9.0.1", "access_log.path: b.log instead of a.log",
	}, lines)
}
