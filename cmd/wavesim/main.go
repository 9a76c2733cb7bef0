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
	switch command := args[0]; command {
	case "run":
		o, err := parseRun(args[1:])
		switch {
		case errors.Is(err, errHelp):
			fmt.Fprint(stdout, usage)
			return exitOK
		case err != nil:
			return fail(err)
		}
		return runAll(o, stdout, stderr)
	case "list":
		if err := list(args[1:], stdout); err != nil {
			if errors.Is(err, errHelp) {
				fmt.Fprint(stdout, usage)
				return exitOK
			}
			return fail(err)
		}
		return exitOK
	case "-h", "-help", "--help", "help":
		fmt.Fprint(stdout, usage)
		return exitOK
	case "-version", "--version", "version":
		fmt.Fprintln(stdout, version())
		return exitOK
	default:
		return fail(unknownCommand(command))
	}
}
