package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

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
  wavesim sweep silent-drop.yaml -seeds 1-1000 -shard 2/8 -out part2.jsonl && wavesim merge part*.jsonl
  wavesim compare silent-drop.yaml -config now.yaml -config next.yaml -seeds 1-50

flags may stand before or after the files, with one dash or two:
  -seed N         run, shrink: the seed, instead of the scenario's own
  -seeds A-B      sweep, compare: a range of seeds (default 1-100, and 1-20 for compare)
  -config FILE    run, sweep, shrink, compare: the proxy's configuration, instead of the scenario's own; compare wants two
  -check          run: run twice and compare the traces; a difference is a failure, and its first event is named
  -trace FILE     run: write the canonical trace of the (only) scenario to FILE
  -report FILE    run: write a page of HTML with pictures of the (only) scenario to FILE
  -json           run, sweep, compare: one object a line for each verdict or result; merge reads those of sweep
  -out FILE       sweep, shrink: where the results go too, or the reduced scenario (default FILE-shrunk-SEED.yaml)
  -shard I/N      sweep: only every N-th seed, from the I-th on; N machines share a sweep so
  -parallel N     sweep, compare: how many runs at a time (default: the number of processors)
  -limit TIME     most wall-clock time for one run (default 5m)

a scenario file's keys, defaults and metrics: go doc -all github.com/wavepool/wavepool/netsim/scenario

exit codes: 0 every expectation holds, 1 one does not or a run broke off, 2 bad flags or a bad scenario. shrink: 0 when it
has written a reduced scenario.
`

// options are the flags of run as given.
type options struct {
	common
	files  []string
	seed   *uint64
	check  bool
	trace  string
	report string
}

// common are the flags that several commands have.
type common struct {
	config  string
	json    bool
	limit   time.Duration
	noColor bool
}

func (c *common) flags(fs *flag.FlagSet) {
	c.noColor = os.Getenv("NO_COLOR") != ""
	fs.DurationVar(&c.limit, "limit", 5*time.Minute, "")
}

// parse reads flags and files, which may stand in any order.
func parse(fs *flag.FlagSet, args []string, limit *time.Duration) (files []string, err error) {
	fs.SetOutput(io.Discard)
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
		files = append(files, fs.Arg(0))
		args = fs.Args()[1:]
	}
	if limit != nil && *limit <= 0 {
		return nil, fmt.Errorf("-limit %v is not positive", *limit)
	}
	return files, nil
}

// oneFile wants exactly one.
func oneFile(command string, files []string) (string, error) {
	switch len(files) {
	case 0:
		return "", fmt.Errorf("%s needs a scenario file (wavesim list shows some)", command)
	case 1:
		return files[0], nil
	}
	return "", fmt.Errorf("%s takes one scenario at a time; got %s", command, strings.Join(files, " "))
}

func given(fs *flag.FlagSet, name string) (ok bool) {
	fs.Visit(func(f *flag.Flag) { ok = ok || f.Name == name })
	return ok
}

// parseRun reads the arguments of run.
func parseRun(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("wavesim run", flag.ContinueOnError)
	o.flags(fs)
	seed := fs.Uint64("seed", 0, "")
	fs.BoolVar(&o.check, "check", false, "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.trace, "trace", "", "")
	fs.StringVar(&o.report, "report", "", "")
	fs.StringVar(&o.config, "config", "", "")
	var err error
	if o.files, err = parse(fs, args, &o.limit); err != nil {
		return nil, err
	}
	if given(fs, "seed") {
		o.seed = seed
	}
	switch {
	case len(o.files) == 0:
		return nil, errors.New("run needs a scenario file (wavesim list shows some)")
	case o.trace != "" && len(o.files) > 1:
		return nil, errors.New("-trace takes one scenario at a time")
	case o.report != "" && len(o.files) > 1:
		return nil, errors.New("-report takes one scenario at a time")
	}
	return o, nil
}

// sweepOptions are the flags of sweep, and compareOptions those of compare.
type sweepOptions struct {
	common
	file     string
	seeds    seedRange
	shard    shard
	parallel int
	out      string
}

type compareOptions struct {
	common
	file     string
	configs  []string
	seeds    seedRange
	parallel int
}

// shrinkOptions are the flags of shrink.
type shrinkOptions struct {
	common
	file string
	seed *uint64
	out  string
}

// mergeOptions are the flags of merge.
type mergeOptions struct {
	common
	files []string
}

func parseSweep(args []string) (*sweepOptions, error) {
	o := &sweepOptions{}
	fs := flag.NewFlagSet("wavesim sweep", flag.ContinueOnError)
	o.flags(fs)
	seeds := fs.String("seeds", "1-100", "")
	part := fs.String("shard", "", "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.out, "out", "", "")
	fs.StringVar(&o.config, "config", "", "")
	fs.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "")
	files, err := parse(fs, args, &o.limit)
	if err != nil {
		return nil, err
	}
	if o.file, err = oneFile("sweep", files); err != nil {
		return nil, err
	}
	if o.seeds, err = parseSeeds(*seeds); err != nil {
		return nil, err
	}
	if o.shard, err = parseShard(*part); err != nil {
		return nil, err
	}
	return o, checkParallel(o.parallel)
}

func checkParallel(n int) error {
	if n < 1 || n > 1024 {
		return fmt.Errorf("-parallel %d: want 1 to 1024", n)
	}
	return nil
}

func parseCompare(args []string) (*compareOptions, error) {
	o := &compareOptions{}
	fs := flag.NewFlagSet("wavesim compare", flag.ContinueOnError)
	o.flags(fs)
	seeds := fs.String("seeds", "1-20", "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "")
	fs.Func("config", "", func(file string) error {
		o.configs = append(o.configs, file)
		return nil
	})
	files, err := parse(fs, args, &o.limit)
	if err != nil {
		return nil, err
	}
	if o.file, err = oneFile("compare", files); err != nil {
		return nil, err
	}
	if o.seeds, err = parseSeeds(*seeds); err != nil {
		return nil, err
	}
	if len(o.configs) < 2 {
		return nil, errors.New("compare needs -config twice or more: the configurations to put side by side")
	}
	return o, checkParallel(o.parallel)
}

func parseShrink(args []string) (*shrinkOptions, error) {
	o := &shrinkOptions{}
	fs := flag.NewFlagSet("wavesim shrink", flag.ContinueOnError)
	o.flags(fs)
	seed := fs.Uint64("seed", 0, "")
	fs.StringVar(&o.out, "out", "", "")
	fs.StringVar(&o.config, "config", "", "")
	files, err := parse(fs, args, &o.limit)
	if err != nil {
		return nil, err
	}
	if o.file, err = oneFile("shrink", files); err != nil {
		return nil, err
	}
	if !given(fs, "seed") {
		return nil, errors.New("shrink needs -seed: the one that fails (wavesim sweep finds it)")
	}
	o.seed = seed
	return o, nil
}

func parseMerge(args []string) (*mergeOptions, error) {
	o := &mergeOptions{}
	fs := flag.NewFlagSet("wavesim merge", flag.ContinueOnError)
	o.flags(fs)
	var err error
	if o.files, err = parse(fs, args, nil); err != nil {
		return nil, err
	}
	if len(o.files) == 0 {
		return nil, errors.New("merge needs the files that wavesim sweep -out has written")
	}
	return o, nil
}

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
	case slices.Contains(allFlags, "-"+word):
		return "; it is a flag of " + commandsOf(word)
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(word, names); near != "" {
		return "; did you mean -" + near + "?"
	}
	return ""
}

// commandsOf says which commands have a flag, in the words of the usage.
func commandsOf(name string) string {
	_, line, _ := strings.Cut(usage, "\n  -"+name+" ")
	line, _, _ = strings.Cut(line, ":")
	_, words, _ := strings.Cut(line, "  ")
	return strings.TrimSpace(words)
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
