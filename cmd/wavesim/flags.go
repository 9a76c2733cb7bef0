package main

import (
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/wavepool/wavepool/proxy/config"
)

var errHelp = errors.New("help was asked for")

const usage = `wavesim runs scenarios: the proxy's own code and configuration under faults, in virtual time, from a seed.

usage: wavesim run FILE... [flags]            run scenarios and judge them
       wavesim sweep FILE -seeds 1-1000       run one with many seeds: what is usual, and which seeds fail
       wavesim merge RESULTS...               one summary of what several machines have swept
       wavesim shrink FILE -seed N            reduce a failing run to the fewest faults, clients and seconds
       wavesim compare FILE -config A -config B    several configurations side by side on the same seeds
       wavesim list [DIR]                     list the scenarios of a folder (default testdata/scenarios)
       wavesim explain [FAULT]                what a fault does, and where it is met in the field
       wavesim completion bash|zsh|fish       a script for the shell
       wavesim -version

  wavesim run testdata/scenarios/silent-drop.yaml
  wavesim run -seed 7 -check testdata/scenarios/*.yaml      another seed, and the proof that it repeats
  wavesim run silent-drop.yaml -config production.yaml      the same faults on your own configuration
  wavesim run -json crash-and-return.yaml | jq .failed
  wavesim run crash-and-return.yaml -trace trace.txt        every packet and event, one a line
  wavesim run crash-and-return.yaml -report page.html       the run in pictures: open the page in a browser
  wavesim shrink silent-drop.yaml -seed 17 -expect "p99 <= 100ms"
  wavesim sweep silent-drop.yaml -seeds 1-1000 -shard 2/8 -out part2.jsonl && wavesim merge part*.jsonl
  wavesim compare silent-drop.yaml -config now.yaml -config next.yaml -seeds 1-50

flags may stand before or after the files, with one dash or two:
  -seed N         run, shrink: the seed, instead of the scenario's own
  -seeds A-B      sweep, compare: a range of seeds (default 1-100, and 1-20 for compare)
  -config FILE    run, sweep, shrink, compare: the proxy's configuration, instead of the scenario's own; compare wants two
  -check          run: run twice and compare the traces; a difference is a failure, and its first event is named
  -trace FILE     run: write the canonical trace of the (only) scenario to FILE
  -report FILE    run: write a page of HTML with pictures of the (only) scenario to FILE
  -plot           run: draw the run over time under its table, as on a terminal (where -plot=false does not)
  -expect TEXT    shrink: the expectation that shall fail still, or its number in the file (default: any that fails)
  -json           run, sweep, compare: one object a line for each verdict or result; merge reads those of sweep
  -out FILE       sweep, shrink: where the results go too, or the reduced scenario (default FILE-shrunk-SEED.yaml)
  -shard I/N      sweep: only every N-th seed, from the I-th on; N machines share a sweep so
  -parallel N     sweep, compare: how many runs at a time (default: the number of processors)
  -limit TIME     most wall-clock time for one run (default 5m)

a scenario file's keys, defaults and metrics: go doc -all github.com/wavepool/wavepool/netsim/scenario

exit codes: 0 every expectation holds, 1 one does not or a run broke off, 2 bad flags or a bad scenario. shrink: 0 when it
has written a reduced scenario.
`

// didYouMean says what was probably meant: another flag, another command or another value.
func didYouMean(err error, fs *flag.FlagSet) string {
	word, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	switch {
	case strings.HasSuffix(err.Error(), "for flag -limit: parse error"):
		return "; want a duration with its unit, such as 30s"
	case strings.HasSuffix(err.Error(), "for flag -seed: parse error"):
		return "; want one number from 0 on (a range is -seeds, of sweep and compare)"
	case !ok:
		return ""
	case len(commandsOf(word)) > 0:
		return "; it is a flag of " + strings.Join(commandsOf(word), ", ")
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(word, names); near != "" {
		return "; did you mean -" + near + "?"
	}
	return ""
}

func unknownCommand(word string) error {
	if near := config.Nearest(word, commands); near != "" {
		return fmt.Errorf("unknown command %q; did you mean %s?", word, near)
	}
	return fmt.Errorf("unknown command %q; it is one of %s (wavesim -h says more)", word, strings.Join(commands, ", "))
}

// version describes the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "wavesim (unknown build)"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	out := "wavesim " + v + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out += " " + s.Value
		}
	}
	return out
}
