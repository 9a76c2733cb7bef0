package scenario

import (
	"fmt"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// The kinds of faults, as files write them.
const (
	SilentDrop = "silent_drop" // packets between two machines vanish
	Partition  = "partition"   // the same, by another name: a cut
	Crash      = "crash"       // a backend's machine falls silent, and comes back empty
	Kill       = "kill"        // a backend's process ends: FINs and refused dials, until it is started again
	Refuse     = "refuse"      // dials to a machine are refused
	Reset      = "reset"       // every open connection between two machines is reset, once
	Slow       = "slow"        // a link gets slower and more lossy
	IdleForget = "idle_forget" // a middlebox forgets connections that are idle
)

// Fault is one thing that goes wrong.
type Fault struct {
	// At is when it begins. Key at, required, within the scenario's duration.
	At time.Duration
	// For is how long it lasts. Key for, left out (-1): to the end. Reset has none.
	For time.Duration
	// Kind is one of Crash, IdleForget, Kill, Partition, Refuse, Reset, SilentDrop and Slow.
	Kind string
	// Between names two machines, as in Link: for all kinds but Crash, Kill and Refuse.
	Between [2]string
	// Host is the machine for Crash, Kill and Refuse; a backend's for the first two.
	Host string
	// Port is for Refuse: 0, the default, is every port.
	Port int
	// Latency, Jitter and Loss are for Slow, and come on top of the link's own.
	Latency, Jitter time.Duration
	// Loss is the share of packets that Slow loses, from 0 to 1.
	Loss float64
	// Idle is for IdleForget: connections idle for longer are forgotten. Required there, from 1ms to 24h.
	Idle time.Duration
	// WithReset is for IdleForget: packets of a forgotten connection are answered by a reset instead of silence.
	// Key reset, default false.
	WithReset bool
}

// form binds a fault.
func (f *Fault) form() form.Value {
	between := form.Field{Key: "between", Value: betweenValue{p: &f.Between}}
	host := form.Field{Key: "host", Value: form.String(&f.Host, nil)}
	return oneOf{
		kind: &f.Kind,
		plain: form.Form{
			{Key: "at", Value: form.Duration(&f.At, 0, day)},
			{Key: "for", Value: optional{form.Duration(&f.For, tick, day), func() bool { return f.For < 0 }}},
		},
		kinds: form.Form{
			{Key: SilentDrop, Value: form.Form{between}},
			{Key: Partition, Value: form.Form{between}},
			{Key: Crash, Value: form.Form{host}},
			{Key: Kill, Value: form.Form{host}},
			{Key: Refuse, Value: form.Form{host, {Key: "port", Value: form.Int(&f.Port, 0, 65535)}}},
			{Key: Reset, Value: form.Form{between}},
			{Key: Slow, Value: form.Form{between,
				{Key: "latency", Value: form.Duration(&f.Latency, 0, time.Hour)},
				{Key: "jitter", Value: form.Duration(&f.Jitter, 0, time.Hour)},
				{Key: "loss", Value: shareValue{p: &f.Loss}},
			}},
			{Key: IdleForget, Value: form.Form{between,
				{Key: "idle", Value: form.Duration(&f.Idle, tick, day)},
				{Key: "reset", Value: boolValue{p: &f.WithReset}},
			}},
		},
	}
}

// onHost says whether the fault is one of a machine and not of a path.
func (f *Fault) onHost() bool { return f.Kind == Crash || f.Kind == Kill || f.Kind == Refuse }

// ends says when the fault is over, and whether it ends at all within the scenario. An instant fault ends as it
// begins.
func (f *Fault) ends() (time.Duration, bool) {
	switch {
	case f.Kind == Reset:
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
	case Refuse:
		if f.Port != 0 {
			where += fmt.Sprintf(":%d", f.Port)
		}
	case Slow:
		where += fmt.Sprintf(" by %v", f.Latency)
	case IdleForget:
		where += fmt.Sprintf(" after %v", f.Idle)
	}
	return f.Kind + " " + where
}
