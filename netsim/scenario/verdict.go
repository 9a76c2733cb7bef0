package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// Verdict is what a run has shown. Its JSON form is stable.
type Verdict struct {
	// Name and Seed are the scenario's.
	Name string `json:"name"`
	Seed uint64 `json:"seed"`
	// TraceHash is the hash of the canonical trace, 16 hexadecimal digits. Equal code, scenario and seed give an
	// equal one.
	TraceHash string `json:"trace_hash"`
	// Replaced tells what the run had in place of what the proxy's configuration says: the operators' page, addresses to
	// listen at, references, names. Left out where there is nothing of the kind.
	Replaced []string `json:"replaced,omitempty"`
	// VirtualSeconds is the simulated time from the beginning to the end of the drain, WallSeconds the real time
	// that the whole run took.
	VirtualSeconds float64 `json:"virtual_seconds"`
	WallSeconds    float64 `json:"wall_seconds"`
	// Events is the length of the trace.
	Events uint64 `json:"events"`
	// Requests counts the clients' requests, and Answered those that were answered well. The others are in Failed.
	Requests int `json:"requests"`
	Answered int `json:"answered"`
	// Failed counts the failed requests by reason.
	Failed map[string]int `json:"failed"`
	// ReuseRate is the share of the pools' loans that reused a connection, 0 to 1, in whole millionths.
	ReuseRate float64 `json:"reuse_rate"`
	// Expectations are the scenario's, judged, in its order; behind them what always must hold and did not.
	Expectations []Judged `json:"expectations"`
	// Timeline tells the faults, the operations, the backends' ups and downs, and the first failure of each kind; at most 500
	// entries.
	Timeline []Moment `json:"timeline"`
	// BrokeOff says why there is no outcome: a deadlock, a panic, a proxy that could not start. The counts are 0 then
	// and mean nothing. "" for a run that ended in order.
	BrokeOff string `json:"broke_off,omitempty"`

	// Trace is the canonical trace: all of it with Options.KeepTrace, else its end.
	Trace *netsim.Trace `json:"-"`
	// Series is the run over time, for pictures; nil for a run that broke off.
	Series *Series `json:"-"`

	notes   []string // failover and recovery, for the text
	figures []Figure
	causes  []cause // of the expectations, by index; what is behind them has none

	// What a report tells of the scenario.
	about    string
	faults   []Fault
	ops      []Operation
	duration time.Duration
}

// Judged is an expectation with the value that it met.
type Judged struct {
	Expect string `json:"expect"` // as written
	Value  string `json:"value"`  // the metric's value, with its unit
	OK     bool   `json:"ok"`     // whether it holds
}

// Moment is one line of a timeline.
type Moment struct {
	At   float64 `json:"at"`   // seconds since the beginning, in whole microseconds
	Text string  `json:"text"` // what happened
}

// OK says whether everything held that was expected.
func (v *Verdict) OK() bool {
	return !slices.ContainsFunc(v.Expectations, func(j Judged) bool { return !j.OK })
}

// verdict judges the run. Everything else has ended.
func (r *run) verdict(drained time.Duration) *Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.out
	o.finish()
	o.failover = failoverOf(r.sc.Faults, r.sc.Duration, o.failures)
	if len(r.sc.Faults) == 0 && r.sc.Random != nil {
		o.failover = 0 // none was drawn
	}
	v := &Verdict{
		Name: r.sc.Name, Seed: r.sim.Seed(), TraceHash: fmt.Sprintf("%016x", r.sim.Hash()), Events: r.sim.Events(),
		VirtualSeconds: inSeconds(drained), Replaced: r.sc.replaced(),
		Requests: o.requests, Answered: o.answered, Failed: o.failed, Timeline: r.timeline, figures: figuresOf(o),
		Series: r.rec.series(), about: r.sc.About, faults: r.sc.Faults, ops: r.sc.Operations, duration: r.sc.Duration,
	}
	if reuse := o.reuse(); !math.IsNaN(reuse) {
		v.ReuseRate = math.Round(reuse*1e6) / 1e6
	}
	// Programs find lists in it also where they are empty.
	v.Expectations, v.Timeline = []Judged{}, append([]Moment{}, v.Timeline...)
	r.judge(v)
	if !math.IsNaN(o.failover) {
		v.notes = append(v.notes, "failover "+seconds.format(o.failover))
	}
	if !math.IsNaN(o.recovery) {
		v.notes = append(v.notes, "recovery "+seconds.format(o.recovery))
	}
	return v
}

// judge compares the outcome with what is expected.
func (r *run) judge(v *Verdict) {
	for _, e := range r.sc.Expect {
		part := r.partFor(&e)
		m := metricNamed(e.Metric)
		x := m.value(part)
		j := Judged{e.String(), m.unit.format(x), e.holds(x)}
		v.Expectations = append(v.Expectations, j)
		var why cause
		if !j.OK {
			why = r.cause(&e, part)
		}
		v.causes = append(v.causes, why)
	}
	// These two are never a matter of taste.
	for _, name := range []string{metricWrongNonce, metricConservation} {
		m := metricNamed(name)
		if x := m.value(&r.out); x != 0 {
			v.Expectations = append(v.Expectations, Judged{name + " == 0", m.unit.format(x), false})
			v.causes = append(v.causes, r.cause(&Expectation{Metric: name, Op: "=="}, &r.out))
		}
	}
}

// partFor is the part of the outcome that an expectation is about.
func (r *run) partFor(e *Expectation) *outcome {
	if e.Window.Kind == "" && e.Client == "" {
		return &r.out
	}
	client := -1
	if e.Client != "" {
		client = int(r.places[e.Client])
	}
	spans, _ := e.Window.spans(r.sc.Faults, r.sc.Duration) // one that has none is refused when the file is read
	return r.out.part(spans, client, r.marks.between(spans, r.sc.Duration, &r.out.tally))
}

// Broken is the verdict of a run that gave no outcome of its own: as a child process that died. How says what happened.
func Broken(name string, seed uint64, how string) *Verdict {
	v := &Verdict{Name: name, Seed: seed, Failed: map[string]int{}, Timeline: []Moment{}}
	v.broken("the run ends in order", errors.New(how))
	return v
}

// broken takes the figures away, which would say nothing, and says what was expected and why it is not so.
func (v *Verdict) broken(expected string, err error) {
	v.BrokeOff, v.figures, v.causes, v.Series, v.notes = err.Error(), nil, nil, nil, nil
	v.Expectations = []Judged{{Expect: expected, Value: err.Error()}}
	if v.Timeline == nil {
		v.Timeline = []Moment{}
	}
}

// inSeconds gives whole microseconds as the number that prints shortest.
func inSeconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

// maxShown is how many lines of the timeline the text shows.
const maxShown = 24

// Text formats the verdict for people: what ran, what it gave, and each expectation. The first one that fails is
// followed by the timeline.
func (v *Verdict) Text() string {
	var b strings.Builder
	v.writeHead(&b)
	width := 0
	for _, j := range v.Expectations {
		width = max(width, len(j.Expect))
	}
	shown := false
	for _, j := range v.Expectations {
		word := "ok  "
		if !j.OK {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "  %s  %-*s   %s\n", word, width, j.Expect, j.Value)
		if !j.OK && !shown {
			shown = true
			v.writeTimeline(&b)
		}
	}
	return b.String()
}

// writeHead writes what ran and what it gave.
func (v *Verdict) writeHead(b *strings.Builder) {
	virtual := time.Duration(v.VirtualSeconds * float64(time.Second))
	if v.BrokeOff != "" {
		fmt.Fprintf(b, "%s  seed %d   broke off", v.Name, v.Seed)
		if virtual >= time.Millisecond {
			fmt.Fprintf(b, " at %s of simulated time", clockTime(virtual))
		}
		b.WriteString("\n")
		return
	}
	fmt.Fprintf(b, "%s  seed %d   %v simulated in %.1fs   trace %.8s\n", v.Name, v.Seed, virtual.Round(time.Second), v.WallSeconds,
		v.TraceHash)
	for _, text := range v.Replaced {
		fmt.Fprintf(b, "  replaced: %s\n", text)
	}
	fmt.Fprintf(b, "  %s requests   %s answered   %s failed%s\n", thousands(uint64(v.Requests)),
		thousands(uint64(v.Answered)), thousands(uint64(v.Requests-v.Answered)), v.reasons())
	fmt.Fprintf(b, "  %s\n", strings.Join(append([]string{"reuse " + share.format(v.ReuseRate)}, v.notes...), "   "))
}

// reasons lists the failures, the most frequent first.
func (v *Verdict) reasons() string {
	if len(v.Failed) == 0 {
		return ""
	}
	names := slices.Sorted(maps.Keys(v.Failed))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(v.Failed[b], v.Failed[a]) })
	for i, name := range names {
		names[i] = name + " " + thousands(uint64(v.Failed[name]))
	}
	return ": " + strings.Join(names, ", ")
}

func (v *Verdict) writeTimeline(b *strings.Builder) {
	for i, m := range v.Timeline {
		if i == maxShown {
			fmt.Fprintf(b, "        ... and %d more moments\n", len(v.Timeline)-maxShown)
			return
		}
		at := time.Duration(math.Round(m.At*1e6)) * time.Microsecond
		fmt.Fprintf(b, "        %s  %s\n", clockTime(at), m.Text)
	}
}

// clockTime writes 1m0.000s, with three digits whatever they are, so that lines stand in columns.
func clockTime(d time.Duration) string {
	minutes := d / time.Minute
	return fmt.Sprintf("%dm%06.3fs", minutes, (d - minutes*time.Minute).Truncate(time.Millisecond).Seconds())
}
