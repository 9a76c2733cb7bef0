package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// common are the flags that several commands have.
type common struct {
	config  string
	json    bool
	limit   time.Duration
	noColor bool
}

// newFlags is the set of a command's flags, with those that all commands that run scenarios have.
func (c *common) newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet("wavesim "+name, flag.ContinueOnError)
	c.noColor = os.Getenv("NO_COLOR") != ""
	fs.DurationVar(&c.limit, "limit", 5*time.Minute, "")
	return fs
}

// options are the flags of run as given.
type options struct {
	common
	files  []string
	number uint64
	seed   *uint64 // number where it is given
	check  bool
	trace  string
	report string
	plot   bool

	plotGiven bool
}

// sweepOptions are the flags of sweep, and compareOptions those of compare.
type sweepOptions struct {
	common
	file     string
	rangeOf  string
	part     string
	seeds    seedRange
	shard    shard
	parallel int
	out      string
}

type compareOptions struct {
	common
	file     string
	configs  []string
	rangeOf  string
	seeds    seedRange
	parallel int
}

// shrinkOptions are the flags of shrink.
type shrinkOptions struct {
	common
	file   string
	number uint64
	seed   *uint64
	expect string
	out    string
}

// mergeOptions are the flags of merge.
type mergeOptions struct {
	common
	files []string
}

func (o *options) flags() *flag.FlagSet {
	fs := o.newFlags("run")
	fs.Uint64Var(&o.number, "seed", 0, "")
	fs.BoolVar(&o.check, "check", false, "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.BoolVar(&o.plot, "plot", false, "")
	fs.StringVar(&o.trace, "trace", "", "")
	fs.StringVar(&o.report, "report", "", "")
	fs.StringVar(&o.config, "config", "", "")
	return fs
}

func (o *sweepOptions) flags() *flag.FlagSet {
	fs := o.newFlags("sweep")
	fs.StringVar(&o.rangeOf, "seeds", "1-100", "")
	fs.StringVar(&o.part, "shard", "", "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.out, "out", "", "")
	fs.StringVar(&o.config, "config", "", "")
	fs.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "")
	return fs
}

func (o *compareOptions) flags() *flag.FlagSet {
	fs := o.newFlags("compare")
	fs.StringVar(&o.rangeOf, "seeds", "1-20", "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "")
	fs.Func("config", "", func(file string) error {
		o.configs = append(o.configs, file)
		return nil
	})
	return fs
}

func (o *shrinkOptions) flags() *flag.FlagSet {
	fs := o.newFlags("shrink")
	fs.Uint64Var(&o.number, "seed", 0, "")
	fs.StringVar(&o.expect, "expect", "", "")
	fs.StringVar(&o.out, "out", "", "")
	fs.StringVar(&o.config, "config", "", "")
	return fs
}

func (o *mergeOptions) flags() *flag.FlagSet {
	o.noColor = os.Getenv("NO_COLOR") != ""
	return flag.NewFlagSet("wavesim merge", flag.ContinueOnError)
}

// flagSets has the flags of each command that has some, for completion and for hints.
func flagSets() map[string]*flag.FlagSet {
	return map[string]*flag.FlagSet{"run": new(options).flags(), "sweep": new(sweepOptions).flags(),
		"compare": new(compareOptions).flags(), "shrink": new(shrinkOptions).flags(), "merge": new(mergeOptions).flags()}
}

// flagsOf lists a command's flags, each with its dash.
func flagsOf(command string) (names []string) {
	if fs := flagSets()[command]; fs != nil {
		fs.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	}
	return names
}

// commandsOf lists the commands that have a flag, in the order of the usage.
func commandsOf(name string) (out []string) {
	for _, c := range commands {
		if slices.Contains(flagsOf(c), "-"+name) {
			out = append(out, c)
		}
	}
	return out
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
	fs := o.flags()
	var err error
	if o.files, err = parse(fs, args, &o.limit); err != nil {
		return nil, err
	}
	if given(fs, "seed") {
		o.seed = &o.number
	}
	switch {
	case len(o.files) == 0:
		return nil, errors.New("run needs a scenario file (wavesim list shows some)")
	case o.trace != "" && len(o.files) > 1:
		return nil, errors.New("-trace takes one scenario at a time")
	case o.report != "" && len(o.files) > 1:
		return nil, errors.New("-report takes one scenario at a time")
	case o.plot && o.json:
		return nil, errors.New("-plot draws under the table of a verdict, which -json does not print")
	}
	o.plotGiven = given(fs, "plot")
	return o, nil
}

func parseSweep(args []string) (*sweepOptions, error) {
	o := &sweepOptions{}
	files, err := parse(o.flags(), args, &o.limit)
	if err != nil {
		return nil, err
	}
	if o.file, err = oneFile("sweep", files); err != nil {
		return nil, err
	}
	if o.seeds, err = parseSeeds(o.rangeOf); err != nil {
		return nil, err
	}
	if o.shard, err = parseShard(o.part); err != nil {
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
	files, err := parse(o.flags(), args, &o.limit)
	if err != nil {
		return nil, err
	}
	if o.file, err = oneFile("compare", files); err != nil {
		return nil, err
	}
	if o.seeds, err = parseSeeds(o.rangeOf); err != nil {
		return nil, err
	}
	if len(o.configs) < 2 {
		return nil, errors.New("compare needs -config twice or more: the configurations to put side by side")
	}
	return o, checkParallel(o.parallel)
}

func parseShrink(args []string) (*shrinkOptions, error) {
	o := &shrinkOptions{}
	fs := o.flags()
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
	o.seed = &o.number
	return o, nil
}

func parseMerge(args []string) (*mergeOptions, error) {
	o := &mergeOptions{}
	var err error
	if o.files, err = parse(o.flags(), args, nil); err != nil {
		return nil, err
	}
	if len(o.files) == 0 {
		return nil, errors.New("merge needs the files that wavesim sweep -out has written")
	}
	return o, nil
}
