package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	tellOnTerminal = time.Second     // a line is rewritten in place
	tellOnPipe     = 5 * time.Second // every line stays
	never          = 100 * 365 * 24 * time.Hour
)

// progress tells how the run goes. It belongs to the goroutine that conducts the run.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration

	start, last time.Time
	ended       uint64    // requests at the last line
	due         time.Time // of the next line
	width       int       // of the line on the terminal
}

// newProgress tells on w, or nothing at all.
func newProgress(w io.Writer, tell bool) *progress {
	p := &progress{w: w, every: never}
	if tell {
		p.every = tellOnPipe
		if p.terminal = isTerminal(w); p.terminal {
			p.every = tellOnTerminal
		}
	}
	return p
}

// isTerminal says whether somebody sees the line being rewritten. A device that is no terminal, such as /dev/null, does
// no harm.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) begin(now time.Time) {
	p.start, p.last, p.due = now, now, now.Add(p.every)
}

// tell writes one line.
func (p *progress) tell(now time.Time, clients int64, t *tally) {
	ended := t.ended()
	rate := perSecond(ended-p.ended, now.Sub(p.last))
	line := fmt.Sprintf("%5s  %s  %s req/s  %s  p99 %s", now.Sub(p.start).Round(time.Second),
		plural(uint64(clients), "client"), grouped(uint64(rate)), plural(t.failed(), "error"), short(t.latency.at(99)))
	p.ended, p.last = ended, now
	for !p.due.After(now) { // a line that is late does not bring two
		p.due = p.due.Add(p.every)
	}
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

// end clears the line on the terminal, for the report.
func (p *progress) end() {
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
	}
}
