package netsim

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// How a lookup goes that gets no answer: as with the defaults of resolv.conf.
const (
	dnsTimeout  = 5 * time.Second
	dnsAttempts = 2
)

// dns is what the one name server of a simulation knows.
type dns struct {
	latency time.Duration
	records map[string][]netip.Addr
	faults  []*dnsFault
}

// plain tells whether a host's name is just its address, at once.
func (d *dns) plain() bool { return d.latency == 0 && len(d.records) == 0 && len(d.faults) == 0 }

// Resolver looks up names for the code of one host. Its methods have the signatures of those of
// *net.Resolver, and its errors are *net.DNSError with the same fields set; Server is empty, as with the
// system's own resolver. A name is that of SetDNS or, if it has no such record, that of a host; "localhost"
// is 127.0.0.1, an address is itself. Case and a dot at the end do not matter for the names of SetDNS. The
// order of several addresses is kept. All methods may be called concurrently.
type Resolver struct{ h *Host }

// Resolver returns the resolver of this host.
func (h *Host) Resolver() *Resolver { return &Resolver{h} }

// SetDNS gives a name these IP addresses, in this order, from now on; without addresses the record is
// removed. It goes before a host's own name. It panics when the name is empty or an IP address, or an address
// is not one.
func (s *Sim) SetDNS(name string, addrs ...string) {
	list := parseAddrs(name, addrs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(list) == 0 {
		delete(s.names.records, dnsKey(name))
		return
	}
	if s.names.records == nil {
		s.names.records = make(map[string][]netip.Addr)
	}
	s.names.records[dnsKey(name)] = list
}

func parseAddrs(name string, addrs []string) []netip.Addr {
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		panic("netsim: a DNS record needs a name that is not an IP address")
	}
	list := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			panic("netsim: the DNS record of " + name + ": " + a + " is not an IP address")
		}
		list = append(list, addr)
	}
	return list
}

// SetDNSLatency makes each lookup of a name take so much time, from now on. Default 0: no time at all. The
// answer is that of the end of this time. It panics when d is negative.
func (s *Sim) SetDNSLatency(d time.Duration) {
	if d < 0 {
		panic("netsim: negative latency of DNS")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names.latency = d
}

func dnsKey(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// LookupHost returns the addresses of a name as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	found, err := r.find(ctx, host)
	var out []string
	for _, a := range found {
		out = append(out, a.String())
	}
	return out, err
}

// LookupIPAddr returns the addresses of a name.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	found, err := r.find(ctx, host)
	var out []net.IPAddr
	for _, a := range found {
		out = append(out, net.IPAddr{IP: net.IP(a.AsSlice()).To16(), Zone: a.Zone()})
	}
	return out, err
}

// LookupIP returns the addresses of a name for one network: "ip", "ip4" or "ip6"; another one gives
// net.UnknownNetworkError. When there is none of this kind the error is a *net.AddrError.
func (r *Resolver) LookupIP(ctx context.Context, network, host string) ([]net.IP, error) {
	switch network {
	case "ip", "ip4", "ip6":
	default:
		return nil, net.UnknownNetworkError(network)
	}
	found, err := r.find(ctx, host)
	if err != nil {
		return nil, err
	}
	ips := ofFamily(nil, network, asIPs(found)...)
	if len(ips) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return ips, nil
}

// LookupNetIP is LookupIP with addresses of package netip; as there, IPv4 addresses come in their 16-byte
// form.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ips, err := r.LookupIP(ctx, network, host)
	var out []netip.Addr
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a)
		}
	}
	return out, err
}

// ofFamily adds to out the addresses that fit a network: all, or those of one family for one that ends in 4
// or 6.
func ofFamily(out []net.IP, network string, found ...net.IP) []net.IP {
	for _, ip := range found {
		four := ip.To4() != nil
		if strings.HasSuffix(network, "4") && !four || strings.HasSuffix(network, "6") && four {
			continue
		}
		out = append(out, ip)
	}
	return out
}

// asIPs gives addresses in the 16-byte form of the net package.
func asIPs(found []netip.Addr) []net.IP {
	out := make([]net.IP, len(found))
	for i, a := range found {
		out[i] = net.IP(a.AsSlice()).To16()
	}
	return out
}

func (r *Resolver) find(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	r.h.s.mu.Lock()
	defer r.h.s.mu.Unlock()
	r.h.stopHere(r.h.life)
	if err := r.h.mayAsk(ctx, host); err != nil {
		return nil, err
	}
	return r.h.lookup(ctx, host)
}

func noSuchHost(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// lookup finds the addresses of a name. Sim.mu is held before and after, and not while it waits.
func (h *Host) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	switch {
	case name == "":
		return nil, noSuchHost(name)
	case name == "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	for range dnsAttempts {
		wait, silent := h.s.names.latency, h.s.names.fault(name, dnsSilent) != nil
		if silent {
			wait = dnsTimeout
		}
		if err := h.await(ctx, name, wait); err != nil {
			return nil, err
		}
		if !silent {
			return h.s.names.answer(h, name)
		}
	}
	h.s.note(h.s.asking(h, name), "lookup-failed", "timeout", 0)
	return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
}

// asking is who tells in the trace about lookups of a name. Each name has an actor of its own, as several
// may be looked up in one instant.
func (s *Sim) asking(h *Host, name string) *actor { return s.actor(h.name + "?" + dnsKey(name)) }

// answer is what the name server says now.
func (d *dns) answer(h *Host, name string) ([]netip.Addr, error) {
	s, found := h.s, d.records[dnsKey(name)]
	if f := d.fault(name, dnsServfail, dnsNoName, dnsChanged); f != nil {
		switch f.kind {
		case dnsServfail:
			s.note(s.asking(h, name), "lookup-failed", "server misbehaving", 0)
			return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
		case dnsNoName:
			s.note(s.asking(h, name), "lookup-failed", "no such host", 0)
			return nil, noSuchHost(name)
		}
		found = f.addrs
	}
	if len(found) > 0 {
		return slices.Clone(found), nil
	}
	if to := s.byName[strings.TrimSuffix(name, ".")]; to != nil {
		a, _ := netip.AddrFromSlice(to.ip)
		return []netip.Addr{a.Unmap()}, nil
	}
	return nil, noSuchHost(name)
}

// lookup is one question under way.
type lookup struct {
	h    *Host
	w    *waiter
	ev   event
	done bool
	err  error
}

// await lets the caller wait for the answer to a lookup. It fails when the context ends before or the host
// goes down.
func (h *Host) await(ctx context.Context, name string, d time.Duration) error {
	if d == 0 {
		return nil // no time passes in which something could happen
	}
	if err := h.mayAsk(ctx, name); err != nil {
		return err
	}
	s := h.s
	q := &lookup{h: h, w: newWaiter()}
	asking := s.asking(h, name)
	q.ev.init(q, evLookup, asking.hash)
	now, life := s.now(), h.life
	s.trace.add(now, asking, "lookup", "", 0)
	s.schedule(&q.ev, now+int64(d), now)
	h.lookups = append(h.lookups, q)
	s.mu.Unlock()
	select { // both are ready only when the answer is there anyway, and then that counts
	case <-q.w.ch:
	case <-ctx.Done():
	}
	s.mu.Lock()
	h.stopHere(life)
	if !q.done {
		q.w.gone = true
		q.end(contextError(ctx.Err()))
	}
	if q.err != nil {
		return lookupEnded(name, q.err)
	}
	return nil
}

// mayAsk tells why a lookup cannot begin, if so.
func (h *Host) mayAsk(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return lookupEnded(name, contextError(err))
	}
	if h.state != hostUp {
		return lookupEnded(name, ErrHostDown)
	}
	return nil
}

// lookupEnded is the error of a lookup that got no answer because the asker did not wait for it.
func lookupEnded(name string, err error) error {
	out := &net.DNSError{Err: err.Error(), Name: name, UnwrapErr: err}
	if t, ok := err.(net.Error); ok {
		out.IsTimeout, out.IsTemporary = t.Timeout(), t.Timeout()
	}
	return out
}

func (q *lookup) end(err error) {
	q.done, q.err = true, err
	q.h.s.cancel(&q.ev)
	if i := slices.Index(q.h.lookups, q); i >= 0 {
		q.h.lookups = slices.Delete(q.h.lookups, i, i+1)
	}
}

func (q *lookup) fire(eventKind, int64) {
	q.end(nil)
	q.w.wake()
}

// endLookups is the end of the process: who waits for an answer is let go.
func (h *Host) endLookups(now int64) {
	for len(h.lookups) > 0 {
		q := slices.MinFunc(h.lookups, func(a, b *lookup) int {
			if (&slot{a.ev.at, a.ev.tie, nil}).before(&slot{b.ev.at, b.ev.tie, nil}) {
				return -1
			}
			return 1
		})
		q.end(net.ErrClosed)
		h.s.lastly.add(q.w, now)
	}
}
