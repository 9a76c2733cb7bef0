package netsim

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Delay is a distribution of delays, for Link.Delay. Each is an inverse transform: one number from 0 up to 1
// decides about one packet, and a larger number never means a shorter delay. The zero value is no delay at
// all. Make others by ConstantDelay, UniformDelay, NormalDelay, LognormalDelay, ParetoDelay, EmpiricalDelay.
// A Delay never changes and may be shared.
type Delay struct{ shape *delayShape }

type delayShape struct {
	text     string
	quantile func(u float64) float64 // in nanoseconds; math.Inf is allowed
	median   time.Duration
}

// MaxDelay bounds the parameters of every Delay and cuts its tail: nothing takes longer. It is far above any
// path on Earth, and keeps a heavy tail from outlasting the run.
const MaxDelay = time.Hour

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

func newDelay(quantile func(u float64) float64, format string, args ...any) Delay {
	d := Delay{&delayShape{text: fmt.Sprintf(format, args...), quantile: quantile}}
	d.shape.median = d.Quantile(0.5)
	return d
}

// Quantile gives the delay that the share u of all packets does not exceed, from 0 to MaxDelay, in whole
// nanoseconds. It panics unless 0 <= u < 1.
func (d Delay) Quantile(u float64) time.Duration {
	if !(u >= 0 && u < 1) {
		panic(fmt.Sprintf("netsim: a quantile is from 0 up to 1, not %v", u))
	}
	if d.shape == nil {
		return 0
	}
	return time.Duration(max(0, min(d.shape.quantile(u), float64(MaxDelay))))
}

// Median gives Quantile(0.5), which pure acknowledgements take.
func (d Delay) Median() time.Duration {
	if d.shape == nil {
		return 0
	}
	return d.shape.median
}

// String gives the distribution as text, such as "lognormal(median 2ms, p99 20ms)".
func (d Delay) String() string {
	if d.shape == nil {
		return "none"
	}
	return d.shape.text
}

// ConstantDelay is always d, from 0 to MaxDelay.
func ConstantDelay(d time.Duration) Delay {
	inRange("constant", "value", d)
	return newDelay(func(float64) float64 { return float64(d) }, "constant(%v)", d)
}

// UniformDelay is anything from least to most with equal probability. It needs 0 <= least <= most <=
// MaxDelay.
func UniformDelay(least, most time.Duration) Delay {
	inRange("uniform", "least", least)
	inRange("uniform", "most", most)
	if least > most {
		panic(fmt.Sprintf("netsim: uniform delay: least %v is above most %v", least, most))
	}
	return newDelay(func(u float64) float64 { return float64(least) + u*float64(most-least) },
		"uniform(%v, %v)", least, most)
}

// NormalDelay is the normal distribution without its part below 0, whose probability goes to the rest in
// proportion: with a mean below about three deviations the delays' own mean is therefore above mean. Both
// are from 0 to MaxDelay; a deviation of 0 makes it constant.
func NormalDelay(mean, deviation time.Duration) Delay {
	inRange("normal", "mean", mean)
	inRange("normal", "deviation", deviation)
	mu, sigma := float64(mean), float64(deviation)
	if sigma == 0 {
		return newDelay(func(float64) float64 { return mu }, "normal(mean %v, deviation 0s)", mean)
	}
	below := 0.5 * math.Erfc(mu/sigma/math.Sqrt2) // the probability of a negative value
	return newDelay(func(u float64) float64 { return mu + sigma*normalQuantile(below+u*(1-below)) },
		"normal(mean %v, deviation %v)", mean, deviation)
}

// LognormalDelay is the usual shape of service times and of long paths: half of all packets take at most
// median, one in a hundred more than p99. It needs 0 < median < p99 <= MaxDelay.
func LognormalDelay(median, p99 time.Duration) Delay {
	inRange("lognormal", "median", median)
	inRange("lognormal", "p99", p99)
	if median == 0 || p99 <= median {
		panic(fmt.Sprintf("netsim: lognormal delay: needs 0 < median < p99, not median %v and p99 %v", median, p99))
	}
	mu := math.Log(float64(median))
	sigma := (math.Log(float64(p99)) - mu) / z99
	return newDelay(func(u float64) float64 { return math.Exp(mu + sigma*normalQuantile(u)) },
		"lognormal(median %v, p99 %v)", median, p99)
}

// ParetoDelay has a heavy tail: the share (scale/d)^shape of all packets takes longer than d, none less than
// scale, and none more than most, where the tail is cut off (those packets take exactly most). The smaller
// the shape, the heavier the tail; 1 to 3 is usual. It needs 0 < scale <= most <= MaxDelay and shape from
// 0.1 to 1000.
func ParetoDelay(scale time.Duration, shape float64, most time.Duration) Delay {
	inRange("pareto", "scale", scale)
	inRange("pareto", "most", most)
	if scale == 0 || scale > most || !(shape >= 0.1 && shape <= 1000) {
		panic(fmt.Sprintf("netsim: pareto delay: needs 0 < scale <= most and a shape from 0.1 to 1000, "+
			"not scale %v, most %v, shape %v", scale, most, shape))
	}
	return newDelay(func(u float64) float64 {
		return min(float64(scale)*math.Pow(1-u, -1/shape), float64(most))
	}, "pareto(scale %v, shape %v, most %v)", scale, shape, most)
}

// EmpiricalDelay follows what was measured: ascending samples, which are taken for evenly spaced quantiles
// from the least to the largest, with straight lines between them. Five numbers, for example, are the
// minimum, the quartiles and the maximum. It needs at least one, each from 0 to MaxDelay; they are copied.
func EmpiricalDelay(ascending ...time.Duration) Delay {
	if len(ascending) == 0 {
		panic("netsim: empirical delay: needs at least one sample")
	}
	if !slices.IsSorted(ascending) {
		panic("netsim: empirical delay: the samples must ascend")
	}
	inRange("empirical", "least sample", ascending[0])
	last := len(ascending) - 1
	inRange("empirical", "largest sample", ascending[last])
	samples := slices.Clone(ascending)
	return newDelay(func(u float64) float64 {
		place := u * float64(last)
		i := int(place)
		if i >= last {
			return float64(samples[last])
		}
		return float64(samples[i]) + (place-float64(i))*float64(samples[i+1]-samples[i])
	}, "empirical(%d samples, %v to %v)", len(samples), samples[0], samples[last])
}

func inRange(kind, what string, d time.Duration) {
	if d < 0 || d > MaxDelay {
		panic(fmt.Sprintf("netsim: %s delay: the %s is from 0 to %v, not %v", kind, what, MaxDelay, d))
	}
}

// normalQuantile is the inverse of the standard normal distribution. It takes the form that keeps its digits
// on either side of the middle.
func normalQuantile(u float64) float64 {
	if u < 0.5 {
		return -math.Sqrt2 * math.Erfcinv(2*u)
	}
	return math.Sqrt2 * math.Erfinv(2*u-1)
}
