// Command wavepool is the proxy: it listens, balances requests over backends through pools of connections, checks the
// backends' health, and drains on SIGTERM. Run it with -h for its flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/admin"
	"github.com/wavepool/wavepool/proxy/config"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it could not start, or was cut off while it drained
	exitUsage  = 2 // bad flags or a bad configuration
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, signals))
}

// run is the whole program, without the process around it.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "wavepool: %v\n", err)
		return exitUsage
	case o.version:
		fmt.Fprintln(stdout, version())
		return exitOK
	}
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	settings, err := o.settings()
	if err != nil {
		fmt.Fprintf(stderr, "wavepool: %v\n", err)
		return exitUsage
	}
	if o.demo {
		demo, err := startDemo(log)
		if err != nil {
			fmt.Fprintf(stderr, "wavepool: %v\n", err)
			return exitFailed
		}
		defer demo.close()
		settings.Upstreams[0].Backends = demo.backends()
		if !o.set["strategy"] {
			settings.Upstreams[0].Strategy = config.StrategyRoundRobin // so that everybody sees them take turns
		}
	}
	if err := settings.WithDefaults().Validate(); err != nil {
		fmt.Fprintf(stderr, "wavepool: %v\n", err)
		return exitUsage
	}
	if o.check.asked {
		what := o.config
		if what == "" {
			what = "the flags"
		}
		return check(settings, what, stdout, stderr)
	}
	return serve(o, settings, log, stderr, signals)
}

// serve runs the server until a signal ends it.
func serve(o *options, settings *config.Config, log *slog.Logger, stderr io.Writer, signals <-chan os.Signal) int {
	s, err := proxy.New(proxy.Config{Settings: settings, Logger: log})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintf(stderr, "wavepool: %v\n", explain(err, "-port or -listen"))
		return exitFailed
	}
	page, err := startAdmin(settings.Admin.Address, s)
	if err != nil {
		fmt.Fprintf(stderr, "wavepool: %v\n", explain(err, "-admin, or none with -admin off"))
		s.Close()
		return exitFailed
	}
	defer page.close()
	for i, a := range s.Addrs() {
		l := s.Settings().Listeners[i]
		log.Info("listening", "address", a.String(), "protocol", l.Protocol, "workers", l.Workers)
	}
	for _, u := range s.Settings().Upstreams {
		log.Info("upstream", "name", u.Name, "strategy", u.Strategy, "backends", len(u.Backends),
			"max_connections", u.Pool.MaxConnections)
	}
	if page != nil {
		log.Info("admin page", "address", "http://"+page.ln.Addr().String())
	}
	warnOfUnused(s.Settings(), log)
	report := startReport(s, log)
	defer report.close()
	keeper := startTidy(tidyInterval)
	defer keeper.close()

	got := <-signals
	for ; !ends(got); got = <-signals {
		if got == syscall.SIGHUP {
			reload(o, s, log)
		}
		reopen(s, log)
	}
	log.Info("draining", "signal", got.String(), "limit", s.Settings().DrainTimeout.String(),
		"open", s.Stats().Open, "hint", "send the signal again to stop at once")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			select {
			case again := <-signals:
				if ends(again) { // there is nothing left to be reloaded
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := s.Drain(ctx); err != nil {
		log.Warn("stopped", "error", err)
		return exitFailed
	}
	log.Info("stopped", "requests", s.Stats().Requests, "failed", totalFailed(s))
	return exitOK
}

// ends says whether a signal is one that ends the program.
func ends(sig os.Signal) bool { return sig != syscall.SIGHUP && sig != syscall.SIGUSR1 }

func totalFailed(s *proxy.Server) uint64 {
	st := s.Stats()
	return st.FailedTotal()
}

// explain adds to the commonest error what to do about it.
func explain(err error, flags string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program has this port; stop it, or choose another port with %s", err, flags)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 need privileges; choose another port with %s", err, flags)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no such address; choose another one with %s", err, flags)
	}
	return err
}

// adminPage is the operators' page, nil if there is none.
type adminPage struct {
	ln   net.Listener
	srv  *http.Server
	done chan struct{}
}

func startAdmin(address string, s *proxy.Server) (*adminPage, error) {
	if address == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin page: %w", err)
	}
	p := &adminPage{ln: ln, done: make(chan struct{})}
	p.srv = &http.Server{Handler: admin.Handler(s), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.done)
		_ = p.srv.Serve(ln) // it ends with close
	}()
	return p, nil
}

func (p *adminPage) close() {
	if p != nil {
		_ = p.srv.Close()
		<-p.done
	}
}
