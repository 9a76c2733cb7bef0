package config

import (
	"strings"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// check tells r the mistakes that need more than one field to see. The ranges of single fields are in the table of keys.
// It never tells a mistake that only follows from another one.
func (c *Config) check(r *form.Report) {
	if r.Skipped("") {
		return
	}
	if len(c.Listeners) == 0 && !r.Failed("listeners") {
		r.Fail("listeners", "is required: at least one address to listen on")
	}
	if len(c.Upstreams) == 0 && !r.Failed("upstreams") {
		r.Fail("upstreams", "is required: at least one group of backends")
	}
	seen := make(map[string]string)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		path := form.Join("upstreams", u.Name)
		if _, twice := seen[u.Name]; twice {
			r.Fail(path, "is given twice")
		}
		seen[u.Name] = path
		u.check(r, path)
		c.checkSubset(r, path, u)
	}
	addresses := make(map[string]string)
	for i := range c.Listeners {
		path := form.Index("listeners", i)
		c.checkListener(r, path, &c.Listeners[i])
		sameAddress(r, addresses, path, c.Listeners[i].Address)
		c.checkCookies(r, form.Join(path, "routes"), &c.Listeners[i])
	}
	sameAddress(r, addresses, "admin", c.Admin.Address)
}

// sameAddress refuses an address that another place listens on already. A port 0 is a new one each time.
func sameAddress(r *form.Report, seen map[string]string, path, address string) {
	if address == "" || strings.HasSuffix(address, ":0") {
		return
	}
	path = form.Join(path, "address")
	if first, twice := seen[address]; twice {
		r.Fail(path, "%s is taken by %s", address, first)
		return
	}
	seen[address] = path
}

func (c *Config) checkListener(r *form.Report, path string, l *Listener) {
	if r.Skipped(path) {
		return
	}
	upstream := form.Join(path, "upstream")
	switch {
	case r.Failed(form.Join(path, "protocol"), form.Join(path, "routes"), upstream):
	case l.Protocol == ProtocolTCP:
		for _, key := range httpOnly {
			if p := form.Join(path, key); r.Given(p) {
				r.Fail(p, "means nothing to a listener of protocol tcp")
			}
		}
		if l.Upstream == "" && len(l.Routes) == 0 {
			r.Fail(upstream, "is required for protocol tcp; %s", c.knownUpstreams())
		}
		checkTCPRoutes(r, form.Join(path, "routes"), l.Routes)
	case l.Upstream != "" && len(l.Routes) > 0:
		r.Fail(upstream, "stands beside routes; give one or the other")
	case l.Upstream == "" && len(l.Routes) == 0:
		r.Fail(path, "needs routes, or the one upstream that gets everything")
	}
	c.checkUpstreamName(r, upstream, l.Upstream)
	if u := c.UpstreamNamed(l.Upstream); l.Protocol == ProtocolTCP && u != nil && u.Protocol != UpstreamHTTP1 && !r.Failed(upstream) {
		r.Fail(upstream, "%s speaks protocol %s with its backends, which a listener of protocol tcp cannot use", u.Name, u.Protocol)
	}
	c.checkTunnels(r, path, l)
	l.TLS.check(r, form.Join(path, "tls"))
	l.ProxyProtocol.check(r, form.Join(path, "proxy_protocol"))
	c.checkRoutes(r, form.Join(path, "routes"), l.Routes)

	head, target := form.Join(path, "max_head_bytes"), form.Join(path, "max_target_bytes")
	if l.Protocol == ProtocolHTTP && l.MaxTargetBytes > l.MaxHeadBytes && !r.Failed(head, target) {
		r.Fail(target, "is more than max_head_bytes (%d > %d)", l.MaxTargetBytes, l.MaxHeadBytes)
	}
}

// checkTunnels refuses what upstreams of a TCP listener cannot have: a tunnel has no answers.
func (c *Config) checkTunnels(r *form.Report, path string, l *Listener) {
	if l.Protocol != ProtocolTCP {
		return
	}
	refuse := func(path, name string) {
		switch u := c.UpstreamNamed(name); {
		case u == nil || r.Failed(path):
		case u.Concurrency != nil:
			r.Fail(path, "%s has adaptive_concurrency, which learns from answers; a listener of protocol tcp sees none", name)
		case u.Sticky != nil:
			r.Fail(path, "%s is sticky by a cookie; a listener of protocol tcp sees none", name)
		}
	}
	refuse(form.Join(path, "upstream"), l.Upstream)
	for i := range l.Routes {
		refuse(form.Join(form.Index(form.Join(path, "routes"), i), "upstream"), l.Routes[i].Upstream)
	}
}

// checkTCPRoutes wants routes by server name: a tunnel has no path.
func checkTCPRoutes(r *form.Report, path string, routes []Route) {
	for i := range routes {
		match := form.Join(form.Index(path, i), "match")
		host, prefix := form.Join(match, "host"), form.Join(match, "path_prefix")
		if r.Failed(match, host, prefix) {
			continue
		}
		if routes[i].Match.Host == "" {
			r.Fail(host, "is required for protocol tcp: the server name in the client's TLS hello; the key upstream of the "+
				"listener takes all others")
		}
		if p := routes[i].Match.PathPrefix; p != "/" && p != "" {
			r.Fail(prefix, "means nothing to a listener of protocol tcp")
		}
	}
}

func (c *Config) checkRoutes(r *form.Report, path string, routes []Route) {
	// Remembering each condition keeps this linear in the length of the list: a later route is looked up under every
	// beginning of its prefix, and there are few of those.
	first := make(map[Match]int)
	for i := range routes {
		p := form.Index(path, i)
		c.checkUpstreamName(r, form.Join(p, "upstream"), routes[i].Upstream)
		if r.Failed(form.Join(p, "match"), form.Join(p, "match.host"), form.Join(p, "match.path_prefix")) {
			continue
		}
		m := Match{Host: strings.ToLower(routes[i].Match.Host), PathPrefix: routes[i].Match.PathPrefix}
		if earlier, ok := shadow(first, m); ok {
			r.Fail(p, "is never reached: routes[%d] takes everything that it matches", earlier)
			continue
		}
		first[m] = i
	}
}

// shadow finds an earlier route that matches whatever m matches: for the same host or for any host, and for the same
// prefix or for one that ends at a slash within it.
func shadow(earlier map[Match]int, m Match) (int, bool) {
	prefix := m.PathPrefix
	for {
		for _, p := range []string{prefix, strings.TrimSuffix(prefix, "/")} {
			for _, host := range []string{m.Host, ""} {
				if i, ok := earlier[Match{Host: host, PathPrefix: p}]; ok {
					return i, true
				}
			}
		}
		cut := strings.LastIndexByte(strings.TrimSuffix(prefix, "/"), '/')
		if cut < 0 {
			return 0, false
		}
		prefix = prefix[:cut+1]
	}
}

func (c *Config) checkUpstreamName(r *form.Report, path, name string) {
	if name == "" || r.Failed(path, "upstreams") || c.UpstreamNamed(name) != nil {
		return
	}
	names := c.upstreamNames()
	if near := Nearest(name, names); near != "" {
		r.Fail(path, "there is no upstream %q; did you mean %s?", name, near)
		return
	}
	r.Fail(path, "there is no upstream %q; %s", name, c.knownUpstreams())
}

func (c *Config) upstreamNames() []string {
	names := make([]string, len(c.Upstreams))
	for i := range c.Upstreams {
		names[i] = c.Upstreams[i].Name
	}
	return names
}

func (c *Config) knownUpstreams() string {
	names := c.upstreamNames()
	switch {
	case len(names) == 0:
		return "none is given"
	case len(names) > 10:
		return "known upstreams: " + strings.Join(names[:10], ", ") + ", ..."
	}
	return "known upstreams: " + strings.Join(names, ", ")
}

func (u *Upstream) check(r *form.Report, path string) {
	if r.Skipped(path) {
		return
	}
	if msg := checkName(u.Name); msg != "" {
		r.Fail(path, "%s", msg)
	}
	backends := form.Join(path, "backends")
	if len(u.Backends) == 0 && !r.Failed(backends, path) {
		r.Fail(backends, "is required: at least one address")
	}
	seen := make(map[string]int)
	for i := range u.Backends {
		address := u.Backends[i].Address
		if first, twice := seen[address]; twice && address != "" {
			r.Fail(form.Join(form.Index(backends, i), "address"), "%s is backends[%d] already; use weight", address, first)
			continue
		}
		seen[address] = i
	}
	if p := form.Join(path, "protocol"); u.Protocol == UpstreamAuto && u.TLS == nil && !r.Failed(p, form.Join(path, "tls")) {
		r.Fail(p, "auto is chosen in the handshake of TLS, but there is no tls; take http1 or http2")
	}
	if p := form.Join(path, "send_proxy"); u.SendProxy != SendProxyOff && u.Protocol != UpstreamHTTP1 &&
		!r.Failed(p, form.Join(path, "protocol")) {
		r.Fail(p, "says who the one client of a connection is, but with protocol %s many share one", u.Protocol)
	}
	u.TLS.check(r, form.Join(path, "tls"))
	u.Pool.check(r, form.Join(path, "pool"))
	u.Queue.check(r, form.Join(path, "queue"))
	u.Sticky.check(r, form.Join(path, "sticky"))
	if b, at := u.Concurrency, form.Join(path, "adaptive_concurrency"); b != nil && b.Min > b.Max &&
		!r.Failed(at, form.Join(at, "min"), form.Join(at, "max")) {
		r.Fail(form.Join(at, "min"), "is more than max (%d > %d)", b.Min, b.Max)
	}
	u.checkBalance(r, path)
	u.Health.check(r, path, u)
}

// check finds the settings of a pool that contradict each other.
func (p *Pool) check(r *form.Report, path string) {
	least, most, idle := form.Join(path, "min_idle"), form.Join(path, "max_connections"), form.Join(path, "max_idle")
	if p.MinIdle > p.MaxConnections && !r.Failed(least, most) {
		r.Fail(least, "is more than max_connections (%d > %d)", p.MinIdle, p.MaxConnections)
	}
	if p.MaxIdle > p.MaxConnections && !r.Failed(idle, most) {
		r.Fail(idle, "is more than max_connections (%d > %d); off bounds idle connections by that alone",
			p.MaxIdle, p.MaxConnections)
	}
	if p.MaxIdle > 0 && p.MinIdle > p.MaxIdle && !r.Failed(least, idle, most) {
		r.Fail(least, "is more than max_idle (%d > %d)", p.MinIdle, p.MaxIdle)
	}
	low, high := form.Join(path, "min_connect_timeout"), form.Join(path, "connect_timeout")
	if p.MinConnectTimeout > p.ConnectTimeout && !r.Failed(low, high) {
		r.Fail(low, "is more than connect_timeout (%s > %s)",
			form.FormatDuration(p.MinConnectTimeout), form.FormatDuration(p.ConnectTimeout))
	}
	if every := form.Join(path, "predict_every"); p.Predict == PredictOff && r.Given(every) &&
		!r.Failed(every, form.Join(path, "predict")) {
		r.Fail(every, "means nothing while predict is off")
	}
}

// check finds the settings of a queue that contradict each other.
func (q *Queue) check(r *form.Report, path string) {
	target, timeout, interval := form.Join(path, "target"), form.Join(path, "timeout"), form.Join(path, "interval")
	if q.Target > q.Timeout && !r.Failed(target, timeout) {
		r.Fail(target, "is more than timeout (%s > %s)", form.FormatDuration(q.Target), form.FormatDuration(q.Timeout))
	}
	if q.Target == 0 && r.Given(interval) && !r.Failed(target, interval) {
		r.Fail(interval, "means nothing while target is off")
	}
	all, each := form.Join(path, "max_waiting"), form.Join(path, "max_waiting_per_backend")
	switch {
	case r.Failed(all, each):
	case q.MaxWaiting == Off && r.Given(each):
		r.Fail(each, "means nothing while max_waiting is off")
	case q.MaxWaiting != Off && q.MaxWaitingPerBackend > q.MaxWaiting:
		r.Fail(each, "is more than max_waiting (%d > %d)", q.MaxWaitingPerBackend, q.MaxWaiting)
	}
}

// checkSubset finds what a subset cannot stand beside: where all proxies are to agree on a backend they must not each have their own.
func (c *Config) checkSubset(r *form.Report, path string, u *Upstream) {
	at := form.Join(path, "subset_size")
	if u.SubsetSize <= 0 || r.Failed(at) {
		return
	}
	switch {
	case c.Instance == "" && !r.Failed("instance"):
		r.Fail(at, "needs instance, the proxy's own name, beside upstreams; or all proxies would choose the same")
	case StrategyByKey(u.Strategy) && !r.Failed(form.Join(path, "strategy")):
		r.Fail(at, "has each proxy send a key elsewhere, which is not what %s is for", u.Strategy)
	case u.Sticky != nil && !r.Failed(form.Join(path, "sticky")):
		r.Fail(at, "has each proxy move the sessions that sticky has begun at another one")
	}
}
