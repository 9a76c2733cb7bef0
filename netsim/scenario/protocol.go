package scenario

import (
	"context"
	"net"
	"slices"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// checkProtocols refuses what the simulated backends and clients do not speak.
func (sc *Scenario) checkProtocols(r *form.Report) {
	if sc.Settings == nil || r.Failed("proxy") {
		return
	}
	for i := range sc.Settings.Upstreams {
		if u := &sc.Settings.Upstreams[i]; u.Health.Active != nil && u.Health.Active.GRPC != nil {
			r.Fail("proxy", "upstream %s has checks of gRPC, which the backends of scenarios do not answer", u.Name)
		} else if u.SendProxy != config.SendProxyOff {
			r.Fail("proxy", "upstream %s has send_proxy, which the backends of scenarios do not read", u.Name)
		}
	}
	for i := range sc.Settings.Listeners {
		if l := &sc.Settings.Listeners[i]; l.ProxyProtocol != nil {
			r.Fail("proxy", "listener %s has proxy_protocol, which the clients of scenarios do not speak", l.Address)
		}
	}
	for i := range sc.Backends {
		path := form.Join(form.Index("backends", i), "max_streams")
		if r.Given(path) && !sc.speaksHTTP2(&sc.Backends[i]) {
			r.Fail(path, "means nothing to a backend that does not speak HTTP/2: no upstream with protocol http2 has it")
		}
	}
	for i := range sc.Faults {
		f, path := &sc.Faults[i], form.Join(form.Join(form.Index("faults", i), GoAway), "host")
		if f.Kind == GoAway && slices.Contains(sc.backendHosts(), f.Host) && !sc.sayGoAway(f.Host) {
			r.Fail(path, "no backend of %s speaks HTTP/2, which alone has a GOAWAY", f.Host)
		}
	}
}

// speaksHTTP2 says whether a backend does, by its own word or because an upstream with protocol http2 leads to it.
func (sc *Scenario) speaksHTTP2(b *Backend) bool {
	if b.Protocol != "" || sc.Settings == nil {
		return b.Protocol == config.UpstreamHTTP2
	}
	return sc.overHTTP2()[b.Address]
}

// sayGoAway says whether a backend on that machine speaks HTTP/2.
func (sc *Scenario) sayGoAway(host string) bool {
	return slices.ContainsFunc(sc.Backends, func(b Backend) bool { return hostOf(b.Address) == host && sc.speaksHTTP2(&b) })
}

// overHTTP2 are the addresses of the backends of upstreams that have protocol http2 at some time, as the proxy dials them and as
// they stand among the backends, and of those that say themselves that they speak it.
func (sc *Scenario) overHTTP2() map[string]bool {
	out := make(map[string]bool)
	add := func(address string) {
		for _, a := range slices.Concat([]string{address}, sc.behind(address), sc.insteadOf(address)) {
			out[a] = true
		}
	}
	for i := range sc.Backends {
		if sc.Backends[i].Protocol == config.UpstreamHTTP2 {
			out[sc.Backends[i].Address] = true
		}
	}
	for _, c := range sc.configs() {
		for i := range c.Upstreams {
			u := &c.Upstreams[i]
			for _, b := range u.Backends {
				led := slices.ContainsFunc(sc.behind(b.Address), func(a string) bool { return out[a] })
				if u.Protocol == config.UpstreamHTTP2 || u.Protocol == config.UpstreamAuto && led {
					add(b.Address)
				}
			}
			for j := range sc.Operations {
				if o := &sc.Operations[j]; o.Kind == OpAdd && o.Upstream == u.Name && u.Protocol == config.UpstreamHTTP2 {
					add(o.Backend)
				}
			}
		}
	}
	return out
}

// dialer is the proxy's door to its backends. net/http's HTTP/2 writes while it holds a lock, so connections for it have writes
// that do not wait.
type dialer struct {
	*netsim.Host
	eager map[string]bool
}

// DialContext implements upstream.Dialer.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.eager[address] {
		return netsim.EagerDial(d.Host.DialContext, 0)(ctx, network, address)
	}
	return d.Host.DialContext(ctx, network, address)
}
