package scenario

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

// overHTTP2 is a small scenario whose backends speak HTTP/2, over TLS if that is asked for.
func overHTTP2(secure bool, replace ...string) string {
	upstream := strings.Replace(small["upstream"], "{backends", "{protocol: http2, backends", 1)
	if secure {
		upstream = strings.Replace(upstream, "{protocol", "{tls: {ca: ca.pem}, protocol", 1)
	}
	return smallText(append([]string{"upstream", upstream}, replace...)...)
}

func runText(t *testing.T, text string) *Verdict {
	t.Helper()
	sc, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Equal(t, v.Requests, v.Answered+total(v.Failed))
	return v
}

func TestBackendsOfAnUpstreamWithHTTP2SpeakIt(t *testing.T) {
	for _, secure := range []bool{false, true} {
		v := runText(t, overHTTP2(secure, "expect", "[failed == 0, leaks == 0, dials <= 6, p99 <= 12ms, wrong_nonce == 0, load_spread <= 5%]"))
		require.True(t, v.OK(), "%s", v.Text())
		many := "[{name: web, arrivals: {poisson: 200/s}, timeout: 3s}]"
		one := overHTTP2(secure, "clients", many, "backends", strings.ReplaceAll(small["backends"], "'}", "', service: 100ms}"))
		v = runText(t, strings.Replace(one, "expect: []", "expect: [failed == 0, dials <= 9, p99 <= 110ms]", 1))
		require.True(t, v.OK(), "twenty at a time: %s", v.Text())
	}
}

// Answers and bodies of requests beyond every window: they come whole, and so do their neighbours.
func TestLargeBodiesGoBothWaysOverHTTP2(t *testing.T) {
	for _, secure := range []bool{false, true} {
		v := runText(t, overHTTP2(secure, "duration", "5s",
			"backends", strings.ReplaceAll(small["backends"], "'}", "', paths: [{prefix: /large, body_bytes: 3MiB}]}"),
			"clients", "[{name: web, arrivals: {poisson: 10/s}, timeout: 5s, requests: [{path: /large}, {path: /up, method: PUT, body_bytes: 4MiB}, "+
				"{path: /}]}]", "expect", "[failed == 0, leaks == 0]"))
		require.True(t, v.OK(), "%s", v.Text())
	}
}

// What a model of answers says holds for HTTP/2 too.
func TestAnHTTP2BackendServesAsItsKeysSay(t *testing.T) {
	with := func(keys string) string { return strings.ReplaceAll(small["backends"], "'}", "', "+keys+"}") }
	for name, tc := range map[string]struct{ backends, expect string }{
		"errors":      {with("error_rate: 100%"), "[answered == 0, failed of web > 900]"},
		"concurrency": {with("service: 100ms, concurrency: 2"), "[failed == 0, p50 >= 100ms, answered_per_second <= 60/s]"},
		"paths":       {with("paths: [{prefix: /, service: 40ms}]"), "[failed == 0, p50 >= 41ms, p50 <= 43ms]"},
		"cold":        {with("cold: {for: 5s, factor: 10}"), "[failed == 0, p50 >= 30ms from 0s to 2s, p50 <= 8ms from 10s to 20s]"},
		"count":       {with("close_after_requests: 50"), "[failed == 0, dials >= 20, leaks == 0]"},
		"idle":        {with("close_idle_after: 100ms"), "[success_rate >= 99%, dials >= 70, leaks == 0]"},
		"streams":     {with("service: 100ms, max_streams: 1"), "[failed == 0, dials >= 10, p99 <= 130ms]"},
	} {
		v := runText(t, overHTTP2(false, "backends", tc.backends, "expect", tc.expect))
		require.True(t, v.OK(), "%s: %s", name, v.Text())
	}
}

// A stalled answer holds its place at the backend until its stream is reset, and no other stream of the connection waits for it.
func TestAStalledStreamHoldsUpNoOther(t *testing.T) {
	upstream := strings.Replace(small["upstream"], "{backends", "{protocol: http2, stream_idle_timeout: 1s, backends", 1)
	v := runText(t, smallText("upstream", upstream, "backends", strings.ReplaceAll(small["backends"], "'}", "', stall_rate: 5%, concurrency: 50}"),
		"clients", "[{name: web, arrivals: {poisson: 50/s}, timeout: 5s}]", "expect", "[success_rate >= 90%, p99 <= 20ms, leaks == 0]"))
	require.True(t, v.OK(), "%s", v.Text())
	require.Positive(t, v.Failed["client_reset"], "%v", v.Failed)
}

func TestGoAwayLosesNoRequestOfAnyMethod(t *testing.T) {
	for _, tls := range []string{"", "tls: {ca: ca.pem}, "} {
		v := runText(t, smallText("network", "{default: {latency: 20ms}}",
			"upstream", strings.Replace(strings.Replace(small["upstream"], uncured, "retry: {on: off}, ", 1), "{backends", "{"+tls+"protocol: http2, backends", 1),
			"clients", "[{name: web, arrivals: {poisson: 100/s}, timeout: 3s, method: POST, body_bytes: 100}]",
			"faults", "[{at: 5s, goaway: {host: 10.0.0.1}}, {at: 10s, goaway: {host: 10.0.0.2}}, {at: 15s, goaway: {host: 10.0.0.1}}]",
			"expect", "[failed == 0, repeated >= 1, retries == 0, leaks == 0]"))
		require.True(t, v.OK(), "%s", v.Text())
	}
}

// Of what one connection carried nothing is left behind, whatever ends it, and every run of a seed is the same.
func TestStreamsThatEndTogetherEndInTheSameOrderInEveryRun(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	seeds := uint64(3)
	if underRace {
		seeds = 1 // it takes ten seconds each; .ci/determinism runs the stock scenarios
	}
	for _, tls := range []string{"", "tls: {ca: ca.pem}, "} {
		text := strings.Replace(manyUnderWay(), "{web: {backends", "{web: {"+tls+"protocol: http2, backends", 1)
		text = strings.Replace(text, "faults: [", "faults: [{at: 3500ms, goaway: {host: 10.0.0.2}}, ", 1)
		text = strings.Replace(text, "timeout: 1s}", "timeout: 1s}, {name: post, arrivals: {poisson: 100/s}, timeout: 310ms, method: POST, body_bytes: 3KiB}", 1)
		sc, err := Parse("many.yaml", []byte(text))
		require.NoError(t, err)
		for seed := range seeds {
			sc.Seed = seed + 1
			var first *Verdict
			for n := range 4 {
				runtime.GOMAXPROCS(1 + n%2)
				v, err := Execute(sc, Options{KeepTrace: true})
				require.NoError(t, err)
				if n == 0 {
					first = v
					require.Greater(t, v.Answered, 800, "%v", v.Failed)
					require.Positive(t, total(v.Failed))
				}
				demandEqualRuns(t, first, v, fmt.Sprintf("seed %d, run %d", sc.Seed, n+1))
			}
		}
	}
}

func TestKeysOfHTTP2AreRefusedWhereTheyMeanNothing(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{smallText("backends", strings.Replace(small["backends"], "'}", "', max_streams: 5}", 1)),
			"backends[0].max_streams: means nothing to a backend that does not speak HTTP/2"},
		{smallText("faults", "[{at: 1s, goaway: {host: 10.0.0.1}}]"), "faults[0].goaway.host: no backend of 10.0.0.1 speaks HTTP/2"},
		{overHTTP2(false, "faults", "[{at: 1s, for: 1s, goaway: {host: 10.0.0.1}}]"), "faults[0].for: means nothing to goaway"},
		{overHTTP2(false, "faults", "[{at: 1s, goaway: {host: 10.0.0.9}}]"), "faults[0].goaway.host: there is no machine"},
		{overHTTP2(false, "backends", strings.ReplaceAll(small["backends"], "'}", "', max_streams: 0}")), "max_streams"},
		{overHTTP2(false, "backends", strings.ReplaceAll(small["backends"], "'}", "', max_streams: 10001}")), "max_streams"},
		{overHTTP2(false, "backends", strings.ReplaceAll(small["backends"], "'}", "', protocol: http3}")), "protocol"},
	} {
		_, err := Parse("small.yaml", []byte(tc.text))
		require.ErrorContains(t, err, tc.want)
	}
	for _, most := range []string{"1", "10000"} {
		_, err := Parse("small.yaml", []byte(overHTTP2(false, "backends", strings.ReplaceAll(small["backends"], "'}", "', max_streams: "+most+"}"))))
		require.NoError(t, err)
	}
}

// A backend that does not speak what its upstream is set to is found out when a connection is made ready.
func TestABackendThatDoesNotSpeakHTTP2IsNotUsed(t *testing.T) {
	for _, secure := range []bool{false, true} {
		all := strings.Replace(small["backends"], "'10.0.0.1:80'}", "'10.0.0.1:80', protocol: http1}", 1)
		v := runText(t, overHTTP2(secure, "backends", all, "expect", "[failed == 0, leaks == 0]"))
		require.True(t, v.OK(), "%s", v.Text())
		require.Equal(t, "web/10.0.0.1:80 backend_down", strings.Split(v.Timeline[len(v.Timeline)-1].Text, ":")[0]+":80 backend_down", "%v", v.Timeline)
	}
}

// With protocol auto a backend has the choice, over TLS.
func TestOfProtocolsABackendChoosesItsOwn(t *testing.T) {
	upstream := strings.Replace(small["upstream"], "{backends", "{protocol: auto, tls: {ca: ca.pem}, backends", 1)
	mixed := strings.Replace(small["backends"], "'10.0.0.1:80'}", "'10.0.0.1:80', protocol: http2, service: 50ms}", 1)
	v := runText(t, smallText("upstream", upstream, "backends", mixed, "expect", "[failed == 0, leaks == 0]"))
	require.True(t, v.OK(), "%s", v.Text())
}

// The stock scenario of renewal has backends of HTTP/1.1. With streams it holds as well.
func TestCertificatesAreRenewedUnderStreams(t *testing.T) {
	var first *Verdict
	for range 2 {
		sc, err := Load(filepath.Join(stockDir, "certificate-renewal.yaml"))
		require.NoError(t, err)
		u := &sc.Settings.Upstreams[0]
		u.Protocol, u.Pool.MaxLifetime = config.UpstreamHTTP2, 10*time.Second
		v, err := Execute(sc, Options{})
		require.NoError(t, err)
		require.True(t, v.OK(), "%s", v.Text())
		require.Empty(t, v.Failed)
		require.Less(t, v.ReuseRate, 1.0)
		if first == nil {
			first = v
		}
		require.Equal(t, first.TraceHash, v.TraceHash)
	}
}
