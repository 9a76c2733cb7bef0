package upstream

import (
	"strconv"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// Event is one thing that happened in a room below the server: one stream for the trace, the log and the status page.
type Event struct {
	// At is the instant by the injected clock.
	At time.Time
	// Entity is what it happened to: "upstream/address".
	Entity string
	// Seq numbers the entity's events from 1.
	Seq uint64
	// Kind is what happened: one of [EventKinds].
	Kind string
	// Reason is the word of the room that it happened in: a pool.Reason, a health.Reason, an Outcome or an Operation.
	Reason string
	// Detail is for people: "conn 3", "3 of 3", the text of an error.
	Detail string
}

// The kinds of events.
const (
	KindDialled       = "dialled"
	KindDialFailed    = "dial_failed"
	KindRetired       = "retired"
	KindLeaked        = "leaked" // a connection has been lent for longer than pool.Config.LeakAfter
	KindUp            = "backend_up"
	KindDown          = "backend_down"
	KindAttemptFailed = "attempt_failed"

	KindOperation = "operation"    // its Reason is an Operation
	KindAgent     = "agent"        // an agent has changed weight or connections (its Reason is an Operation), or has no answer (a probe.Reason)
	KindGone      = "backend_gone" // a removed backend has no connection left
)

// EventKinds returns the closed list of kinds.
func EventKinds() []string {
	return []string{KindDialled, KindDialFailed, KindRetired, KindLeaked, KindUp, KindDown, KindAttemptFailed, KindOperation, KindAgent, KindGone}
}

// tell gives the observer an event of a backend.
func (u *Upstream) tell(b *backend, e Event) {
	if u.cfg.Observer == nil {
		return
	}
	e.Entity, e.Seq = b.entity, b.life.seq.Add(1)
	u.cfg.Observer(e)
}

// poolEvent passes on what a backend's pool tells.
func (u *Upstream) poolEvent(b *backend, e pool.Event) {
	out := Event{At: e.At, Kind: e.Kind.String()}
	switch e.Kind {
	case pool.EventDialFailed:
		out.Reason, out.Detail = OutcomeConnectFailed.String(), e.Err.Error()
	case pool.EventRetired:
		out.Reason = e.Reason.String()
	case pool.EventLeaked:
		out.Detail = "conn " + strconv.FormatUint(e.Conn, 10)
	}
	u.tell(b, out)
}

// changeEvent tells a verdict of the judge.
func (u *Upstream) changeEvent(b *backend, ch health.Change) {
	kind := KindDown
	if ch.Available {
		kind = KindUp
	}
	u.tell(b, Event{At: ch.At, Kind: kind, Reason: ch.Reason.String(), Detail: ch.Detail})
}
