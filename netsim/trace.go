package netsim

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Event is one line of the canonical trace.
type Event struct {
	At     int64  // virtual nanoseconds since the simulation began
	Actor  string // the connection, listener, host, fault or room that tells it
	Seq    uint64 // the actor's own count of its events, from 1
	Kind   string // what happened: a short word
	Detail string // which, why; may be empty
	N      int64  // a length in bytes or another number; 0 when there is none
	// Rough says that N may differ between runs of one seed: it is told, but neither hashed nor compared. So are
	// the lengths of a connection with eager writes: see Conn.SetEagerWrites.
	Rough bool
}

// String gives the event as one line of text, as WriteText prints it.
func (e Event) String() string {
	b := make([]byte, 0, 96)
	b = append(b, time.Duration(e.At).String()...)
	b = append(b, ' ')
	b = append(b, e.Actor...)
	b = append(b, '#')
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, ' ')
	b = append(b, e.Kind...)
	if e.N != 0 {
		b = append(b, ' ')
		if e.Rough {
			b = append(b, '~')
		}
		b = strconv.AppendInt(b, e.N, 10)
	}
	if e.Detail != "" {
		b = append(b, ' ')
		b = append(b, e.Detail...)
	}
	return string(b)
}

// Trace is a copy of what a simulation has recorded: all events if Config.KeepTrace is set, else the last
// ones. It does not change any more and may be read by any goroutine.
type Trace struct {
	Events []Event // in canonical order: instant, actor, the actor's own count
	Hash   uint64  // the rolling hash over ALL events, kept or not
	Total  uint64  // how many events there were, kept or not
}

// WriteText writes the events, one line each, and a last line with total and hash.
func (t *Trace) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i := range t.Events {
		b.WriteString(t.Events[i].String())
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "%d events, hash %016x\n", t.Total, t.Hash)
	return b.Flush()
}

// Diff names the first event in which two traces of one scenario differ, or returns "" when their hashes
// are equal. Both should be kept whole (Config.KeepTrace); from partial ones it says what it can.
func Diff(a, b *Trace) string {
	if a.Hash == b.Hash && a.Total == b.Total {
		return ""
	}
	for i := 0; i < len(a.Events) && i < len(b.Events); i++ {
		if !same(a.Events[i], b.Events[i]) {
			return fmt.Sprintf("event %d differs:\n  a: %v\n  b: %v", i+1, a.Events[i], b.Events[i])
		}
	}
	switch n := min(len(a.Events), len(b.Events)); {
	case len(a.Events) > n:
		return fmt.Sprintf("event %d is only in a: %v", n+1, a.Events[n])
	case len(b.Events) > n:
		return fmt.Sprintf("event %d is only in b: %v", n+1, b.Events[n])
	}
	return fmt.Sprintf("the traces differ before the events that were kept: "+
		"%d events, hash %016x; %d events, hash %016x",
		a.Total, a.Hash, b.Total, b.Hash)
}

// same tells whether two events are equal but for rough numbers.
func same(a, b Event) bool {
	if a.Rough && b.Rough {
		a.N, b.N = 0, 0
	}
	return a == b
}

// actor is one source of events. Its count is its own, so that two actors of one instant cannot disturb
// each other.
type actor struct {
	name  string
	hash  uint64
	seq   uint64
	rough bool // its numbers are
}

func newActor(name string) actor { return actor{name: name, hash: hashString(name)} }

type record struct {
	a      *actor
	at     int64
	seq    uint64
	n      int64
	kind   string
	detail string
	rough  bool
}

func (r *record) event() Event {
	return Event{At: r.at, Actor: r.a.name, Seq: r.seq, Kind: r.kind, Detail: r.detail, N: r.n, Rough: r.rough}
}

// recorder collects the records of one instant and, when time moves on, folds them into the hash in
// canonical order. Sim.mu guards it.
type recorder struct {
	instant []record // of the current instant
	mixed   bool     // instant is not sorted by actor and count
	hash    uint64
	total   uint64
	keep    bool
	kept    []record // all of them, or a ring of the last ones
	next    int      // where the ring goes on
	last    int      // size of the ring
}

func (t *recorder) add(now int64, a *actor, kind, detail string, n int64) {
	if len(t.instant) > 0 && t.instant[0].at != now {
		t.fold()
	}
	a.seq++
	t.total++
	t.instant = append(t.instant, record{a, now, a.seq, n, kind, detail, a.rough})
	if n := len(t.instant) - 1; n > 0 && t.instant[n-1].a != a && t.instant[n-1].a.name > a.name {
		t.mixed = true
	}
}

// sort puts the current instant in its canonical order. Nearly always it has one to three events; but a crash of a
// thousand hosts is one instant too. Events of one actor come in the order of their count already.
func (t *recorder) sort() {
	if t.mixed {
		slices.SortStableFunc(t.instant, func(a, b record) int { return strings.Compare(a.a.name, b.a.name) })
		t.mixed = false
	}
}

// fold ends the instant.
func (t *recorder) fold() {
	t.sort()
	for i := range t.instant {
		r := &t.instant[i]
		t.hash = foldRecord(t.hash, r)
		switch {
		case t.keep || len(t.kept) < t.last:
			t.kept = append(t.kept, *r)
		case t.last > 0:
			t.kept[t.next] = *r
			t.next = (t.next + 1) % t.last
		}
	}
	clear(t.instant)
	t.instant = t.instant[:0]
}

func foldRecord(h uint64, r *record) uint64 {
	h = mix(h ^ uint64(r.at))
	h = mix(h ^ r.a.hash)
	n := r.n
	if r.rough {
		n = 0
	}
	h = mix(h ^ r.seq ^ uint64(n)<<24)
	h = mix(h ^ hashString(r.kind))
	if r.detail != "" {
		h = mix(h ^ hashString(r.detail))
	}
	return h
}

// sum gives the hash as if the current instant were over. It does not end it, because more may still be
// told in it.
func (t *recorder) sum() uint64 {
	t.sort()
	h := t.hash
	for i := range t.instant {
		h = foldRecord(h, &t.instant[i])
	}
	return h
}

func (t *recorder) snapshot() *Trace {
	out := &Trace{Hash: t.sum(), Total: t.total, Events: make([]Event, 0, len(t.kept)+len(t.instant))}
	for i := range t.kept {
		out.Events = append(out.Events, t.kept[(t.next+i)%len(t.kept)].event())
	}
	for i := range t.instant {
		out.Events = append(out.Events, t.instant[i].event())
	}
	return out
}
