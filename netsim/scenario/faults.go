package scenario

import (
	"cmp"
	"slices"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// step is the beginning or the end of a fault.
type step struct {
	at    time.Duration
	fault int
	begin bool
}

// steps lists what the driver has to do, in order. At equal instants ends come before beginnings.
func steps(faults []Fault) []step {
	var out []step
	for i := range faults {
		f := &faults[i]
		out = append(out, step{f.At, i, true})
		if end, ends := f.ends(); ends && !f.atOnce() {
			out = append(out, step{end, i, false})
		}
	}
	slices.SortStableFunc(out, func(a, b step) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.begin == b.begin {
			return c
		}
		if b.begin {
			return -1
		}
		return 1
	})
	return out
}

// drive begins and ends the faults, one after the other.
func (r *run) drive() {
	for _, s := range steps(r.sc.Faults) {
		r.clk.Sleep(max(0, s.at-r.sim.Elapsed()))
		r.lookAtEdge()
		f := &r.sc.Faults[s.fault]
		switch {
		case f.Kind == Reset:
			n := r.sim.ResetConns(f.Between[0], f.Between[1])
			r.moment("%s: %d connections", f, n)
		case f.Kind == GoAway:
			r.moment("%s: %d connections", f, r.goAway(f.Host))
		case s.begin:
			r.stop[s.fault] = r.begin(f)
			r.moment("%s begins", f)
		default:
			r.stop[s.fault]()
			r.stop[s.fault] = nil
			r.moment("%s ends", f)
		}
	}
}

// begin makes a fault happen, and returns what ends it.
func (r *run) begin(f *Fault) (end func()) {
	a, b := f.Between[0], f.Between[1]
	switch f.Kind {
	case SilentDrop:
		return r.sim.SilentDrop(a, b).Stop
	case Partition:
		return r.sim.Partition(a, b).Stop
	case PartitionOneWay:
		return r.sim.PartitionOneWay(a, b).Stop
	case Unreachable:
		return r.sim.Unreachable(a, b).Stop
	case Clog:
		return r.sim.Clog(a, b).Stop
	case Drip:
		return r.sim.Drip(a, b, int64(f.Rate)).Stop
	case ConntrackLoss:
		return r.sim.ConntrackLoss(a, b, f.WithReset).Stop
	case Pause:
		return r.sim.Pause(f.Host).Stop
	case NoAccept:
		return r.sim.AcceptWithoutService(f.Host).Stop
	case Refuse:
		return r.sim.Refuse(f.Host, f.Port).Stop
	case Slow:
		return r.sim.SlowLink(a, b, netsim.Link{Latency: f.Latency, Jitter: f.Jitter, Loss: f.Loss}).Stop
	case IdleForget:
		return r.sim.IdleForget(a, b, f.Idle, f.WithReset).Stop
	case DNSFail:
		return r.failLookups(f).Stop
	case DNSChange:
		return r.sim.ChangeDNS(f.Domain, f.Addresses...).Stop
	case DNSSlow:
		return r.slowLookups(f.Latency)
	case Crash:
		r.sim.Host(f.Host, "").Crash()
	case Kill:
		r.sim.Host(f.Host, "").Kill()
	default:
		panic("scenario: unknown kind of fault " + f.Kind)
	}
	r.down[f.Host]++
	return func() {
		// Where two such faults overlap, the machine comes back when both are over.
		if r.down[f.Host]--; r.down[f.Host] == 0 {
			r.restart(f.Host)
		}
	}
}

// restart brings a machine back, and the services on it.
func (r *run) restart(host string) {
	r.sim.Host(host, "").Restart()
	for _, s := range r.servers {
		if s.host.Name() != host {
			continue
		}
		if err := s.start(); err != nil {
			r.trouble(err)
		}
		r.clk.Sleep(0)
	}
}

// goAway has the backends of a machine say GOAWAY, and says on how many connections.
func (r *run) goAway(host string) int {
	n := 0
	for _, s := range r.servers {
		if s.host.Name() == host {
			n += s.goAway()
		}
	}
	return n
}

// failLookups makes the name server fail in the fault's way.
func (r *run) failLookups(f *Fault) *netsim.Fault {
	switch f.How {
	case DNSNoSuchHost:
		return r.sim.NoSuchHost(f.Domain)
	case DNSTimeout:
		return r.sim.TimeoutDNS(f.Domain)
	}
	return r.sim.FailDNS(f.Domain)
}

// slowLookups makes the name server as slow as the slowest fault that lasts wants it.
func (r *run) slowLookups(by time.Duration) (end func()) {
	r.slow = append(r.slow, by)
	r.sim.SetDNSLatency(slices.Max(r.slow))
	return func() {
		i := slices.Index(r.slow, by)
		r.slow = slices.Delete(r.slow, i, i+1)
		r.sim.SetDNSLatency(slices.Max(append([]time.Duration{0}, r.slow...)))
	}
}
