package config

import (
	"slices"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// DefaultAdminAddress is where the admin listener is when a file says nothing about it.
const DefaultAdminAddress = "127.0.0.1:9901"

// Default returns what an empty file means: every default, the admin listener included, and no listener or upstream
// yet.
func Default() *Config {
	return &Config{Admin: Admin{Address: DefaultAdminAddress}, DrainTimeout: 30 * time.Second}
}

// DefaultListener returns an HTTP listener at that address with every default and no route yet.
func DefaultListener(address string) Listener {
	return Listener{
		Address:        address,
		Protocol:       ProtocolHTTP,
		Workers:        4,
		HTTP2:          SwitchOn,
		MaxStreams:     100,
		MaxConnections: 100_000,
		HeadTimeout:    10 * time.Second,
		IdleTimeout:    60 * time.Second,
		MaxHeadBytes:   64 << 10,
		MaxFields:      100,
		MaxTargetBytes: 8 << 10,
		Edge:           Edge{Forwarded: ForwardedX, MaxHops: 8},
		BodyTimeout:    60 * time.Second,
		MinBodyRate:    240,
		SendTimeout:    60 * time.Second,
	}
}

// DefaultUpstream returns an upstream of that name with every default, active TCP checks among them, and the given
// backends with weight 1.
func DefaultUpstream(name string, backends ...string) Upstream {
	active := DefaultActive()
	u := Upstream{
		Name:      name,
		Strategy:  StrategyPeakEWMA,
		Protocol:  UpstreamHTTP1,
		SendProxy: SendProxyOff,
		Pool: Pool{
			MaxConnections:        50,
			IdleTimeout:           30 * time.Second,
			MaxLifetime:           30 * time.Minute,
			LifetimeJitterPercent: 10,
			ValidateAfter:         time.Millisecond,
			ConnectTimeout:        5 * time.Second,
			MinConnectTimeout:     1500 * time.Millisecond,
			MaxDials:              16,
			Order:                 OrderRecent,
			TrimEvery:             5 * time.Second,
			Predict:               PredictOff,
			PredictEvery:          time.Second,
		},
		Health: Health{
			OnNoBackend: NoBackendRefuse,
			Active:      &active,
			Passive: Passive{
				Consecutive5xx:      5,
				ConsecutiveFailures: 5,
				BaseEjectionTime:    30 * time.Second,
				MaxEjectionTime:     5 * time.Minute,
				MaxEjectionPercent:  50,
			},
		},
		Retry:             Retry{Attempts: 2, On: DefaultRetryConditions(), BudgetPercent: 20},
		Queue:             Queue{MaxWaiting: 10000, Timeout: 5 * time.Second, Interval: 100 * time.Millisecond},
		Unavailable:       defaultUnavailable(),
		MinZonePercent:    70,
		Host:              HostPass,
		ResponseTimeout:   30 * time.Second,
		TunnelIdleTimeout: 10 * time.Minute,
		StreamIdleTimeout: 60 * time.Second,
	}
	for _, b := range backends {
		u.Backends = append(u.Backends, Backend{Address: b, Weight: 1})
	}
	return u
}

// DefaultActive returns the active checks of an upstream whose file says nothing: a TCP connect every 5 seconds.
func DefaultActive() Active {
	return Active{Interval: 5 * time.Second, Timeout: time.Second, MaxConcurrent: 256, Rise: 2, Fall: 3, Reuse: SwitchOff}
}

// defaultKeepAlive is what a *net.Dialer sets: a section of the file changes only what it names.
func defaultKeepAlive() KeepAlive {
	return KeepAlive{Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}
}

// WithDefaults returns a copy of c, sharing nothing with it, in which every field that means its default by being zero
// has it, and in which an HTTP listener's Upstream has become its single route. Admin.Address and Health.Active stay as
// they are: there zero means none. Parse has done all this already.
func (c *Config) WithDefaults() *Config {
	out := c.filled()
	for i := range out.Listeners {
		out.Listeners[i].routeToUpstream()
	}
	return out
}

// routeToUpstream turns the short form of an HTTP listener into its single route.
func (l *Listener) routeToUpstream() {
	if l.Protocol == ProtocolHTTP && l.Upstream != "" && len(l.Routes) == 0 {
		l.Routes = []Route{{Match: Match{PathPrefix: "/"}, Upstream: l.Upstream, Priority: PriorityNormal}}
		l.Upstream = ""
	}
}

// filled is WithDefaults without the rewriting of short forms, so that a check can still name what was written.
func (c *Config) filled() *Config {
	out := *c
	fill(&out.DrainTimeout, Default().DrainTimeout)
	if c.AccessLog != nil {
		log := c.AccessLog.filled()
		out.AccessLog = &log
	}
	out.Listeners = slices.Clone(c.Listeners)
	for i := range out.Listeners {
		out.Listeners[i].fill()
	}
	out.Upstreams = slices.Clone(c.Upstreams)
	for i := range out.Upstreams {
		out.Upstreams[i].fill()
	}
	return &out
}

// settle moves the defaults that follow another key, where the file gives that key alone: a file that says
// interval: 500ms and nothing more has made no mistake.
func (c *Config) settle(r *form.Report) {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if !r.Given(form.Index("listeners", i) + ".max_target_bytes") {
			l.MaxTargetBytes = min(l.MaxTargetBytes, l.MaxHeadBytes)
		}
		if t := l.TLS; t != nil && t.ClientCA != "" && !r.Given(form.Index("listeners", i)+".tls.client_auth") {
			t.ClientAuth = ClientAuthRequire
		}
	}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if StrategyByKey(u.Strategy) { // to any other one a file that gives a hash makes a mistake
			u.Hash = u.filledHash()
		}
		if u.Health.Active != nil && !r.Given(form.Join("upstreams", u.Name)+".health.active.timeout") {
			u.Health.Active.Timeout = min(u.Health.Active.Timeout, u.Health.Active.Interval)
		}
		if b := u.Concurrency; b != nil && !r.Given(form.Join("upstreams", u.Name)+".adaptive_concurrency.min") {
			b.Min = min(b.Min, b.Max)
		}
		if a := u.Health.Agent; a != nil && !r.Given(form.Join("upstreams", u.Name)+".health.agent.timeout") {
			a.Timeout = min(a.Timeout, a.Interval)
		}
		if !r.Given(form.Join("upstreams", u.Name) + ".health.passive.max_ejection_time") {
			u.Health.Passive.MaxEjectionTime = max(u.Health.Passive.MaxEjectionTime, u.Health.Passive.BaseEjectionTime)
		}
		if !r.Given(form.Join("upstreams", u.Name) + ".pool.min_connect_timeout") {
			u.Pool.MinConnectTimeout = min(u.Pool.MinConnectTimeout, u.Pool.ConnectTimeout)
		}
	}
}

// fill gives a field that is zero its default.
func fill[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func (l *Listener) fill() {
	d := DefaultListener("")
	fill(&l.Protocol, d.Protocol)
	fill(&l.Workers, d.Workers)
	fill(&l.HTTP2, d.HTTP2)
	fill(&l.MaxStreams, d.MaxStreams)
	fill(&l.MaxConnections, d.MaxConnections)
	fill(&l.HeadTimeout, d.HeadTimeout)
	fill(&l.IdleTimeout, d.IdleTimeout)
	fill(&l.MaxHeadBytes, d.MaxHeadBytes)
	fill(&l.MaxFields, d.MaxFields)
	fill(&l.MaxTargetBytes, min(d.MaxTargetBytes, l.MaxHeadBytes))
	l.TLS = l.TLS.filled()
	l.ProxyProtocol = l.ProxyProtocol.filled()
	fill(&l.Forwarded, d.Forwarded)
	fill(&l.MaxHops, d.MaxHops)
	l.TrustedProxies = slices.Clone(l.TrustedProxies)
	fill(&l.BodyTimeout, d.BodyTimeout)
	fill(&l.MinBodyRate, d.MinBodyRate)
	fill(&l.SendTimeout, d.SendTimeout)
	l.Routes = slices.Clone(l.Routes)
	for i := range l.Routes {
		fill(&l.Routes[i].Match.PathPrefix, "/")
		fill(&l.Routes[i].Priority, PriorityNormal)
	}
}

func (u *Upstream) fill() {
	d := DefaultUpstream("")
	fill(&u.Strategy, d.Strategy)
	u.Hash = u.filledHash()
	fill(&u.MinZonePercent, d.MinZonePercent)
	fill(&u.Protocol, d.Protocol)
	fill(&u.SendProxy, d.SendProxy)
	fill(&u.Host, d.Host)
	fill(&u.ResponseTimeout, d.ResponseTimeout)
	fill(&u.TunnelIdleTimeout, d.TunnelIdleTimeout)
	u.TLS = u.TLS.filled()
	u.Concurrency = u.Concurrency.filled()
	u.Sticky = u.Sticky.filled()
	fill(&u.StreamIdleTimeout, d.StreamIdleTimeout)
	u.Backends = slices.Clone(u.Backends)
	for i := range u.Backends {
		fill(&u.Backends[i].Weight, 1)
	}

	p := &u.Pool
	fill(&p.MaxConnections, d.Pool.MaxConnections)
	fill(&p.IdleTimeout, d.Pool.IdleTimeout)
	fill(&p.MaxLifetime, d.Pool.MaxLifetime)
	fill(&p.LifetimeJitterPercent, d.Pool.LifetimeJitterPercent)
	fill(&p.ValidateAfter, d.Pool.ValidateAfter)
	fill(&p.ConnectTimeout, d.Pool.ConnectTimeout)
	fill(&p.MinConnectTimeout, min(d.Pool.MinConnectTimeout, p.ConnectTimeout))
	fill(&p.MaxDials, d.Pool.MaxDials)
	fill(&p.Order, d.Pool.Order)
	fill(&p.TrimEvery, d.Pool.TrimEvery)
	fill(&p.Predict, d.Pool.Predict)
	fill(&p.PredictEvery, d.Pool.PredictEvery)
	if p.KeepAlive != nil {
		k, def := *p.KeepAlive, defaultKeepAlive()
		fill(&k.Idle, def.Idle)
		fill(&k.Interval, def.Interval)
		fill(&k.Count, def.Count)
		p.KeepAlive = &k
	}

	u.Health.fill()

	fill(&u.Retry.Attempts, d.Retry.Attempts)
	if u.Retry.On = slices.Clone(u.Retry.On); u.Retry.On == nil {
		u.Retry.On = d.Retry.On
	}
	fill(&u.Retry.BudgetPercent, d.Retry.BudgetPercent)
	fill(&u.Queue.MaxWaiting, d.Queue.MaxWaiting)
	fill(&u.Queue.Timeout, d.Queue.Timeout)
	fill(&u.Queue.Interval, d.Queue.Interval)
	u.Unavailable.fill()
}

func (a Active) filled() Active {
	d := DefaultActive()
	fill(&a.Interval, d.Interval)
	fill(&a.Timeout, min(d.Timeout, a.Interval))
	fill(&a.MaxConcurrent, d.MaxConcurrent)
	fill(&a.Rise, d.Rise)
	fill(&a.Fall, d.Fall)
	fill(&a.Reuse, d.Reuse)
	a.fillChecks()
	return a
}
