package main

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/wavepool/wavepool/pool"
)

// caveat is what a reader of the latencies has to know.
const caveat = "closed loop: a client waits for its answer before it sends again, so latency under overload is optimistic " +
	"(coordinated omission)"

// result is what a run came to. Its fields are the JSON report: times are seconds, and a name once given stays.
// Requests = Succeeded + Failed, Failed is the sum of Errors, and the answers (the sum of Status) are those that
// succeeded and those whose failure is a status.
type result struct {
	Target    string  `json:"target"`
	Method    string  `json:"method"`
	LoadTest  bool    `json:"load_test"`
	Clients   int     `json:"clients"` // at the most
	Reuse     bool    `json:"reuse"`
	Timeout   float64 `json:"timeout_seconds"`
	Ended     string  `json:"ended"` // requests, duration, signal or unreachable
	Duration  float64 `json:"duration_seconds"`
	Requests  uint64  `json:"requests"`
	Succeeded uint64  `json:"succeeded"`
	Failed    uint64  `json:"failed"`
	// Unfinished were under way when the run was over, and are counted nowhere else.
	Unfinished     uint64            `json:"unfinished"`
	PerSecond      float64           `json:"requests_per_second"`
	BodyBytes      uint64            `json:"body_bytes"`
	BytesPerSecond float64           `json:"body_bytes_per_second"`
	Latency        distribution      `json:"latency_seconds"` // of those that succeeded
	Connect        distribution      `json:"connect_seconds"`
	Connections    connections       `json:"connections"`
	Status         map[string]uint64 `json:"status"`
	Errors         map[string]uint64 `json:"errors"` // every reason, zero or not
	FirstErrors    map[string]string `json:"first_errors"`
	Backends       []backendShare    `json:"backends"`        // largest first; empty when no answer told
	BackendUntold  uint64            `json:"backends_untold"` // answers without X-Backend
	Phases         []phaseResult     `json:"phases"`
	Caveat         string            `json:"caveat"`
}

// distribution is the summary of one timing, in seconds; all zero when nothing was measured.
type distribution struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
}

// connections is what the pool says.
type connections struct {
	Dialled   uint64  `json:"dialled"`
	Failed    uint64  `json:"failed"`
	Lent      uint64  `json:"lent"`
	Reused    uint64  `json:"reused"`
	ReuseRate float64 `json:"reuse_rate"`
}

type backendShare struct {
	Name    string  `json:"name"`
	Answers uint64  `json:"answers"`
	Share   float64 `json:"share"` // of the answers that told
}

// phaseResult is one phase of the run; a request belongs to the phase in which it ended.
type phaseResult struct {
	Name      string       `json:"name"`
	Duration  float64      `json:"duration_seconds"`
	Requests  uint64       `json:"requests"`
	Failed    uint64       `json:"failed"`
	PerSecond float64      `json:"requests_per_second"`
	Latency   distribution `json:"latency_seconds"`
}

// result sums the run up. No dial is under way any more: those that outlived the last request, and that stats does not
// know, are counted too, for the server has seen them.
func (g *generator) result(stats pool.Stats) *result {
	t := g.whole()
	connect := g.dialer.measured()
	elapsed := g.elapsed(t)
	r := &result{
		Target: g.o.target.url(), Method: g.o.method, LoadTest: g.o.loadTest, Clients: g.plan.clients, Reuse: g.reuse,
		Timeout: g.timeout.Seconds(), Ended: g.ended, Duration: elapsed.Seconds(),
		Requests: t.ended(), Succeeded: t.succeeded, Failed: t.failed(), Unfinished: t.unfinished,
		PerSecond: perSecond(t.ended(), elapsed), BodyBytes: t.body, BytesPerSecond: perSecond(t.body, elapsed),
		Latency: summary(t.latency), Connect: summary(connect),
		Connections: connections{connect.count(), stats.DialFailed, stats.Lends, stats.Reuses, stats.ReuseRate()},
		Status:      map[string]uint64{}, Errors: map[string]uint64{}, FirstErrors: map[string]string{},
		Backends: shares(t), BackendUntold: t.untold, Phases: []phaseResult{}, Caveat: caveat,
	}
	for code, n := range t.status {
		if n > 0 {
			r.Status[strconv.Itoa(code)] = n
		}
	}
	for why := range reason(numReasons) {
		r.Errors[why.String()] = t.errors[why]
		if t.first[why] != "" {
			r.FirstErrors[why.String()] = t.first[why]
		}
	}
	begin := time.Duration(0)
	for i := range g.phase + 1 {
		end := g.plan.phases[i].end
		if i == g.phase {
			end = max(elapsed, begin) // the last one ends with the run, which may have come early
		}
		part := g.parts[i]
		r.Phases = append(r.Phases, phaseResult{g.plan.phases[i].name, (end - begin).Seconds(), part.ended(), part.failed(),
			perSecond(part.ended(), end-begin), summary(part.latency)})
		begin = end
	}
	return r
}

// firstFailure is the first error of the first reason that has one.
func (r *result) firstFailure() string {
	for _, word := range reasonWords {
		if e := r.FirstErrors[word]; e != "" {
			return e
		}
	}
	return "no error was told"
}

func summary(t *timing) distribution {
	d := distribution{Count: t.count(), Max: t.max.Seconds(), Mean: t.mean().Seconds()}
	for _, p := range []struct {
		at float64
		to *float64
	}{{50, &d.P50}, {90, &d.P90}, {95, &d.P95}, {99, &d.P99}, {99.9, &d.P999}} {
		*p.to = t.at(p.at).Seconds()
	}
	return d
}

func shares(t *tally) []backendShare {
	total, all := uint64(0), []backendShare{}
	for _, name := range slices.Sorted(maps.Keys(t.backends)) {
		if n := *t.backends[name]; n > 0 {
			all = append(all, backendShare{Name: name, Answers: n})
			total += n
		}
	}
	for i := range all {
		all[i].Share = float64(all[i].Answers) / float64(total)
	}
	slices.SortStableFunc(all, func(a, b backendShare) int { return cmp.Compare(b.Answers, a.Answers) })
	return all
}

// perSecond is a rate; 0 where no time has passed.
func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func (r *result) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// seconds turns a JSON time back into a duration.
func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }
