package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBackendLines is how many backends the text report names; JSON has them all.
const maxBackendLines = 20

// writeText writes the report for people.
func (r *result) writeText(w io.Writer) error {
	var b strings.Builder
	kept := "one connection per request"
	if r.Reuse {
		kept = "keep-alive"
	}
	most := ""
	if r.LoadTest {
		most = "up to "
	}
	fmt.Fprintf(&b, "%s %s   %s%s, %s, timeout %s\n", r.Method, r.Target, most, plural(uint64(r.Clients), "client"), kept,
		short(seconds(r.Timeout)))
	line := func(head, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s%s\n", head, fmt.Sprintf(format, args...))
	}
	line("duration", "%s, %s", short(seconds(r.Duration)), endedWords[r.Ended])
	line("requests", "%s = %s succeeded + %s failed%s", grouped(r.Requests), grouped(r.Succeeded), grouped(r.Failed),
		r.unfinished())
	line("throughput", "%s req/s, %.2f MB/s of bodies", rate(r.PerSecond), r.BytesPerSecond/1e6)
	line("latency", "%s", r.Latency.text("no request succeeded"))
	line("connect", "%s", r.Connect.text("no connection was made"))
	line("connections", "%s made, %s dials failed, reuse rate %s", grouped(r.Connections.Dialled),
		grouped(r.Connections.Failed), percent(r.Connections.ReuseRate))
	line("status", "%s", r.statusText())
	r.errorLines(line)
	r.backendLines(line)
	if r.LoadTest {
		for _, p := range r.Phases {
			line(p.Name, "%s: %s requests, %s failed, %s req/s, p50 %s, p99 %s", short(seconds(p.Duration)),
				grouped(p.Requests), grouped(p.Failed), rate(p.PerSecond), short(seconds(p.Latency.P50)),
				short(seconds(p.Latency.P99)))
		}
	}
	line("note", "%s", r.Caveat)
	_, err := io.WriteString(w, b.String())
	return err
}

var endedWords = map[string]string{
	endedRequests:    "all requests sent",
	endedDuration:    "time over",
	endedSignal:      "ended early by a signal",
	endedUnreachable: "given up: no connection could be made",
}

func (r *result) unfinished() string {
	if r.Unfinished == 0 {
		return ""
	}
	return fmt.Sprintf("; %s cut off at the end and not counted", grouped(r.Unfinished))
}

func (d *distribution) text(none string) string {
	if d.Count == 0 {
		return none
	}
	var b strings.Builder
	for _, p := range []struct {
		name string
		s    float64
	}{{"p50", d.P50}, {"p90", d.P90}, {"p95", d.P95}, {"p99", d.P99}, {"p99.9", d.P999}, {"max", d.Max}, {"mean", d.Mean}} {
		fmt.Fprintf(&b, "%s %s   ", p.name, short(seconds(p.s)))
	}
	return strings.TrimRight(b.String(), " ")
}

func (r *result) statusText() string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(r.Status)) {
		all = append(all, code+": "+grouped(r.Status[code]))
	}
	if len(all) == 0 {
		return "no answer"
	}
	return strings.Join(all, "   ")
}

func (r *result) errorLines(line func(head, format string, args ...any)) {
	head := "errors"
	for _, word := range reasonWords {
		n := r.Errors[word]
		if n == 0 {
			continue
		}
		first := r.FirstErrors[word]
		if first != "" {
			first = "   first: " + first
		}
		line(head, "%s %s%s", word, grouped(n), first)
		head = ""
	}
	if head != "" {
		line(head, "none")
	}
}

func (r *result) backendLines(line func(head, format string, args ...any)) {
	if len(r.Backends) == 0 {
		line("backends", "not told (no X-Backend header)")
		return
	}
	var all []string
	for i, be := range r.Backends {
		if i == maxBackendLines {
			all = append(all, fmt.Sprintf("and %d more", len(r.Backends)-i))
			break
		}
		all = append(all, printable(be.Name)+" "+percent(be.Share))
	}
	if r.BackendUntold > 0 {
		all = append(all, fmt.Sprintf("(%s answers without X-Backend)", grouped(r.BackendUntold)))
	}
	line("backends", "%d: %s", len(r.Backends), strings.Join(all, ", "))
}

// printable keeps what a server sent from steering the terminal.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

// percent writes a share so that nearly all is not shown as all.
func percent(share float64) string {
	return fmt.Sprintf("%.2f%%", math.Floor(share*10000+1e-6)/100)
}

// rate writes requests per second: whole ones, where they are many.
func rate(perSecond float64) string {
	if perSecond >= 100 {
		return grouped(uint64(perSecond))
	}
	return strconv.FormatFloat(perSecond, 'f', 1, 64)
}

// grouped writes a number with commas between the thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes a number of things.
func plural(n uint64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(n) + " " + thing
}

// short writes a duration with three digits that count.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
