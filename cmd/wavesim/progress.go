package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is a bar on a terminal, and nothing elsewhere. One goroutine at a time uses it.
type progress struct {
	w            io.Writer
	total        int
	done, failed int
	begun, drawn time.Time
	shown        bool
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{total: total, begun: time.Now()}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// step counts one run, and draws the bar again ten times a second.
func (p *progress) step(ok bool) {
	p.done++
	if !ok {
		p.failed++
	}
	if now := time.Now(); p.w != nil && (now.Sub(p.drawn) >= 100*time.Millisecond || p.done == p.total) {
		p.drawn = now
		fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(now.Sub(p.begun)))
		p.shown = true
	}
}

// line is the bar after that much time.
func (p *progress) line(took time.Duration) string {
	const width = 30
	full := width * p.done / max(p.total, 1)
	text := fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat(".", width-full), p.done, p.total)
	if p.failed > 0 {
		text += fmt.Sprintf("  %d failed", p.failed)
	}
	if p.done > 0 && p.done < p.total {
		left := time.Duration(float64(took) / float64(p.done) * float64(p.total-p.done))
		text += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	return text
}

// clear takes the bar off the screen.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
