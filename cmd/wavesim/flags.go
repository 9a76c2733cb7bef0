package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

var errHelp = errors.New("help was asked for")

const usage = `wavesim runs scenarios: the proxy's own code and configuration under faults, in virtual time, from a seed.

usage: wavesim run FILE... [flags]      run scenarios and judge them
       wavesim list [DIR]               list the scenarios of a folder (default testdata/scenarios)
       wavesim -version

  wavesim run testdata/scenarios/silent-drop.yaml
  wavesim run -seed 7 -check testdata/scenarios/*.yaml      another seed, and the proof that it repeats
  wavesim run silent-drop.yaml -config production.yaml      the same faults on your own configuration
  wavesim run -json crash-and-return.yaml | jq .failed
  wavesim run crash-and-return.yaml -trace trace.txt        every packet and event, one a line

flags of run, before or after the files (one dash or two):
  -seed N         the seed, instead of the scenario's own
  -check          run twice and compare the traces; a difference is a failure, and its first event is named
  -config FILE    the proxy's configuration, instead of the scenario's own
  -json           verdicts as JSON, one object a line
  -trace FILE     write the canonical trace of the (only) scenario to FILE
  -limit TIME     most wall-clock time for one scenario (default 5m)

exit codes: 0 every expectation holds, 1 one does not or a run broke off, 2 bad flags or a bad scenario.
`

// options are the flags of run as given.
type options struct {
	files   []string
	seed    *uint64
	check   bool
	json    bool
	trace   string
	config  string
	limit   time.Duration
	noColor bool
}

// parseRun reads the arguments of run. Flags and files may stand in any order.
func parseRun(args []string) (*options, error) {
	o := &options{noColor: os.Getenv("NO_COLOR") != ""}
	fs := flag.NewFlagSet("wavesim run", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	seed := fs.Uint64("seed", 0, "")
	fs.BoolVar(&o.check, "check", false, "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.trace, "trace", "", "")
	fs.StringVar(&o.config, "config", "", "")
	fs.DurationVar(&o.limit, "limit", 5*time.Minute, "")
	for {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, errHelp
		case err != nil:
			return nil, fmt.Errorf("%w%s (wavesim -h lists the flags)", err, didYouMean(err, fs))
		}
		if fs.NArg() == 0 {
			break
		}
		o.files = append(o.files, fs.Arg(0))
		args = fs.Args()[1:]
	}
	fs.Visit(func(f *flag.Flag) {
		if f.Name == "seed" {
			o.seed = seed
		}
	})
	switch {
	case len(o.files) == 0:
		return nil, errors.New("run needs a scenario file (wavesim list shows some)")
	case o.trace != "" && len(o.files) > 1:
		return nil, errors.New("-trace takes one scenario at a time")
	case o.limit <= 0:
		return nil, fmt.Errorf("-limit %v is not positive", o.limit)
	}
	return o, nil
}

// didYouMean finds the flag that was probably meant.
func didYouMean(err error, fs *flag.FlagSet) string {
	word, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return ""
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(word, names); near != "" {
		return "; did you mean -" + near + "?"
	}
	return ""
}

func unknownCommand(word string) error {
	if near := config.Nearest(word, []string{"run", "list", "version", "help"}); near != "" {
		return fmt.Errorf("unknown command %q; did you mean %s?", word, near)
	}
	return fmt.Errorf("unknown command %q; it is run or list (wavesim -h says more)", word)
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
