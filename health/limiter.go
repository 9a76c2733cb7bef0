package health

import (
	"fmt"
	"math"
	"time"
)

// Concurrency bounds the requests in flight at a backend by what it is found to carry. The zero value is off.
type Concurrency struct {
	// Min and Max are the least and the greatest bound. Max 0 is off; else it is from 1 to 1000000. Min is from 1 to Max;
	// default 3 (when 0), or Max when that is less.
	Min, Max int
}

// On says whether there is a bound.
func (c Concurrency) On() bool { return c.Max > 0 }

// Fill returns it with its defaults, or what is wrong with it.
func (c Concurrency) Fill() (Concurrency, error) {
	switch {
	case c.Max == 0 && c.Min == 0:
		return c, nil
	case c.Max < 1 || c.Max > maxConcurrency:
		return c, fmt.Errorf("health: Concurrency.Max is %d; from 1 to %d", c.Max, maxConcurrency)
	case c.Min < 0 || c.Min > c.Max:
		return c, fmt.Errorf("health: Concurrency.Min is %d; from 1 to Max, %d", c.Min, c.Max)
	case c.Min == 0:
		c.Min = min(leastConcurrency, c.Max)
	}
	return c, nil
}

const (
	maxConcurrency   = 1_000_000
	leastConcurrency = 3
	// firstLimit is where a limit begins.
	firstLimit = 20
	// limitSamples and limitWindow are the least number of requests, and the least time in which they are sent, that make a step.
	limitSamples = 32
	limitWindow  = 100 * time.Millisecond
	// limitTail is for how many usual times of an answer a step waits for those that are slower.
	limitTail = 4
	// limitSlack is by how much answers may be slower than without load before that counts.
	limitSlack = 1.1
	// relearnFirst and relearnMost are how long the time without load is believed: at first, and twice as long each time, up to.
	relearnFirst = time.Second
	relearnMost  = 30 * time.Second
)

// Limiter finds out how many requests at a time one backend carries. A backend that has no place left makes requests wait inside,
// so that answers take longer, and to send it more gains nothing; with fewer in flight than it has places answers take the time
// that they need.
//
// It takes a step after each window: limit * noload/latency + sqrt(limit), the first factor being from 1/2 to 1, and half of the way
// there. So it grows while answers are as quick as without load, and rests where a queue of about sqrt(limit) stands in the
// backend: between its places and one and a half times these, and a few more. This is the gradient of Netflix's concurrency-limits and
// of Envoy's adaptive concurrency. It does not grow beyond what is used.
//
// A window is about the requests that are sent in it, and waits until nearly all of them are answered: of those that have been
// answered by its end too many would be quick ones.
//
// The time without load is learned, and every half minute (at first after one second, then two, and so on) it is learned anew.
// If the backend is busy then, the limit is half of what it was for one window, with which nothing waits inside. So the limit
// also follows a backend that has become slower for good, and no overload is ever taken for the usual time for long.
//
// Latencies enter as logarithms: their mean is that of most requests, and one slow route among many is not taken for load. Methods
// are called one at a time.
type Limiter struct {
	cfg     Concurrency
	limit   float64
	noload  float64       // log2 of nanoseconds; 0, which no answer takes: nothing has been learned
	every   time.Duration // for which that is believed
	learnAt time.Time     // when it is to be learned anew
	saved   float64       // the limit that holds after that; 0: it is not being learned now

	began, until time.Time     // of the sending of the window's requests
	tail         time.Duration // in which these are answered
	n            int
	sum          float64
	peak         int
}

// NewLimiter returns the limiter of one backend, which begins at 20, or Min or Max. The configuration is one that is on, and filled.
func NewLimiter(cfg Concurrency) *Limiter {
	l := &Limiter{cfg: cfg, every: relearnFirst}
	l.set(firstLimit)
	return l
}

// Limit is how many requests may be in flight now.
func (l *Limiter) Limit() int { return int(l.limit) }

// Reconfigure changes the bounds of the limit, for one that is on, and filled. What has been learned stays.
func (l *Limiter) Reconfigure(cfg Concurrency) {
	l.cfg = cfg
	l.set(l.limit)
	if l.saved > 0 {
		l.saved = min(max(l.saved, float64(cfg.Min)), float64(cfg.Max))
	}
}

func (l *Limiter) set(limit float64) {
	l.limit = min(max(limit, float64(l.cfg.Min)), float64(l.cfg.Max))
}

// Observe brings a request that is over: when it was sent, how long its answer took to begin, how many were in flight, itself
// included, and whether it was a failure. One that fails quickly says nothing about load, and is left out.
func (l *Limiter) Observe(now, sent time.Time, took time.Duration, inFlight int, failed bool) {
	x := math.Log2(float64(max(took, 2)))
	if failed && (l.noload == 0 || l.saved > 0 || x < l.noload+1) {
		return
	}
	if l.began.IsZero() { // the first of all
		l.open(sent, 0)
	} else if l.began.Sub(now) > limitWindow { // time has gone backwards; by less, others were faster
		l.open(now, l.tail/limitTail)
	}
	l.peak = max(l.peak, inFlight)
	if !sent.Before(l.began) && sent.Before(l.until) {
		l.n++
		l.sum += x
	}
	switch {
	case now.Before(l.until.Add(l.tail)):
	case l.n < limitSamples:
		l.until = now.Add(limitWindow) // those that are sent from now on count too
	default:
		mean := l.sum / float64(l.n)
		l.step(now, mean)
		l.open(now, time.Duration(math.Exp2(min(mean, 40))))
	}
}

// open begins a window. An answer takes about so long.
func (l *Limiter) open(now time.Time, usual time.Duration) {
	l.began, l.until, l.tail = now, now.Add(max(limitWindow, 2*usual)), limitTail*usual
	l.n, l.sum, l.peak = 0, 0, 0
}

// step ends a window, in which answers took 2^mean.
func (l *Limiter) step(now time.Time, mean float64) {
	switch {
	case l.noload == 0:
		l.learn(now, mean)
	case l.saved > 0:
		l.learn(now, mean)
		l.set(l.saved)
		l.saved = 0
		return
	case now.Before(l.learnAt):
	case 2*l.peak <= l.Limit():
		l.learn(now, mean) // there is hardly any load
	default:
		l.saved = l.limit
		l.set(l.limit / 2)
		return
	}
	gradient := min(max(limitSlack*math.Exp2(l.noload-mean), 0.5), 1)
	next := gradient*l.limit + math.Sqrt(l.limit)
	if next > l.limit && l.peak < l.Limit() {
		return
	}
	l.set((l.limit + next) / 2)
}

// learn takes what answers took as their time without load. Where it is about what it was, the mean of both is nearer to the truth.
func (l *Limiter) learn(now time.Time, mean float64) {
	if l.noload != 0 && math.Abs(mean-l.noload) < 0.5 {
		mean = (mean + l.noload) / 2
	}
	l.noload = mean
	l.learnAt = now.Add(l.every)
	l.every = min(2*l.every, relearnMost)
}
