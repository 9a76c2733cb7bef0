// Command bench-pool measures pool beside other pools of connections, in one run and on one kind of connection that
// costs nothing: no system call, no network, a dial that is free. What is left is the pools' own work.
//
// It prints a table of Markdown (nanoseconds, bytes and allocations for one lend and return, each the median of several
// rounds, with the ratio to puddle and to a buffered channel), a table of what an idle connection weighs, and how the
// promised ratios were met. A machine that is shared with others makes the times noisy; rounds alternate between the
// pools, and a ratio is the median of the ratios within each round, so that what slows a whole round falls out.
//
// The command is a module of its own, so that the other pools are no dependency of ours. "make bench-pool" at the root
// runs it. The same loops are Go benchmarks here, for profiles:
//
//	go test -run '^$' -bench 'Pools/^32$/^wavepool$' -cpuprofile cpu.prof
//
// Lock law: the pools' own; a measured caller holds nothing but a connection.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
)

// settings are the flags.
type settings struct {
	rounds int
	scale  float64
	idle   int
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "rounds; each case is measured once in each, and medians are shown")
	flag.Float64Var(&s.scale, "scale", 1, "multiplies the time of each measurement")
	flag.IntVar(&s.idle, "idle", 10_000, "idle connections in the table of sizes")
	flag.Parse()
	if err := run(os.Stdout, s); err != nil {
		fmt.Fprintln(os.Stderr, path.Base(os.Args[0])+":", err)
		os.Exit(1)
	}
}

// run measures everything and writes the report.
func run(out io.Writer, s settings) error {
	if s.rounds < 1 || s.scale <= 0 || s.idle < 1 {
		return fmt.Errorf("rounds, scale and idle must be above 0")
	}
	// The sizes come first: later, dead goroutines of the callers would be there for the taking.
	sizes, err := weighAll(s.idle)
	if err != nil {
		return err
	}
	shards := []int{1, 4}
	locks, err := measureShards(2*s.rounds+1, s.scale, shards)
	if err != nil {
		return err
	}
	times, err := measureAll(s.rounds, s.scale)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, GOMAXPROCS %d, %d rounds\n\n", runtime.Version(), runtime.GOMAXPROCS(0), s.rounds)
	writeTimes(out, times)
	fmt.Fprintf(out, "\n%d idle connections:\n\n", s.idle)
	writeSizes(out, sizes)
	fmt.Fprintln(out, "\n32 callers, 32 connections:")
	fmt.Fprintln(out)
	writeShards(out, shards, locks)
	fmt.Fprintln(out)
	writeVerdicts(out, times, sizes)
	return nil
}
