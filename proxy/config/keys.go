package config

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

const (
	day  = 24 * time.Hour
	tick = time.Millisecond // the least duration that a timeout may have
)

// form binds the top of the file. This and the functions below are the single table of keys: a key that is not here is
// not accepted, and a key that is here is read, checked and written.
func (c *Config) form() form.Form {
	return form.Form{
		{Key: "listeners", Value: form.List(&c.Listeners, 1000, func() Listener { return DefaultListener("") },
			func(l *Listener) form.Form { return l.form() })},
		{Key: "upstreams", Value: form.Named(&c.Upstreams, 1000, func() Upstream { return DefaultUpstream("") },
			func(u *Upstream) *string { return &u.Name },
			func(u *Upstream) form.Form { return u.form() })},
		{Key: "admin", Value: form.Form{{Key: "address", Value: wordOrOff{&c.Admin.Address, checkAdmin}}}},
		{Key: "access_log", Value: form.OptionalOrOff(&c.AccessLog, DefaultAccessLog,
			func(a *AccessLog) form.Form { return a.form() })},
		{Key: "zone", Value: form.String(&c.Zone, checkZone)},
		{Key: "instance", Value: form.String(&c.Instance, checkZone)},
		{Key: "drain_timeout", Value: form.Duration(&c.DrainTimeout, tick, day)},
	}
}

// httpOnly are the keys of a listener that mean nothing to a TCP listener.
var httpOnly = []string{"http2", "max_streams", "head_timeout", "idle_timeout", "max_head_bytes", "max_fields",
	"max_target_bytes", "max_request_body", "body_timeout", "min_body_rate", "send_timeout", "max_requests_per_connection",
	"trusted_proxies", "forwarded", "request_id", "max_hops"}

func (l *Listener) form() form.Form {
	return form.Form{
		{Key: "address", Value: form.String(&l.Address, checkListen)},
		{Key: "protocol", Value: form.OneOf(&l.Protocol, ProtocolHTTP, ProtocolTCP)},
		{Key: "workers", Value: form.Int(&l.Workers, 1, 256)},
		{Key: "max_connections", Value: form.IntOrOff(&l.MaxConnections, 1, 10_000_000, Off)},
		{Key: "max_connections_per_source", Value: form.IntOrOff(&l.MaxConnectionsPerSource, 1, 10_000_000, 0)},
		{Key: "proxy_protocol", Value: form.Optional(&l.ProxyProtocol, defaultProxyProtocol,
			func(p *ProxyProtocol) form.Form { return p.form() })},
		{Key: "upstream", Value: form.String(&l.Upstream, nil)},
		{Key: "tls", Value: form.Optional(&l.TLS, defaultListenerTLS, func(t *ListenerTLS) form.Form { return t.form() })},
		{Key: "routes", Value: l.routed(form.List(&l.Routes, 1000,
			func() Route { return Route{Match: Match{PathPrefix: "/"}, Priority: PriorityNormal} },
			func(r *Route) form.Form { return r.form() }))},
		{Key: "http2", Value: l.http(form.OneOf((*string)(&l.HTTP2), string(SwitchOn), string(SwitchOff)))},
		{Key: "max_streams", Value: l.http(form.Int(&l.MaxStreams, 1, 10_000))},
		{Key: "head_timeout", Value: l.http(form.Duration(&l.HeadTimeout, tick, time.Hour))},
		{Key: "idle_timeout", Value: l.http(form.Duration(&l.IdleTimeout, tick, day))},
		{Key: "max_head_bytes", Value: l.http(form.Size(&l.MaxHeadBytes, 1<<10, 1<<20))},
		{Key: "max_fields", Value: l.http(form.Int(&l.MaxFields, 1, 10_000))},
		{Key: "max_target_bytes", Value: l.http(form.Size(&l.MaxTargetBytes, 64, 1<<20))},
		{Key: "max_request_body", Value: l.http(form.SizeOrOff(&l.MaxRequestBody, 1, 1<<40, 0))},
		{Key: "body_timeout", Value: l.http(form.Duration(&l.BodyTimeout, tick, time.Hour))},
		{Key: "min_body_rate", Value: l.http(form.SizeOrOff(&l.MinBodyRate, 1, 1<<30, Off))},
		{Key: "send_timeout", Value: l.http(form.Duration(&l.SendTimeout, tick, time.Hour))},
		{Key: "max_requests_per_connection", Value: l.http(form.IntOrOff(&l.MaxRequestsPerConnection, 1, 1<<30, 0))},
		{Key: "trusted_proxies", Value: l.http(form.Strings(&l.TrustedProxies, 1000, checkNetwork))},
		{Key: "forwarded", Value: l.http(form.OneOf(&l.Forwarded, ForwardedStyles()...))},
		{Key: "request_id", Value: l.http(wordOrOff{&l.RequestID, checkOwnField})},
		{Key: "max_hops", Value: l.http(form.Int(&l.MaxHops, 1, 100))},
	}
}

func (r *Route) form() form.Form {
	return form.Form{
		{Key: "match", Value: form.Form{
			{Key: "host", Value: form.String(&r.Match.Host, checkMatchHost)},
			{Key: "path_prefix", Value: form.String(&r.Match.PathPrefix, checkPath)},
		}},
		{Key: "upstream", Value: form.String(&r.Upstream, required)},
		{Key: "priority", Value: form.OneOf(&r.Priority, PriorityHigh, PriorityNormal, PriorityLow)},
	}
}

func (u *Upstream) form() form.Form {
	return form.Form{
		{Key: "strategy", Value: form.OneOf(&u.Strategy, Strategies()...)},
		{Key: "hash", Value: form.Optional(&u.Hash, func() Hash { return Hash{BalanceFactor: DefaultHash().BalanceFactor} },
			func(h *Hash) form.Form { return h.form() })},
		{Key: "min_zone_percent", Value: form.IntOrOff(&u.MinZonePercent, 1, 100, Off)},
		{Key: "subset_size", Value: form.IntOrOff(&u.SubsetSize, 1, 10_000, 0)},
		{Key: "slow_start", Value: form.DurationOrOff(&u.SlowStart, tick, day, 0)},
		{Key: "backends", Value: form.List(&u.Backends, 10_000, func() Backend { return Backend{Weight: 1} },
			func(b *Backend) form.Form {
				return form.Form{
					{Key: "address", Value: form.String(&b.Address, checkBackend)},
					{Key: "weight", Value: form.Int(&b.Weight, 1, MaxWeight)},
					{Key: "priority", Value: form.Int(&b.Priority, 0, MaxPriority)},
					{Key: "zone", Value: form.String(&b.Zone, checkZone)},
					{Key: "backup", Value: backup{&b.Priority}},
				}
			})},
		{Key: "protocol", Value: form.OneOf(&u.Protocol, UpstreamHTTP1, UpstreamHTTP2, UpstreamAuto)},
		{Key: "tls", Value: form.Optional(&u.TLS, defaultUpstreamTLS, func(t *UpstreamTLS) form.Form { return t.form() })},
		{Key: "send_proxy", Value: form.OneOf(&u.SendProxy, SendProxyOff, SendProxyV1, SendProxyV2)},
		{Key: "pool", Value: u.Pool.form()},
		{Key: "health", Value: u.Health.form()},
		{Key: "retry", Value: form.Form{
			{Key: "attempts", Value: form.Int(&u.Retry.Attempts, 1, 10)},
			{Key: "on", Value: form.Words(&u.Retry.On, RetryConditions()...)},
			{Key: "per_try_timeout", Value: form.OrWord(
				form.DurationOrOff(&u.Retry.PerTryTimeout, tick, time.Hour, Off),
				&u.Retry.PerTryTimeout, "adaptive", Adaptive)},
			{Key: "budget_percent", Value: form.IntOrOff(&u.Retry.BudgetPercent, 1, 100, Off)},
		}},
		{Key: "queue", Value: form.Form{
			{Key: "max_waiting", Value: form.IntOrOff(&u.Queue.MaxWaiting, 1, 1_000_000, Off)},
			{Key: "max_waiting_per_backend", Value: u.Queue.waiting(form.OrWord(
				form.IntOrOff(&u.Queue.MaxWaitingPerBackend, 1, 1_000_000, Off), &u.Queue.MaxWaitingPerBackend, "fair", Fair))},
			{Key: "timeout", Value: form.Duration(&u.Queue.Timeout, tick, time.Hour)},
			{Key: "target", Value: form.DurationOrOff(&u.Queue.Target, tick, time.Hour, 0)},
			{Key: "interval", Value: u.Queue.shedding(form.Duration(&u.Queue.Interval, tick, time.Hour))},
		}},
		{Key: "unavailable", Value: u.Unavailable.form()},
		{Key: "sticky", Value: form.Optional(&u.Sticky, defaultSticky, func(s *Sticky) form.Form { return s.form() })},
		{Key: "adaptive_concurrency", Value: form.Optional(&u.Concurrency, defaultConcurrency, func(c *Concurrency) form.Form {
			return form.Form{
				{Key: "min", Value: form.Int(&c.Min, 1, 1_000_000)},
				{Key: "max", Value: form.Int(&c.Max, 1, 1_000_000)},
			}
		})},
		{Key: "host", Value: form.String(&u.Host, checkUpstreamHost)},
		{Key: "response_timeout", Value: form.DurationOrOff(&u.ResponseTimeout, tick, day, Off)},
		{Key: "tunnel_idle_timeout", Value: form.DurationOrOff(&u.TunnelIdleTimeout, tick, 7*day, Off)},
		{Key: "stream_idle_timeout", Value: form.DurationOrOff(&u.StreamIdleTimeout, tick, day, Off)},
	}
}

func (p *Pool) form() form.Form {
	return form.Form{
		{Key: "max_connections", Value: form.Int(&p.MaxConnections, 1, 100_000)},
		{Key: "min_idle", Value: form.Int(&p.MinIdle, 0, 100_000)},
		{Key: "idle_timeout", Value: form.DurationOrOff(&p.IdleTimeout, tick, day, Off)},
		{Key: "max_lifetime", Value: form.DurationOrOff(&p.MaxLifetime, tick, 30*day, Off)},
		{Key: "lifetime_jitter_percent", Value: form.IntOrOff(&p.LifetimeJitterPercent, 1, 99, Off)},
		{Key: "validate_after", Value: form.DurationOrOff(&p.ValidateAfter, 1, day, Off)},
		{Key: "connect_timeout", Value: form.Duration(&p.ConnectTimeout, tick, 10*time.Minute)},
		{Key: "min_connect_timeout", Value: form.DurationOrOff(&p.MinConnectTimeout, tick, 10*time.Minute, Off)},
		{Key: "max_dials", Value: form.Int(&p.MaxDials, 1, 100_000)},
		{Key: "max_idle", Value: form.IntOrOff(&p.MaxIdle, 1, 100_000, 0)},
		{Key: "max_uses", Value: form.IntOrOff(&p.MaxUses, 1, 1_000_000_000, 0)},
		{Key: "order", Value: form.OneOf(&p.Order, OrderRecent, OrderFIFO)},
		{Key: "trim_every", Value: form.DurationOrOff(&p.TrimEvery, tick, day, Off)},
		{Key: "predict", Value: form.OneOf(&p.Predict, PredictOff, PredictReactive, PredictHolt)},
		{Key: "predict_every", Value: p.predicting(form.Duration(&p.PredictEvery, 10*tick, time.Hour))},
		{Key: "keep_alive", Value: form.Optional(&p.KeepAlive, defaultKeepAlive, func(k *KeepAlive) form.Form {
			return form.Form{
				{Key: "idle", Value: form.DurationOrOff(&k.Idle, time.Second, 9*time.Hour, Off)},
				{Key: "interval", Value: form.Duration(&k.Interval, time.Second, 9*time.Hour)},
				{Key: "count", Value: form.Int(&k.Count, 1, 127)},
			}
		})},
		{Key: "tcp_user_timeout", Value: form.DurationOrOff(&p.TCPUserTimeout, tick, day, 0)},
		{Key: "leak_after", Value: form.DurationOrOff(&p.LeakAfter, tick, 7*day, 0)},
	}
}

func (h *Health) form() form.Form {
	p := &h.Passive
	return form.Form{
		{Key: "active", Value: form.OptionalOrOff(&h.Active, DefaultActive,
			func(a *Active) form.Form { return a.form() })},
		{Key: "agent", Value: form.Optional(&h.Agent, defaultAgent, func(a *AgentCheck) form.Form { return a.form() })},
		{Key: "passive", Value: form.OrOff(form.Form{
			{Key: "consecutive_5xx", Value: form.IntOrOff(&p.Consecutive5xx, 1, 10_000, Off)},
			{Key: "consecutive_gateway_errors", Value: form.IntOrOff(&p.ConsecutiveGatewayErrors, 1, 10_000, 0)},
			{Key: "consecutive_failures", Value: form.IntOrOff(&p.ConsecutiveFailures, 1, 10_000, Off)},
			{Key: "base_ejection_time", Value: form.Duration(&p.BaseEjectionTime, tick, day)},
			{Key: "max_ejection_time", Value: form.Duration(&p.MaxEjectionTime, tick, day)},
			{Key: "ejection_jitter_percent", Value: form.IntOrOff(&p.EjectionJitterPercent, 1, 100, 0)},
			{Key: "max_ejection_percent", Value: form.Int(&p.MaxEjectionPercent, 1, 100)},
			{Key: "outliers", Value: form.Optional(&p.Outliers, defaultOutliers, func(o *Outliers) form.Form { return o.form() })},
		}, func() { p.Consecutive5xx, p.ConsecutiveGatewayErrors, p.ConsecutiveFailures = Off, 0, Off })},
		{Key: "panic_threshold", Value: percent{&h.PanicThreshold}},
		{Key: "on_no_backend", Value: form.OneOf(&h.OnNoBackend, NoBackendRefuse, NoBackendFailOpen)},
		{Key: "breaker", Value: form.Optional(&h.Breaker, defaultBreaker, func(b *Breaker) form.Form { return b.form() })},
	}
}

func (a *Active) form() form.Form {
	return append(form.Form{
		{Key: "interval", Value: form.Duration(&a.Interval, tick, day)},
		{Key: "fast_interval", Value: form.DurationOrOff(&a.FastInterval, tick, day, 0)},
		{Key: "down_interval", Value: form.DurationOrOff(&a.DownInterval, tick, day, 0)},
		{Key: "slow_interval", Value: form.DurationOrOff(&a.SlowInterval, tick, day, 0)},
		{Key: "timeout", Value: form.Duration(&a.Timeout, tick, day)},
		{Key: "max_concurrent", Value: form.Int(&a.MaxConcurrent, 1, 100_000)},
		{Key: "rise", Value: form.Int(&a.Rise, 1, 100)},
		{Key: "fall", Value: form.Int(&a.Fall, 1, 100)},
		{Key: "reuse", Value: form.OneOf((*string)(&a.Reuse), string(SwitchOn), string(SwitchOff))},
	}, a.checks()...)
}
