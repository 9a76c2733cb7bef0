package scenario

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// check tells r the mistakes that need more than one value to see.
func (sc *Scenario) check(r *form.Report) {
	if r.Skipped("") {
		return
	}
	if sc.Duration == 0 && !r.Failed("duration") {
		r.Fail("duration", "is required")
	}
	sc.checkBackends(r)
	sc.checkDNS(r)
	sc.checkSettings(r)
	sc.checkClients(r)
	for i := range sc.Network.Links {
		sc.checkBetween(r, form.Index("network.links", i), &sc.Network.Links[i].Between)
	}
	for i := range sc.Faults {
		sc.checkFault(r, form.Index("faults", i), &sc.Faults[i])
	}
	sc.checkRandom(r)
	sc.checkOperations(r)
	sc.checkExpect(r)
	sc.checkProtocols(r)
}

func (sc *Scenario) checkBackends(r *form.Report) {
	seen := make(map[string]int)
	for i := range sc.Backends {
		b := &sc.Backends[i]
		path := form.Index("backends", i)
		address := form.Join(path, "address")
		host := hostOf(b.Address)
		first, twice := seen[b.Address]
		switch {
		case r.Skipped(path) || r.Failed(address):
		case b.Address == "":
			r.Fail(address, "is required: host:port as the proxy's configuration has it")
		case twice:
			r.Fail(address, "%s is backends[%d] already", b.Address, first)
		case host == ProxyName || host == ProxyAddr || host == "localhost":
			r.Fail(address, "%s is the proxy's own machine", host)
		case isLoopback(host):
			r.Fail(address, "%s is each machine's own loopback, where no other machine is: in a simulation every backend has a "+
				"machine; give it an address such as 10.0.0.1, here and in the proxy's configuration (there ${NAME:-%s} may stand "+
				"for the host, and proxy.env name the other)", host, host)
		case host == "*" || host == "":
			r.Fail(address, "wants the name or the address of one machine")
		}
		seen[b.Address] = i
		b.checkService(r, path)
	}
}

// checkService tells what the keys about a backend's answers do to each other.
func (b *Backend) checkService(r *form.Report, path string) {
	b.Service.check(r, form.Join(path, "service"))
	b.ErrorService.check(r, form.Join(path, "error_service"))
	cold := form.Join(path, "cold")
	require := func(key string, missing bool) {
		if at := form.Join(cold, key); missing && r.Given(cold) && !r.Failed(at) && !r.Skipped(cold) {
			r.Fail(at, "is required beside the other one, such as {for: 30s, factor: 10}")
		}
	}
	require("for", b.Cold.For == 0)
	require("factor", b.Cold.Factor == 0)
	for i := range b.Paths {
		p := &b.Paths[i]
		at := form.Index(form.Join(path, "paths"), i)
		p.Service.check(r, form.Join(at, "service"))
		for k := range i {
			if earlier := b.Paths[k].Prefix; under([]byte(p.Prefix), earlier) && earlier != "" {
				r.Fail(form.Join(at, "prefix"), "is never reached: paths[%d] takes everything under %s", k, earlier)
			}
		}
	}
}

// checkSettings compares the proxy's backends with the simulated ones.
func (sc *Scenario) checkSettings(r *form.Report) {
	if sc.Settings == nil || r.Failed("backends") || !sc.namesAreGood(r) {
		return
	}
	var simulated []string
	for i := range sc.Backends {
		simulated = append(simulated, sc.Backends[i].Address)
	}
	for i := range sc.Settings.Upstreams {
		u := &sc.Settings.Upstreams[i]
		for _, b := range u.Backends {
			for _, address := range sc.behind(b.Address) {
				if slices.Contains(simulated, address) {
					continue
				}
				what := b.Address
				if address != what {
					what += " (" + address + ")"
				}
				r.FailAt(r.Line("backends"), "", "backends: the upstream %s has the backend %s, which is not simulated; "+
					"add {address: %q}", u.Name, what, address)
			}
		}
	}
	for i, address := range simulated {
		if address != "" && !sc.hasBackend(address) && !sc.joins(address) {
			r.Fail(form.Join(form.Index("backends", i), "address"), "no upstream has the backend %s", address)
		}
	}
}

// hasBackend says whether an upstream leads to a simulated backend, by its address, by a name, or by what a fault makes of
// a name.
func (sc *Scenario) hasBackend(address string) bool {
	for i := range sc.Settings.Upstreams {
		for _, b := range sc.Settings.Upstreams[i].Backends {
			if slices.Contains(sc.behind(b.Address), address) || slices.Contains(sc.insteadOf(b.Address), address) {
				return true
			}
		}
	}
	return false
}

func (sc *Scenario) checkClients(r *form.Report) {
	if len(sc.Clients) == 0 && !r.Failed("clients") {
		r.Fail("clients", "is required: at least one source of requests")
	}
	taken := append([]string{ProxyName, ProxyAddr}, sc.backendHosts()...)
	for i := range sc.Clients {
		c := &sc.Clients[i]
		path := form.Index("clients", i)
		if r.Skipped(path) {
			continue
		}
		name, arrivals, to := form.Join(path, "name"), form.Join(path, "arrivals"), form.Join(path, "to")
		if slices.Contains(taken, c.Name) && !r.Failed(name) {
			r.Fail(name, "%s is another machine's name", c.Name)
		}
		taken = append(taken, c.Name)
		users := c.Arrivals.kind == "users"
		switch {
		case r.Failed(arrivals) || r.Skipped(arrivals):
		case c.Arrivals.kind == "" && !r.Given(arrivals):
			r.Fail(arrivals, "is required: {poisson: 100/s}, {constant: 100/s}, or {users: 20, think: 100ms}")
		case !users && r.Given(form.Join(arrivals, "think")):
			r.Fail(form.Join(arrivals, "think"), "means nothing without users")
		case users && r.Given(form.Join(path, "connections")):
			r.Fail(form.Join(path, "connections"), "means nothing beside users: each of them has a connection")
		}
		c.Arrivals.Think.check(r, form.Join(arrivals, "think"))
		c.Arrivals.check(r, arrivals, sc.Duration)
		c.checkMix(r, path)
		if sc.Settings != nil && c.To != "" {
			addresses := sc.listeners()
			if !slices.Contains(addresses, c.To) {
				r.Fail(to, "there is no listener %q; one of %s", c.To, strings.Join(addresses, ", "))
			}
		}
	}
}

func (sc *Scenario) listeners() []string {
	var out []string
	for i := range sc.Settings.Listeners {
		out = append(out, sc.Settings.Listeners[i].Address)
	}
	return out
}

// asked holds the addresses of the backends to which requests of some client may go.
func (sc *Scenario) asked() map[string]bool {
	groups, out := make(map[string]bool), make(map[string]bool)
	for i := range sc.Clients {
		l := &sc.Settings.Listeners[max(0, slices.Index(sc.listeners(), sc.Clients[i].To))]
		groups[l.Upstream] = true
		for k := range l.Routes {
			groups[l.Routes[k].Upstream] = true
		}
	}
	for i := range sc.Settings.Upstreams {
		u := &sc.Settings.Upstreams[i]
		for k := range u.Backends {
			// Of several addresses of a name the first one that takes the dial is asked, and the others may never be.
			first := sc.lastBehind(u.Backends[k].Address)
			out[first] = out[first] || groups[u.Name]
		}
	}
	return out
}

// checkBetween looks up the two machines of a path.
func (sc *Scenario) checkBetween(r *form.Report, path string, between *[2]string) {
	if path = form.Join(path, "between"); !r.Failed(path) {
		for _, name := range between {
			sc.checkHost(r, path, name, append(sc.hosts(), "*"))
		}
	}
}

func (sc *Scenario) checkHost(r *form.Report, path, name string, known []string) {
	if slices.Contains(known, name) || r.Failed(path, "backends", "clients") {
		return
	}
	if name == "" {
		r.Fail(path, "is required: one of %s", strings.Join(known, ", "))
		return
	}
	if near := config.Nearest(name, known); near != "" {
		r.Fail(path, "there is no machine %q; did you mean %s?", name, near)
		return
	}
	r.Fail(path, "there is no machine %q; one of %s", name, strings.Join(known, ", "))
}

func (sc *Scenario) checkFault(r *form.Report, path string, f *Fault) {
	if r.Skipped(path) || r.Failed(path) || f.Kind == "" {
		return
	}
	at, lasts, inside := form.Join(path, "at"), form.Join(path, "for"), form.Join(path, f.Kind)
	switch {
	case r.Failed(at, lasts, "duration"):
	case !r.Given(at):
		r.Fail(at, "is required")
	case f.At >= sc.Duration:
		r.Fail(at, "is not within the duration of the scenario (%v)", sc.Duration)
	case f.atOnce() && r.Given(lasts):
		r.Fail(lasts, "means nothing to %s, which is over as soon as it begins", f.Kind)
	case f.For >= 0 && f.At+f.For >= sc.Duration:
		r.Fail(lasts, "ends after the scenario (%v); leave it out for a fault that lasts to the end", sc.Duration)
	}
	switch {
	case r.Skipped(inside):
	case f.Kind == Refuse:
		sc.checkHost(r, form.Join(inside, "host"), f.Host, append(sc.hosts(), "*"))
	case f.Kind == DNSSlow:
	case f.onName():
		sc.checkLookup(r, form.Join(inside, "name"), f.Domain)
	case f.onHost():
		sc.checkHost(r, form.Join(inside, "host"), f.Host, sc.backendHosts())
	default:
		sc.checkBetween(r, inside, &f.Between)
	}
}

// checkExpect refuses what this scenario can never tell.
func (sc *Scenario) checkExpect(r *form.Report) {
	ending, some := sc.Random != nil, sc.Random != nil || len(sc.Faults) > 0
	for i := range sc.Faults {
		_, ends := sc.Faults[i].ends()
		ending = ending || ends
	}
	for _, e := range sc.Expect {
		sc.checkClientOf(r, &e)
		if r.Failed("faults", "duration") {
			continue
		}
		_, err := e.Window.spans(sc.Faults, sc.Duration)
		switch {
		case err != nil && (sc.Random == nil || e.Window.Kind == Between): // which faults a seed draws is not known yet
			r.FailAt(e.line, "", "expect: %s: %v", e, err)
		case e.Metric == metricFailover && !some:
			r.FailAt(e.line, "", "expect: %s needs a fault", e.Metric)
		case e.Metric == metricRecovery && !ending:
			r.FailAt(e.line, "", "expect: %s needs a fault that ends", e.Metric)
		}
	}
}

// checkClientOf looks up the client that an expectation is about.
func (sc *Scenario) checkClientOf(r *form.Report, e *Expectation) {
	var names []string
	for i := range sc.Clients {
		names = append(names, sc.Clients[i].Name)
	}
	if e.Client == "" || slices.Contains(names, e.Client) || r.Failed("clients") {
		return
	}
	if near := config.Nearest(e.Client, names); near != "" {
		r.FailAt(e.line, "", "expect: %s: there is no client %q; did you mean %s?", e, e.Client, near)
		return
	}
	r.FailAt(e.line, "", "expect: %s: there is no client %q; one of %s", e, e.Client,
		strings.Join(names[:min(len(names), 10)], ", "))
}

// isLoopback says whether a host is an address that leads back to the machine that uses it.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}
