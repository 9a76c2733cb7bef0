package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// maxRecorders bounds the recorders, and with them the memory: below it every client has one of its own, above it
	// several clients share one.
	maxRecorders = 64
	// maxBackends bounds the distinct names of backends that are remembered, and maxBackendName their length: both are
	// the server's to choose. What goes beyond is counted under otherBackends.
	maxBackends    = 256
	maxBackendName = 64
	otherBackends  = "(others)"
)

// timing is a distribution of durations: a histogram with a resolution of 0.1 % or half a microsecond, and beside it the
// exact sum and maximum.
type timing struct {
	hist     *hdr.Histogram
	sum, max time.Duration
}

// newTiming makes one for durations of up to about limit.
func newTiming(limit time.Duration) *timing {
	return &timing{hist: hdr.New(1000, int64(limit+time.Second), 3)}
}

// add records one duration.
func (t *timing) add(d time.Duration) {
	if t.hist.RecordValue(int64(d)) != nil { // longer than the limit, as after a suspended machine
		_ = t.hist.RecordValue(t.hist.HighestTrackableValue())
	}
	t.sum += d
	t.max = max(t.max, d)
}

// merge adds another distribution, made with the same limit.
func (t *timing) merge(from *timing) {
	t.hist.Merge(from.hist)
	t.sum += from.sum
	t.max = max(t.max, from.max)
}

func (t *timing) reset() {
	t.hist.Reset()
	t.sum, t.max = 0, 0
}

func (t *timing) clone() *timing { return &timing{hist: t.hist.Clone(), sum: t.sum, max: t.max} }

func (t *timing) count() uint64 { return uint64(t.hist.TotalCount()) }

// at is the given percentile. The histogram answers with the upper end of a range, which is never more than the maximum.
func (t *timing) at(percentile float64) time.Duration {
	return min(time.Duration(t.hist.ValueAtPercentile(percentile)), t.max)
}

func (t *timing) mean() time.Duration {
	n := t.count()
	if n == 0 {
		return 0
	}
	return t.sum / time.Duration(n)
}

// tally is what some requests came to. Every request that ended is one of succeeded and errors; one that was cut off at
// the end of the run is unfinished and nothing else.
type tally struct {
	latency    *timing // of those that succeeded
	succeeded  uint64
	errors     [numReasons]uint64
	first      [numReasons]string // the first error of each reason, in full
	unfinished uint64
	body       uint64 // bytes of the complete answers' bodies
	status     [1000]uint64
	backends   map[string]*uint64 // complete answers by their X-Backend field
	untold     uint64             // complete answers without that field
	last       time.Time          // when the last of them ended
}

func newTally(timeout time.Duration) *tally {
	return &tally{latency: newTiming(timeout), backends: map[string]*uint64{}}
}

// failed is the number of requests that ended without success.
func (t *tally) failed() uint64 {
	var n uint64
	for _, e := range t.errors {
		n += e
	}
	return n
}

// ended is the number of requests that ended either way.
func (t *tally) ended() uint64 { return t.succeeded + t.failed() }

// fail counts one failure.
func (t *tally) fail(why reason, err error) {
	t.errors[why]++
	if t.first[why] == "" && err != nil {
		t.first[why] = err.Error()
	}
}

// answer counts one complete answer.
func (t *tally) answer(a *answer, took time.Duration) {
	t.status[a.status]++
	t.body += a.body
	switch {
	case a.status >= 500:
		t.fail(reasonStatus5xx, nil)
	case a.status >= 400:
		t.fail(reasonStatus4xx, nil)
	default:
		t.succeeded++
		t.latency.add(took)
	}
	if a.backend == nil {
		t.untold++
		return
	}
	name := a.backend[:min(len(a.backend), maxBackendName)]
	n := t.backends[string(name)] // this look-up copies nothing
	if n == nil {
		n = t.backend(string(name))
	}
	*n++
}

// backend returns the counter of a name, a new one if there is room.
func (t *tally) backend(name string) *uint64 {
	if n := t.backends[name]; n != nil {
		return n
	}
	room := maxBackends
	if t.backends[otherBackends] != nil {
		room++ // which is no name of a backend
	}
	if len(t.backends) >= room && name != otherBackends {
		return t.backend(otherBackends)
	}
	n := new(uint64)
	t.backends[name] = n
	return n
}

// merge adds another tally.
func (t *tally) merge(from *tally) {
	t.latency.merge(from.latency)
	t.succeeded += from.succeeded
	t.unfinished += from.unfinished
	t.body += from.body
	t.untold += from.untold
	for i, n := range from.errors {
		t.errors[i] += n
		if t.first[i] == "" {
			t.first[i] = from.first[i]
		}
	}
	for i, n := range from.status {
		t.status[i] += n
	}
	// Sorted, so that which names find room does not depend on the order of the map.
	for _, name := range slices.Sorted(maps.Keys(from.backends)) {
		if n := *from.backends[name]; n > 0 {
			*t.backend(name) += n
		}
	}
	if from.last.After(t.last) {
		t.last = from.last
	}
}

// reset forgets everything but the memory and the names.
func (t *tally) reset() {
	t.latency.reset()
	for _, n := range t.backends {
		*n = 0
	}
	*t = tally{latency: t.latency, backends: t.backends}
}

// recorder is where clients leave what their requests came to. Two tallies take turns: the clients fill one while the
// collector empties the other, so that it never keeps them waiting for longer than it takes to swap two pointers.
type recorder struct {
	mu    sync.Mutex
	live  *tally
	spare *tally // the collector's, without the lock
}

func newRecorder(timeout time.Duration) *recorder {
	return &recorder{live: newTally(timeout), spare: newTally(timeout)}
}

// drain moves what was recorded since the last call into sum. One goroutine calls it.
func (r *recorder) drain(sum *tally) {
	r.mu.Lock()
	r.live, r.spare = r.spare, r.live
	r.mu.Unlock()
	sum.merge(r.spare)
	r.spare.reset()
}

func (r *recorder) answer(a *answer, took time.Duration, now time.Time) {
	r.mu.Lock()
	r.live.answer(a, took)
	r.live.last = now
	r.mu.Unlock()
}

func (r *recorder) fail(why reason, err error, now time.Time) {
	r.mu.Lock()
	r.live.fail(why, err)
	r.live.last = now
	r.mu.Unlock()
}

func (r *recorder) cutOff() {
	r.mu.Lock()
	r.live.unfinished++
	r.mu.Unlock()
}
