package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

var errHelp = errors.New("help was asked for")

const usage = `waveload loads an HTTP/1.1 server with many clients and reports what they saw.

usage: waveload [flags]

  waveload -server localhost:8080 -reuse                        50 clients, 1000 requests each
  waveload -server localhost:8080 -clients 20 -duration 30s     for half a minute, one connection per request
  waveload -server http://10.0.0.1:80/search?q=a -reuse -json   the result for a program to read
  waveload -load-test -max-clients 200 -ramp-up 10s -test 60s -ramp-down 10s -reuse
                                                                clients grow to 200, stay, and go again

flags (one dash or two):
`

const usageEnd = `
-requests and -duration: whichever ends first if both or neither is given, else the one that is given.

how to read the result: this is a closed loop. A client sends its next request when the answer to the last one is
there, so a server that stalls is asked less often, and latencies under overload are optimistic (coordinated omission).
Latency runs from the wish for a connection to the last byte of the answer, of requests that succeeded (status below 400).

signals: SIGINT and SIGTERM end the run early, with the report; a second one does not wait for requests under way.
exit codes: 0 every request succeeded, 1 some failed or nothing could be reached, 2 bad flags.
`

// Bounds of what the flags may ask for. They keep a slip of the finger from taking the machine down.
const (
	defaultRequests = 1000
	defaultDuration = 30 * time.Second
	maxClients      = 50_000
	maxRequests     = 1_000_000_000
	maxTimeout      = time.Hour
)

// options are the flags as given.
type options struct {
	server, path, method   string
	clients, requests      int
	duration, timeout      time.Duration
	reuse                  bool
	loadTest               bool
	maxClients             int
	rampUp, hold, rampDown time.Duration
	json, version          bool

	set    map[string]bool // the flags that were given
	target target
}

// parseFlags reads and checks the command line.
func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{set: map[string]bool{}}
	fs := flag.NewFlagSet("waveload", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.server, "server", "localhost:8080", "`address` to load: host:port, or http://host:port/path")
	fs.IntVar(&o.clients, "clients", 50, "how many clients send at the same time")
	fs.IntVar(&o.requests, "requests", defaultRequests, "requests of each client")
	fs.DurationVar(&o.duration, "duration", defaultDuration, "end after this time")
	fs.BoolVar(&o.reuse, "reuse", false, "keep connections alive; without it every request has a connection of its own")
	fs.BoolVar(&o.loadTest, "load-test", false, "let the number of clients grow, stay and shrink")
	fs.IntVar(&o.maxClients, "max-clients", 200, "with -load-test: clients at the most")
	fs.DurationVar(&o.rampUp, "ramp-up", 10*time.Second, "with -load-test: time in which clients grow to the most")
	fs.DurationVar(&o.hold, "test", 60*time.Second, "with -load-test: time for which they stay")
	fs.DurationVar(&o.rampDown, "ramp-down", 10*time.Second, "with -load-test: time in which they go")
	fs.StringVar(&o.path, "path", "/", "`path` to ask for, with the query; wins over the one in -server")
	fs.StringVar(&o.method, "method", "GET", "request `method`; no body is sent")
	fs.DurationVar(&o.timeout, "timeout", 5*time.Second, "most time for one request, connecting included")
	fs.BoolVar(&o.json, "json", false, "write the result as JSON, and no progress")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, usage)
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		fmt.Fprint(stderr, usageEnd)
		return nil, errHelp
	case err != nil:
		return nil, fmt.Errorf("%w%s (waveload -h lists the flags)", err, didYouMean(err, fs))
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; flags begin with a dash (waveload -h lists them)", fs.Arg(0))
	}
	fs.Visit(func(f *flag.Flag) { o.set[f.Name] = true })
	if o.version {
		return o, nil
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.target, err = parseTarget(o.server, o.method, o.path, o.set["path"])
	return o, err
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

// check looks for values out of range, and for flags that the chosen kind of run would ignore: a user who gives one has
// something else in mind than what would happen.
func (o *options) check() error {
	ignored, why := []string{"max-clients", "ramp-up", "test", "ramp-down"}, "needs -load-test"
	if o.loadTest {
		ignored = []string{"clients", "requests", "duration"}
		why = "does not go with -load-test, which has -max-clients, -ramp-up, -test and -ramp-down"
	}
	for _, name := range ignored {
		if o.set[name] {
			return fmt.Errorf("-%s %s", name, why)
		}
	}
	for _, c := range []struct {
		name  string
		value int
		most  int
	}{{"clients", o.clients, maxClients}, {"max-clients", o.maxClients, maxClients}, {"requests", o.requests, maxRequests}} {
		if c.value < 1 || c.value > c.most {
			return fmt.Errorf("-%s %d is not between 1 and %d", c.name, c.value, c.most)
		}
	}
	switch {
	case o.set["duration"] && o.duration <= 0:
		return fmt.Errorf("-duration %v is not positive", o.duration)
	case o.timeout <= 0 || o.timeout > maxTimeout:
		return fmt.Errorf("-timeout %v is not more than 0 and at most %v", o.timeout, maxTimeout)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ramp-up", o.rampUp}, {"test", o.hold}, {"ramp-down", o.rampDown}} {
		if d.value < 0 {
			return fmt.Errorf("-%s %v is negative", d.name, d.value)
		}
	}
	if o.rampUp+o.hold+o.rampDown == 0 {
		return errors.New("-ramp-up, -test and -ramp-down are all zero: there is no time to load anything")
	}
	return nil
}

// version describes the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "waveload (unknown build)"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	out := "waveload " + v + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out += " " + s.Value
		}
	}
	return out
}
