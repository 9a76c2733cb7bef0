package netsim

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// SequenceOptions choose what WriteSequence draws. The zero value draws all connections, up to 200 lines.
type SequenceOptions struct {
	// Limit is how many arrows and notes there are at most; of more the first and the last halves are drawn, with a
	// note between them that says how much was left out. Default 200; GitHub draws some thousand.
	Limit int
	// Hosts, if any, leave out connections that have none of these at either end, by name.
	Hosts []string
	// Connection, if not empty, leaves out all connections but that one: the name of either of its ends.
	Connection string
	// Notes has the events drawn that rooms told by Sim.Note, as notes.
	Notes bool
}

// WriteSequence writes the trace as a sequence diagram in the language of Mermaid, which GitHub and others draw from a
// block marked mermaid. Each host is a participant; dials, data, FINs, RSTs and what was lost are arrows with the
// instant at which they left, their lengths and the instant of their arrival; faults and the ends of hosts are notes.
// Without Config.KeepTrace only the last events are there to be drawn. It panics on a negative Limit.
func (t *Trace) WriteSequence(w io.Writer, o SequenceOptions) error {
	if o.Limit < 0 {
		panic("netsim: SequenceOptions needs a Limit of 0 or more")
	}
	setDefault(&o.Limit, 200)
	d := &diagram{opts: o, ids: make(map[string]int), waiting: make(map[departure][]int)}
	for i := range t.Events {
		d.event(&t.Events[i])
	}
	return d.write(w)
}

// diagram collects the lines of a sequence diagram.
type diagram struct {
	opts  SequenceOptions
	hosts []string // in the order in which they come up
	ids   map[string]int
	lines []line
	// waiting are the lines whose arrival has not come up yet. A direction delivers in order, so that the first of
	// a kind to leave is the first to arrive.
	waiting map[departure][]int
}

type departure struct {
	end, kind string // the end that it left, what arrives
}

// line is an arrow, or a note when to is empty.
type line struct {
	at       int64
	from, to string
	arrow    string
	text     string
	arrival  int64 // of an arrow's head; 0 = not known
	fault    bool  // it tells of one
}

func (l *line) rank() int {
	if l.fault {
		return 0
	}
	return 1
}

const (
	arrowGoes  = "->>"
	arrowFails = "-x"
	arrowReply = "-->>"
)

// ends takes the name of a connection's end apart. mine is the host that tells the event.
func ends(actor string) (mine, other, peer string, ok bool) {
	left, right, client := strings.Cut(actor, ">")
	peer = right + "<" + left
	if !client {
		var server bool
		if left, right, server = strings.Cut(actor, "<"); !server {
			return "", "", "", false
		}
		peer = right + ">" + left
	}
	return withoutPort(left), withoutPort(right), peer, true
}

func withoutPort(s string) string {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		return s[:i]
	}
	return s
}

func (d *diagram) event(e *Event) {
	mine, other, peer, ok := ends(e.Actor)
	switch {
	case !ok:
		d.note(e)
	case d.wants(e.Actor, mine, other, peer):
		d.host(mine)
		d.host(other)
		d.packet(e, mine, other, peer)
	}
}

func (d *diagram) wants(end, mine, other, peer string) bool {
	if c := d.opts.Connection; c != "" && c != end && c != peer {
		return false
	}
	h := d.opts.Hosts
	return len(h) == 0 || slices.Contains(h, mine) || slices.Contains(h, other)
}

// packet draws what a connection's end tells.
func (d *diagram) packet(e *Event, mine, other, peer string) {
	length := ""
	if e.N != 0 {
		length = fmt.Sprintf(" %d", e.N)
		if e.Rough {
			length = fmt.Sprintf(" ~%d", e.N)
		}
	}
	leaves := func(what, arrives string) {
		key := departure{e.Actor, arrives}
		d.waiting[key] = append(d.waiting[key], len(d.lines))
		d.arrow(e, mine, other, arrowGoes, what)
	}
	switch e.Kind {
	case "dial":
		leaves("dial "+e.Actor[strings.LastIndexByte(e.Actor, '>')+1:], "open")
	case "send":
		leaves("data"+length, "recv")
	case "fin":
		leaves("fin", "eof")
	case "rst":
		leaves("rst", "reset")
	case "recv", "eof":
		d.arrived(departure{peer, e.Kind}, e.At)
	case "reset":
		if !d.arrived(departure{peer, e.Kind}, e.At) {
			d.arrow(e, other, mine, arrowReply, "reset") // by a middlebox
		}
	case "open":
		if !d.arrived(departure{e.Actor, e.Kind}, e.At) {
			d.arrow(e, other, mine, arrowReply, "open")
		}
	case "drop":
		d.arrow(e, mine, other, arrowFails, "lost: "+e.Detail+length)
	case "bounced":
		d.arrow(e, mine, other, arrowFails, "reset by the network: "+e.Detail+length)
	case "refuses":
		d.arrow(e, mine, other, arrowReply, "rst: refuses "+e.Detail)
	case "retransmit":
		d.arrow(e, mine, other, arrowGoes, fmt.Sprintf("sends again, try %d", e.N))
	case "keep-alive":
		d.arrow(e, mine, other, arrowGoes, fmt.Sprintf("keep-alive probe %d", e.N))
	case "dial-failed":
		d.arrow(e, other, mine, arrowFails, "dial failed: "+e.Detail)
	case "timed-out":
		d.arrow(e, mine, other, arrowFails, "gives up")
	}
}

func (d *diagram) arrow(e *Event, from, to, arrow, text string) {
	d.lines = append(d.lines, line{at: e.At, from: from, to: to, arrow: arrow, text: text})
}

// arrived notes the arrival of the first that left for it, and tells whether there was one.
func (d *diagram) arrived(key departure, at int64) bool {
	first := d.waiting[key]
	if len(first) == 0 {
		return false
	}
	d.lines[first[0]].arrival = at
	d.waiting[key] = first[1:]
	return true
}

// note draws what hosts, faults, listeners and rooms tell.
func (d *diagram) note(e *Event) {
	text := e.Actor + " " + e.Kind
	if e.Detail != "" {
		text += " " + e.Detail
	}
	switch e.Kind {
	case "crash", "kill", "restart":
		if h := d.opts.Hosts; d.opts.Connection == "" && (len(h) == 0 || slices.Contains(h, e.Actor)) {
			d.host(e.Actor)
			d.lines = append(d.lines, line{at: e.At, from: e.Actor, text: e.Kind, fault: true})
		}
	case "fault-begins", "fault-ends":
		d.lines = append(d.lines, line{at: e.At, fault: true,
			text: e.Actor + " " + strings.TrimPrefix(e.Kind, "fault-")})
	case "overflow":
		d.lines = append(d.lines, line{at: e.At, text: text})
	case "listen", "unlisten":
	default:
		if d.opts.Notes {
			d.lines = append(d.lines, line{at: e.At, text: text})
		}
	}
}

func (d *diagram) host(name string) {
	if _, known := d.ids[name]; !known {
		d.ids[name] = len(d.hosts)
		d.hosts = append(d.hosts, name)
	}
}

func (d *diagram) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("sequenceDiagram\n")
	for i, h := range d.hosts {
		fmt.Fprintf(b, "    participant h%d as %s\n", i, clean(h))
	}
	if len(d.hosts) == 0 {
		b.WriteString("    participant h0 as nobody\n")
	}
	// Of one instant the faults come first, as what they did makes no sense before them.
	slices.SortStableFunc(d.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank(), b.rank()))
	})
	first, last := d.lines, []line(nil)
	if n := len(d.lines); n > d.opts.Limit {
		head := (d.opts.Limit + 1) / 2
		first, last = d.lines[:head], d.lines[n-(d.opts.Limit-head):]
	}
	d.writeLines(b, first)
	if out := d.lines[len(first) : len(d.lines)-len(last)]; len(out) > 0 {
		d.writeLine(b, line{at: out[0].at, text: fmt.Sprintf("%d arrows and notes are left out, until %v", len(out),
			time.Duration(out[len(out)-1].at))})
	}
	d.writeLines(b, last)
	return b.Flush()
}

func (d *diagram) writeLines(b *bufio.Writer, lines []line) {
	for _, l := range lines {
		d.writeLine(b, l)
	}
}

func (d *diagram) writeLine(b *bufio.Writer, l line) {
	text := fmt.Sprintf("%v %s", time.Duration(l.at), l.text)
	if l.arrival != 0 {
		text += fmt.Sprintf(", +%v", time.Duration(l.arrival-l.at).Round(time.Microsecond))
	}
	text = clean(text)
	switch last := len(d.hosts) - 1; {
	case l.to != "":
		fmt.Fprintf(b, "    h%d%sh%d: %s\n", d.ids[l.from], l.arrow, d.ids[l.to], text)
	case l.from != "" || last < 1:
		fmt.Fprintf(b, "    Note over h%d: %s\n", d.ids[l.from], text)
	default:
		fmt.Fprintf(b, "    Note over h0,h%d: %s\n", last, text)
	}
}

// cleaner takes out what Mermaid would read as its own: a semicolon ends a line, a number sign begins an entity, and
// angle brackets begin a tag.
var cleaner = strings.NewReplacer("#", "#35;", ";", "#59;", "<", "#lt;", ">", "#gt;", "\n", " ", "\r", " ")

func clean(s string) string { return cleaner.Replace(s) }
