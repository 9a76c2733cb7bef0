package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// http binds a key that only an HTTP listener has. Whether the listener is one is asked when the value is checked or
// written, because the protocol may stand below the key in the file.
func (l *Listener) http(v form.Value) form.Value { return httpValue{v, l} }

// routed binds the routes, of which a TCP listener may have none.
func (l *Listener) routed(v form.Value) form.Value { return routesValue{v, l} }

type routesValue struct {
	form.Value
	l *Listener
}

func (v routesValue) Read(r *form.Report, path string, n *yaml.Node) {
	v.Value.Read(r, path, n)
	if len(v.l.Routes) == 0 {
		v.l.Routes = nil // none is none
	}
}

func (v routesValue) Node() *yaml.Node {
	if v.l.Protocol == ProtocolTCP && len(v.l.Routes) == 0 {
		return nil
	}
	return v.Value.Node()
}

type httpValue struct {
	form.Value
	l *Listener
}

func (v httpValue) Check(r *form.Report, path string) {
	if v.l.Protocol != ProtocolTCP {
		v.Value.Check(r, path)
	}
}

func (v httpValue) Node() *yaml.Node {
	if v.l.Protocol == ProtocolTCP {
		return nil
	}
	return v.Value.Node()
}

// predicting binds a key that is written only where the pool predicts anything.
func (p *Pool) predicting(v form.Value) form.Value {
	return dependent{v, func() bool { return p.Predict != PredictOff }}
}

// shedding binds a key that is written only where the queue sheds.
func (q *Queue) shedding(v form.Value) form.Value {
	return dependent{v, func() bool { return q.Target != 0 }}
}

// waiting binds a key that is written only where requests may wait at all.
func (q *Queue) waiting(v form.Value) form.Value {
	return dependent{v, func() bool { return q.MaxWaiting != Off }}
}

// dependent is a value that is written only where another one gives it a meaning.
type dependent struct {
	form.Value
	means func() bool
}

func (v dependent) Node() *yaml.Node {
	if !v.means() {
		return nil
	}
	return v.Value.Node()
}

// wordOrOff is a word that may be off, which is the empty string in Go. The check sees any other word.
type wordOrOff struct {
	p     *string
	check func(string) string
}

func (v wordOrOff) Read(r *form.Report, path string, n *yaml.Node) {
	word := ""
	form.String(&word, nil).Read(r, path, n)
	if r.Failed(path) {
		return
	}
	if word == "off" {
		word = ""
	}
	*v.p = word
}

func (v wordOrOff) Check(r *form.Report, path string) {
	if *v.p == "" {
		return
	}
	if msg := v.check(*v.p); msg != "" {
		r.Fail(path, "%s", msg)
	}
}

func (v wordOrOff) Node() *yaml.Node {
	word := *v.p
	if word == "" {
		word = "off"
	}
	return form.String(&word, nil).Node()
}

// statusRange is one status code or two with a hyphen between them.
type statusRange struct{ p *StatusRange }

func (v statusRange) Read(r *form.Report, path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	low, high, isRange := strings.Cut(n.Value, "-")
	if !isRange {
		high = low
	}
	lo, errLow := statusCode(low)
	hi, errHigh := statusCode(high)
	if n.Kind != yaml.ScalarNode || errLow != nil || errHigh != nil {
		r.Fail(path, "want a status code such as 200, or a range such as 200-399")
		return
	}
	*v.p = StatusRange{Low: lo, High: hi}
}

func statusCode(s string) (int, error) {
	if len(s) != 3 {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err
}

func (v statusRange) Check(r *form.Report, path string) {
	if s := *v.p; s.Low < 100 || s.High > 599 || s.Low > s.High {
		r.Fail(path, "must be codes from 100 to 599, the lower one first; got %s", s)
	}
}

func (v statusRange) Node() *yaml.Node {
	s := v.p.String()
	if v.p.Low == v.p.High {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: s}
	}
	return form.String(&s, nil).Node()
}

// Contains reports whether status is in the range.
func (s StatusRange) Contains(status int) bool { return status >= s.Low && status <= s.High }

// String gives the range as the file writes it: 200-399, or 200 when it is a single code.
func (s StatusRange) String() string {
	if s.Low == s.High {
		return strconv.Itoa(s.Low)
	}
	return fmt.Sprintf("%d-%d", s.Low, s.High)
}

// factor is a number that need not be whole, from least to most, or the word off, which is 0 in Go.
type factor struct {
	p           *float64
	least, most float64
}

func (v factor) Read(r *form.Report, path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*v.p = 0
		return
	}
	x, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || strings.Trim(n.Value, "0123456789.") != "" || x == 0 {
		r.Fail(path, "want a number such as 1.9, or the word off")
		return
	}
	*v.p = x
}

func (v factor) Check(r *form.Report, path string) {
	if x := *v.p; x != 0 && !(x >= v.least && x <= v.most) {
		r.Fail(path, "must be between %v and %v, or the word off; got %v", v.least, v.most, x)
	}
}

func (v factor) Node() *yaml.Node {
	if *v.p == 0 {
		off := "off"
		return form.String(&off, nil).Node()
	}
	text := strconv.FormatFloat(*v.p, 'f', -1, 64)
	tag := "!!float"
	if !strings.Contains(text, ".") {
		tag = "!!int"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// percent is a whole number from 1 to 100 with a percent sign, or the word off, which is 0 in Go.
type percent struct{ p *int }

func (v percent) Read(r *form.Report, path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*v.p = 0
		return
	}
	digits, isPercent := strings.CutSuffix(n.Value, "%")
	x, err := strconv.ParseUint(digits, 10, 16)
	if n.Kind != yaml.ScalarNode || !isPercent || err != nil || x == 0 {
		r.Fail(path, "want a percentage such as 30%%, or the word off")
		return
	}
	*v.p = int(x)
}

func (v percent) Check(r *form.Report, path string) {
	if *v.p < 0 || *v.p > 100 {
		r.Fail(path, "must be between 1%% and 100%%, or the word off; got %d%%", *v.p)
	}
}

func (v percent) Node() *yaml.Node {
	text := "off"
	if *v.p != 0 {
		text = strconv.Itoa(*v.p) + "%"
	}
	return form.String(&text, nil).Node()
}
