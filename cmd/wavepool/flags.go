package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

var errHelp = errors.New("help was asked for")

const usage = `wavepool is a load-balancing, connection-pooling reverse proxy.

usage: wavepool [flags]

  wavepool                                           a demonstration: three small backends of its own
  wavepool -backend 10.0.0.1:80,10.0.0.2:80          HTTP on port 8080 over two backends
  wavepool -backend a:80 -backend b:80 -health-path /healthz -strategy least-connections
  wavepool -mode tcp -port 6380 -backend 127.0.0.1:6379
  wavepool -config wavepool.yaml                     everything from a file; flags override it
  wavepool -check wavepool.yaml                      look for mistakes in a file, and exit; also with -config

flags (one dash or two):
`

const usageEnd = `
signals: SIGTERM and SIGINT drain (no new connections, requests under way end); a second one stops at once. SIGHUP reads
the -config file again: what changed is logged, and a file with mistakes changes nothing. SIGHUP and SIGUSR1 open the
access log anew, for logrotate.
exit codes: 0 stopped in order, 1 could not start or drain, 2 bad flags or configuration.
`

// options are the flags as given.
type options struct {
	config                      string
	port                        int
	listen                      string
	backends                    list
	mode, strategy              string
	maxConnections, workers     int
	idleTimeout, healthInterval time.Duration
	healthPath, admin           string
	accessLog                   string
	debug, version              bool
	check                       checkFlag

	set  map[string]bool // the flags that were given
	demo bool            // no backend was given: start some
}

// list is a flag that may be repeated and whose value may have commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(v string) error {
	for _, one := range strings.Split(v, ",") {
		if one = strings.TrimSpace(one); one == "" {
			return errors.New("an empty address")
		}
		*l = append(*l, one)
	}
	return nil
}

// parseFlags reads the command line.
func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{set: map[string]bool{}}
	fs := flag.NewFlagSet("wavepool", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.config, "config", "", "YAML `file` with the whole configuration")
	fs.IntVar(&o.port, "port", 8080, "`port` to listen on, on every local address")
	fs.StringVar(&o.listen, "listen", "", "`address` to listen on, host:port; overrides -port")
	fs.Var(&o.backends, "backend", "backend `address` host:port; repeatable, or several with commas")
	fs.StringVar(&o.mode, "mode", config.ProtocolHTTP, "what clients speak: http or tcp")
	fs.StringVar(&o.strategy, "strategy", config.StrategyPeakEWMA,
		"how backends are chosen: "+strings.Join(config.Strategies(), ", "))
	fs.IntVar(&o.maxConnections, "max-connections", 50, "most connections to each backend")
	fs.DurationVar(&o.idleTimeout, "idle-timeout", 30*time.Second, "end of a backend connection that nobody uses")
	fs.DurationVar(&o.healthInterval, "health-interval", 5*time.Second, "time between two checks of a backend")
	fs.StringVar(&o.healthPath, "health-path", "", "check with GET on this `path` instead of a TCP connect")
	fs.IntVar(&o.workers, "workers", 4, "accept loops, each with its own shard in every pool")
	fs.StringVar(&o.admin, "admin", "127.0.0.1:9901", "`address` of the operators' page, or off")
	fs.StringVar(&o.accessLog, "access-log", "", "`file` for a line of JSON for each request, or stdout, or off")
	fs.BoolVar(&o.debug, "debug", false, "log every event")
	fs.Var(&o.check, "check", "look for mistakes in this YAML `file`, and exit")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	err := fs.Parse(args)
	if err == nil && o.check.asked && o.check.file == "" && fs.NArg() > 0 {
		o.check.file = fs.Arg(0)
		err = fs.Parse(fs.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, usage)
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		fmt.Fprint(stderr, usageEnd)
		return nil, errHelp
	case err != nil:
		return nil, fmt.Errorf("%w%s (wavepool -h lists the flags)", err, didYouMean(err, fs))
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; flags begin with a dash (wavepool -h lists them)", fs.Arg(0))
	}
	fs.Visit(func(f *flag.Flag) { o.set[f.Name] = true })
	switch {
	case o.check.file != "" && o.config != "" && o.check.file != o.config:
		return nil, errors.New("-check and -config name different files; one is enough")
	case o.check.file != "":
		o.config = o.check.file
	case o.check.asked && o.config == "" && len(o.backends) == 0:
		return nil, errors.New("-check needs a file: wavepool -check wavepool.yaml")
	}
	return o, nil
}

// didYouMean finds the flag that was probably meant.
func didYouMean(err error, fs *flag.FlagSet) string {
	const prefix = "flag provided but not defined: -"
	word, ok := strings.CutPrefix(err.Error(), prefix)
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

// settings makes the configuration: the file's, or one listener and one upstream, and then the flags that were given.
func (o *options) settings() (*config.Config, error) {
	var c *config.Config
	if o.config != "" {
		var err error
		if c, err = config.Load(o.config); err != nil {
			return nil, err
		}
	} else {
		c = config.Default()
		l := config.DefaultListener(":8080")
		l.Upstream = "backends"
		c.Listeners = []config.Listener{l}
		u := config.DefaultUpstream("backends", o.backends...)
		c.Upstreams = []config.Upstream{u}
		o.demo = len(o.backends) == 0
		if o.demo && o.set["mode"] && o.mode == config.ProtocolTCP {
			return nil, errors.New("-mode tcp needs a -backend: the demonstration speaks HTTP only")
		}
	}
	if err := o.overrideListener(&c.Listeners[0]); err != nil {
		return nil, err
	}
	if err := o.overrideUpstream(&c.Upstreams[0]); err != nil {
		return nil, err
	}
	if o.set["admin"] || o.config == "" {
		c.Admin.Address = o.admin
		if o.admin == "off" {
			c.Admin.Address = ""
		}
	}
	if o.set["access-log"] {
		o.overrideLog(c)
	}
	return c, nil
}

// overrideLog applies -access-log; format and fields stay those of the file.
func (o *options) overrideLog(c *config.Config) {
	if o.accessLog == "off" {
		c.AccessLog = nil
		return
	}
	if c.AccessLog == nil {
		log := config.DefaultAccessLog()
		c.AccessLog = &log
	}
	c.AccessLog.Path = o.accessLog
}

// overrideListener applies the flags to the first listener.
func (o *options) overrideListener(l *config.Listener) error {
	if o.set["port"] {
		if o.port < 0 || o.port > 65535 {
			return fmt.Errorf("-port %d is not a port (0 to 65535)", o.port)
		}
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			host = ""
		}
		l.Address = net.JoinHostPort(host, strconv.Itoa(o.port))
	}
	if o.set["listen"] {
		l.Address = o.listen
	}
	if o.set["workers"] {
		if o.workers < 1 {
			return fmt.Errorf("-workers %d is not positive", o.workers)
		}
		l.Workers = o.workers
	}
	if o.set["mode"] && o.mode != l.Protocol {
		switch o.mode {
		case config.ProtocolTCP:
			if l.Upstream == "" && len(l.Routes) > 0 {
				l.Upstream = l.Routes[0].Upstream
			}
			// What only HTTP has must not be there for TCP.
			perSource := l.MaxConnectionsPerSource
			*l = config.Listener{Address: l.Address, Protocol: o.mode, Workers: l.Workers, Upstream: l.Upstream,
				MaxConnections: l.MaxConnections}
			l.MaxConnectionsPerSource = perSource
		case config.ProtocolHTTP:
			l.Protocol = o.mode
		default:
			return unknownWord("-mode", o.mode, []string{config.ProtocolHTTP, config.ProtocolTCP})
		}
	}
	return nil
}

// overrideUpstream applies the flags to the first upstream.
func (o *options) overrideUpstream(u *config.Upstream) error {
	if len(o.backends) > 0 {
		u.Backends = nil
		for _, a := range o.backends {
			u.Backends = append(u.Backends, config.Backend{Address: a, Weight: 1})
		}
	}
	if o.set["strategy"] {
		if !known(o.strategy, config.Strategies()) {
			return unknownWord("-strategy", o.strategy, config.Strategies())
		}
		if u.Strategy = o.strategy; !config.StrategyByKey(o.strategy) {
			u.Hash = nil // what the file said to another strategy
		}
	}
	if o.set["max-connections"] {
		if o.maxConnections < 1 {
			return fmt.Errorf("-max-connections %d is not positive", o.maxConnections)
		}
		u.Pool.MaxConnections = o.maxConnections
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"idle-timeout", o.idleTimeout}, {"health-interval", o.healthInterval}} {
		if o.set[d.name] && d.value <= 0 {
			return fmt.Errorf("-%s %v is not positive", d.name, d.value)
		}
	}
	if o.set["idle-timeout"] {
		u.Pool.IdleTimeout = o.idleTimeout
	}
	if o.set["health-interval"] || o.set["health-path"] {
		if u.Health.Active == nil {
			a := config.DefaultActive()
			u.Health.Active = &a
		}
	}
	if o.set["health-interval"] {
		u.Health.Active.Interval = o.healthInterval
		u.Health.Active.Timeout = min(u.Health.Active.Timeout, o.healthInterval)
	}
	if o.set["health-path"] {
		u.Health.Active.HTTP = &config.HTTPCheck{Path: o.healthPath}
	}
	return nil
}

func known(word string, words []string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// unknownWord is the error for a value that is not in a closed list.
func unknownWord(flag, got string, words []string) error {
	err := fmt.Errorf("%s %q is unknown; it is one of %s", flag, got, strings.Join(words, ", "))
	if near := config.Nearest(got, words); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return err
}

// version describes the build.
func version() string {
	out := "wavepool (unknown build)"
	if info, ok := debug.ReadBuildInfo(); ok {
		v := info.Main.Version
		if v == "" {
			v = "(devel)"
		}
		out = "wavepool " + v + " " + info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				out += " " + s.Value
			}
		}
	}
	return out
}
