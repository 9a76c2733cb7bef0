package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// list prints the scenarios of a folder with what each is about.
func list(args []string, stdout io.Writer) error {
	dir := filepath.Join("testdata", "scenarios")
	switch {
	case len(args) > 1:
		return fmt.Errorf("list takes one folder; got %s", strings.Join(args, " "))
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		return errHelp
	case len(args) == 1:
		dir = args[0]
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no scenario (*.yaml) in %s", dir)
	}
	width := 0
	for _, f := range files {
		width = max(width, len(f))
	}
	for _, f := range files {
		about := "(not a scenario, or with mistakes: wavesim run tells which)"
		if sc, err := scenario.Load(f); err == nil {
			about, _, _ = strings.Cut(sc.About, "\n")
		}
		fmt.Fprintf(stdout, "%-*s  %s\n", width, f, about)
	}
	return nil
}
