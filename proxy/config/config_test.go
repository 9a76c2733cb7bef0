package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

const minimal = `
listeners: [{address: ":8080", upstream: web}]
upstreams: {web: {backends: [{address: "10.0.0.1:80"}]}}
`

// full has every section and every optional key.
func full() *Config {
	c := Default()
	c.Listeners = []Listener{DefaultListener(":8080")}
	c.Listeners[0].Routes = []Route{{Match: Match{Host: "www.example.com", PathPrefix: "/"}, Upstream: "web"}}
	c.Upstreams = []Upstream{DefaultUpstream("web", "10.0.0.1:80")}
	check := defaultHTTPCheck()
	check.Host = "www.example.com"
	check.Body = &BodyCheck{Contains: "up", MaxBytes: 7}
	agent := defaultAgent()
	agent.Port = 5555
	c.Upstreams[0].Health.Agent = &agent
	c.Listeners[0].TrustedProxies = []string{"10.0.0.0/8"}
	told := defaultProxyProtocol()
	told.From = []string{"10.0.0.0/8"}
	c.Listeners[0].ProxyProtocol = &told
	c.AccessLog = &AccessLog{Path: "access.log", Format: LogJSON, Fields: AccessFields(), Buffer: 1 << 20}
	c.Upstreams[0].Health.Active.HTTP = &check
	outliers, breaker := defaultOutliers(), defaultBreaker()
	c.Upstreams[0].Health.Passive.Outliers, c.Upstreams[0].Health.Breaker = &outliers, &breaker
	front, back := defaultListenerTLS(), defaultUpstreamTLS()
	front.Certificates, front.ClientCA = []Certificate{{Cert: "site.pem", Key: "site.key"}}, "clients.pem"
	front.ClientAuth = ClientAuthRequire
	back.Certificate = Certificate{Cert: "us.pem", Key: "us.key"}
	c.Listeners[0].TLS, c.Upstreams[0].TLS = &front, &back
	key := DefaultHash()
	c.Upstreams[0].Strategy, c.Upstreams[0].Hash = StrategyMaglev, &key
	probes := defaultKeepAlive()
	c.Upstreams[0].Pool.KeepAlive, c.Upstreams[0].Pool.Predict = &probes, PredictHolt
	c.Upstreams[0].Queue.Target = 20 * time.Millisecond
	limits := defaultConcurrency()
	c.Upstreams[0].Concurrency = &limits
	sticky := defaultSticky()
	sticky.SecretFiles = []string{"secret"}
	c.Upstreams[0].Sticky = &sticky
	return c
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text))
	require.NoError(t, err)
	return c
}

func mistakes(t *testing.T, text string) Errors {
	t.Helper()
	_, err := Parse("test.yaml", []byte(text))
	var list Errors
	require.ErrorAs(t, err, &list)
	return list
}

func TestKeysThatAreLeftOutHaveTheirDefaults(t *testing.T) {
	want := Default()
	want.Listeners = []Listener{DefaultListener(":8080")}
	want.Listeners[0].Routes = []Route{{Match: Match{PathPrefix: "/"}, Upstream: "web", Priority: PriorityNormal}}
	want.Upstreams = []Upstream{DefaultUpstream("web", "10.0.0.1:80")}
	require.Equal(t, want, parse(t, minimal))
}

func TestASectionWithAllItsLinesCommentedOutHasItsDefaults(t *testing.T) {
	text := strings.Replace(minimal, `{backends`, `{pool: , health: {active: , passive: }, retry: , backends`, 1) + "admin:\n"
	require.Equal(t, parse(t, minimal), parse(t, text))
}

// everyKey gives each key a value that is not its default.
const everyKey = `
drain_timeout: 1m
zone: us-2
instance: proxy-7
admin: {address: "[::1]:0"}
access_log: {path: logs/a.log, format: text, fields: [status, path], buffer: 64KiB}
listeners:
  - {address: "127.0.0.1:0", workers: 2, http2: off, max_streams: 9, max_connections: 7, head_timeout: 1s, idle_timeout: 2s, max_head_bytes: 2048,
     max_fields: 3, max_target_bytes: 1KiB, max_request_body: 1MiB, body_timeout: 3s, min_body_rate: 1KiB, send_timeout: 4s,
     tls: {certificates: [{cert: a, key: b}], min_version: TLSv1.3, client_auth: request, client_ca: c,
           handshake_timeout: 3s, session_tickets: off, reload_every: 4s},
     proxy_protocol: {from: [10.0.0.1], timeout: 7s},
     max_connections_per_source: 4, max_requests_per_connection: 5, trusted_proxies: [10.0.0.0/8, "2001:db8::1"],
     forwarded: both, request_id: X-Request-ID, max_hops: 6,
     routes: [{match: {host: a.example, path_prefix: /a}, upstream: web, priority: high}, {upstream: web, priority: low}]}
  - {address: ":5432", protocol: tcp, upstream: db}
upstreams:
  db: {subset_size: 14, backends: [{address: "10.0.0.9:5432"}]}
  web:
    strategy: random
    slow_start: 12s
    min_zone_percent: 13
    protocol: http1
    send_proxy: v1
    backends: [{address: "[2001:db8::1]:80", weight: 9, priority: 3, zone: eu-1}]
    pool: {max_connections: 8, min_idle: 7, idle_timeout: 1s, max_lifetime: 2s, lifetime_jitter_percent: 3,
           validate_after: 4ms, connect_timeout: 5ms, min_connect_timeout: 3ms, max_dials: 9, max_idle: 7, max_uses: 10,
           order: fifo, trim_every: 6s, predict: holt, predict_every: 7s, tcp_user_timeout: 8s, leak_after: 9s,
           keep_alive: {idle: 10s, interval: 11s, count: 12}}
    health:
      active: {interval: 3s, fast_interval: 1s, down_interval: 4s, slow_interval: 6s, timeout: 2s, max_concurrent: 9, rise: 4, fall: 5, reuse: on,
        http: {method: OPTIONS, path: /up, host: "h.example:81", status: 204, body: {matches: a, max_bytes: 7}}}
      agent: {port: 5555, interval: 7s, timeout: 2s, send: a}
      passive: {consecutive_5xx: 6, consecutive_gateway_errors: 5, consecutive_failures: 7, base_ejection_time: 8s, max_ejection_percent: 9,
        max_ejection_time: 10s, ejection_jitter_percent: 11,
        outliers: {success_rate: 1.2, latency: 3, interval: 4s, min_backends: 6, min_requests: 7}}
      panic_threshold: 15%
      on_no_backend: fail_open
      breaker: {error_percent: 8, slow_percent: 9, slow_after: 10s, window: 11s, min_requests: 12, open_time: 13s, probes: 14}
    retry: {attempts: 3, on: [reset, 503, response_timeout], per_try_timeout: 9ms, budget_percent: 4}
    queue: {max_waiting: 5, max_waiting_per_backend: 4, timeout: 6s, target: 7ms, interval: 8ms}
    unavailable: {retry_after: 7s, body: "<p>Back soon.</p>", content_type: text/html}
    tls: {server_name: d, ca: e, verify: on, cert: f, key: g, min_version: TLSv1.3, reload_every: off}
    sticky: {cookie: sid, secret_files: [h, i], ttl: 10s, path: /a, secure: on, same_site: none, on_cacheable: private}
    adaptive_concurrency: {min: 11, max: 12}
    host: b.example:81
    response_timeout: 7s
    tunnel_idle_timeout: 8s
    stream_idle_timeout: 9s
`

func TestEveryKeyReachesItsField(t *testing.T) {
	c := parse(t, everyKey)
	require.Equal(t, &Config{
		DrainTimeout: time.Minute,
		Zone:         "us-2",
		Instance:     "proxy-7",
		Admin:        Admin{Address: "[::1]:0"},
		AccessLog:    &AccessLog{Path: "logs/a.log", Format: "text", Fields: []string{"status", "path"}, Buffer: 64 << 10},
		Listeners: []Listener{
			{Address: "127.0.0.1:0", Protocol: "http", Workers: 2, MaxConnections: 7, HeadTimeout: time.Second,
				HTTP2: SwitchOff, MaxStreams: 9, TLS: &ListenerTLS{Certificates: []Certificate{{Cert: "a", Key: "b"}},
					MinVersion: TLS13, ClientAuth: ClientAuthRequest, ClientCA: "c", HandshakeTimeout: 3 * time.Second,
					Tickets: SwitchOff, ReloadEvery: 4 * time.Second},
				IdleTimeout: 2 * time.Second, MaxHeadBytes: 2048, MaxFields: 3, MaxTargetBytes: 1024,
				MaxRequestBody: 1 << 20, BodyTimeout: 3 * time.Second, MinBodyRate: 1024, SendTimeout: 4 * time.Second,
				Edge: Edge{ProxyProtocol: &ProxyProtocol{From: []string{"10.0.0.1"}, Timeout: 7 * time.Second},
					MaxConnectionsPerSource: 4, MaxRequestsPerConnection: 5,
					TrustedProxies: []string{"10.0.0.0/8", "2001:db8::1"}, Forwarded: "both",
					RequestID: "X-Request-ID", MaxHops: 6},
				Routes: []Route{
					{Match: Match{Host: "a.example", PathPrefix: "/a"}, Upstream: "web", Priority: PriorityHigh},
					{Match: Match{PathPrefix: "/"}, Upstream: "web", Priority: PriorityLow}}},
			func() Listener {
				l := DefaultListener(":5432")
				l.Protocol, l.Upstream = ProtocolTCP, "db"
				return l
			}(),
		},
		Upstreams: []Upstream{func() Upstream {
			u := DefaultUpstream("db", "10.0.0.9:5432")
			u.SubsetSize = 14
			return u
		}(), {
			Name: "web", Strategy: "random", SlowStart: 12 * time.Second, MinZonePercent: 13, Protocol: "http1", SendProxy: "v1", Backends: []Backend{{Address: "[2001:db8::1]:80", Weight: 9, Priority: 3, Zone: "eu-1"}},
			Pool: Pool{MaxConnections: 8, MinIdle: 7, IdleTimeout: time.Second, MaxLifetime: 2 * time.Second,
				LifetimeJitterPercent: 3, ValidateAfter: 4 * time.Millisecond, ConnectTimeout: 5 * time.Millisecond,
				MinConnectTimeout: 3 * time.Millisecond, MaxDials: 9, MaxIdle: 7, MaxUses: 10, Order: OrderFIFO,
				TrimEvery: 6 * time.Second, Predict: PredictHolt, PredictEvery: 7 * time.Second,
				TCPUserTimeout: 8 * time.Second, LeakAfter: 9 * time.Second,
				KeepAlive: &KeepAlive{Idle: 10 * time.Second, Interval: 11 * time.Second, Count: 12}},
			Health: Health{
				Active: &Active{Interval: 3 * time.Second, FastInterval: time.Second, DownInterval: 4 * time.Second,
					SlowInterval: 6 * time.Second, Timeout: 2 * time.Second, MaxConcurrent: 9, Rise: 4, Fall: 5, Reuse: SwitchOn,
					HTTP: &HTTPCheck{Method: "OPTIONS", Path: "/up", Host: "h.example:81", Status: StatusRange{204, 204},
						Body: &BodyCheck{Matches: "a", MaxBytes: 7}}},
				Agent: &AgentCheck{Port: 5555, Interval: 7 * time.Second, Timeout: 2 * time.Second, Send: "a"},
				Passive: Passive{Consecutive5xx: 6, ConsecutiveGatewayErrors: 5, ConsecutiveFailures: 7, BaseEjectionTime: 8 * time.Second,
					MaxEjectionPercent: 9, MaxEjectionTime: 10 * time.Second, EjectionJitterPercent: 11,
					Outliers: &Outliers{SuccessRate: 1.2, Latency: 3, Interval: 4 * time.Second, MinBackends: 6, MinRequests: 7}},
				PanicThreshold: 15, OnNoBackend: NoBackendFailOpen,
				Breaker: &Breaker{ErrorPercent: 8, SlowPercent: 9, SlowAfter: 10 * time.Second, Window: 11 * time.Second,
					MinRequests: 12, OpenTime: 13 * time.Second, Probes: 14}},
			TLS: &UpstreamTLS{ServerName: "d", CA: "e", Verify: SwitchOn, Certificate: Certificate{Cert: "f", Key: "g"},
				MinVersion: TLS13, ReloadEvery: Off},
			Retry: Retry{Attempts: 3, On: []string{"reset", "503", "response_timeout"},
				PerTryTimeout: 9 * time.Millisecond, BudgetPercent: 4}, Queue: Queue{MaxWaiting: 5, MaxWaitingPerBackend: 4, Timeout: 6 * time.Second, Target: 7 * time.Millisecond, Interval: 8 * time.Millisecond},
			Unavailable: Unavailable{RetryAfter: 7 * time.Second, Body: "<p>Back soon.</p>", ContentType: "text/html"},
			Sticky: &Sticky{Cookie: "sid", SecretFiles: []string{"h", "i"}, TTL: 10 * time.Second, Path: "/a", Secure: SecureOn,
				SameSite: SameSiteNone, OnCacheable: CacheablePrivate},
			Concurrency: &Concurrency{Min: 11, Max: 12},
			Host:        "b.example:81", ResponseTimeout: 7 * time.Second, TunnelIdleTimeout: 8 * time.Second,
			StreamIdleTimeout: 9 * time.Second,
		}},
	}, c)
}

func TestOffSwitchesOffWhereItIsOffered(t *testing.T) {
	c := parse(t, `
listeners: [{address: ":8080", upstream: web, max_connections: off, max_request_body: off, min_body_rate: off,
  max_connections_per_source: off, max_requests_per_connection: off, request_id: off, forwarded: off, trusted_proxies: []}]
access_log: off
upstreams:
  web:
    backends: [{address: "10.0.0.1:80"}]
    pool: {idle_timeout: off, max_lifetime: off, lifetime_jitter_percent: off, validate_after: off}
    health: {active: off, passive: off}
    retry: {on: off, per_try_timeout: off, budget_percent: off}
    queue: {max_waiting: off}
    unavailable: {retry_after: off}
    response_timeout: off
    tunnel_idle_timeout: "off"
    stream_idle_timeout: off
admin: {address: off}
`)
	u := c.Upstreams[0]
	require.Empty(t, c.Admin.Address)
	require.Equal(t, Off, c.Listeners[0].MaxConnections)
	require.Equal(t, Off, c.Listeners[0].MinBodyRate)
	require.Equal(t, time.Duration(Off), u.Unavailable.RetryAfter)
	require.Equal(t, []string{}, u.Retry.On)
	require.Zero(t, c.Listeners[0].MaxRequestBody)
	require.Equal(t, Edge{Forwarded: ForwardedOff, MaxHops: 8}, c.Listeners[0].Edge)
	require.Nil(t, c.AccessLog)
	require.Nil(t, u.Health.Active)
	require.Equal(t, []int{Off, Off, Off, Off, Off}, []int{u.Health.Passive.Consecutive5xx,
		u.Health.Passive.ConsecutiveFailures, u.Retry.BudgetPercent, u.Queue.MaxWaiting, u.Pool.LifetimeJitterPercent})
	require.Equal(t, []time.Duration{Off, Off, Off, Off, Off, Off, Off}, []time.Duration{u.Pool.IdleTimeout,
		u.Pool.MaxLifetime, u.Pool.ValidateAfter, u.ResponseTimeout, u.TunnelIdleTimeout, u.StreamIdleTimeout,
		u.Retry.PerTryTimeout})
	require.Equal(t, c, c.WithDefaults(), "off must not be taken for a missing value")
	c = parse(t, strings.Replace(minimal, "{backends", "{queue: {max_waiting_per_backend: off}, backends", 1))
	require.Equal(t, Off, c.Upstreams[0].Queue.MaxWaitingPerBackend)
	require.Equal(t, c, c.WithDefaults())
}

func TestOffIsRefusedWhereItIsNotOffered(t *testing.T) {
	for _, key := range []string{"connect_timeout", "max_connections", "min_idle"} {
		list := mistakes(t, strings.Replace(minimal, "{backends", "{pool: {"+key+": off}, backends", 1))
		require.Len(t, list, 1)
		require.Equal(t, "upstreams.web.pool."+key, list[0].Path)
		require.NotContains(t, list[0].Msg, "or the word off")
	}
}

func TestADefaultThatFollowsAnotherKeyIsNoMistake(t *testing.T) {
	text := strings.Replace(minimal, "{backends", "{health: {active: {interval: 250ms}}, backends", 1)
	text = strings.Replace(text, "upstream: web", "upstream: web, max_head_bytes: 4KiB", 1)
	c := parse(t, text)
	require.Equal(t, 250*time.Millisecond, c.Upstreams[0].Health.Active.Timeout)
	require.Equal(t, 4096, c.Listeners[0].MaxTargetBytes)
	require.NoError(t, c.Validate())
}

func TestOneMistakeIsNotToldTwice(t *testing.T) {
	text := strings.Replace(minimal, "{backends", "{pool: {max_connections: many, min_idle: 60}, backends", 1)
	require.Len(t, mistakes(t, text), 1)
	// A broken list of upstreams must not make every route name an unknown one.
	require.Len(t, mistakes(t, `{listeners: [{address: ":1", upstream: web}], upstreams: [web]}`), 1)
}

func TestRoutesThatCanNeverBeReachedAreRefused(t *testing.T) {
	for _, tc := range []struct {
		earlier, later Match
		shadowed       bool
	}{
		{Match{}, Match{PathPrefix: "/x"}, true},
		{Match{}, Match{Host: "a.example", PathPrefix: "/"}, true},
		{Match{PathPrefix: "/a"}, Match{PathPrefix: "/a"}, true},
		{Match{PathPrefix: "/a"}, Match{PathPrefix: "/a/b/c"}, true},
		{Match{PathPrefix: "/a"}, Match{PathPrefix: "/a/"}, true},
		{Match{PathPrefix: "/a/"}, Match{PathPrefix: "/a/b"}, true},
		{Match{Host: "A.example", PathPrefix: "/"}, Match{Host: "a.EXAMPLE", PathPrefix: "/b"}, true},
		{Match{PathPrefix: "/a"}, Match{PathPrefix: "/ab"}, false},
		{Match{PathPrefix: "/a/"}, Match{PathPrefix: "/a"}, false},
		{Match{PathPrefix: "/a/b"}, Match{PathPrefix: "/a"}, false},
		{Match{Host: "a.example", PathPrefix: "/"}, Match{PathPrefix: "/"}, false},
		{Match{Host: "a.example", PathPrefix: "/"}, Match{Host: "b.example", PathPrefix: "/"}, false},
	} {
		c := full()
		c.Listeners[0].Routes = []Route{{Match: tc.earlier, Upstream: "web"}, {Match: tc.later, Upstream: "web"}}
		err := c.Validate()
		require.Equal(t, tc.shadowed, err != nil, "%+v then %+v: %v", tc.earlier, tc.later, err)
		if tc.shadowed {
			require.ErrorContains(t, err, "listeners[0].routes[1]: is never reached: routes[0]")
		}
	}
}

func TestValidateTakesZeroFieldsAsDefaultsAndChangesNothing(t *testing.T) {
	c := &Config{
		Listeners: []Listener{{Address: ":0", Upstream: "web"}},
		Upstreams: []Upstream{{Name: "web", Backends: []Backend{{Address: "10.0.0.1:80"}},
			Health: Health{Active: &Active{Interval: time.Millisecond * 10, HTTP: &HTTPCheck{}}}}},
	}
	require.NoError(t, c.Validate())
	require.Equal(t, ":0", c.Listeners[0].Address)
	require.Zero(t, c.Listeners[0].Workers)
	require.Zero(t, c.Upstreams[0].Backends[0].Weight)
	require.Zero(t, c.Upstreams[0].Health.Active.HTTP.Path)

	want := Default()
	want.Admin.Address = ""
	want.Listeners = []Listener{DefaultListener(":0")}
	want.Listeners[0].Routes = []Route{{Match: Match{PathPrefix: "/"}, Upstream: "web", Priority: PriorityNormal}}
	want.Upstreams = []Upstream{DefaultUpstream("web", "10.0.0.1:80")}
	want.Upstreams[0].Health.Active = &Active{Interval: 10 * time.Millisecond, Timeout: 10 * time.Millisecond,
		MaxConcurrent: 256, Rise: 2, Fall: 3, Reuse: SwitchOff, HTTP: &HTTPCheck{Method: "GET", Path: "/", Status: StatusRange{200, 399}}}
	require.Equal(t, want, c.WithDefaults())
}

func TestWithDefaultsSharesNothingWithItsSource(t *testing.T) {
	c := full()
	d := c.WithDefaults()
	d.Listeners[0].Routes[0].Upstream = "x"
	d.Listeners[0].TrustedProxies[0] = "x"
	d.AccessLog.Path, d.AccessLog.Fields[0] = "x", "x"
	d.Upstreams[0].Backends[0].Weight = 7
	d.Upstreams[0].Health.Active.HTTP.Path = "/x"
	d.Upstreams[0].Health.Active.HTTP.Body.Contains = "x"
	d.Upstreams[0].Health.Agent.Port = 1
	d.Upstreams[0].Health.Passive.Outliers.Latency, d.Upstreams[0].Health.Breaker.Probes = 9, 9
	require.Equal(t, full(), c)
}

func TestValidateNamesThePathOfAMistakeBuiltInGo(t *testing.T) {
	c := full()
	c.Listeners[0].Workers = -3
	c.Upstreams[0].Backends = append(c.Upstreams[0].Backends, Backend{Address: "10.0.0.1:80"})
	c.Upstreams = append(c.Upstreams, c.Upstreams[0])
	err := c.Validate()
	require.ErrorContains(t, err, "listeners[0].workers: must be between 1 and 256; got -3")
	require.ErrorContains(t, err, "upstreams.web.backends[1].address: 10.0.0.1:80 is backends[0] already")
	require.ErrorContains(t, err, "upstreams.web: is given twice")
	var first Error
	require.ErrorAs(t, err, &first)
	require.Zero(t, first.Line)
}

// A scenario holds a configuration inside its own file: an editor must be able to jump to the line.
func TestParseNodeKeepsTheLinesOfTheOuterFile(t *testing.T) {
	outer := "name: inline\nproxy:\n  listeners: [{address: ':80', upstream: web}]\n  upstreams:\n    web:\n      pool: {max_connection: 3}\n"
	var doc struct{ Proxy yaml.Node }
	require.NoError(t, yaml.Unmarshal([]byte(outer), &doc))
	_, err := ParseNode("outer.yaml", &doc.Proxy, Sources{})
	require.EqualError(t, err, "outer.yaml:5: upstreams.web.backends: is required: at least one address\n"+
		"outer.yaml:6: upstreams.web.pool.max_connection: unknown key; did you mean max_connections?")

	_, err = ParseNode("outer.yaml", nil, Sources{})
	require.ErrorContains(t, err, "listeners: is required")
	_, err = ParseNode("outer.yaml", &yaml.Node{}, Sources{})
	require.Error(t, err)
}

func TestLoadKeepsTheSystemsErrorForAMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.True(t, errors.Is(err, fs.ErrNotExist), "%v", err)
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.yaml")
	require.NoError(t, os.WriteFile(file, make([]byte, form.MaxBytes+1), 0o644))
	_, err := Load(file)
	require.ErrorContains(t, err, "at most 4194304")
}

func TestAFileFullOfMistakesListsABoundedNumber(t *testing.T) {
	list := mistakes(t, "listeners:\n"+strings.Repeat("  - {adress: x}\n", 500))
	require.Len(t, list, form.MaxErrors+1)
	require.Contains(t, list[form.MaxErrors].Msg, "more mistakes are not shown")
}

func TestAStatusRangeIsClosed(t *testing.T) {
	s := StatusRange{Low: 200, High: 399}
	require.Equal(t, []bool{false, true, true, false},
		[]bool{s.Contains(199), s.Contains(200), s.Contains(399), s.Contains(400)})
	require.Equal(t, "200-399", s.String())
	require.Equal(t, "204", StatusRange{204, 204}.String())
}

func TestLoadTakesInTheEnvironmentAndFilesBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	t.Setenv("WAVEPOOL_TEST_HOST", "api.internal")
	t.Setenv("WAVEPOOL_TEST_MAX", "12")
	write("port", "8443\n")
	path := write("c.yaml", "listeners: [{address: \":8080\", upstream: web}]\nupstreams:\n  web:\n    backends: "+
		"[{address: \"${WAVEPOOL_TEST_HOST}:${file:port}\"}]\n    pool: {max_connections: \"${WAVEPOOL_TEST_MAX}\", "+
		"idle_timeout: \"${WAVEPOOL_TEST_IDLE:-7s}\"}\n")
	c, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, "api.internal:8443", c.Upstreams[0].Backends[0].Address)
	require.Equal(t, 12, c.Upstreams[0].Pool.MaxConnections)
	require.Equal(t, 7*time.Second, c.Upstreams[0].Pool.IdleTimeout)
	out, err := c.Marshal()
	require.NoError(t, err)
	require.Contains(t, string(out), "api.internal:8443")
	require.NotContains(t, string(out), "$")

	_, err = Load(write("bad.yaml", "listeners: [{address: \":8080\", upstream: web}]\nupstreams:\n  web:\n    backends: "+
		"[{address: \"${WAVEPOOL_TEST_NOBODY}:80\"}, {address: \"a:${file:gone}\"}, {address: \"a:${file:.}\"}]\n"))
	require.EqualError(t, err, strings.ReplaceAll(
		`DIR/bad.yaml:4: upstreams.web.backends[0].address: the variable WAVEPOOL_TEST_NOBODY is not set; ${WAVEPOOL_TEST_NOBODY:-default} has a value for that case
DIR/bad.yaml:4: upstreams.web.backends[1].address: cannot read gone: no such file or directory
DIR/bad.yaml:4: upstreams.web.backends[2].address: cannot read .: it is not a regular file`, "DIR", dir))

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = Parse("c.yaml", data)
	require.ErrorContains(t, err, "the variable WAVEPOOL_TEST_HOST is not set", "Parse knows no environment")
}
