package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawHealth draws the settings of an upstream's health, when it is ready but for them.
func drawHealth(t *rapid.T, u *Upstream) Health {
	h := Health{Active: drawActive(t, u), Passive: Passive{
		Consecutive5xx: drawInt(t, "5xx", 1, 10_000, true), ConsecutiveFailures: drawInt(t, "failures", 1, 10_000, true),
		ConsecutiveGatewayErrors: drawInt(t, "gateway errors", 0, 10_000, false),
		BaseEjectionTime:         drawDuration(t, "ejection", tick, day, false), MaxEjectionPercent: drawInt(t, "percent", 1, 100, false),
		EjectionJitterPercent: drawInt(t, "jitter", 0, 100, false),
	}}
	h.Passive.MaxEjectionTime = drawDuration(t, "longest", h.Passive.BaseEjectionTime, day, false)
	h.PanicThreshold = drawInt(t, "panic", 0, 100, false)
	h.OnNoBackend = rapid.SampledFrom([]string{NoBackendRefuse, NoBackendFailOpen}).Draw(t, "nobody")
	if rapid.Bool().Draw(t, "agents") {
		a := AgentCheck{Port: drawInt(t, "port", 1, 65535, false), Interval: drawDuration(t, "asked", tick, day, false), Send: drawBytes(t, "told")}
		a.Timeout = drawDuration(t, "answer", tick, a.Interval, false)
		h.Agent = &a
	}
	if rapid.Bool().Draw(t, "outliers") {
		o := defaultOutliers()
		o.SuccessRate = rapid.SampledFrom([]float64{0, 1, 1.9, 10}).Draw(t, "deviations")
		if o.Latency = rapid.Float64Range(1.5, 100).Draw(t, "times"); o.SuccessRate != 0 && rapid.Bool().Draw(t, "rate alone") {
			o.Latency = 0
		}
		o.Interval, o.MinBackends = drawDuration(t, "compare", tick, time.Hour, false), drawInt(t, "least", 3, 10_000, false)
		h.Passive.Outliers = &o
	}
	if rapid.Bool().Draw(t, "breaker") {
		b := defaultBreaker()
		b.ErrorPercent, b.SlowPercent = drawInt(t, "errors", 1, 100, true), drawInt(t, "slow", 1, 100, false)
		b.SlowAfter, b.Window = drawDuration(t, "slow after", tick, time.Hour, false), drawDuration(t, "window", tick, time.Hour, false)
		b.OpenTime, b.Probes = drawDuration(t, "open", tick, day, false), drawInt(t, "probes", 1, 1000, false)
		h.Breaker = &b
	}
	return h
}

// drawActive draws the checks of an upstream that is ready but for them.
func drawActive(t *rapid.T, u *Upstream) *Active {
	if rapid.Bool().Draw(t, "no checks") {
		return nil
	}
	a := &Active{Interval: drawDuration(t, "interval", tick, day, false), MaxConcurrent: drawInt(t, "at a time", 1, 100_000, false),
		Rise: drawInt(t, "rise", 1, 100, false), Fall: drawInt(t, "fall", 1, 100, false)}
	a.Timeout = drawDuration(t, "timeout", tick, a.Interval, false)
	if rapid.Bool().Draw(t, "paces") {
		a.FastInterval = drawDuration(t, "fast", tick, a.Interval, false)
		a.DownInterval = drawDuration(t, "down", tick, day, false)
		if 2*a.Interval <= day {
			a.SlowInterval = drawDuration(t, "slow", 2*a.Interval, day, false)
		}
	}
	a.Reuse = SwitchOff
	kinds := []string{"connect", "http"}
	if u.TLS == nil {
		kinds = append(kinds, "tls", "grpc")
	}
	if u.Protocol == UpstreamHTTP1 {
		kinds = append(kinds, "tcp", "tcp pattern")
	}
	hosts := []string{"", "a.example", "a.example:8080", "[::1]:1", "[::1]"}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "http":
		low := drawInt(t, "low", 100, 599, false)
		a.HTTP = &HTTPCheck{Method: rapid.SampledFrom([]string{"GET", "HEAD", "OPTIONS", "POST"}).Draw(t, "method"),
			Path:   rapid.SampledFrom([]string{"/", "/healthz", "/a%20b"}).Draw(t, "path"),
			Host:   rapid.SampledFrom(hosts).Draw(t, "check host"),
			Status: StatusRange{low, drawInt(t, "high", low, 599, false)}}
		if a.HTTP.Method != "HEAD" && rapid.Bool().Draw(t, "body") {
			a.HTTP.Body = drawBody(t)
		}
	case "tls":
		a.TLS = &TLSCheck{ServerName: rapid.SampledFrom([]string{"", "a.example"}).Draw(t, "name"), Verify: SwitchOff}
		if rapid.Bool().Draw(t, "verify") {
			a.TLS.Verify, a.TLS.CA = SwitchOn, rapid.SampledFrom([]string{"", "ca.pem"}).Draw(t, "authorities")
		}
		a.TLS.ReloadEvery = drawDuration(t, "looks", tick, day, true)
	case "grpc":
		a.GRPC = &GRPCCheck{Service: rapid.SampledFrom([]string{"", "shop.v1.Cart", "on"}).Draw(t, "service"),
			Authority: rapid.SampledFrom(hosts).Draw(t, "authority")}
	case "tcp":
		a.TCP = &TCPCheck{Send: drawBytes(t, "send"), Expect: "x" + drawBytes(t, "expect"), MaxBytes: maxExchange}
	case "tcp pattern":
		a.TCP = &TCPCheck{Send: drawBytes(t, "send"), Regexp: rapid.SampledFrom([]string{"^[SN]", `\x00ok`, "a|b"}).Draw(t, "pattern"),
			MaxBytes: drawInt(t, "bytes", 1, maxExchange, false)}
	}
	if a.HTTP != nil || a.GRPC != nil {
		a.Reuse = rapid.SampledFrom([]Switch{SwitchOn, SwitchOff}).Draw(t, "reuse")
	}
	return a
}

func drawBody(t *rapid.T) *BodyCheck {
	b := &BodyCheck{MaxBytes: drawInt(t, "body bytes", 8, maxBody, false)}
	if rapid.Bool().Draw(t, "pattern") {
		b.Matches = rapid.SampledFrom([]string{"^ok$", `\x00|"a": b`, "on"}).Draw(t, "matches")
	} else {
		b.Contains = rapid.SampledFrom([]string{"ok", "null", " a: b ", "#\x00", "1e3"}).Draw(t, "contains")
	}
	return b
}

// drawBytes draws bytes as a person might write them, and what YAML could take for something else.
func drawBytes(t *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"", `PING\r\n`, "PING\r\n", `\x00\xff`, "null", "1e3", " a: b ", "\x00\t", "#x"}).Draw(t, label)
}

func TestTheBytesOfATextAreThoseThatItsEscapesStandFor(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"PING":                  "PING",
		`PING\r\n`:              "PING\r\n",
		"PING\r\n":              "PING\r\n",
		`\t\0\\`:                "\t\x00\\",
		`\x00\xfF\x7e1`:         "\x00\xff~1",
		"hex:00000008 04D2162f": "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"hex:":                  "",
		`\x68ex:`:               "hex:",
		"é":                     "\xc3\xa9",
	} {
		got, err := ParseBytes(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, string(got), "%q", text)
	}
	for _, text := range []string{`\`, `a\`, `\q`, `\x`, `\x1`, `\xg1`, `\X00`, "hex:0", "hex:0g", "hex:00\n", "hex:é"} {
		_, err := ParseBytes(text)
		require.Error(t, err, "%q", text)
	}
}

// Any bytes can be written down in both ways and come back.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"", `PING\r\n`, "hex:00000008 04d2162f", `\x68ex:`, `\\x41`, `\`, "hex:1", "é\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBytes(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(b), len(text))
		if !strings.Contains(text, `\`) && !strings.HasPrefix(text, "hex:") {
			require.Equal(t, text, string(b))
		}
		const digits = "0123456789abcdef"
		escaped, plain := "", "hex:"
		for _, c := range b {
			two := string([]byte{digits[c>>4], digits[c&15]})
			escaped += `\x` + two
			plain += " " + two
		}
		for _, again := range []string{escaped, plain} {
			back, err := ParseBytes(again)
			require.NoError(t, err)
			require.Equal(t, string(b), string(back))
		}
	})
}

// check parses the minimal settings with those of active checks, and more of the upstream.
func activeChecks(active, more string) string {
	return strings.Replace(minimal, "{backends", "{health: {active: {"+active+"}}, "+more+"backends", 1)
}

func TestEachKindOfCheckReachesItsFields(t *testing.T) {
	for text, want := range map[string]Active{
		"grpc: {service: shop.v1.Cart, authority: 'a.example:81'}": {GRPC: &GRPCCheck{Service: "shop.v1.Cart", Authority: "a.example:81"}},
		"grpc: {}": {GRPC: &GRPCCheck{}},
		"tls: {server_name: a.example, ca: ca.pem}":                        {TLS: &TLSCheck{ServerName: "a.example", CA: "ca.pem", Verify: SwitchOn, ReloadEvery: time.Minute}},
		"tls: {verify: off, reload_every: off}":                            {TLS: &TLSCheck{Verify: SwitchOff, ReloadEvery: Off}},
		"reuse: on, grpc: {}":                                              {Reuse: SwitchOn, GRPC: &GRPCCheck{}},
		"http: {body: {contains: '}'}}":                                    {HTTP: &HTTPCheck{Method: "GET", Path: "/", Status: StatusRange{200, 399}, Body: &BodyCheck{Contains: "}", MaxBytes: 16 << 10}}},
		`tcp: {send: 'PING\r\n', expect: '+PONG'}`:                         {TCP: &TCPCheck{Send: `PING\r\n`, Expect: "+PONG", MaxBytes: 1024}},
		`tcp: {send: 'hex:0000', expect_regexp: '^[SN]', max_bytes: 4KiB}`: {TCP: &TCPCheck{Send: "hex:0000", Regexp: "^[SN]", MaxBytes: 4096}},
	} {
		d := DefaultActive()
		want.Interval, want.Timeout, want.Rise, want.Fall = d.Interval, d.Timeout, d.Rise, d.Fall
		want.MaxConcurrent = d.MaxConcurrent
		fill(&want.Reuse, d.Reuse)
		c := parse(t, activeChecks(text, ""))
		require.Equal(t, &want, c.Upstreams[0].Health.Active, text)
		require.Equal(t, c, c.WithDefaults())
		require.NotSame(t, c.Upstreams[0].Health.Active, c.WithDefaults().Upstreams[0].Health.Active)
	}
}

func TestChecksThatCannotBeMadeAreRefused(t *testing.T) {
	tls := "tls: {verify: off}, "
	for _, c := range []struct{ active, more, path, says string }{
		{"http: {}, grpc: {}", "", "grpc", "stands beside http"},
		{"grpc: {}, tcp: {expect: a}", "", "tcp", "stands beside grpc"},
		{"grpc: {}", tls, "grpc", "needs HTTP/2"},
		{"tls: {}", tls, "tls", "every check shakes hands anyway"},
		{"tls: {verify: off, ca: a.pem}", "", "tls.ca", "verify is off"},
		{"tcp: {expect: a}", "protocol: http2, ", "tcp", "protocol http2"},
		{"tcp: {expect: a}", "protocol: auto, " + tls, "tcp", "protocol auto"},
		{"tcp: {send: a}", "", "tcp", "needs expect"},
		{"tcp: {}", "", "tcp", "needs expect"},
		{"tcp: {expect: a, expect_regexp: b}", "", "tcp.expect_regexp", "stands beside expect"},
		{"tcp: {expect: abc, max_bytes: 2}", "", "tcp.expect", "longer than max_bytes (3 > 2)"},
		{"tcp: {expect: a, max_bytes: 4097}", "", "tcp.max_bytes", "between"},
		{`tcp: {expect: '\q'}`, "", "tcp.expect", "unknown escape at offset 0"},
		{"tcp: {send: 'hex:0', expect: a}", "", "tcp.send", "two for each byte"},
		{"tcp: {expect_regexp: '('}", "", "tcp.expect_regexp", "no regular expression"},
		{"tcp: {expect_regexp: '" + strings.Repeat("a", maxPattern+1) + "'}", "", "tcp.expect_regexp", "at most 1024"},
		{"tcp: {expect: 'hex:'}", "", "tcp.expect", "no bytes at all"},
		{"tcp: {expect_regexp: 'a{1000}b{1000}c{1000}d{1000}e{95}'}", "", "tcp.expect_regexp", "at most 4096"},
		{"tcp: {expect: a, send: '" + strings.Repeat("a", maxExchange+1) + "'}", "", "tcp.send", "at most 4096"},
		{"grpc: {service: 'a b'}", "", "grpc.service", "offset 1"},
		{"grpc: {service: '" + strings.Repeat("a", maxService+1) + "'}", "", "grpc.service", "at most 1024"},
		{"http: {method: HEAD, body: {contains: a}}", "", "http.body", "method HEAD has none"},
		{"http: {method: TRACE}", "", "http.method", "OPTIONS"},
		{"http: {body: {}}", "", "http.body", "needs contains"},
		{"http: {body: {max_bytes: 2}}", "", "http.body", "needs contains"},
		{"http: {body: {contains: a, matches: a}}", "", "http.body.matches", "stands beside contains"},
		{"http: {body: {contains: abc, max_bytes: 2}}", "", "http.body.contains", "longer than max_bytes (3 > 2)"},
		{"http: {body: {contains: a, max_bytes: 65537}}", "", "http.body.max_bytes", "between"},
		{"http: {body: {matches: '('}}", "", "http.body.matches", "no regular expression"},
		{"http: {body: {matches: 'a{255}', max_bytes: 64KiB}}", "", "http.body.matches", "at most 256"},
		{"reuse: on", "", "reuse", "http and grpc"},
		{"reuse: on, tcp: {expect: a}", "", "reuse", "http and grpc"},
		{"fast_interval: 6s", "", "fast_interval", "more than interval (6s > 5s)"},
		{"slow_interval: 9s", "", "slow_interval", "less than twice interval"},
	} {
		list := mistakes(t, activeChecks(c.active, c.more))
		require.Len(t, list, 1, c.active)
		require.Equal(t, "upstreams.web.health.active."+c.path, list[0].Path, c.active)
		require.Contains(t, list[0].Msg, c.says, c.active)
		require.Positive(t, list[0].Line)
	}
	for _, c := range []struct{ active, more string }{
		{"grpc: {}", "protocol: http2, "},
		{"grpc: {}", "protocol: auto, " + tls},
		{"grpc: {}", "protocol: http2, " + tls},
		{"tcp: {expect: a}", tls},
		{"tcp: {expect: abc, max_bytes: 3}", ""},
		{"tcp: {expect_regexp: '" + strings.Repeat("a", maxPattern) + "'}", ""},
		{"tcp: {expect_regexp: 'a{1000}b{1000}c{1000}d{1000}e{94}'}", ""},
		{"grpc: {service: '" + strings.Repeat("a", maxService) + "'}", ""},
		{"http: {body: {contains: abc, max_bytes: 3}}", ""},
		{"http: {body: {matches: 'a{254}', max_bytes: 64KiB}}", ""},
		{"reuse: on, http: {method: HEAD}", "protocol: http2, "},
		{"fast_interval: 5s, slow_interval: 10s, down_interval: 1ms", ""},
		{"fast_interval: off, slow_interval: off, down_interval: off", ""},
	} {
		parse(t, activeChecks(c.active, c.more))
	}
}

func TestEvidenceThatCannotBeJudgedIsRefused(t *testing.T) {
	for _, c := range []struct{ health, path, says string }{
		{"passive: {base_ejection_time: 1m, max_ejection_time: 59s}", "passive.max_ejection_time", "less than base_ejection_time (59s < 1m)"},
		{"passive: {outliers: {success_rate: off}}", "passive.outliers", "compares nothing"},
		{"passive: {outliers: {success_rate: 0.9}}", "passive.outliers.success_rate", "between 1 and 10"},
		{"passive: {outliers: {success_rate: 10.1}}", "passive.outliers.success_rate", "between 1 and 10"},
		{"passive: {outliers: {latency: 1.4}}", "passive.outliers.latency", "between 1.5 and 100"},
		{"passive: {outliers: {latency: 100.1}}", "passive.outliers.latency", "between 1.5 and 100"},
		{"passive: {outliers: {latency: three}}", "passive.outliers.latency", "want a number"},
		{"passive: {outliers: {latency: 1e1}}", "passive.outliers.latency", "want a number"},
		{"passive: {outliers: {latency: [3]}}", "passive.outliers.latency", "want a number"},
		{"passive: {outliers: {latency: 0}}", "passive.outliers.latency", "want a number"},
		{"passive: {outliers: {min_backends: 2}}", "passive.outliers.min_backends", "between 3"},
		{"passive: {ejection_jitter_percent: 101}", "passive.ejection_jitter_percent", "between 1 and 100"},
		{"breaker: {error_percent: off}", "breaker", "never opens"},
		{"breaker: {error_percent: 0}", "breaker.error_percent", "between 1 and 100"},
		{"agent: {}", "agent.port", "between 1 and 65535"},
		{"agent: {port: 0}", "agent.port", "between 1 and 65535"},
		{"agent: {port: 65536}", "agent.port", "between 1 and 65535"},
		{"agent: {port: 1, timeout: 6s}", "agent.timeout", "more than interval (6s > 5s)"},
		{"agent: {port: 1, send: 'hex:0'}", "agent.send", "two for each byte"},
		{"agent: {port: 1, send: '" + strings.Repeat("a", maxExchange+1) + "'}", "agent.send", "at most 4096"},
		{"agent: off", "agent", "want a mapping"},
		{"panic_threshold: 30", "panic_threshold", "such as 30%"},
		{"panic_threshold: 0%", "panic_threshold", "such as 30%"},
		{"panic_threshold: 101%", "panic_threshold", "between 1% and 100%"},
		{"panic_threshold: [1]", "panic_threshold", "such as 30%"},
		{"on_no_backend: panic", "on_no_backend", "fail_open"},
		{"breaker: {probes: 0}", "breaker.probes", "between 1 and 1000"},
	} {
		list := mistakes(t, strings.Replace(minimal, "{backends", "{health: {"+c.health+"}, backends", 1))
		require.Len(t, list, 1, c.health)
		require.Equal(t, "upstreams.web.health."+c.path, list[0].Path, c.health)
		require.Contains(t, list[0].Msg, c.says, c.health)
	}
	for text, want := range map[string]Health{
		"passive: {outliers: {}}": {Passive: Passive{Outliers: &Outliers{SuccessRate: 1.9, Interval: 10 * time.Second, MinBackends: 5, MinRequests: 100}}},
		"passive: {outliers: {success_rate: off, latency: 3}}": {Passive: Passive{Outliers: &Outliers{Latency: 3,
			Interval: 10 * time.Second, MinBackends: 5, MinRequests: 100}}},
		"agent: {port: 65535, interval: 250ms}": {Agent: &AgentCheck{Port: 65535, Interval: 250 * time.Millisecond, Timeout: 250 * time.Millisecond}},
		"breaker: {}": {Breaker: &Breaker{ErrorPercent: 50, SlowAfter: time.Second, Window: 10 * time.Second, MinRequests: 20,
			OpenTime: 10 * time.Second, Probes: 3}},
		"breaker: {error_percent: off, slow_percent: 10}": {Breaker: &Breaker{ErrorPercent: Off, SlowPercent: 10, SlowAfter: time.Second,
			Window: 10 * time.Second, MinRequests: 20, OpenTime: 10 * time.Second, Probes: 3}},
	} {
		c := parse(t, strings.Replace(minimal, "{backends", "{health: {"+text+"}, backends", 1))
		require.Equal(t, want.Passive.Outliers, c.Upstreams[0].Health.Passive.Outliers, text)
		require.Equal(t, want.Breaker, c.Upstreams[0].Health.Breaker, text)
		require.Equal(t, want.Agent, c.Upstreams[0].Health.Agent, text)
		require.Equal(t, c, c.WithDefaults())
	}
}

// Each number and time of health has a bound at both ends, which is the last that is taken.
func TestEveryNumberOfHealthHasBounds(t *testing.T) {
	for _, c := range []struct{ key, under, least, most, over string }{
		{"active: {timeout: 1ms, interval: %s}", "999us", "1ms", "24h", "86401s"},
		{"active: {interval: 24h, fast_interval: %s}", "999us", "1ms", "24h", "86401s"},
		{"active: {down_interval: %s}", "999us", "1ms", "24h", "86401s"},
		{"active: {interval: 1ms, timeout: 1ms, slow_interval: %s}", "1ms", "2ms", "24h", "86401s"},
		{"active: {interval: 24h, timeout: %s}", "999us", "1ms", "24h", "86401s"},
		{"active: {max_concurrent: %s}", "0", "1", "100000", "100001"},
		{"active: {rise: %s}", "0", "1", "100", "101"},
		{"active: {fall: %s}", "0", "1", "100", "101"},
		{"active: {tcp: {expect: a, max_bytes: %s}}", "0", "1", "4096", "4097"},
		{"active: {http: {body: {contains: a, max_bytes: %s}}}", "0", "1", "65536", "65537"},
		{"active: {http: {status: %s}}", "99", "100", "599", "600"},
		{"active: {tls: {reload_every: %s}}", "999us", "1ms", "24h", "86401s"},
		{"agent: {port: %s}", "0", "1", "65535", "65536"},
		{"agent: {port: 1, timeout: 1ms, interval: %s}", "999us", "1ms", "24h", "86401s"},
		{"agent: {port: 1, interval: 24h, timeout: %s}", "999us", "1ms", "24h", "86401s"},
		{"passive: {consecutive_5xx: %s}", "0", "1", "10000", "10001"},
		{"passive: {consecutive_gateway_errors: %s}", "0", "1", "10000", "10001"},
		{"passive: {consecutive_failures: %s}", "0", "1", "10000", "10001"},
		{"passive: {base_ejection_time: %s}", "999us", "1ms", "24h", "86401s"},
		{"passive: {base_ejection_time: 1ms, max_ejection_time: %s}", "999us", "1ms", "24h", "86401s"},
		{"passive: {ejection_jitter_percent: %s}", "0", "1", "100", "101"},
		{"passive: {max_ejection_percent: %s}", "0", "1", "100", "101"},
		{"passive: {outliers: {interval: %s}}", "999us", "1ms", "1h", "3601s"},
		{"passive: {outliers: {min_backends: %s}}", "2", "3", "10000", "10001"},
		{"passive: {outliers: {min_requests: %s}}", "0", "1", "1000000", "1000001"},
		{"passive: {outliers: {success_rate: %s}}", "0.99", "1", "10", "10.01"},
		{"passive: {outliers: {latency: %s}}", "1.49", "1.5", "100", "100.01"},
		{"breaker: {error_percent: %s}", "0", "1", "100", "101"},
		{"breaker: {slow_percent: %s}", "0", "1", "100", "101"},
		{"breaker: {slow_after: %s}", "999us", "1ms", "1h", "3601s"},
		{"breaker: {window: %s}", "999us", "1ms", "1h", "3601s"},
		{"breaker: {min_requests: %s}", "0", "1", "1000000", "1000001"},
		{"breaker: {open_time: %s}", "999us", "1ms", "24h", "86401s"},
		{"breaker: {probes: %s}", "0", "1", "1000", "1001"},
		{"panic_threshold: %s", "0%", "1%", "100%", "101%"},
	} {
		text := func(value string) string {
			return strings.Replace(minimal, "{backends", "{health: {"+strings.Replace(c.key, "%s", value, 1)+"}, backends", 1)
		}
		for _, good := range []string{c.least, c.most} {
			parse(t, text(good))
		}
		for _, bad := range []string{c.under, c.over} {
			list := mistakes(t, text(bad))
			require.Len(t, list, 1, "%s: %s", c.key, bad)
			require.Positive(t, list[0].Line)
		}
	}
}

func TestAnEjectionTimeThatIsGivenAloneMovesTheLongest(t *testing.T) {
	text := strings.Replace(minimal, "{backends", "{health: {passive: {base_ejection_time: 1h}}, backends", 1)
	require.Equal(t, time.Hour, parse(t, text).Upstreams[0].Health.Passive.MaxEjectionTime)
}

func TestPacesThatAreLeftOutFollowTheInterval(t *testing.T) {
	a := parse(t, activeChecks("interval: 250ms", "")).Upstreams[0].Health.Active
	require.Equal(t, []time.Duration{0, 0, 0}, []time.Duration{a.FastInterval, a.DownInterval, a.SlowInterval})
}
