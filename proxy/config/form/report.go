package form

import (
	"fmt"
	"slices"
	"strings"
)

// MaxErrors is how many mistakes a Report keeps. A file with more is most likely not the file that was meant, and the
// last entry then says how many were left out.
const MaxErrors = 100

// Error is one mistake: where it is and what is wrong.
type Error struct {
	File string // File is the name that the reader was given; empty when the values were built in Go.
	Line int    // Line counts from 1; 0 means unknown.
	Path string // Path is the dotted path of the key, such as upstreams.web.backends[1].address; empty at the top.
	Msg  string // Msg says what is wrong and, where it can, what to write instead.
}

// Error formats the mistake as "file:line: path: message", leaving out the parts that are not known.
func (e Error) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		b.WriteString(e.File + ": ")
	case e.Line > 0:
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors lists every mistake of a file in line order. It is never empty when it is returned as an error, and errors.As
// finds both Errors and the first Error in it.
type Errors []Error

// Error gives one line for each mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single mistakes to errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// Report gathers the mistakes of one reading and remembers on which line each path was given, so that a check that
// runs later, on plain Go values, can still name the line. The zero Report, without file or lines, serves values that
// never came from a file. It is not safe for concurrent use.
type Report struct {
	File string // File is put into every Error.

	lines   map[string]int  // line of every path that the file gives
	failed  map[string]bool // paths that have a mistake already
	skipped map[string]bool // paths of mappings that could not be read at all
	errs    []Error
	more    int // mistakes beyond MaxErrors
}

// NewReport makes an empty report for a file of that name.
func NewReport(file string) *Report { return &Report{File: file} }

// Mark notes that the file gives path on this line.
func (r *Report) Mark(path string, line int) {
	if r.lines == nil {
		r.lines = make(map[string]int)
	}
	r.lines[path] = line
}

// Given reports whether the file itself gives path, in contrast to a default.
func (r *Report) Given(path string) bool {
	_, ok := r.lines[path]
	return ok
}

// Line returns the line of path, or that of its nearest ancestor that the file gives, or 0.
func (r *Report) Line(path string) int {
	for {
		if line, ok := r.lines[path]; ok {
			return line
		}
		if path == "" {
			return 0
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// Failed reports whether one of the paths has a mistake already. A check that compares two values asks it first, so
// that one mistake is not told twice.
func (r *Report) Failed(paths ...string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return r.failed[p] })
}

// Skipped reports whether the mapping at path could not be read because something else stands there. Nothing inside it
// is checked then: that a required key is missing is no news.
func (r *Report) Skipped(path string) bool { return r.skipped[path] }

func (r *Report) skip(path string) {
	if r.skipped == nil {
		r.skipped = make(map[string]bool)
	}
	r.skipped[path] = true
}

// Fail notes a mistake at path, on the line where path is given. Only the first mistake of each path is kept.
func (r *Report) Fail(path, format string, args ...any) {
	r.FailAt(r.Line(path), path, format, args...)
}

// FailAt is Fail with the line told by the caller.
func (r *Report) FailAt(line int, path, format string, args ...any) {
	if path != "" {
		if r.failed[path] {
			return
		}
		if r.failed == nil {
			r.failed = make(map[string]bool)
		}
		r.failed[path] = true
	}
	if len(r.errs) >= MaxErrors {
		r.more++
		return
	}
	r.errs = append(r.errs, Error{File: r.File, Line: line, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// Err returns the mistakes as Errors, in line order, or nil when there is none.
func (r *Report) Err() error {
	if len(r.errs) == 0 {
		return nil
	}
	out := slices.Clone(r.errs)
	slices.SortStableFunc(out, func(a, b Error) int { return a.Line - b.Line })
	if r.more > 0 {
		out = append(out, Error{File: r.File, Msg: fmt.Sprintf("%d more mistakes are not shown", r.more)})
	}
	return Errors(out)
}

// Join returns the path of key inside parent.
func Join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// Index returns the path of item i of the list at parent.
func Index(parent string, i int) string { return fmt.Sprintf("%s[%d]", parent, i) }
