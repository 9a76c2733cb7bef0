package main

import (
	"io"
	"os"
	"strconv"
)

// defaultWidth is that of a terminal which does not tell.
const defaultWidth = 80

// maxWidth is the widest plot: a wider one is not easier to read.
const maxWidth = 200

// isTerminal says whether a person looks at w: it is a device, and not the one that swallows everything.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// widthOf is how many columns w has: what COLUMNS says, or the terminal itself, or as many as are usual.
func widthOf(w io.Writer) int {
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if f, ok := w.(*os.File); err != nil && ok && isTerminal(w) {
		n = columns(f)
	}
	if n <= 0 {
		n = defaultWidth
	}
	return min(n, maxWidth)
}
