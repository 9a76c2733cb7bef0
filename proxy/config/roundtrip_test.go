package config

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Writing the effective settings and reading them again must change nothing, whatever valid settings they are.
func TestMarshalledSettingsParseToAnEqualConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		require.NoError(t, c.Validate())
		text, err := c.Marshal()
		require.NoError(t, err)
		back, err := Parse("again.yaml", text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, c, back, "%s", text)

		again, err := back.Marshal()
		require.NoError(t, err)
		require.Equal(t, string(text), string(again), "writing must be stable")
	})
}

func drawDuration(t *rapid.T, label string, min, max time.Duration, off bool) time.Duration {
	if off && rapid.Bool().Draw(t, label+" off") {
		return Off
	}
	if rapid.Bool().Draw(t, label+" whole") {
		return min * time.Duration(rapid.Int64Range(1, int64(max/min)).Draw(t, label))
	}
	return time.Duration(rapid.Int64Range(int64(min), int64(max)).Draw(t, label))
}

func drawInt(t *rapid.T, label string, min, max int, off bool) int {
	if off && rapid.Bool().Draw(t, label+" off") {
		return Off
	}
	return rapid.IntRange(min, max).Draw(t, label)
}

func drawConfig(t *rapid.T) *Config {
	c := &Config{DrainTimeout: drawDuration(t, "drain", tick, day, false)}
	c.Admin.Address = rapid.SampledFrom([]string{"", "127.0.0.1:9901", "[::1]:0", "ops.example:65535"}).Draw(t, "admin")
	c.AccessLog = drawLog(t)
	c.Instance = rapid.SampledFrom([]string{"proxy-1", "1e3"}).Draw(t, "instance")
	c.Zone = rapid.SampledFrom([]string{"", "eu-1", "on"}).Draw(t, "own zone")
	// Names that YAML would read as something else than text are the interesting ones.
	names := rapid.SliceOfNDistinct(rapid.OneOf(
		rapid.SampledFrom([]string{"on", "off", "null", "true", "1", "0x1f", "1.5", "1e3", "y", "0o7", "2001-01-01"}),
		rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`)), 1, 4, rapid.ID).Draw(t, "names")
	for i, name := range names {
		c.Upstreams = append(c.Upstreams, drawUpstream(t, name, i))
		if k := c.Upstreams[i].Sticky; k != nil && i > 0 {
			k.Cookie += strconv.Itoa(i) // that of another one on the same host would be overwritten
		}
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "listeners") {
		c.Listeners = append(c.Listeners, drawListener(t, i, names))
		for _, r := range append([]Route{{Upstream: c.Listeners[i].Upstream}}, c.Listeners[i].Routes...) {
			if u := c.UpstreamNamed(r.Upstream); u != nil && c.Listeners[i].Protocol == ProtocolTCP {
				u.Concurrency, u.Sticky = nil, nil // which tunnels cannot have
			}
		}
	}
	return c
}

func drawListenerTLS(t *rapid.T) *ListenerTLS {
	if rapid.Bool().Draw(t, "clear") {
		return nil
	}
	s := &ListenerTLS{
		MinVersion:       rapid.SampledFrom([]string{TLS12, TLS13}).Draw(t, "version"),
		HandshakeTimeout: drawDuration(t, "handshake", tick, time.Hour, false),
		Tickets:          rapid.SampledFrom([]Switch{SwitchOn, SwitchOff}).Draw(t, "tickets"),
		ReloadEvery:      drawDuration(t, "reload", time.Second, day, true),
		ClientAuth:       rapid.SampledFrom([]string{ClientAuthOff, ClientAuthRequest, ClientAuthRequire}).Draw(t, "auth"),
	}
	if s.ClientAuth != ClientAuthOff {
		s.ClientCA = "clients.pem"
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "certificates") {
		c := Certificate{Cert: fmt.Sprintf("/etc/site %d.pem", i)}
		if rapid.Bool().Draw(t, "own key") {
			c.Key = "on"
		}
		s.Certificates = append(s.Certificates, c)
	}
	return s
}

func drawUpstreamTLS(t *rapid.T) *UpstreamTLS {
	if rapid.Bool().Draw(t, "clear") {
		return nil
	}
	s := &UpstreamTLS{
		ServerName:  rapid.SampledFrom([]string{"", "web.test", "10.0.0.1"}).Draw(t, "server name"),
		Verify:      rapid.SampledFrom([]Switch{SwitchOn, SwitchOff}).Draw(t, "verify"),
		MinVersion:  rapid.SampledFrom([]string{TLS12, TLS13}).Draw(t, "version"),
		ReloadEvery: drawDuration(t, "reload", time.Second, day, true),
	}
	if s.Verify == SwitchOn && rapid.Bool().Draw(t, "own authorities") {
		s.CA = "ca.pem"
	}
	if rapid.Bool().Draw(t, "client certificate") {
		s.Certificate = Certificate{Cert: "client.pem", Key: rapid.SampledFrom([]string{"", "client.key"}).Draw(t, "key")}
	}
	return s
}

func drawListener(t *rapid.T, i int, names []string) Listener {
	l := DefaultListener(fmt.Sprintf("%s:%d", rapid.SampledFrom([]string{"", "0.0.0.0", "[::]", "a.example"}).Draw(t, "host"), i))
	l.Workers = drawInt(t, "workers", 1, 256, false)
	l.MaxConnections = drawInt(t, "connections", 1, 10_000_000, true)
	l.TLS = drawListenerTLS(t)
	l.MaxConnectionsPerSource = drawInt(t, "per source", 0, 10_000_000, false)
	l.ProxyProtocol = drawProxyProtocol(t)
	if rapid.Bool().Draw(t, "tcp") {
		l.Protocol = ProtocolTCP
		l.Upstream = rapid.SampledFrom(names).Draw(t, "upstream")
		for j := range rapid.IntRange(0, 2).Draw(t, "server names") {
			l.Routes = append(l.Routes, Route{Upstream: l.Upstream, Priority: drawPriority(t), Match: Match{Host: fmt.Sprintf("%d.example", j), PathPrefix: "/"}})
		}
		return l
	}
	l.HTTP2 = rapid.SampledFrom([]Switch{SwitchOn, SwitchOff}).Draw(t, "http2")
	l.MaxStreams = drawInt(t, "streams", 1, 10_000, false)
	l.HeadTimeout = drawDuration(t, "head", tick, time.Hour, false)
	l.IdleTimeout = drawDuration(t, "idle", tick, day, false)
	l.MaxHeadBytes = drawInt(t, "head bytes", 1<<10, 1<<20, false)
	l.MaxFields = drawInt(t, "fields", 1, 10_000, false)
	l.MaxTargetBytes = drawInt(t, "target bytes", 64, l.MaxHeadBytes, false)
	l.MaxRequestBody = rapid.Int64Range(0, 1<<40).Draw(t, "body")
	l.BodyTimeout = drawDuration(t, "body timeout", tick, time.Hour, false)
	l.MinBodyRate = drawInt(t, "rate", 1, 1<<30, true)
	l.SendTimeout = drawDuration(t, "send timeout", tick, time.Hour, false)
	told := l.ProxyProtocol
	l.Edge = drawEdge(t)
	l.ProxyProtocol = told
	for j := range rapid.IntRange(1, 3).Draw(t, "routes") {
		l.Routes = append(l.Routes, Route{Upstream: rapid.SampledFrom(names).Draw(t, "upstream"), Priority: drawPriority(t), Match: Match{
			Host:       rapid.SampledFrom([]string{"", "a.example", "[::1]", "10.0.0.1"}).Draw(t, "match host"),
			PathPrefix: fmt.Sprintf("/%d%s", j, rapid.SampledFrom([]string{"", "/", "/%20", "/a:b'\"{}[]&*!|>", "/${A}", "/$${A}$", "/$$$${file:x}"}).Draw(t, "prefix")),
		}})
	}
	return l
}

func drawEdge(t *rapid.T) Edge {
	return Edge{
		MaxConnectionsPerSource:  drawInt(t, "per source", 0, 10_000_000, false),
		MaxRequestsPerConnection: drawInt(t, "per connection", 0, 1<<30, false),
		TrustedProxies: rapid.SampledFrom([][]string{nil, {"10.0.0.0/8"}, {"::1", "2001:db8::/32", "0.0.0.0/0"}}).
			Draw(t, "trusted"),
		Forwarded: rapid.SampledFrom(ForwardedStyles()).Draw(t, "forwarded"),
		RequestID: rapid.SampledFrom([]string{"", "X-Request-ID", "1e3"}).Draw(t, "id"),
		MaxHops:   drawInt(t, "hops", 1, 100, false),
	}
}

func drawProxyProtocol(t *rapid.T) *ProxyProtocol {
	if rapid.Bool().Draw(t, "no headers") {
		return nil
	}
	return &ProxyProtocol{
		From:    rapid.SampledFrom([][]string{{"10.0.0.1"}, {"::1", "2001:db8::/32", "0.0.0.0/0"}}).Draw(t, "from"),
		Timeout: drawDuration(t, "for a header", tick, time.Hour, false),
	}
}

func drawLog(t *rapid.T) *AccessLog {
	if rapid.Bool().Draw(t, "no log") {
		return nil
	}
	return &AccessLog{
		Path:   rapid.SampledFrom([]string{LogStdout, "a.log", "/var/log/a b: #.log", "1", "null"}).Draw(t, "path"),
		Format: rapid.SampledFrom([]string{LogJSON, LogText}).Draw(t, "format"),
		Fields: rapid.SampledFrom([][]string{nil, {"time"}, AccessFields()}).Draw(t, "fields"),
		Buffer: drawInt(t, "buffer", 64<<10, 64<<20, false),
	}
}

func drawRetry(t *rapid.T) Retry {
	r := Retry{Attempts: drawInt(t, "attempts", 1, 10, false), BudgetPercent: drawInt(t, "budget", 1, 100, true)}
	r.On = rapid.SliceOfDistinct(rapid.SampledFrom(RetryConditions()), rapid.ID).Draw(t, "on")
	if !rapid.Bool().Draw(t, "adaptive") {
		r.PerTryTimeout = drawDuration(t, "per try", tick, time.Hour, true)
	}
	return r
}

func drawPriority(t *rapid.T) string {
	return rapid.SampledFrom([]string{PriorityHigh, PriorityNormal, PriorityLow}).Draw(t, "class")
}

func drawQueue(t *rapid.T) Queue {
	q := Queue{MaxWaiting: drawInt(t, "waiting", 1, 1_000_000, true), Timeout: drawDuration(t, "queue", tick, time.Hour, false),
		Interval: 100 * time.Millisecond}
	if q.MaxWaiting != Off && rapid.Bool().Draw(t, "no fair share") {
		q.MaxWaitingPerBackend = drawInt(t, "waiting for one", 1, q.MaxWaiting, true)
	}
	if rapid.Bool().Draw(t, "sheds") {
		q.Target, q.Interval = drawDuration(t, "target", tick, q.Timeout, false), drawDuration(t, "interval", tick, time.Hour, false)
	}
	return q
}

func drawBalance(t *rapid.T, u *Upstream) {
	if StrategyByKey(u.Strategy) {
		u.Hash = &Hash{By: rapid.SampledFrom([]string{HashSource, HashHeader, HashCookie, HashPath}).Draw(t, "key"),
			BalanceFactor: drawInt(t, "bound", 101, 1000, true)}
		if u.Hash.By == HashHeader || u.Hash.By == HashCookie {
			u.Hash.Name = rapid.SampledFrom([]string{"X-User", "sid", "true", "1e3", "__Host-id"}).Draw(t, "named")
		}
	}
	if StrategySlowStarts(u.Strategy) && rapid.Bool().Draw(t, "slowly") {
		u.SlowStart = drawDuration(t, "slow start", tick, day, false)
	}
}

// drawClients draws what an upstream says about whose requests go where, and how many.
func drawClients(t *rapid.T, u *Upstream) {
	if !StrategyByKey(u.Strategy) {
		u.SubsetSize = drawInt(t, "subset", 0, 10_000, false)
	}
	if u.SubsetSize == 0 && rapid.Bool().Draw(t, "cookies") {
		u.Sticky = &Sticky{
			Cookie:      rapid.SampledFrom([]string{"sid", "1e3", "null"}).Draw(t, "cookie"),
			SecretFiles: rapid.SampledFrom([][]string{{"a"}, {"/run/secret 1", "true"}}).Draw(t, "secrets"),
			TTL:         drawDuration(t, "ttl", time.Second, 365*day, false),
			Path:        rapid.SampledFrom([]string{"/", "/a"}).Draw(t, "cookie path"),
			Secure:      rapid.SampledFrom([]string{SecureAuto, SecureOn, SecureOff}).Draw(t, "secure"),
			SameSite:    rapid.SampledFrom([]string{SameSiteLax, SameSiteStrict, SameSiteOff}).Draw(t, "same site"),
			OnCacheable: rapid.SampledFrom([]string{CacheableSkip, CacheablePrivate, CacheableSet}).Draw(t, "cacheable"),
		}
	}
	if rapid.Bool().Draw(t, "limits") {
		most := drawInt(t, "most in flight", 1, 1_000_000, false)
		u.Concurrency = &Concurrency{Min: drawInt(t, "least in flight", 1, most, false), Max: most}
	}
}

func drawUpstream(t *rapid.T, name string, i int) Upstream {
	u := Upstream{
		Name:              name,
		Host:              rapid.SampledFrom([]string{HostPass, HostBackend, "b.example", "[::1]:80"}).Draw(t, "host"),
		Strategy:          rapid.SampledFrom(Strategies()).Draw(t, "strategy"),
		Protocol:          UpstreamHTTP1,
		SendProxy:         rapid.SampledFrom([]string{SendProxyOff, SendProxyV1, SendProxyV2}).Draw(t, "told"),
		MinZonePercent:    drawInt(t, "zone's part", 1, 100, true),
		ResponseTimeout:   drawDuration(t, "response", tick, day, true),
		TunnelIdleTimeout: drawDuration(t, "tunnel", tick, 7*day, true),
		StreamIdleTimeout: drawDuration(t, "stream", tick, day, true),
		Retry:             drawRetry(t),
		TLS:               drawUpstreamTLS(t),
		Queue:             drawQueue(t),
		Unavailable: Unavailable{drawDuration(t, "retry after", time.Second, day, true), rapid.StringN(0, 20, 40).Draw(t, "body"),
			rapid.SampledFrom([]string{"text/plain; charset=utf-8", "text/html", "a/b"}).Draw(t, "type")},
	}
	for j := range rapid.IntRange(1, 3).Draw(t, "backends") {
		u.Backends = append(u.Backends, Backend{fmt.Sprintf("10.%d.0.%d:80", i, j), drawInt(t, "weight", 1, 1000, false),
			drawInt(t, "priority", 0, MaxPriority, false),
			rapid.SampledFrom([]string{"", "eu-1", "1e3"}).Draw(t, "zone")})
	}
	drawBalance(t, &u)
	drawClients(t, &u)
	most := drawInt(t, "pool", 1, 100_000, false)
	u.Pool = Pool{
		MaxConnections: most, MinIdle: drawInt(t, "min idle", 0, most, false),
		IdleTimeout:           drawDuration(t, "pool idle", tick, day, true),
		MaxLifetime:           drawDuration(t, "lifetime", tick, 30*day, true),
		LifetimeJitterPercent: drawInt(t, "jitter", 1, 99, true),
		ValidateAfter:         drawDuration(t, "validate", 1, day, true),
		ConnectTimeout:        drawDuration(t, "connect", tick, 10*time.Minute, false),
		MaxDials:              drawInt(t, "dials", 1, 100_000, false),
		MaxUses:               drawInt(t, "uses", 0, 1_000_000_000, false),
		Order:                 rapid.SampledFrom([]string{OrderRecent, OrderFIFO}).Draw(t, "order"),
		TrimEvery:             drawDuration(t, "trim", tick, day, true),
		Predict:               rapid.SampledFrom([]string{PredictOff, PredictReactive, PredictHolt}).Draw(t, "predict"),
		PredictEvery:          time.Second,
	}
	u.Pool.MinConnectTimeout = drawDuration(t, "least connect", tick, u.Pool.ConnectTimeout, true)
	if u.Pool.Predict != PredictOff {
		u.Pool.PredictEvery = drawDuration(t, "predict every", 10*tick, time.Hour, false)
	}
	if rapid.Bool().Draw(t, "bounded idle") {
		u.Pool.MaxIdle = drawInt(t, "max idle", max(u.Pool.MinIdle, 1), most, false)
	}
	if rapid.Bool().Draw(t, "keep-alive") {
		u.Pool.KeepAlive = &KeepAlive{drawDuration(t, "silence", time.Second, 9*time.Hour, true),
			drawDuration(t, "between", time.Second, 9*time.Hour, false), drawInt(t, "probes", 1, 127, false)}
	}
	if rapid.Bool().Draw(t, "sharp") {
		u.Pool.TCPUserTimeout = drawDuration(t, "user timeout", tick, day, false)
		u.Pool.LeakAfter = drawDuration(t, "leak", tick, 7*day, false)
	}
	u.Health = drawHealth(t, &u)
	return u
}
