package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/netsim/scenario"
)

// runAll runs every file in a child of its own and prints the verdicts as they come. One bad file does not keep the
// others from running; the exit code is that of the worst.
func runAll(o *options, stdout, stderr io.Writer) int {
	status := exitOK
	progress := isTerminal(stderr)
	for i, file := range o.files {
		if progress {
			fmt.Fprintf(stderr, "%s ...\n", file)
		}
		j := job{File: file, Seed: o.seed, Config: o.config, Check: o.check, Trace: o.trace, Report: o.report, Plot: o.plotWidth(stdout)}
		a, err := spawn(j, o.limit)
		var off *brokeOff
		switch {
		case errors.As(err, &off):
			fmt.Fprintf(stderr, "wavesim: %s: %v\n", file, off)
			a = brokenAnswer(&j, off)
		case a.Usage != "":
			fmt.Fprintf(stderr, "wavesim: %s\n", a.Usage)
			status = exitUsage
			continue
		}
		switch {
		case o.json:
			fmt.Fprintf(stdout, "%s\n", a.Verdict)
		default:
			if i > 0 {
				fmt.Fprintln(stdout)
			}
			fmt.Fprint(stdout, paint(a.Text, !o.noColor && isTerminal(stdout)))
		}
		if !a.OK {
			status = max(status, exitFailed)
		}
	}
	return status
}

// plotWidth is that of the plot under each table, or 0 for none: a person who looks at a terminal gets one, unless they do
// not want it.
func (o *options) plotWidth(stdout io.Writer) int {
	if o.json || o.plotGiven && !o.plot || !o.plotGiven && !isTerminal(stdout) {
		return 0
	}
	return max(widthOf(stdout), scenario.MinPlotWidth)
}

// brokenAnswer makes a verdict of a run that gave none.
func brokenAnswer(j *job, off *brokeOff) *answer {
	name, seed := strings.TrimSuffix(filepath.Base(j.File), filepath.Ext(j.File)), uint64(0)
	if sc, err := load(j); err == nil {
		name, seed = sc.Name, sc.Seed
	}
	if j.Seed != nil {
		seed = *j.Seed
	}
	return newAnswer(scenario.Broken(name, seed, off.how))
}

func newAnswer(v *scenario.Verdict) *answer {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false) // it goes to a terminal or a tool, and "<=" shall stay what it is
	if err := enc.Encode(v); err != nil {
		panic(err) // a verdict holds finite numbers and text only
	}
	return &answer{Verdict: bytes.TrimSpace(raw.Bytes()), Text: v.Text(), OK: v.OK(), Result: newResult(v)}
}

// runJob runs one scenario; it is the child's work.
func runJob(j job) answer {
	sc, err := load(&j)
	if err == nil && j.Config != "" {
		err = sc.UseConfig(j.Config)
	}
	if err != nil {
		return answer{Usage: err.Error()}
	}
	if j.Seed != nil {
		sc.Seed = *j.Seed
	}
	keep := scenario.Options{KeepTrace: j.Check || j.Trace != ""}
	v, _ := scenario.Execute(sc, keep) // the verdict tells the error too
	if j.Trace != "" {
		if err := writeFile(j.Trace, v.Trace.WriteText); err != nil {
			return answer{Usage: err.Error()}
		}
	}
	if j.Check {
		again, _ := scenario.Execute(sc, keep)
		v.Expectations = append(v.Expectations, compareTraces(v.Trace, again.Trace))
	}
	if j.Report != "" {
		if err := writeFile(j.Report, v.WriteReport); err != nil {
			return answer{Usage: err.Error()}
		}
	}
	a := newAnswer(v)
	if j.Plot > 0 {
		if plot := v.Plot(j.Plot); plot != "" {
			a.Text += "\n" + plot
		}
	}
	return *a
}

// load reads the scenario of a job.
func load(j *job) (*scenario.Scenario, error) {
	if len(j.Data) > 0 {
		return scenario.Parse(j.File, j.Data)
	}
	return scenario.Load(j.File)
}

// compareTraces is the judgement on two runs of one scenario and seed.
func compareTraces(a, b *netsim.Trace) scenario.Judged {
	j := scenario.Judged{Expect: "a second run has the same trace", Value: fmt.Sprintf("%016x", b.Hash), OK: true}
	if diff := netsim.Diff(a, b); diff != "" {
		j.OK, j.Value = false, diff
	}
	return j
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// paint colours the words of a verdict's lines.
func paint(text string, color bool) string {
	if !color {
		return text
	}
	const green, red, bold, plain = "\x1b[32m", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		switch {
		case i == 0:
			if name, rest, ok := strings.Cut(line, "  "); ok {
				lines[i] = bold + name + plain + "  " + rest
			}
		case strings.HasPrefix(line, "  ok  "):
			lines[i] = "  " + green + "ok" + plain + line[4:]
		case strings.HasPrefix(line, "  FAIL  "):
			lines[i] = "  " + red + "FAIL" + plain + line[6:]
		case strings.HasPrefix(line, "  ✗ "):
			lines[i] = "  " + red + strings.TrimSuffix(line[2:], "\n") + plain + "\n"
		}
	}
	return strings.Join(lines, "")
}
