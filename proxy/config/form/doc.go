// Package form reads and writes strict YAML forms: mappings whose keys are all known, bound to the fields of Go structs.
//
// A file that a person writes by hand deserves four things that plain unmarshalling does not give, and this package is
// those four things and nothing else:
//
//   - every mistake is named with its file, its line and its path (upstreams.web.pool.max_connections);
//   - all mistakes are listed at once, in line order, not only the first;
//   - nothing is ignored in silence: an unknown key is a mistake, and the nearest known key is suggested;
//   - what was read can be written again, with every default filled in.
//
// # Map
//
//   - form.go: [Form] and [Field], a mapping's keys bound to values; the [Value] interface that a new kind implements.
//   - scalar.go: strings, whole numbers, durations, sizes, each with its range and, where asked, the word "off".
//   - compound.go: nested forms, lists, named entries, sections that may be switched off.
//   - expand.go: [Expand], which replaces ${NAME} and ${file:PATH} in values by what [Sources] have for them.
//   - report.go: [Report], where mistakes are gathered, and [Error] and [Errors], what the caller gets.
//   - source.go: [Document], which turns bytes into one YAML node.
//   - nearest.go: [Nearest], "did you mean".
//
// # Promises
//
// Reading never panics, whatever the bytes, and its cost is bounded by the form and not by the file: anchors are
// followed only as deep as the form itself goes, lists have a greatest length, and a report keeps at most MaxErrors
// mistakes. Nothing here is safe for concurrent use by two goroutines, nothing is shared between two readings, and
// there is no lock, no goroutine and no clock.
package form
