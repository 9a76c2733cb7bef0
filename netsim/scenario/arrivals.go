package scenario

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Arrivals say when a client's requests begin, in one of six ways. All but Users are an open loop, which does not slow down
// when answers do; all but Constant and Users have independent arrivals (a Poisson process). Rates are in requests per
// second, written 100/s or 30/m.
type Arrivals struct {
	// Poisson is a mean rate, Constant an even one.
	Poisson, Constant float64
	// Ramp changes the rate evenly over the whole scenario.
	Ramp Ramp
	// Spike is a usual rate with one burst.
	Spike Spike
	// Diurnal is a rate that swings like that of a day.
	Diurnal Diurnal
	// Users is a number of users, 1 to 10000, each of whom waits for an answer and then thinks.
	Users int
	// Think is how long a user thinks between an answer and the next request. Default 100ms.
	Think Distribution

	kind string // one of the keys, as read
}

// Ramp is a rate that goes from one value to another. Both are required.
type Ramp struct{ From, To float64 }

// Spike is a rate of Base, and of Peak for some time. All four are required.
type Spike struct {
	// Base is the usual rate and Peak that of the burst, which is not below it.
	Base, Peak float64
	// At is when the burst begins, and For how long it lasts, from 1ms.
	At, For time.Duration
}

// Diurnal is a rate that swings between Low and High as a sine does, and begins at Low. All three are required.
type Diurnal struct {
	Low, High float64
	// Period is the length of a day, from 1s to 24h.
	Period time.Duration
}

// form binds arrivals.
func (a *Arrivals) form() form.Value {
	rate := func(key string, p *float64) form.Field { return form.Field{Key: key, Value: rateValue{p: p}} }
	return oneOf{kind: &a.kind,
		plain: form.Form{{Key: "think", Value: a.Think.form()}},
		kinds: form.Form{
			rate("poisson", &a.Poisson),
			rate("constant", &a.Constant),
			{Key: "ramp", Value: form.Form{rate("from", &a.Ramp.From), rate("to", &a.Ramp.To)}},
			{Key: "spike", Value: form.Form{rate("base", &a.Spike.Base), rate("peak", &a.Spike.Peak),
				{Key: "at", Value: form.Duration(&a.Spike.At, 0, day)}, {Key: "for", Value: form.Duration(&a.Spike.For, tick, day)}}},
			{Key: "diurnal", Value: form.Form{rate("low", &a.Diurnal.Low), rate("high", &a.Diurnal.High),
				{Key: "period", Value: form.Duration(&a.Diurnal.Period, time.Second, day)}}},
			{Key: "users", Value: form.Int(&a.Users, 1, 10_000)},
		}}
}

// check tells r what the parts of a changing rate do to each other.
func (a *Arrivals) check(r *form.Report, path string, total time.Duration) {
	require := func(key string, rates ...float64) {
		for i, name := range map[string][]string{"ramp": {"from", "to"}, "spike": {"base", "peak"}, "diurnal": {"low", "high"}}[key] {
			at := form.Join(form.Join(path, key), name)
			if rates[i] == 0 && !r.Failed(at) {
				r.Fail(at, "is required: a rate such as 100/s")
			}
		}
	}
	switch a.kind {
	case "ramp":
		require("ramp", a.Ramp.From, a.Ramp.To)
	case "spike":
		require("spike", a.Spike.Base, a.Spike.Peak)
		at := form.Join(path, "spike")
		if a.Spike.Peak < a.Spike.Base && !r.Failed(form.Join(at, "base"), form.Join(at, "peak")) {
			r.Fail(form.Join(at, "peak"), "is less than base (%v/s < %v/s)", a.Spike.Peak, a.Spike.Base)
		}
		if a.Spike.At >= total && total > 0 && !r.Failed(form.Join(at, "at")) {
			r.Fail(form.Join(at, "at"), "%v is not within the scenario's %v", a.Spike.At, total)
		}
	case "diurnal":
		require("diurnal", a.Diurnal.Low, a.Diurnal.High)
		at := form.Join(path, "diurnal")
		if a.Diurnal.High < a.Diurnal.Low && !r.Failed(form.Join(at, "low"), form.Join(at, "high")) {
			r.Fail(form.Join(at, "high"), "is less than low (%v/s < %v/s)", a.Diurnal.High, a.Diurnal.Low)
		}
	}
}

// rate is the rate at an instant of a changing one.
func (a *Arrivals) rate(at, total time.Duration) float64 {
	switch a.kind {
	case "ramp":
		return a.Ramp.From + (a.Ramp.To-a.Ramp.From)*at.Seconds()/total.Seconds()
	case "spike":
		if at >= a.Spike.At && at < a.Spike.At+a.Spike.For {
			return a.Spike.Peak
		}
		return a.Spike.Base
	default:
		turn := 2 * math.Pi * at.Seconds() / a.Diurnal.Period.Seconds()
		return a.Diurnal.Low + (a.Diurnal.High-a.Diurnal.Low)*(1-math.Cos(turn))/2
	}
}

// next is the arrival after the one at that instant, as an offset from the beginning. What lies behind the scenario's end
// never comes, so it need not be exact.
func (a *Arrivals) next(rnd *rand.Rand, at, total time.Duration) time.Duration {
	most := 0.0
	switch {
	case a.Constant > 0:
		return at + time.Duration(float64(time.Second)/a.Constant)
	case a.kind == "ramp":
		most = max(a.Ramp.From, a.Ramp.To)
	case a.kind == "spike":
		most = a.Spike.Peak
	case a.kind == "diurnal":
		most = a.Diurnal.High
	default:
		return at + gap(rnd, a.Poisson)
	}
	// Thinning (Lewis and Shedler, 1979): arrivals at the greatest rate, of which each stays with the probability of the
	// rate that there is.
	for at < total {
		at += gap(rnd, most)
		if rnd.Float64()*most < a.rate(at, total) {
			break
		}
	}
	return at
}

// gap draws the time between two independent arrivals.
func gap(rnd *rand.Rand, rate float64) time.Duration {
	return time.Duration(rnd.ExpFloat64() / rate * float64(time.Second)).Truncate(time.Microsecond)
}
