package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// Expectation is one condition on the outcome of a run: METRIC [of CLIENT] OP VALUE [WINDOW], such as "p99 <= 100ms" or
// "success_rate of web >= 99% during".
type Expectation struct {
	// Metric is one of [Metrics].
	Metric string
	// Client narrows a metric of requests to one client's; "" stands for all clients.
	Client string
	// Op is one of >= <= == > <.
	Op string
	// Value is the number to compare with: seconds for a duration, 0.999 for 99.9%, per second for a rate, else a count.
	Value float64
	// Window is the part of the run that is looked at; the zero value is all of it.
	Window Window

	text string // as written
	line int    // where
}

// String gives the expectation as it was written, with single spaces.
func (e Expectation) String() string { return e.text }

// ops are the comparisons; those of two letters come first, so that one is not taken for the beginning of another.
var ops = []string{">=", "<=", "==", ">", "<"}

// ParseExpectation reads METRIC [of CLIENT] OP VALUE [WINDOW]. Spaces around the operator may be left out. A window is
// before, during or after, each alone or with the name of a fault, or "from T to T", or "from T". Whether the client and
// the fault exist is the scenario's to know: [Parse] checks it.
func ParseExpectation(text string) (Expectation, error) {
	left, op, right, err := cutOp(text)
	if err != nil {
		return Expectation{}, err
	}
	e := Expectation{Op: op}
	if err := e.readLeft(left); err != nil {
		return e, err
	}
	m := metricNamed(e.Metric)
	value, window, err := cutWindow(right)
	if err != nil {
		return e, err
	}
	e.Window = window
	switch {
	case window.Kind != "" && m.scope == wholeRun:
		return e, fmt.Errorf("%s is of the whole run and has no window; those that have one: %s", e.Metric,
			strings.Join(metricsOf(perWindow), ", "))
	case e.Client != "" && m.scope != perRequest:
		return e, fmt.Errorf("%s is not told of one client; what is: %s", e.Metric, strings.Join(metricsOf(perRequest), ", "))
	}
	if e.Value, err = m.unit.parse(value); err != nil {
		return e, err
	}
	e.text = strings.Join(strings.Fields(left), " ") + " " + op + " " + value
	if window.Kind != "" {
		e.text += " " + window.String()
	}
	return e, nil
}

// cutOp separates the two sides of the comparison.
func cutOp(text string) (left, op, right string, err error) {
	at := -1
	for _, o := range ops {
		if i := strings.Index(text, o); i >= 0 && (at < 0 || i < at) {
			at, op = i, o
		}
	}
	for _, o := range []struct{ wrong, right string }{{"=>", ">="}, {"=<", "<="}} {
		if strings.Contains(text, o.wrong) {
			return "", "", "", fmt.Errorf("unknown comparison %q; did you mean %s?", o.wrong, o.right)
		}
	}
	if at < 0 {
		return "", "", "", fmt.Errorf("want METRIC OP VALUE, such as \"p99 <= 100ms\"; OP is one of %s", strings.Join(ops, " "))
	}
	return strings.TrimSpace(text[:at]), op, strings.TrimSpace(text[at+len(op):]), nil
}

// readLeft reads METRIC, or METRIC of CLIENT.
func (e *Expectation) readLeft(text string) error {
	words := strings.Fields(text)
	switch {
	case len(words) == 3 && words[1] == "of":
		e.Metric, e.Client = words[0], words[2]
	case len(words) > 1 && slices.Contains(windowWords, words[len(words)-1]):
		last := len(words) - 1
		return fmt.Errorf("a window stands behind the value: %s %s VALUE %s", strings.Join(words[:last], " "), e.Op, words[last])
	case len(words) > 1 && metricNamed(words[0]) != nil:
		return fmt.Errorf("want %s, or %s of CLIENT; got %q", words[0], words[0], text)
	default:
		e.Metric = text
	}
	if metricNamed(e.Metric) != nil {
		return nil
	}
	if near := config.Nearest(e.Metric, Metrics()); near != "" {
		return fmt.Errorf("unknown metric %q; did you mean %s?", e.Metric, near)
	}
	return fmt.Errorf("unknown metric %q; known metrics: %s", e.Metric, strings.Join(Metrics(), ", "))
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
