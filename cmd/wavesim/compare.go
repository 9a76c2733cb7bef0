package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// compareConfigs is the command: the same seeds under several configurations, side by side.
func compareConfigs(o *compareOptions, stdout, stderr io.Writer) int {
	seeds := o.seeds.seeds(shard{1, 1})
	sides := make([][]*result, len(o.configs))
	bar := newProgress(stderr, len(seeds)*len(o.configs))
	status := exitOK
	for i, config := range o.configs {
		s := &sweepRun{job: job{File: o.file, Config: config}, seeds: seeds, parallel: o.parallel, limit: o.limit}
		s.each = func(_ int, r *result) {
			r.Config = config
			sides[i] = append(sides[i], r)
			bar.step(r.OK)
			if !r.OK {
				status = exitFailed
			}
		}
		s.broke = func(seed uint64, off *brokeOff) {
			bar.clear()
			fmt.Fprintf(stderr, "wavesim: %s with %s, seed %d: %v\n", o.file, config, seed, off)
		}
		if err := s.run(); err != nil {
			bar.clear()
			fmt.Fprintf(stderr, "wavesim: %v\n", err)
			return exitUsage
		}
	}
	bar.clear()
	if o.json {
		for _, side := range sides {
			for _, r := range side {
				if err := writeResult(stdout, r); err != nil {
					fmt.Fprintf(stderr, "wavesim: %v\n", err)
					return exitUsage
				}
			}
		}
		return status
	}
	fmt.Fprint(stdout, paint(sideBySide(o.configs, sides, fmt.Sprintf("seeds %v", o.seeds)), !o.noColor && isTerminal(stdout)))
	return status
}

// sideBySide is the table: for each metric its median and its range under each configuration, and for how many seeds the
// first is better or worse than each other one.
func sideBySide(configs []string, sides [][]*result, title string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s   median (least to greatest); at the right, for how many seeds the 1st is better\n", sides[0][0].Name, title)
	rows := [][]string{append([]string{""}, configs...)}
	for i := range configs[1:] {
		rows[0] = append(rows[0], fmt.Sprintf("1st : %s", ordinal(i+2)))
	}
	for _, name := range scenario.Metrics() {
		row := []string{name}
		for _, side := range sides {
			row = append(row, cell(name, side))
		}
		for _, side := range sides[1:] {
			row = append(row, duel(name, sides[0], side))
		}
		rows = append(rows, row)
	}
	rows = append(append(rows, failedRow(sides)), reasonRows(sides)...)
	writeColumns(&b, rows)
	return b.String()
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "2nd"
	case 3:
		return "3rd"
	}
	return fmt.Sprintf("%dth", n)
}

func cell(name string, side []*result) string {
	d := spread(name, side)
	if len(d.values) == 0 {
		return "none"
	}
	least, top := d.values[0], d.values[len(d.values)-1]
	text := scenario.FormatFigure(name, d.quantile(0.5))
	if least != top {
		text += fmt.Sprintf(" (%s to %s)", scenario.FormatFigure(name, least), scenario.FormatFigure(name, top))
	}
	return text
}

// duel counts the seeds for which a is better than b, and those for which it is worse.
func duel(name string, a, b []*result) string {
	higher, known := scenario.BetterWhenHigher(name)
	if !known {
		return ""
	}
	better, worse := 0, 0
	for i := range min(len(a), len(b)) {
		x, okA := a[i].figure(name)
		y, okB := b[i].figure(name)
		switch {
		case !okA || !okB || x == y || math.IsNaN(x) || math.IsNaN(y):
		case (x > y) == higher:
			better++
		default:
			worse++
		}
	}
	if better+worse == 0 {
		return "equal"
	}
	return fmt.Sprintf("%d better, %d worse", better, worse)
}

func failedRow(sides [][]*result) []string {
	row := []string{"seeds that fail"}
	for _, side := range sides {
		n := 0
		for _, r := range side {
			if !r.OK {
				n++
			}
		}
		row = append(row, fmt.Sprintf("%d of %d", n, len(side)))
	}
	return row
}

// reasonRows say of each expectation that did not hold somewhere for how many seeds it did not, in the order in which
// they are met.
func reasonRows(sides [][]*result) [][]string {
	var rows [][]string
	counts := make(map[string][]int)
	for i, side := range sides {
		for _, r := range side {
			for _, f := range r.Failed {
				if counts[f.Expect] == nil {
					counts[f.Expect] = make([]int, len(sides))
					rows = append(rows, []string{f.Expect})
				}
				counts[f.Expect][i]++
			}
		}
	}
	for i := range rows {
		expect := rows[i][0]
		rows[i][0] = "FAIL  " + expect
		for k, n := range counts[expect] {
			rows[i] = append(rows[i], fmt.Sprintf("%d of %d", n, len(sides[k])))
		}
	}
	return rows
}

// writeColumns writes rows with their columns one under the other.
func writeColumns(b *strings.Builder, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	for _, row := range rows {
		line := " "
		for i, text := range row {
			line += " " + text + strings.Repeat(" ", widths[i]-len([]rune(text))+1)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
