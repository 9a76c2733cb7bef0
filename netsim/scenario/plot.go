package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MinPlotWidth is the least width that a plot can have, in columns.
const MinPlotWidth = 60

// Plot draws the run over time for a terminal of that many columns, at least [MinPlotWidth]: how many requests of each
// second were answered and how many failed, by reason, the p99 of those that were answered, and when faults were in force.
// A row that begins with a cross is one of failures. A run that broke off has no plot, which is "".
func (v *Verdict) Plot(width int) string {
	if v.Series == nil || len(v.Series.Answered) == 0 {
		return ""
	}
	rows := v.plotRows()
	label, legend := 0, 0
	for i := range rows {
		label, legend = max(label, utf8.RuneCountInString(rows[i].label)), max(legend, utf8.RuneCountInString(rows[i].legend))
	}
	columns := max(width, MinPlotWidth) - label - legend - 5
	steps := len(v.Series.Answered)
	if steps < columns {
		columns -= columns % steps // so that each step is equally wide
	}
	var b strings.Builder
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(&b, "  %-*s %s  %s\n", label, r.label, r.draw(columns), r.legend)
	}
	fmt.Fprintf(&b, "  %-*s %s\n", label, "", plotAxis(columns, time.Duration(steps)*v.Series.Step))
	return b.String()
}

// plotRow is one line of a plot.
type plotRow struct {
	label, legend string
	values        []float64 // one for each step; what is no number is not drawn
	line          bool      // a line where there is something, instead of bars
}

// maxReasons is how many rows of failures a plot has at most; the last one has all other reasons then.
const maxReasons = 4

func (v *Verdict) plotRows() []plotRow {
	s := v.Series
	perSecond := func(label string, counts []int) plotRow {
		r := plotRow{label: label, values: make([]float64, len(counts))}
		for i, n := range counts {
			r.values[i] = float64(n) / s.Step.Seconds()
		}
		r.legend = "up to " + plain(slices.Max(r.values)) + "/s"
		return r
	}
	rows := []plotRow{perSecond("answered", s.Answered)}
	for _, f := range s.reasons() {
		rows = append(rows, perSecond("✗ "+f.reason, f.counts))
	}
	p99 := plotRow{label: "p99", values: s.P99, legend: "none"}
	if most := greatest(s.P99); !math.IsNaN(most) {
		p99.legend = "up to " + seconds.format(most)
	}
	rows = append(rows, p99)
	if len(v.faults) == 0 {
		return rows
	}
	faults := plotRow{label: "faults", line: true, values: make([]float64, len(s.Answered)), legend: "1 fault"}
	if len(v.faults) > 1 {
		faults.legend = fmt.Sprintf("%d faults", len(v.faults))
	}
	for i := range v.faults {
		on := v.faults[i].lasting(v.faults, v.duration)
		for k := int(on.from / s.Step); k < len(faults.values) && time.Duration(k)*s.Step < max(on.to, on.from+1); k++ {
			faults.values[k] = 1
		}
	}
	return append(rows, faults)
}

// failures are the counts of one reason, step by step.
type failures struct {
	reason string
	counts []int
}

// reasons lists the failures, the most frequent reason first, with those that are too many in one.
func (s *Series) reasons() []failures {
	sum := func(counts []int) (n int) {
		for _, k := range counts {
			n += k
		}
		return n
	}
	var out []failures
	for _, reason := range slices.Sorted(maps.Keys(s.Failed)) {
		out = append(out, failures{reason, s.Failed[reason]})
	}
	slices.SortStableFunc(out, func(a, b failures) int { return cmp.Compare(sum(b.counts), sum(a.counts)) })
	if len(out) <= maxReasons {
		return out
	}
	others := failures{fmt.Sprintf("%d others", len(out)-maxReasons+1), make([]int, len(s.Answered))}
	for _, f := range out[maxReasons-1:] {
		for i, n := range f.counts {
			others.counts[i] += n
		}
	}
	return append(out[:maxReasons-1], others)
}

// greatest is the greatest value; what is no number does not count.
func greatest(values []float64) float64 {
	most := math.NaN()
	for _, x := range values {
		if math.IsNaN(most) || x > most {
			most = x
		}
	}
	return most
}

// draw makes the bars, from nothing to the greatest value; a column that several steps share shows their greatest. What
// there is at all is never drawn as nothing.
func (r *plotRow) draw(columns int) string {
	eighths := []rune(" ▁▂▃▄▅▆▇█")
	shown := make([]float64, columns)
	for i := range shown {
		from, to := i*len(r.values)/columns, (i+1)*len(r.values)/columns
		shown[i] = greatest(r.values[from:max(to, from+1)])
	}
	most := greatest(shown)
	var b strings.Builder
	for _, x := range shown {
		switch {
		case !(x > 0): // or no number
			b.WriteByte(' ')
		case r.line:
			b.WriteRune('━')
		default:
			b.WriteRune(eighths[min(max(int(math.Ceil(x/most*8)), 1), 8)])
		}
	}
	return b.String()
}

// plotAxis writes the first, the middle and the last instant under the bars.
func plotAxis(columns int, span time.Duration) string {
	first, middle, last := "0s", shortDuration((span / 2).Round(time.Second)), shortDuration(span)
	gap := max(columns/2-len(first)-len(middle)/2, 1)
	line := first + strings.Repeat(" ", gap) + middle
	return line + strings.Repeat(" ", max(columns-len(line)-len(last), 1)) + last
}
