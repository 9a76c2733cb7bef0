// Package accesslog writes one line for each request, and never makes a request wait for its line.
//
// It knows nothing of proxies: whoever serves requests fills an [Entry] and gives it to a [Log].
//
// # Map
//
//   - entry.go: [Entry] and [Attempt], what is told of a request; [Field], the closed list of names.
//   - encode.go: lines of JSON and of text.
//   - log.go: [Log], the buffer, the file behind it, rotation.
//
// # Promises
//
//   - One entry is one line, whatever its strings hold: line ends, quotes, control bytes (0x7f and U+2028 too) are escaped, and
//     what is not UTF-8 is replaced. A line of JSON parses with any strict parser.
//   - Write never waits for the file. Lines gather in a buffer of a fixed size, and as many again may be on their way to the
//     file; one that finds no room is dropped and counted. A buffer is written a second after its first line came at the latest,
//     earlier when it fills, and at Close.
//   - Writing a line allocates nothing in the steady state.
//   - Memory is bounded: strings of clients are cut at fixed lengths, see [Entry].
//   - A torn line, which a failed write may leave, ends before the next one begins.
//
// # Locking law
//
// Log.mu guards the buffer and is never held over a write, a clock or a call of the owner's. At most one goroutine writes; it is
// started by the clock and ends when the buffer is empty. Close waits for it, though not for ever.
package accesslog
