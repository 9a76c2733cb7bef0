package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// summary is what a sweep has shown.
type summary struct {
	name    string
	runs    int
	failed  []*result // in the order of their seeds
	figures []distribution
	reasons []reason
}

// distribution is how one metric is spread over the seeds.
type distribution struct {
	metric             string
	values             []float64 // sorted; +Inf is "never"
	leastSeed, topSeed uint64    // a seed that gave the least value, and one that gave the greatest
	bars               []int     // how many values fall into each of equal parts between least and greatest
}

// reason is an expectation that did not hold everywhere.
type reason struct {
	expect string
	seeds  []uint64
	value  string // that the first of them met
}

func summarize(all []*result) *summary {
	all = slices.SortedFunc(slices.Values(all), func(a, b *result) int { return cmp.Compare(a.Seed, b.Seed) })
	s := &summary{runs: len(all)}
	for _, r := range all {
		s.name = r.Name
		if !r.OK {
			s.failed = append(s.failed, r)
		}
		for _, f := range r.Failed {
			s.blame(f, r.Seed)
		}
	}
	for _, name := range scenario.Metrics() {
		if d := spread(name, all); len(d.values) > 0 {
			s.figures = append(s.figures, d)
		}
	}
	return s
}

func (s *summary) blame(f failure, seed uint64) {
	i := slices.IndexFunc(s.reasons, func(r reason) bool { return r.expect == f.Expect })
	if i < 0 {
		i = len(s.reasons)
		s.reasons = append(s.reasons, reason{expect: f.Expect, value: f.Value})
	}
	s.reasons[i].seeds = append(s.reasons[i].seeds, seed)
}

// barCount is how many bars show a distribution.
const barCount = 12

// spread collects one metric.
func spread(name string, all []*result) distribution {
	d := distribution{metric: name}
	least, top := math.Inf(1), math.Inf(-1)
	for _, r := range all {
		x, ok := r.figure(name)
		if !ok {
			continue
		}
		if d.values = append(d.values, x); x < least || len(d.values) == 1 {
			least, d.leastSeed = x, r.Seed
		}
		if x > top {
			top, d.topSeed = x, r.Seed
		}
	}
	slices.Sort(d.values)
	if len(d.values) > 0 && top > least && !math.IsInf(top, 1) {
		d.bars = make([]int, barCount)
		for _, x := range d.values {
			d.bars[min(int((x-least)/(top-least)*barCount), barCount-1)]++
		}
	}
	return d
}

// quantile is the nearest-rank quantile.
func (d *distribution) quantile(q float64) float64 {
	i := int(math.Ceil(q*float64(len(d.values)))) - 1
	return d.values[min(max(i, 0), len(d.values)-1)]
}

// spark draws the bars with eighths of a block; a value that occurs is never drawn as nothing.
func (d *distribution) spark() string {
	if d.bars == nil {
		return ""
	}
	const eighths = "▁▂▃▄▅▆▇█"
	most := slices.Max(d.bars)
	var b strings.Builder
	for _, n := range d.bars {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(string([]rune(eighths)[(n*8-1)/most]))
	}
	return "|" + b.String() + "|"
}

// status is the exit code.
func (s *summary) status() int {
	if len(s.failed) > 0 {
		return exitFailed
	}
	return exitOK
}

const (
	maxSeedsShown = 20 // of those that fail for one reason
)

// text is the summary for people. File stands in the command that repeats a failure.
func (s *summary) text(title, file string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s   %s   %d failed\n", s.name, title, runs(s.runs), len(s.failed))
	width := 0
	for i := range s.figures {
		width = max(width, len(s.figures[i].metric))
	}
	fmt.Fprintf(&b, "  %-*s %10s %10s %10s %10s  %-14s %s\n", width, "", "least", "median", "p90", "greatest", "", "seeds of the extremes")
	for i := range s.figures {
		d := &s.figures[i]
		show := func(x float64) string { return scenario.FormatFigure(d.metric, x) }
		n := len(d.values)
		fmt.Fprintf(&b, "  %-*s %10s %10s %10s %10s  %-14s %s\n", width, d.metric, show(d.values[0]), show(d.quantile(0.5)),
			show(d.quantile(0.9)), show(d.values[n-1]), d.spark(), d.extremes())
	}
	for _, r := range s.reasons {
		fmt.Fprintf(&b, "  FAIL  %s   for %d of %d seeds: %s\n", r.expect, len(r.seeds), s.runs, seedList(r.seeds))
	}
	if len(s.failed) == 0 {
		fmt.Fprintf(&b, "  ok    every expectation holds for every seed\n")
		return b.String()
	}
	seed, which := s.failed[0].Seed, ""
	if all := s.failed[0].Failed; len(all) > 1 { // one at a time is what can be understood
		which = fmt.Sprintf(" -expect %q", all[0].Expect)
	}
	fmt.Fprintf(&b, "  see one:     wavesim run %s -seed %d\n", file, seed)
	fmt.Fprintf(&b, "  reduce it:   wavesim shrink %s -seed %d%s\n", file, seed, which)
	return b.String()
}

func runs(n int) string {
	if n == 1 {
		return "1 run"
	}
	return fmt.Sprintf("%d runs", n)
}

// extremes names the seeds of the least and the greatest value where they differ.
func (d *distribution) extremes() string {
	if d.values[0] == d.values[len(d.values)-1] {
		return ""
	}
	return fmt.Sprintf("%d, %d", d.leastSeed, d.topSeed)
}

func seedList(seeds []uint64) string {
	var words []string
	for i, s := range seeds {
		if i == maxSeedsShown {
			words = append(words, fmt.Sprintf("and %d more", len(seeds)-maxSeedsShown))
			break
		}
		words = append(words, fmt.Sprint(s))
	}
	return strings.Join(words, ", ")
}
