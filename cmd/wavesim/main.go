// Command wavesim runs scenarios: whole failover experiments with the proxy's own code and configuration, in
// virtual time, from a seed. Run it with -h for its flags.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // an expectation does not hold, or a run broke off
	exitUsage  = 2 // bad flags or a bad scenario
)

func main() {
	if isChild(os.Args) {
		os.Exit(childMain(runJob))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program, without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "wavesim: %v\n", err)
		return exitUsage
	}
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	err := command(args[0], args[1:], stdout, stderr)
	var done exitCode
	switch {
	case errors.As(err, &done):
		return int(done)
	case errors.Is(err, errHelp):
		fmt.Fprint(stdout, helpFor(args[0]))
		return exitOK
	}
	return fail(err)
}

// exitCode is the end of a command that has said all by itself.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// commands are the words that may come first.
var commands = []string{"run", "sweep", "merge", "shrink", "compare", "list", "explain", "completion", "version", "help"}

// with reads a command's arguments and then does it.
func with[T any](read func([]string) (*T, error), do func(*T, io.Writer, io.Writer) int, args []string, stdout, stderr io.Writer) error {
	o, err := read(args)
	if err != nil {
		return err
	}
	return exitCode(do(o, stdout, stderr))
}

// command does what the first argument says. It returns an exitCode, errHelp, or a mistake in the arguments.
func command(name string, args []string, stdout, stderr io.Writer) error {
	switch name {
	case "run":
		return with(parseRun, runAll, args, stdout, stderr)
	case "sweep":
		return with(parseSweep, sweep, args, stdout, stderr)
	case "merge":
		return with(parseMerge, merge, args, stdout, stderr)
	case "shrink":
		return with(parseShrink, shrink, args, stdout, stderr)
	case "compare":
		return with(parseCompare, compareConfigs, args, stdout, stderr)
	case "list":
		return said(list(args, stdout))
	case "explain":
		return said(explain(args, stdout))
	case "completion":
		return said(completion(args, stdout))
	case "-h", "-help", "--help", "help":
		return errHelp
	case "-version", "--version", "version":
		fmt.Fprintln(stdout, version())
		return exitCode(exitOK)
	}
	return unknownCommand(name)
}

// said is the end of a command that only prints.
func said(err error) error {
	if err != nil {
		return err
	}
	return exitCode(exitOK)
}
