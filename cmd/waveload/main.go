// Command waveload is the load generator: many clients, each of which sends a request, waits for its answer and
// sends the next one, over connections that package pool lends and in the HTTP/1.1 of package http1. Run it with -h
// for its flags.
//
// The map: flags.go and target.go read what the user wants; plan.go makes of it who runs when; generator.go starts,
// stops and collects; client.go carries one request; dialer.go opens and times connections; reason.go is the closed
// list of failures; tally.go counts; progress.go, result.go and report.go tell.
//
// It is a closed loop: a client that waits sends nothing meanwhile, so a server that stalls is asked less often, and
// the latencies under overload look better than those that independent users would see (coordinated omission). Help
// and report say so.
//
// Locking law: a recorder's mutex guards its counters and a client's mutex its connection under way; neither is held
// over a read, a write, a dial or a wait. Every goroutine ends before run returns.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // a request failed, or nothing could be reached
	exitUsage  = 2 // bad flags
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, signals))
}

// run is the whole program, without the process around it.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "waveload: %v\n", err)
		return exitUsage
	case o.version:
		fmt.Fprintln(stdout, version())
		return exitOK
	}
	d, err := newDialer(context.Background(), o.target, o.timeout)
	if err != nil {
		fmt.Fprintf(stderr, "waveload: %v\n", err)
		return exitFailed
	}
	g, err := newGenerator(o, d)
	if err != nil {
		fmt.Fprintf(stderr, "waveload: %v\n", err)
		return exitUsage
	}
	res := g.run(signals, newProgress(stderr, !o.json))
	if o.json {
		err = res.writeJSON(stdout)
	} else {
		err = res.writeText(stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "waveload: the report could not be written: %v\n", err)
		return exitFailed
	}
	if res.Ended == endedUnreachable {
		fmt.Fprintf(stderr, "waveload: %s could not be reached: %s\n", o.target.url(), res.firstFailure())
	}
	if res.Failed > 0 || res.Succeeded == 0 {
		return exitFailed
	}
	return exitOK
}
