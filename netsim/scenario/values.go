package scenario

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// This file has the kinds of values that scenarios need beside those of package form. A scenario is only read,
// never written, so none of them has a Node.

// readOnly is the part of a form.Value that writes.
type readOnly struct{}

// Node implements form.Value.
func (readOnly) Node() *yaml.Node { return nil }

// scalar returns the text of a plain value; ok is false for anything else, nothing included.
func scalar(n *yaml.Node) (text string, ok bool) {
	n = follow(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", false
	}
	return n.Value, true
}

// follow goes from an alias to what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// boolValue is true or false.
type boolValue struct {
	readOnly
	p *bool
}

func (v boolValue) Read(r *form.Report, path string, n *yaml.Node) {
	switch text, _ := scalar(n); text {
	case "true":
		*v.p = true
	case "false":
		*v.p = false
	default:
		r.Fail(path, "want true or false")
	}
}

func (boolValue) Check(*form.Report, string) {}

// shareValue is a number from 0 to 1, or the same in percent.
type shareValue struct {
	readOnly
	p *float64
}

func (v shareValue) Read(r *form.Report, path string, n *yaml.Node) {
	text, ok := scalar(n)
	digits, percent := strings.CutSuffix(text, "%")
	x, good := number(digits)
	if percent {
		x, good = percentage(digits)
	}
	if !ok || !good || x > 1 {
		r.Fail(path, "want a share from 0 to 1, such as 0.01 or 1%%")
		return
	}
	*v.p = x
}

func (shareValue) Check(*form.Report, string) {}

// number reads a plain decimal number that is not negative: no sign, no exponent, no infinity.
func number(s string) (float64, bool) {
	if s == "" || len(s) > 32 || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil && !math.IsInf(x, 0)
}

// percentage reads a number of hundredths. It shifts the point in the text, because a division would round twice.
func percentage(s string) (float64, bool) {
	if _, ok := number(s); !ok {
		return 0, false
	}
	x, err := strconv.ParseFloat(s+"e-2", 64)
	return x, err == nil
}

// maxRate bounds an open loop, in requests per second.
const maxRate = 100_000

// rateValue is a number of requests in a unit of time: 100/s, 30/m.
type rateValue struct {
	readOnly
	p *float64
}

func (v rateValue) Read(r *form.Report, path string, n *yaml.Node) {
	text, _ := scalar(n)
	digits, unit, _ := strings.Cut(text, "/")
	x, ok := number(strings.TrimSpace(digits))
	switch strings.TrimSpace(unit) {
	case "s":
	case "m":
		x /= 60
	default:
		ok = false
	}
	switch {
	case !ok:
		r.Fail(path, "want a rate with its unit, such as 100/s or 30/m")
	case x <= 0 || x > maxRate:
		r.Fail(path, "must be above 0 and at most %d/s", maxRate)
	default:
		*v.p = x
	}
}

func (rateValue) Check(*form.Report, string) {}

// betweenValue is a list of two machines. Whether they exist is checked when all of them are known.
type betweenValue struct {
	readOnly
	p *[2]string
}

func (v betweenValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind == yaml.SequenceNode && len(n.Content) == 2 {
		a, okA := scalar(n.Content[0])
		b, okB := scalar(n.Content[1])
		if okA && okB {
			*v.p = [2]string{a, b}
			return
		}
	}
	r.Fail(path, "want a list of two machines, such as [%s, 10.0.0.1]", ProxyName)
}

func (v betweenValue) Check(r *form.Report, path string) {
	if v.p[0] == "" && !r.Failed(path) {
		r.Fail(path, "is required: a list of two machines, such as [%s, 10.0.0.1]", ProxyName)
	}
}

// oneOf is a mapping with exactly one of several keys, which is noted in kind, beside keys that any of them may
// have.
type oneOf struct {
	readOnly
	kind  *string
	plain form.Form // keys that are there whatever the kind
	kinds form.Form
}

// noted tells when its value was in the file.
type noted struct {
	form.Value
	note func()
}

func (v noted) Read(r *form.Report, path string, n *yaml.Node) {
	v.note()
	v.Value.Read(r, path, n)
}

func (v oneOf) Read(r *form.Report, path string, n *yaml.Node) {
	var given []string
	all := slices.Clone(v.plain)
	for _, f := range v.kinds {
		all = append(all, form.Field{Key: f.Key, Value: noted{f.Value, func() { given = append(given, f.Key) }}})
	}
	all.Read(r, path, n)
	switch {
	case r.Skipped(path):
	case len(given) == 1:
		*v.kind = given[0]
	case len(given) > 1:
		r.Fail(path, "has %s; give one of them", strings.Join(given, " and "))
	case !unknownKey(r, path, follow(n)):
		r.Fail(path, "needs one of %s", strings.Join(words(v.kinds), ", "))
	}
}

// unknownKey says whether a key of the mapping has been refused: then a missing one is most likely that one,
// misspelt.
func unknownKey(r *form.Report, path string, n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if r.Failed(form.Join(path, n.Content[i].Value)) {
			return true
		}
	}
	return false
}

func (v oneOf) Check(r *form.Report, path string) {
	if r.Skipped(path) {
		return
	}
	v.plain.Check(r, path)
	for _, f := range v.kinds {
		if f.Key == *v.kind {
			f.Value.Check(r, form.Join(path, f.Key))
		}
	}
}

func words(f form.Form) []string {
	out := make([]string, len(f))
	for i := range f {
		out[i] = f[i].Key
	}
	return out
}

// orScalar is a mapping for which one plain value may stand.
type orScalar struct {
	form.Value
	plain form.Value
}

func (v orScalar) Read(r *form.Report, path string, n *yaml.Node) {
	if _, ok := scalar(n); ok {
		v.plain.Read(r, path, n)
		return
	}
	v.Value.Read(r, path, n)
}

// optional is a value whose range matters only when it is there.
type optional struct {
	form.Value
	missing func() bool
}

func (v optional) Check(r *form.Report, path string) {
	if !v.missing() {
		v.Value.Check(r, path)
	}
}

// faultsValue is the list of faults. It is not a form.List because a fault is one of several forms.
type faultsValue struct {
	readOnly
	p *[]Fault
}

func (v faultsValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxItems {
		r.Fail(path, "want a list of at most %d faults", maxItems)
		return
	}
	out := make([]Fault, len(n.Content))
	for i, item := range n.Content {
		out[i].For = -1
		at := form.Index(path, i)
		r.Mark(at, item.Line)
		out[i].form().Read(r, at, item)
	}
	*v.p = out
}

func (v faultsValue) Check(r *form.Report, path string) {
	for i := range *v.p {
		(*v.p)[i].form().Check(r, form.Index(path, i))
	}
}
