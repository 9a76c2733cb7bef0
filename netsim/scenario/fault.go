package scenario

import (
	"fmt"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// The kinds of faults, as files write them.
const (
	SilentDrop      = "silent_drop"       // packets between two machines vanish
	Partition       = "partition"         // the same, by another name: a cut
	PartitionOneWay = "partition_one_way" // packets from the first machine to the second vanish
	Unreachable     = "unreachable"       // a cut of which a router tells the senders
	Crash           = "crash"             // a backend's machine falls silent, and comes back empty
	Kill            = "kill"              // a backend's process ends: FINs and refused dials, until it is started again
	Pause           = "pause"             // a backend's process stands still, as after SIGSTOP; its kernel goes on
	NoAccept        = "no_accept"         // a backend's process accepts nothing and serves what it has
	Refuse          = "refuse"            // dials to a machine are refused
	Reset           = "reset"             // every open connection between two machines is reset, once
	Slow            = "slow"              // a link gets slower and more lossy
	Drip            = "drip"              // bytes arrive a few at a time
	Clog            = "clog"              // packets are held back, and all let go at the end
	IdleForget      = "idle_forget"       // a middlebox forgets connections that are idle
	ConntrackLoss   = "conntrack_loss"    // a middlebox forgets all connections of that moment
	GoAway          = "goaway"            // a backend says GOAWAY on each of its HTTP/2 connections, once
	DNSFail         = "dns_fail"          // lookups of a name fail
	DNSChange       = "dns_change"        // lookups of a name give other addresses, or old ones
	DNSSlow         = "dns_slow"          // all lookups take their time
)

// The ways in which lookups fail, for DNSFail.
const (
	DNSServfail   = "servfail"     // the name server says that it cannot tell: a temporary error
	DNSNoSuchHost = "no_such_host" // it says that there is no such name
	DNSTimeout    = "timeout"      // it says nothing: two tries of 5 s, unless the dial's own timeout ends before
)

// Fault is one thing that goes wrong.
type Fault struct {
	// Name is what windows of expectations call it, written as a scenario's. Key name, default its kind; faults of one name
	// are one to a window.
	Name string
	// At is when it begins. Key at, required, within the scenario's duration.
	At time.Duration
	// For is how long it lasts. Key for, left out (-1): to the end. Reset and GoAway have none.
	For time.Duration
	// Kind is one of the constants above.
	Kind string
	// Between names two machines, as in Link: for all kinds that are not of one machine. For PartitionOneWay they are the
	// sender and the receiver.
	Between [2]string
	// Host is the machine for Crash, Kill, Pause, NoAccept and GoAway (a backend's), and for Refuse (any).
	Host string
	// Port is for Refuse: 0, the default, is every port.
	Port int
	// Latency, Jitter and Loss are for Slow, and come on top of the link's own. Latency is also what DNSSlow makes each
	// lookup take, required there, from 1ms to 1h; of several such faults the longest counts.
	Latency, Jitter time.Duration
	// Loss is the share of packets that Slow loses, from 0 to 1.
	Loss float64
	// Idle is for IdleForget: connections idle for longer are forgotten. Required there, from 1ms to 24h.
	Idle time.Duration
	// WithReset is for IdleForget and ConntrackLoss: packets of a forgotten connection are answered by a reset instead of
	// silence. Key reset, default false.
	WithReset bool
	// Rate is for Drip, in bytes per second. Key bytes_per_second, required there, from 1 to 1000000.
	Rate int
	// Domain is the name for DNSFail and DNSChange: one of the section dns, or a backend's. Key name, required there.
	Domain string
	// How is for DNSFail: DNSServfail, DNSNoSuchHost or DNSTimeout. Key how, default servfail.
	How string
	// Addresses are for DNSChange, 1 to 16 IP addresses, which need not be those of any machine. Required there.
	Addresses []string
}

// form binds a fault.
func (f *Fault) form() form.Value {
	between := form.Field{Key: "between", Value: betweenValue{p: &f.Between}}
	host := form.Field{Key: "host", Value: form.String(&f.Host, nil)}
	return oneOf{
		kind: &f.Kind,
		plain: form.Form{
			{Key: "name", Value: form.String(&f.Name, checkFaultName)},
			{Key: "at", Value: form.Duration(&f.At, 0, day)},
			{Key: "for", Value: optional{form.Duration(&f.For, tick, day), func() bool { return f.For < 0 }}},
		},
		kinds: form.Form{
			{Key: SilentDrop, Value: form.Form{between}},
			{Key: Partition, Value: form.Form{between}},
			{Key: PartitionOneWay, Value: form.Form{between}},
			{Key: Unreachable, Value: form.Form{between}},
			{Key: Clog, Value: form.Form{between}},
			{Key: Crash, Value: form.Form{host}},
			{Key: Kill, Value: form.Form{host}},
			{Key: Pause, Value: form.Form{host}},
			{Key: NoAccept, Value: form.Form{host}},
			{Key: GoAway, Value: form.Form{host}},
			{Key: Drip, Value: form.Form{between, {Key: "bytes_per_second", Value: form.Int(&f.Rate, 1, 1_000_000)}}},
			{Key: ConntrackLoss, Value: form.Form{between, {Key: "reset", Value: boolValue{p: &f.WithReset}}}},
			{Key: Refuse, Value: form.Form{host, {Key: "port", Value: form.Int(&f.Port, 0, 65535)}}},
			{Key: Reset, Value: form.Form{between}},
			{Key: Slow, Value: form.Form{between,
				{Key: "latency", Value: form.Duration(&f.Latency, 0, time.Hour)},
				{Key: "jitter", Value: form.Duration(&f.Jitter, 0, time.Hour)},
				{Key: "loss", Value: shareValue{p: &f.Loss}},
			}},
			{Key: DNSFail, Value: form.Form{{Key: "name", Value: form.String(&f.Domain, nil)},
				{Key: "how", Value: orDefault{&f.How, DNSServfail, form.OneOf(&f.How, DNSServfail, DNSNoSuchHost, DNSTimeout)}}}},
			{Key: DNSChange, Value: form.Form{{Key: "name", Value: form.String(&f.Domain, nil)},
				{Key: "addresses", Value: addressesValue{p: &f.Addresses}}}},
			{Key: DNSSlow, Value: form.Form{{Key: "latency", Value: form.Duration(&f.Latency, tick, time.Hour)}}},
			{Key: IdleForget, Value: form.Form{between,
				{Key: "idle", Value: form.Duration(&f.Idle, tick, day)},
				{Key: "reset", Value: boolValue{p: &f.WithReset}},
			}},
		},
	}
}

// checkFaultName wants what checkName does; a fault may have no name.
func checkFaultName(s string) string {
	if s == "" {
		return ""
	}
	return checkName(s)
}

// onHost says whether the fault is one of a machine and not of a path.
func (f *Fault) onHost() bool {
	switch f.Kind {
	case Crash, Kill, Pause, NoAccept, Refuse, GoAway:
		return true
	}
	return false
}

// atOnce says whether the fault is over as soon as it has begun.
func (f *Fault) atOnce() bool { return f.Kind == Reset || f.Kind == GoAway }

// onName says whether the fault is one of the name server.
func (f *Fault) onName() bool { return f.Kind == DNSFail || f.Kind == DNSChange || f.Kind == DNSSlow }

// ends says when the fault is over, and whether it ends at all within the scenario. An instant fault ends as it
// begins.
func (f *Fault) ends() (time.Duration, bool) {
	switch {
	case f.atOnce():
		return f.At, true
	case f.For < 0:
		return 0, false
	}
	return f.At + f.For, true
}

// String describes the fault for timelines: "silent_drop proxy <-> 10.0.0.1".
func (f *Fault) String() string {
	where := f.Between[0] + " <-> " + f.Between[1]
	if f.onHost() {
		where = f.Host
	}
	switch f.Kind {
	case DNSFail:
		where = f.Domain + " (" + f.How + ")"
	case DNSChange:
		where = f.Domain + " to " + strings.Join(f.Addresses, ", ")
	case DNSSlow:
		where = fmt.Sprintf("by %v", f.Latency)
	case Refuse:
		if f.Port != 0 {
			where += fmt.Sprintf(":%d", f.Port)
		}
	case Slow:
		where += fmt.Sprintf(" by %v", f.Latency)
	case IdleForget:
		where += fmt.Sprintf(" after %v", f.Idle)
	case PartitionOneWay:
		where = f.Between[0] + " -> " + f.Between[1]
	case Drip:
		where += fmt.Sprintf(" at %d B/s", f.Rate)
	}
	return f.Kind + " " + where
}
