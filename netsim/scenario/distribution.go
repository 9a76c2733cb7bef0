package scenario

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// The kinds of distributions, as files write them.
const (
	Constant    = "constant"    // always Value
	Uniform     = "uniform"     // from Min to Max
	Exponential = "exponential" // with that Mean
	Lognormal   = "lognormal"   // with that Median and 99th percentile
)

// Distribution is a random duration. The zero value is always zero. A file gives a plain duration for a constant
// one, or a mapping of one kind: {uniform: {min: 1ms, max: 3ms}}. Draws are whole microseconds, from 0 to 1h.
type Distribution struct {
	// Kind is Constant (which "" means too), Uniform, Exponential or Lognormal.
	Kind string
	// Value is for Constant.
	Value time.Duration
	// Min and Max are for Uniform; Min is not above Max.
	Min, Max time.Duration
	// Mean is for Exponential.
	Mean time.Duration
	// Median and P99 are for Lognormal; P99 is above Median, and Median above 0.
	Median, P99 time.Duration
}

// maxDraw bounds every draw: a tail must not be longer than any scenario.
const maxDraw = time.Hour

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

func constant(d time.Duration) Distribution { return Distribution{Kind: Constant, Value: d} }

// draw takes one duration from the distribution. A constant takes nothing from the stream.
func (d *Distribution) draw(rnd *rand.Rand) time.Duration {
	var x float64
	switch d.Kind {
	case Uniform:
		x = float64(d.Min) + rnd.Float64()*float64(d.Max-d.Min)
	case Exponential:
		x = rnd.ExpFloat64() * float64(d.Mean)
	case Lognormal:
		median := math.Log(float64(d.Median))
		sigma := (math.Log(float64(d.P99)) - median) / z99
		x = math.Exp(median + sigma*rnd.NormFloat64())
	default:
		return d.Value
	}
	// Whole microseconds hide the last bit, in which machines may differ.
	return time.Duration(min(x, float64(maxDraw))).Truncate(time.Microsecond)
}

// form binds a distribution.
func (d *Distribution) form() form.Value {
	plain := func(p *time.Duration) form.Value { return form.Duration(p, 0, maxDraw) }
	above := func(p *time.Duration) form.Value {
		return required{form.Duration(p, time.Microsecond, maxDraw), "40ms"}
	}
	return orScalar{
		plain: noted{plain(&d.Value), func() { d.Kind = Constant }},
		Value: oneOf{kind: &d.Kind, kinds: form.Form{
			{Key: Constant, Value: plain(&d.Value)},
			{Key: Uniform, Value: form.Form{
				{Key: "min", Value: plain(&d.Min)}, {Key: "max", Value: above(&d.Max)},
			}},
			{Key: Exponential, Value: form.Form{{Key: "mean", Value: above(&d.Mean)}}},
			{Key: Lognormal, Value: form.Form{
				{Key: "median", Value: above(&d.Median)}, {Key: "p99", Value: above(&d.P99)},
			}},
		}},
	}
}

// check tells r what the parts of a distribution do to each other.
func (d *Distribution) check(r *form.Report, path string) {
	at := form.Join(path, d.Kind)
	switch {
	case r.Failed(at) || r.Skipped(at):
	case d.Kind == Uniform && d.Min > d.Max && !r.Failed(form.Join(at, "min"), form.Join(at, "max")):
		r.Fail(form.Join(at, "min"), "is more than max (%v > %v)", d.Min, d.Max)
	case d.Kind == Lognormal && d.P99 <= d.Median && !r.Failed(form.Join(at, "median"), form.Join(at, "p99")):
		r.Fail(form.Join(at, "p99"), "must be more than median (%v <= %v)", d.P99, d.Median)
	}
}

// required is a value that has no default; the example stands in the message.
type required struct {
	form.Value
	example string
}

func (v required) Check(r *form.Report, path string) {
	if !r.Given(path) && !r.Failed(path) {
		r.Fail(path, "is required, such as %s", v.example)
		return
	}
	v.Value.Check(r, path)
}
