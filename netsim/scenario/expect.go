package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// Expectation is one condition on the outcome of a run: METRIC OP VALUE, such as "p99 <= 100ms".
type Expectation struct {
	// Metric is one of [Metrics].
	Metric string
	// Op is one of >= <= == > <.
	Op string
	// Value is the number to compare with: seconds for a duration, 0.999 for 99.9%, else a count.
	Value float64

	text string // as written
	line int    // where
}

// String gives the expectation as it was written.
func (e Expectation) String() string { return e.text }

// unit is how the value of a metric is written.
type unit uint8

const (
	count   unit = iota
	share        // 0 to 1, written in percent
	seconds      // written as a duration
)

// metric is something that can be expected.
type metric struct {
	name  string
	unit  unit
	value func(o *outcome) float64
}

// metrics is the closed list; the package comment says what each means.
var metrics = []metric{
	{"success_rate", share, (*outcome).successRate},
	{"p50", seconds, func(o *outcome) float64 { return o.quantile(0.5) }},
	{"p90", seconds, func(o *outcome) float64 { return o.quantile(0.9) }},
	{"p99", seconds, func(o *outcome) float64 { return o.quantile(0.99) }},
	{"p99.9", seconds, func(o *outcome) float64 { return o.quantile(0.999) }},
	{metricFailover, seconds, func(o *outcome) float64 { return o.failover }},
	{metricRecovery, seconds, func(o *outcome) float64 { return o.recovery }},
	{"reuse_rate", share, func(o *outcome) float64 { return o.reuse }},
	{"requests", count, func(o *outcome) float64 { return float64(o.requests) }},
	{"answered", count, func(o *outcome) float64 { return float64(o.answered) }},
	{"failed", count, func(o *outcome) float64 { return float64(o.requests - o.answered) }},
	{"retries", count, func(o *outcome) float64 { return float64(o.retries) }},
	{"client_retries", count, func(o *outcome) float64 { return float64(o.clientRetries) }},
	{"repeated", count, func(o *outcome) float64 { return float64(o.repeated) }},
	{metricWrongNonce, count, func(o *outcome) float64 { return float64(o.failed[FailWrongNonce]) }},
	{"leaks", count, func(o *outcome) float64 { return float64(o.leaks) }},
	{metricConservation, count, func(o *outcome) float64 { return float64(o.broken) }},
}

const (
	metricFailover     = "time_to_failover"
	metricRecovery     = "time_to_recovery"
	metricWrongNonce   = "wrong_nonce"
	metricConservation = "conservation"
)

// Metrics returns the names of everything that can be expected. The slice is the caller's own.
func Metrics() []string {
	names := make([]string, len(metrics))
	for i := range metrics {
		names[i] = metrics[i].name
	}
	return names
}

func metricNamed(name string) *metric {
	for i := range metrics {
		if metrics[i].name == name {
			return &metrics[i]
		}
	}
	return nil
}

// ops are the comparisons; those of two letters come first, so that one is not taken for the beginning of another.
var ops = []string{">=", "<=", "==", ">", "<"}

// ParseExpectation reads METRIC OP VALUE. Spaces around the operator may be left out.
func ParseExpectation(text string) (Expectation, error) {
	at, op := -1, ""
	for _, o := range ops {
		if i := strings.Index(text, o); i >= 0 && (at < 0 || i < at) {
			at, op = i, o
		}
	}
	for _, o := range []struct{ wrong, right string }{{"=>", ">="}, {"=<", "<="}} {
		if strings.Contains(text, o.wrong) {
			return Expectation{}, fmt.Errorf("unknown comparison %q; did you mean %s?", o.wrong, o.right)
		}
	}
	if at < 0 {
		return Expectation{}, fmt.Errorf("want METRIC OP VALUE, such as \"p99 <= 100ms\"; OP is one of %s",
			strings.Join(ops, " "))
	}
	e := Expectation{Metric: strings.TrimSpace(text[:at]), Op: op}
	right := strings.TrimSpace(text[at+len(op):])
	m := metricNamed(e.Metric)
	if m == nil {
		if near := config.Nearest(e.Metric, Metrics()); near != "" {
			return e, fmt.Errorf("unknown metric %q; did you mean %s?", e.Metric, near)
		}
		return e, fmt.Errorf("unknown metric %q; known metrics: %s", e.Metric, strings.Join(Metrics(), ", "))
	}
	var err error
	if e.Value, err = m.unit.parse(right); err != nil {
		return e, err
	}
	e.text = e.Metric + " " + e.Op + " " + right
	return e, nil
}

// parse reads a value in that unit.
func (u unit) parse(s string) (float64, error) {
	switch u {
	case share:
		digits, percent := strings.CutSuffix(s, "%")
		x, ok := percentage(strings.TrimSpace(digits))
		if !ok || !percent || x > 1 {
			return 0, fmt.Errorf("want a share in percent, such as 99.9%%; got %q", s)
		}
		return x, nil
	case seconds:
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("want a duration with its unit, such as 100ms; got %q", s)
		}
		return d.Seconds(), nil
	}
	n, err := strconv.ParseUint(s, 10, 53)
	if err != nil {
		return 0, fmt.Errorf("want a whole number; got %q", s)
	}
	return float64(n), nil
}

// format writes a value for people. Shares are cut and not rounded, so that nearly all is not shown as all.
func (u unit) format(x float64) string {
	switch {
	case math.IsNaN(x):
		return "none"
	case math.IsInf(x, 1):
		return "never"
	case u == share:
		return strconv.FormatFloat(math.Floor(x*1e4+1e-9)/100, 'f', 2, 64) + " %"
	case u == seconds:
		return formatSeconds(x)
	}
	return thousands(uint64(x))
}

// formatSeconds writes three digits that matter and the unit that fits.
func formatSeconds(x float64) string {
	d := time.Duration(math.Round(x * 1e9))
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if d >= u.size {
			return strconv.FormatFloat(float64(d)/float64(u.size), 'f', decimals(float64(d)/float64(u.size)), 64) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + " ns"
}

func decimals(x float64) int {
	switch {
	case x < 10:
		return 2
	case x < 100:
		return 1
	}
	return 0
}

// thousands writes 18012 as 18,012.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// holds compares. What has no value (a quantile of nothing) holds for no comparison.
func (e Expectation) holds(x float64) bool {
	// Shares and seconds went through a division; a difference in the last bits is none.
	const tiny = 1e-12
	switch e.Op {
	case ">=":
		return x >= e.Value-tiny
	case "<=":
		return x <= e.Value+tiny
	case "==":
		return math.Abs(x-e.Value) <= tiny
	case ">":
		return x > e.Value+tiny
	case "<":
		return x < e.Value-tiny
	}
	return false
}

// expectValue is the list of expectations.
type expectValue struct {
	readOnly
	p *[]Expectation
}

func (v expectValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) > 100 {
		r.Fail(path, "want a list of at most 100 expectations, such as [success_rate >= 99.9%%, p99 <= 100ms]")
		return
	}
	for i, item := range n.Content {
		text, _ := scalar(item)
		e, err := ParseExpectation(text)
		if err != nil {
			r.FailAt(item.Line, form.Index(path, i), "%v", err)
			continue
		}
		e.line = item.Line
		*v.p = append(*v.p, e)
	}
}

func (expectValue) Check(*form.Report, string) {}
