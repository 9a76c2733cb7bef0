package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

const (
	// flushEvery is for how long a line waits at most before it is written.
	flushEvery = time.Second
	// flushAt is how full the buffer is when it is written at once.
	flushAt = 64 << 10
	// closeWait is how long Close waits for a file that takes nothing.
	closeWait = 2 * time.Second
	// minBuffer is the least buffer.
	minBuffer = 64 << 10
)

// Config is what a Log is made of. Open is required.
type Config struct {
	// Open opens what lines are appended to; Reopen calls it again. Each file is closed when the next one is open, or by
	// Close.
	Open func() (io.WriteCloser, error)
	// Text chooses name=value pairs instead of JSON. Default false.
	Text bool
	// Fields are the fields of a line, in the order of Fields whatever their order is here. Default: all.
	Fields []Field
	// Buffer is the size of the buffer for lines that wait, in bytes; as much again may be on its way to the file. Default
	// 1 MiB, at least 64 KiB.
	Buffer int
	// Clock is the source of time. Default: the real clock.
	Clock clock.Clock
	// Failed, if set, is told the error of a write that failed after one that did not. It is called by the goroutine that
	// writes, with no lock held.
	Failed func(error)
}

// Stats counts lines since the Log was made.
type Stats struct {
	// Written lines are in the file. Dropped ones are not: they found no room, or their write failed.
	Written, Dropped uint64
	// Errors counts the writes that failed.
	Errors uint64
}

// Log appends lines to a file. Its methods are safe for concurrent use.
type Log struct {
	cfg    Config
	fields []Field

	mu      sync.Mutex
	sink    *sink
	buf     []byte // lines that wait
	spare   []byte // memory for the next ones; nil while it is being written
	lines   int    // in buf
	writing bool   // a goroutine writes
	due     due
	timer   *clock.Timer // of due, if that is later
	closed  bool
	failing bool          // the last write failed
	torn    bool          // and left a part of a line
	ended   bool          // all is written after Close
	drained chan struct{} // closed then
	stats   Stats
}

// due says when the next write was asked for.
type due uint8

const (
	notDue due = iota
	dueLater
	dueNow
)

// sink is an open file. The fields are guarded by Log.mu.
type sink struct {
	w       io.WriteCloser
	busy    bool // it is being written to
	retired bool // whoever writes to it closes it
	left    bool // or has not, for closeWait: it was closed under the write
	limit   *clock.Timer
}

// New opens the file and makes a Log for it.
func New(cfg Config) (*Log, error) {
	if cfg.Open == nil {
		return nil, errors.New("accesslog: Config.Open is nil")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = 1 << 20
	}
	if cfg.Buffer < minBuffer {
		return nil, fmt.Errorf("accesslog: a buffer of %d bytes is too small; at least %d", cfg.Buffer, minBuffer)
	}
	l := &Log{cfg: cfg, drained: make(chan struct{}), fields: Fields()}
	if len(cfg.Fields) > 0 {
		l.fields = slices.Compact(slices.Sorted(slices.Values(cfg.Fields)))
	}
	w, err := cfg.Open()
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	l.sink = &sink{w: w}
	return l, nil
}

// Write appends the line of an entry to the buffer, or drops and counts it where there is no room. It never waits for the
// file. It reports false, and does nothing, when the Log is closed.
func (l *Log) Write(e *Entry) bool {
	w := encoder{b: e.scratch[:0], text: l.cfg.Text}
	w.line(e, l.fields)
	e.scratch = w.b

	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	if len(l.buf)+len(w.b) > l.cfg.Buffer {
		l.stats.Dropped++
		l.mu.Unlock()
		return true
	}
	l.buf = append(l.buf, w.b...)
	l.lines++
	ask := l.askLocked()
	l.mu.Unlock()
	l.schedule(ask)
	return true
}

// askLocked says what must be scheduled for what is in the buffer, and notes that it will be.
func (l *Log) askLocked() due {
	want := dueLater
	switch {
	case len(l.buf) == 0 || l.writing: // whoever writes looks again
		return notDue
	case l.closed || len(l.buf) >= flushAt:
		want = dueNow
	}
	if want <= l.due {
		return notDue
	}
	l.due = want
	return want
}

// schedule has the clock start a write.
func (l *Log) schedule(ask due) {
	switch ask {
	case dueNow:
		l.cfg.Clock.AfterFunc(0, l.flush)
	case dueLater:
		t := l.cfg.Clock.AfterFunc(flushEvery, l.flush)
		l.mu.Lock()
		stale := l.due != dueLater
		if !stale {
			l.timer = t
		}
		l.mu.Unlock()
		if stale { // somebody was faster
			t.Stop()
		}
	}
}

// flush writes what is in the buffer, unless somebody does so already.
func (l *Log) flush() {
	l.mu.Lock()
	if l.writing {
		l.mu.Unlock()
		return
	}
	for len(l.buf) > 0 {
		out, n, s, torn := l.takeLocked()
		l.mu.Unlock()
		done, err := write(s.w, out, torn)
		l.mu.Lock()
		tell, old := l.wroteLocked(s, out, n, done, err)
		if tell || old != nil {
			l.mu.Unlock()
			l.after(tell, err, old)
			l.mu.Lock()
		}
		if len(l.buf) < flushAt && !l.closed {
			break // the rest has a second
		}
	}
	l.writing = false
	ask := l.askLocked()
	end := l.closed && len(l.buf) == 0 && !l.ended
	l.ended = l.ended || end
	l.mu.Unlock()
	l.schedule(ask)
	if end {
		l.finish()
	}
}

// takeLocked takes the buffer to be written.
func (l *Log) takeLocked() (out []byte, lines int, s *sink, torn bool) {
	out, lines = l.buf, l.lines
	l.buf, l.lines = l.spare[:0], 0
	l.spare = nil
	l.writing, l.due, l.sink.busy = true, notDue, true
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	return out, lines, l.sink, l.torn
}

// write writes it all, behind the end of a line that is torn. It returns how many bytes of it went out.
func write(w io.Writer, out []byte, torn bool) (int, error) {
	if torn {
		if _, err := w.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	return w.Write(out)
}

// wroteLocked accounts for a write. It returns whether the owner is to be told its error, and a file to be closed.
func (l *Log) wroteLocked(s *sink, out []byte, lines, done int, err error) (tell bool, old *sink) {
	l.spare = out[:0]
	s.busy = false
	if s.retired && !s.left {
		old = s
		if s.limit != nil {
			s.limit.Stop()
		}
	}
	if err == nil {
		l.stats.Written += uint64(lines)
		l.failing, l.torn = false, false
		return false, old
	}
	whole := bytes.Count(out[:done], []byte{'\n'})
	l.stats.Written += uint64(whole)
	l.stats.Dropped += uint64(lines - whole)
	l.stats.Errors++
	if done > 0 && !s.retired { // what is torn there is not in the new file
		l.torn = out[done-1] != '\n'
	}
	tell = !l.failing
	l.failing = true
	return tell, old
}

// after does what follows a write and needs no lock.
func (l *Log) after(tell bool, err error, old *sink) {
	if tell && l.cfg.Failed != nil {
		l.cfg.Failed(err)
	}
	if old != nil {
		_ = old.w.Close() // what it has is written
	}
}

// Reopen opens the file anew, as the rotation of logs wants it. Lines that have not been written go to the new one. When it
// cannot be opened the old one stays, and the error says why. An old one that takes nothing is given up after 2 seconds.
func (l *Log) Reopen() error {
	w, err := l.cfg.Open()
	if err != nil {
		return fmt.Errorf("accesslog: %w", err)
	}
	l.mu.Lock()
	old, closed := l.sink, l.closed
	if !closed {
		l.sink = &sink{w: w}
		l.torn = false
		old.retired = true
	}
	busy := old.busy
	l.mu.Unlock()
	switch {
	case closed:
		_ = w.Close()
	case !busy:
		_ = old.w.Close()
	default:
		l.limit(old)
	}
	return nil
}

// limit closes a retired file under the write that it does not take: the lines to come have a better one.
func (l *Log) limit(s *sink) {
	t := l.cfg.Clock.AfterFunc(closeWait, func() {
		l.mu.Lock()
		stuck := s.busy
		s.left = s.left || stuck
		l.mu.Unlock()
		if stuck {
			_ = s.w.Close()
		}
	})
	l.mu.Lock()
	s.limit = t
	done := !s.busy
	l.mu.Unlock()
	if done {
		t.Stop()
	}
}

// Close writes what waits and closes the file. It waits 2 seconds at most for a file that takes nothing, and then closes it
// nevertheless.
func (l *Log) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	timer := l.timer
	l.timer = nil
	l.mu.Unlock()
	if !first {
		return
	}
	if timer != nil {
		timer.Stop()
	}
	l.cfg.Clock.AfterFunc(0, l.flush)
	limit := l.cfg.Clock.Timer(closeWait)
	defer limit.Stop()
	select {
	case <-l.drained:
	case <-limit.C:
		l.mu.Lock()
		s := l.sink
		l.mu.Unlock()
		_ = s.w.Close()
	}
}

// finish closes the file after the last write.
func (l *Log) finish() {
	_ = l.sink.w.Close() // nobody changes it any more
	close(l.drained)
}

// Stats returns a snapshot.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}
