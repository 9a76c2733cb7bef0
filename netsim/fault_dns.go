package netsim

import (
	"net/netip"
	"slices"
	"strings"
)

type dnsKind uint8

const (
	dnsServfail dnsKind = iota + 1
	dnsNoName
	dnsSilent
	dnsChanged
)

type dnsFault struct {
	kind  dnsKind
	name  string // as dnsKey gives it, or "*"
	addrs []netip.Addr
}

// FailDNS has lookups of a name fail with SERVFAIL: a *net.DNSError that is temporary, "server misbehaving".
// The name "*" is any. Of several DNS faults that fit a name the one that was installed last counts, but
// silence (TimeoutDNS) comes before any answer.
func (s *Sim) FailDNS(name string) *Fault {
	return s.dnsFault("fail-dns("+name+")", dnsFault{kind: dnsServfail, name: name})
}

// NoSuchHost has lookups of a name told that it does not exist (NXDOMAIN): a *net.DNSError with IsNotFound.
// The name "*" is any.
func (s *Sim) NoSuchHost(name string) *Fault {
	return s.dnsFault("no-such-host("+name+")", dnsFault{kind: dnsNoName, name: name})
}

// TimeoutDNS has the name server not answer for a name: lookups end with their context, or after two tries
// of 5 s with a *net.DNSError that is a timeout. One whose second try begins after Stop succeeds. The name
// "*" is any.
func (s *Sim) TimeoutDNS(name string) *Fault {
	return s.dnsFault("timeout-dns("+name+")", dnsFault{kind: dnsSilent, name: name})
}

// ChangeDNS has lookups of a name answered with other addresses, until Stop: SetDNS with an end. It panics as
// SetDNS does, and without addresses.
func (s *Sim) ChangeDNS(name string, addrs ...string) *Fault {
	list := parseAddrs(name, addrs)
	if len(list) == 0 {
		panic("netsim: ChangeDNS needs addresses; NoSuchHost takes them away")
	}
	return s.dnsFault("change-dns("+name+","+strings.Join(addrs, ",")+")",
		dnsFault{kind: dnsChanged, name: name, addrs: list})
}

func (s *Sim) dnsFault(what string, d dnsFault) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.addFaultLocked(what, passAll)
	entry := &d
	entry.name = dnsKey(d.name)
	s.names.faults = append(s.names.faults, entry)
	f.ended = func(int64) {
		s.names.faults = slices.DeleteFunc(s.names.faults, func(e *dnsFault) bool { return e == entry })
	}
	return f
}

// fault finds the last fault of one of these kinds that concerns the name.
func (d *dns) fault(name string, kinds ...dnsKind) *dnsFault {
	name = dnsKey(name)
	for _, f := range slices.Backward(d.faults) {
		if (f.name == name || f.name == anyHost) && slices.Contains(kinds, f.kind) {
			return f
		}
	}
	return nil
}
