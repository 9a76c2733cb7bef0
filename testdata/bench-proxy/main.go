// Command bench-proxy measures wavepool beside other proxies on one machine in one run: HAProxy and nginx as Debian
// packages them, a reverse proxy of net/http, one of fasthttp, and a bare relay in Go that only finds the end of each
// head, as the floor of what a Go program can do.
//
// What counts is the processor time of the proxy's processes for each request, or for each gigabyte, from
// /proc/PID/task/*/schedstat: it is far steadier than throughput on a machine where load generator, proxy and backend
// share the cores. Rounds alternate between the proxies, medians are printed, and a ratio is the median of the ratios
// within each round, so that what slows a whole round falls out.
//
// The terms are equal: every proxy adds X-Forwarded-For, keeps connections to the one backend alive, writes no access
// log and has the same timeouts; HAProxy runs with nbthread 2, nginx with two workers, Go programs with GOMAXPROCS 2.
//
// The command is a module of its own, so that the others are no dependency of ours. "make bench-proxy" at the root runs
// it. It listens on loopback only, ends what it has started, and every load is bounded in time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"strings"
	"time"
)

// settings are the flags.
type settings struct {
	rounds   int
	duration time.Duration
	idle     int
	only     string
	peers    string
	install  bool
	wavepool string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serveMain(os.Args[2:]))
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "rounds; each proxy is measured once in each, and medians are shown")
	flag.DurationVar(&s.duration, "duration", 2*time.Second, "length of each single measurement")
	flag.IntVar(&s.idle, "idle", 10_000, "idle client connections in the measurement of memory; 0: none")
	flag.StringVar(&s.only, "only", "", "workloads, with commas: "+strings.Join(workloadNames(), ", ")+"; empty: all")
	flag.StringVar(&s.peers, "peers", "", "proxies, with commas: "+strings.Join(peerNames(), ", ")+"; empty: all")
	flag.BoolVar(&s.install, "install", false, "install missing programs by apt-get")
	flag.StringVar(&s.wavepool, "wavepool", "", "the wavepool program; empty: build it from the module above")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, path.Base(os.Args[0])+":", err)
		stop()
		os.Exit(1)
	}
}

// programs are what must be there, with their Debian packages.
var programs = []struct{ program, debian string }{
	{"haproxy", "haproxy"}, {"nginx", "nginx-light"}, {"wrk", "wrk"},
}

// find makes sure that every program is there.
func find(ctx context.Context, install bool) error {
	var missing []string
	for _, p := range programs {
		if _, err := lookup(p.program); err != nil {
			missing = append(missing, p.debian)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("these Debian packages are missing: %s (-install installs them)", strings.Join(missing, " "))
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// lookup finds a program also where servers are installed.
func lookup(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

func run(ctx context.Context, s settings) error {
	if s.rounds < 1 || s.duration < 100*time.Millisecond || s.idle < 0 {
		return fmt.Errorf("rounds must be above 0, duration at least 100ms, idle not negative")
	}
	chosen, err := choose(s)
	if err != nil {
		return err
	}
	if err := find(ctx, s.install); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-proxy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{settings: s, dir: dir}
	defer b.stop()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d workloads, %d proxies, %d rounds of %s each\n",
		len(chosen.workloads), len(chosen.peers), s.rounds, s.duration)
	for _, w := range chosen.workloads {
		results, err := b.measure(ctx, w, chosen.peers)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		writeTable(os.Stdout, w, b.able(w, chosen.peers), results)
	}
	return nil
}
