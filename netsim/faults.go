package netsim

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something wrong with the network, its hosts or its names, until Stop.
type Fault struct {
	s       *Sim
	rule    func(p *Packet) Verdict
	key     uint64
	actor   actor
	stopped bool
	held    held            // what it has been told to Hold
	ended   func(now int64) // what else its end brings; may be nil
}

// Name returns the fault's name in the trace, such as "fault1:partition(a,b)".
func (f *Fault) Name() string { return f.actor.name }

// Stop ends the fault. What it dropped goes again at the next retransmission; what it held goes on now. It
// may be called again.
func (f *Fault) Stop() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.end(f.s.now())
}

func (f *Fault) end(now int64) {
	if f.stopped {
		return
	}
	f.stopped = true
	f.s.rules = slices.DeleteFunc(f.s.rules, func(g *Fault) bool { return g == f })
	f.s.trace.add(now, &f.actor, "fault-ends", "", 0)
	if f.ended != nil {
		f.ended(now)
	}
	f.letGo(now)
}

func (s *Sim) addFault(what string, rule func(p *Packet) Verdict, hosts ...string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addFaultLocked(what, rule, hosts...)
}

// addFaultLocked puts a fault in force. Hosts are those that it names.
func (s *Sim) addFaultLocked(what string, rule func(p *Packet) Verdict, hosts ...string) *Fault {
	s.expectHosts(what, hosts...)
	s.faults++
	// The key leaves the number out, so that the draws of a fault do not change when one before it goes away.
	name := "fault" + strconv.Itoa(s.faults) + ":" + what
	f := &Fault{s: s, rule: rule, key: hashString(what), actor: newActor(name)}
	s.rules = append(s.rules, f)
	s.note(&f.actor, "fault-begins", "", 0)
	return f
}

// expectHosts notes the names that a fault, or whatever what is, gives: hosts may be made after it, but one that is never made
// was misspelt, and the test passes for nothing. Sim.mu is held.
func (s *Sim) expectHosts(what string, names ...string) {
	for _, name := range names {
		if name != anyHost && net.ParseIP(name) == nil && s.byName[name] == nil {
			s.unmet = append(s.unmet, unmet{what, name})
		}
	}
}

// unmet is a name that no host had when it was given.
type unmet struct{ what, host string }

// misspelt is the verdict about names that no host has had to the end.
func (s *Sim) misspelt() error {
	var errs []error
	for _, u := range s.unmet {
		if s.byName[u.host] != nil {
			continue
		}
		all := make([]string, len(s.hosts))
		for i, h := range s.hosts {
			all[i] = h.name
		}
		errs = append(errs, fmt.Errorf("netsim: seed %d: %w: %s names %q; there were: %s", s.cfg.Seed, ErrNoSuchHost, u.what, u.host,
			strings.Join(all, ", ")))
	}
	return errors.Join(errs...)
}

// ErrNoSuchHost is the verdict about a fault that names a host which has never been made: it did nothing.
var ErrNoSuchHost = errors.New("a fault names a host that never was")

// AddRule puts a rule of the caller's own at the end of the chain: the first rule whose verdict is not Pass
// decides about a packet. The rule must be a function of the packet (and of its own state, changed by it
// alone); it runs under the simulation's lock and must neither wait nor call the simulation. A nil rule panics.
func (s *Sim) AddRule(name string, rule func(Packet) Verdict) *Fault {
	if rule == nil {
		panic("netsim: AddRule needs a rule")
	}
	return s.addFault(name, func(p *Packet) Verdict { return rule(*p) })
}

// Partition cuts the network between a and b, both ways, for connections old and new: packets vanish. a and
// b are names or addresses of hosts, "*" is any; as with every fault, a name that no host ever has
// fails the run at its end. A dial gets ETIMEDOUT after all its SYNs, an established
// connection notices nothing until it sends.
func (s *Sim) Partition(a, b string) *Fault {
	return s.addFault("partition("+a+","+b+")", dropPath(a, b), a, b)
}

// PartitionOneWay cuts only what goes from one host to the other. The sender's bytes vanish; in the other
// direction they arrive, but their acknowledgements do not come back.
func (s *Sim) PartitionOneWay(from, to string) *Fault {
	return s.addFault("partition-one-way("+from+","+to+")", func(p *Packet) Verdict {
		if matches(from, p.from) && matches(to, p.to) {
			return Verdict{Action: Drop}
		}
		return Verdict{}
	}, from, to)
}

// SilentDrop makes all packets between a and b vanish, without RST or ICMP. Its effect is that of
// Partition: silence has one face only. It has a name of its own because it tells another story: a backend
// or a firewall that stops answering.
func (s *Sim) SilentDrop(a, b string) *Fault {
	return s.addFault("silent-drop("+a+","+b+")", dropPath(a, b), a, b)
}

func dropPath(a, b string) func(p *Packet) Verdict {
	return func(p *Packet) Verdict {
		if matchPath(a, b, p) {
			return Verdict{Action: Drop}
		}
		return Verdict{}
	}
}

// Unreachable cuts like Partition, but a router says so: dials fail with EHOSTUNREACH after a round trip,
// and a connection that gives up does so with EHOSTUNREACH instead of ETIMEDOUT, as Linux does.
func (s *Sim) Unreachable(a, b string) *Fault {
	return s.addFault("unreachable("+a+","+b+")", func(p *Packet) Verdict {
		if matchPath(a, b, p) {
			return Verdict{Action: Unreachable}
		}
		return Verdict{}
	}, a, b)
}

// Refuse has SYNs to a port of a host answered by RST, as if nobody listened. Port 0 means all ports.
// Connections that are open stay so. It panics when port is not from 0 to 65535.
func (s *Sim) Refuse(host string, port int) *Fault {
	if port < 0 || port > 65535 {
		panic("netsim: Refuse needs a port from 0 to 65535")
	}
	return s.addFault("refuse("+host+":"+strconv.Itoa(port)+")", func(p *Packet) Verdict {
		if p.Kind == PacketSYN && matches(host, p.to) && (port == 0 || port == p.ToPort) {
			return Verdict{Action: Reset}
		}
		return Verdict{}
	}, host)
}

// SlowLink puts latency, jitter and loss on top of whatever the link between a and b has. Bandwidth of add
// is ignored; use SetLink for it.
func (s *Sim) SlowLink(a, b string, add Link) *Fault {
	add.check()
	return s.addFault("slow-link("+a+","+b+")", func(p *Packet) Verdict {
		if matchPath(a, b, p) {
			return Verdict{Add: add}
		}
		return Verdict{}
	}, a, b)
}

// IdleForget puts a middlebox (NAT, firewall, load balancer) between a and b that forgets a connection
// which has been idle for longer than idle: from then on its packets vanish or, with reset, are answered by
// a RST to whoever sends. Neither end is told when it happens. Idleness is counted from the last packet
// that went through, but not from before the fault. It panics when idle is negative.
func (s *Sim) IdleForget(a, b string, idle time.Duration, reset bool) *Fault {
	if idle < 0 {
		panic("netsim: IdleForget needs a time of 0 or more")
	}
	verdict := Verdict{Action: Drop}
	if reset {
		verdict.Action = Reset
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	since := duration(s.now())
	return s.addFaultLocked("idle-forget("+a+","+b+")", func(p *Packet) Verdict {
		// A forgotten connection stays forgotten, because packets that do not go through do not end its
		// idleness.
		if p.Kind != PacketSYN && min(p.Idle, p.At-since) > idle && matchPath(a, b, p) {
			return verdict
		}
		return Verdict{}
	}, a, b)
}

// ResetConns resets every open connection between a and b, as a middlebox does that sends RSTs both ways:
// each end at an instant of its own, the first ones right after now. It returns how many connections it
// hit.
func (s *Sim) ResetConns(a, b string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expectHosts("reset-conns("+a+","+b+")", a, b)
	now := s.now()
	var hit []*flow
	for _, h := range s.hosts {
		for _, c := range h.conns {
			f := c.flow
			// Each connection is looked at once: at its client's end, or at the server's when the client
			// has left.
			if c == &f.server && f.client.place != 0 {
				continue
			}
			x, y := f.client.host, f.server.host
			if matches(a, x) && matches(b, y) || matches(a, y) && matches(b, x) {
				hit = append(hit, f)
			}
		}
	}
	slices.SortFunc(hit, func(f, g *flow) int { return cmp.Compare(f.client.actor.name, g.client.actor.name) })
	for _, f := range hit {
		s.resets.add(&f.client, now)
		s.resets.add(&f.server, now)
	}
	return len(hit)
}

// resetter resets connections one by one.
type resetter struct {
	s    *Sim
	list []*Conn
	ev   event
}

func (r *resetter) add(c *Conn, now int64) {
	r.list = append(r.list, c)
	if !r.ev.queued() {
		r.s.schedule(&r.ev, now, now)
	}
}

func (r *resetter) fire(_ eventKind, now int64) {
	c := r.list[0]
	r.list = r.list[1:]
	if len(r.list) > 0 {
		r.s.schedule(&r.ev, now, now)
	}
	if c.place != 0 {
		c.onReset(now)
	}
}
