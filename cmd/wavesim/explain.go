package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
	"github.com/wavepool/wavepool/proxy/config"
)

// explain says what a fault or an operation does; without an argument it lists all of them.
func explain(args []string, stdout io.Writer) error {
	kinds := scenario.FaultKinds()
	faults := len(kinds)
	kinds = append(kinds, scenario.OperationKinds()...)
	switch {
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		return errHelp
	case len(args) == 0:
		for _, k := range kinds {
			first, _, _ := strings.Cut(k.About, ". ")
			fmt.Fprintf(stdout, "%-12s  %s.\n", k.Name, strings.TrimSuffix(first, "."))
		}
		return nil
	case len(args) > 1:
		return fmt.Errorf("explain takes one fault or operation; got %s", strings.Join(args, " "))
	}
	i := slices.IndexFunc(kinds, func(k scenario.FaultKind) bool { return k.Name == args[0] })
	if i < 0 {
		names := make([]string, len(kinds))
		for j, k := range kinds {
			names[j] = k.Name
		}
		if near := config.Nearest(args[0], names); near != "" {
			return fmt.Errorf("no fault or operation has the name %q; did you mean %s?", args[0], near)
		}
		return fmt.Errorf("no fault or operation has the name %q; there are %s", args[0], strings.Join(names, ", "))
	}
	k, section := kinds[i], "faults"
	if i >= faults {
		section = "operations"
	}
	fmt.Fprintf(stdout, "%s\n\n%s\n\nin a scenario:\n  %s:\n    - %s\n", k.Name, fill(k.About, 100), section, k.Example)
	return nil
}

// fill breaks a text into lines of at most that width.
func fill(text string, width int) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		switch {
		case used == 0:
		case used+1+len(word) > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}
