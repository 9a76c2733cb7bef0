package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// result is one line of what a sweep writes: what one seed gave.
type result struct {
	Name      string `json:"name"`
	Config    string `json:"config,omitempty"`
	Seed      uint64 `json:"seed"`
	OK        bool   `json:"ok"`
	TraceHash string `json:"trace_hash"` // "" for a run that broke off with its process
	// Failed lists the expectations that did not hold, with the values that they met.
	Failed []failure `json:"failed,omitempty"`
	// Figures are the metrics by name; null is "never", and what the run does not have is not there.
	Figures map[string]*float64 `json:"figures"`
}

// failure is an expectation that did not hold.
type failure struct {
	Expect string `json:"expect"`
	Value  string `json:"value"`
}

func newResult(v *scenario.Verdict) *result {
	r := &result{Name: v.Name, Seed: v.Seed, OK: v.OK(), TraceHash: v.TraceHash, Figures: make(map[string]*float64)}
	for _, j := range v.Expectations {
		if !j.OK {
			r.Failed = append(r.Failed, failure{j.Expect, j.Value})
		}
	}
	for _, f := range v.Figures() {
		switch x := f.Value; {
		case math.IsNaN(x):
		case math.IsInf(x, 0):
			r.Figures[f.Name] = nil
		default:
			r.Figures[f.Name] = &x
		}
	}
	return r
}

// figure is the value of a metric, +Inf for "never"; false where the run has none.
func (r *result) figure(name string) (float64, bool) {
	x, ok := r.Figures[name]
	switch {
	case !ok:
		return 0, false
	case x == nil:
		return math.Inf(1), true
	}
	return *x, true
}

// writeResult writes one line of JSON.
func writeResult(w io.Writer, r *result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// readResults reads the lines that a sweep has written.
func readResults(file string) ([]*result, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []*result
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		r := new(result)
		if err := json.Unmarshal(lines.Bytes(), r); err != nil || r.Name == "" || r.Figures == nil {
			return nil, fmt.Errorf("%s:%d: this is not a result as wavesim sweep -json or -out writes it", file, n)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}
