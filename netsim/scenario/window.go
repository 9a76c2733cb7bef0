package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

// Window is the part of a run that an expectation looks at. The zero value is the whole run. A request belongs to a
// window by the instant at which it began; what the proxy counts (dials, retries) belongs to it by its own instant.
type Window struct {
	// Kind is one of the constants below, or "" for the whole run.
	Kind string
	// Fault narrows Before, During and After to the faults of that name; "" stands for all faults.
	Fault string
	// From and To are for Between, in whole seconds from the beginning; To is 0 for the end of the scenario.
	From, To time.Duration
}

// The kinds of windows, as expectations write them.
const (
	Before  = "before" // until the first fault begins
	During  = "during" // while any fault is in force
	After   = "after"  // from the end of the last fault to the end of the scenario
	Between = "from"   // from one instant to another, or to the end of the scenario
)

// windowWords are the words with which a window begins.
var windowWords = []string{Before, During, After, Between}

// String gives the window as expectations write it.
func (w Window) String() string {
	switch {
	case w.Kind == Between && w.To == 0:
		return w.Kind + " " + shortDuration(w.From)
	case w.Kind == Between:
		return w.Kind + " " + shortDuration(w.From) + " to " + shortDuration(w.To)
	case w.Fault != "":
		return w.Kind + " " + w.Fault
	}
	return w.Kind
}

var errWindow = errors.New("want before, during or after, with the name of a fault or without, or times such as " +
	"from 30s to 60s")

// cutWindow separates a value from the window behind it, which begins with the first of the windowWords.
func cutWindow(text string) (value string, w Window, err error) {
	fields := strings.Fields(text)
	at := slices.IndexFunc(fields, func(f string) bool { return slices.Contains(windowWords, f) })
	if at < 0 {
		// A value has one word, or two as in "99 %".
		if n := len(fields); n > 1 && fields[1] != "%" || n > 2 {
			word := fields[min(n-1, 1)]
			if word == "%" {
				word = fields[2]
			}
			if near := config.Nearest(word, windowWords); near != "" {
				return "", w, fmt.Errorf("unknown window %q; did you mean %s?", word, near)
			}
			return "", w, fmt.Errorf("unknown window %q; %w", word, errWindow)
		}
		return strings.Join(fields, " "), w, nil
	}
	value, rest := strings.Join(fields[:at], " "), fields[at+1:]
	w.Kind = fields[at]
	switch {
	case w.Kind == Between:
		err = w.readTimes(rest)
	case len(rest) > 1:
		err = fmt.Errorf("too much behind %q: a window has the name of one fault", w.Kind+" "+rest[0])
	case len(rest) == 1:
		w.Fault = rest[0]
	}
	return value, w, err
}

// readTimes reads what is behind from: T, or T to T.
func (w *Window) readTimes(words []string) error {
	read := func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil || d < 0 || d > day:
			return 0, fmt.Errorf("want a time with its unit, such as from 30s to 60s; got %q", text)
		case d%time.Second != 0:
			return 0, fmt.Errorf("a window begins and ends at whole seconds; got %q", text)
		}
		return d, nil
	}
	if len(words) != 1 && (len(words) != 3 || words[1] != "to") {
		return errors.New("want from T to T, such as from 30s to 60s, or from T for the rest of the run")
	}
	var err error
	if w.From, err = read(words[0]); err != nil || len(words) == 1 {
		return err
	}
	if w.To, err = read(words[2]); err != nil {
		return err
	}
	if w.To <= w.From {
		return fmt.Errorf("the window ends (%s) before it begins (%s)", words[2], words[0])
	}
	return nil
}

// span is a stretch of a run: its beginning is in it, and its end is not.
type span struct{ from, to time.Duration }

func within(spans []span, at time.Duration) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return at >= s.from && at < s.to })
}

func lengthOf(spans []span) (sum time.Duration) {
	for _, s := range spans {
		sum += s.to - s.from
	}
	return sum
}

// named says whether the fault goes by that name; every fault goes by none.
func (f *Fault) named(name string) bool { return name == "" || name == f.called() }

// called is the fault's name, or its kind.
func (f *Fault) called() string { return cmp.Or(f.Name, f.Kind) }

// instant is for how long a fault of one instant is held to be in force.
const instant = time.Second

// lasting is the time in which a fault is in force. One of a single instant is so for a second, or until the next fault
// begins.
func (f *Fault) lasting(all []Fault, total time.Duration) span {
	end, ends := f.ends()
	switch {
	case !ends:
		return span{f.At, total}
	case end > f.At:
		return span{f.At, min(end, total)}
	}
	_, next := f.window(all, total)
	return span{f.At, min(f.At+instant, next)}
}

// spans are the stretches of a run of that length which the window means, in order and apart from each other. The error
// says why there is none.
func (w Window) spans(faults []Fault, total time.Duration) ([]span, error) {
	switch w.Kind {
	case "":
		return []span{{0, total}}, nil
	case Between:
		to := w.To
		if to == 0 {
			to = total
		}
		if w.From >= total || to > total {
			return nil, fmt.Errorf("the window goes beyond the duration of the scenario (%v)", total)
		}
		return []span{{w.From, to}}, nil
	}
	var on []span
	for i := range faults {
		if faults[i].named(w.Fault) {
			on = append(on, faults[i].lasting(faults, total))
		}
	}
	if len(on) == 0 {
		return nil, w.noFault(faults)
	}
	on = joined(on)
	first, last := on[0].from, on[len(on)-1].to
	switch {
	case w.Kind == Before && first == 0:
		return nil, fmt.Errorf("there is nothing %s a fault that begins at 0s", w)
	case w.Kind == Before:
		return []span{{0, first}}, nil
	case w.Kind == After && last >= total:
		return nil, fmt.Errorf("there is nothing %s a fault that lasts to the end of the scenario", w)
	case w.Kind == After:
		return []span{{last, total}}, nil
	}
	return on, nil
}

// noFault is the error of a window that no fault belongs to.
func (w Window) noFault(faults []Fault) error {
	if len(faults) == 0 {
		return fmt.Errorf("%s needs a fault", w.Kind)
	}
	var names []string
	for i := range faults {
		if name := faults[i].called(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if near := config.Nearest(w.Fault, names); near != "" {
		return fmt.Errorf("no fault has the name %q; did you mean %s?", w.Fault, near)
	}
	return fmt.Errorf("no fault has the name %q; there are %s", w.Fault, strings.Join(names[:min(len(names), 10)], ", "))
}

// joined sorts spans and makes one of those that overlap or touch.
func joined(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:1]
	for _, s := range spans[1:] {
		if last := &out[len(out)-1]; s.from <= last.to {
			last.to = max(last.to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}
