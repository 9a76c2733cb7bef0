package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
	"github.com/wavepool/wavepool/proxy/config"
)

// shrink is the command: it writes the smallest scenario that fails as the given one does.
func shrink(o *shrinkOptions, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "wavesim: %v\n", err)
		return exitUsage
	}
	data, err := os.ReadFile(o.file)
	if err != nil {
		return fail(err)
	}
	first, err := shrinkStep(o, data)
	if err != nil {
		return fail(err)
	}
	if len(first) == 0 {
		fmt.Fprintf(stderr, "wavesim: %s holds with seed %d: there is nothing to shrink (wavesim sweep finds seeds that fail)\n",
			o.file, *o.seed)
		return exitUsage
	}
	if o.expect != "" {
		if first, err = o.chosen(data, first); err != nil {
			return fail(err)
		}
	}
	tried, show := 0, isTerminal(stderr)
	still := first // what fails of it in the smallest scenario so far
	fails := func(smaller []byte) bool {
		tried++
		if show {
			fmt.Fprintf(stderr, "\r%d smaller scenarios tried\x1b[K", tried)
		}
		got, err := shrinkStep(o, smaller)
		got = slices.DeleteFunc(got, func(e string) bool { return !slices.Contains(first, e) })
		if err != nil || len(got) == 0 {
			return false
		}
		still = got
		return true
	}
	s, err := scenario.Shrink(o.file, data, *o.seed, first, fails)
	if show {
		fmt.Fprint(stderr, "\r\x1b[K")
	}
	switch {
	case errors.Is(err, scenario.ErrDoesNotFail):
		return fail(fmt.Errorf("%s: %w: the first run failed and the second did not; -check tells whether it repeats", o.file, err))
	case err != nil:
		return fail(err)
	}
	out := o.out
	if out == "" {
		out = strings.TrimSuffix(o.file, filepath.Ext(o.file)) + fmt.Sprintf("-shrunk-%d.yaml", *o.seed)
	}
	head := fmt.Sprintf("# Reduced from %s, seed %d. What fails still: %s.\n", filepath.Base(o.file), *o.seed, strings.Join(still, "; "))
	if err := os.WriteFile(out, append([]byte(head), s.Data...), 0o644); err != nil {
		return fail(err)
	}
	fmt.Fprintf(stdout, "%s\n  %v\n  still fails: %s\n", out, s, strings.Join(still, "; "))
	if gone := slices.DeleteFunc(first, func(e string) bool { return slices.Contains(still, e) }); len(gone) > 0 {
		fmt.Fprintf(stdout, "  holds now:   %s (-expect reduces the failure of one of them)\n", strings.Join(gone, "; "))
	}
	fmt.Fprintf(stdout, "  run it:      wavesim run %s\n", out)
	return exitOK
}

// chosen is the failure that -expect names, by its text or by its number in the file.
func (o *shrinkOptions) chosen(data []byte, failing []string) ([]string, error) {
	sc, err := scenario.Parse(o.file, data)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, e := range sc.Expect {
		known = append(known, e.String())
	}
	want := o.expect
	if n, err := strconv.Atoi(want); err == nil {
		if n < 1 || n > len(known) {
			return nil, fmt.Errorf("-expect %d: the scenario has the expectations 1 to %d", n, len(known))
		}
		want = known[n-1]
	} else if e, err := scenario.ParseExpectation(want); err == nil {
		want = e.String()
	}
	switch {
	case slices.Contains(failing, want): // it may also be one of those that always must hold
		return []string{want}, nil
	case slices.Contains(known, want):
		return nil, fmt.Errorf("%s holds with seed %d; what fails: %s", want, *o.seed, strings.Join(failing, "; "))
	}
	if near := config.Nearest(want, append(known, failing...)); near != "" {
		return nil, fmt.Errorf("the scenario does not expect %q; did you mean %q?", want, near)
	}
	return nil, fmt.Errorf("the scenario does not expect %q; what fails: %s", want, strings.Join(failing, "; "))
}

// shrinkStep runs a scenario and says which expectations fail. A run that breaks off fails the one that it ends in order.
func shrinkStep(o *shrinkOptions, data []byte) ([]string, error) {
	j := job{File: o.file, Data: data, Seed: o.seed, Config: o.config}
	a, err := spawn(j, o.limit)
	var off *brokeOff
	switch {
	case errors.As(err, &off):
		a = brokenAnswer(&j, off)
	case a.Usage != "":
		return nil, errors.New(a.Usage)
	}
	var v scenario.Verdict
	if err := json.Unmarshal(a.Verdict, &v); err != nil {
		return nil, err
	}
	var out []string
	for _, e := range v.Expectations {
		if !e.OK {
			out = append(out, e.Expect)
		}
	}
	return out, nil
}
