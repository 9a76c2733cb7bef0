package scenario

import (
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// Series is what a run did over time, in equal steps from its beginning. All slices have one value for each step.
type Series struct {
	// Step is the length of one step. There are as many as fill the scenario's time, and some more when answers came later.
	Step time.Duration
	// Answered counts the requests that were answered well, by the step of their end.
	Answered []int
	// Failed counts the failed requests of each reason, by the step of their end.
	Failed map[string][]int
	// P50 and P99 are quantiles of the answered requests' durations in seconds, and Longest is the longest; NaN in a step without
	// any.
	P50, P99, Longest []float64
	// Backends are in the order of the configuration, group by group.
	Backends []BackendSeries
}

// BackendSeries is one backend over time, looked at once in each second; a step shows its first look.
type BackendSeries struct {
	// Name is group/address.
	Name string
	// Idle, Lent and Dialling count the pool's connections.
	Idle, Lent, Dialling []int
	// Begun counts the attempts that had begun there up to the look, those that waited for a dial included.
	Begun []int
	// Health is whether the backend may be chosen: up, down, ejected, broken or drained, which one that is not there is too.
	Health []health.Status

	seen int // one more than the last step that was looked at
}

// maxSteps bounds the series of a scenario's time: what a picture can show.
const maxSteps = 300

// stepOf is the least whole number of seconds of which no more than maxSteps fill the duration.
func stepOf(duration time.Duration) time.Duration {
	seconds := (duration + time.Second - 1) / time.Second
	return max((seconds+maxSteps-1)/maxSteps, 1) * time.Second
}

// recording collects a series while a run goes on. Run.mu guards it.
type recording struct {
	step      time.Duration
	answered  []int
	failed    map[string][]int
	latencies [][]time.Duration
	backends  []BackendSeries
	looks     int
}

func newRecording(duration time.Duration) *recording {
	r := &recording{step: stepOf(duration), failed: make(map[string][]int)}
	r.grow(int((duration + r.step - 1) / r.step))
	return r
}

// grow makes room for so many steps.
func (r *recording) grow(n int) {
	for len(r.answered) < n {
		r.answered, r.latencies = append(r.answered, 0), append(r.latencies, nil)
	}
}

// at is the step of an instant. The last answers come after the scenario's time, in steps of their own; what ends later still
// counts in the last of those.
func (r *recording) at(now time.Duration) int {
	i := min(int(now/r.step), 2*maxSteps-1)
	r.grow(i + 1)
	return i
}

// ended takes in the end of a request.
func (r *recording) ended(now, took time.Duration, failure string) {
	i := r.at(now)
	if failure == "" {
		r.answered[i]++
		r.latencies[i] = append(r.latencies[i], took)
		return
	}
	for len(r.failed[failure]) <= i {
		r.failed[failure] = append(r.failed[failure], 0)
	}
	r.failed[failure][i]++
}

// looked takes in one look at the proxy.
func (r *recording) looked(now time.Duration, st *proxy.Stats) {
	step := r.at(now)
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		for j := range u.Backends {
			b := &u.Backends[j]
			s := r.seriesOf(u.Name + "/" + b.Address)
			if len(s.Idle) == 0 && r.looks == 0 { // the first look stands for the step before it too
				s.away(step)
				for k := range s.Health {
					s.see(k, b)
				}
			}
			s.away(step + 1)
			if s.seen != step+1 { // a step shows its first look
				s.see(step, b)
			}
		}
	}
	for i := range r.backends {
		s := &r.backends[i]
		s.away(step + 1) // those that are not there any more
		s.seen = step + 1
	}
	r.looks++
}

// seriesOf is the series of that name. Backends come and go, and the order is that of their first look.
func (r *recording) seriesOf(name string) *BackendSeries {
	for i := range r.backends {
		if r.backends[i].Name == name {
			return &r.backends[i]
		}
	}
	r.backends = append(r.backends, BackendSeries{Name: name})
	return &r.backends[len(r.backends)-1]
}

// away makes the series n steps long: the backend is not there in those that are new.
func (s *BackendSeries) away(n int) {
	for len(s.Idle) < n {
		s.Idle, s.Lent, s.Dialling = append(s.Idle, 0), append(s.Lent, 0), append(s.Dialling, 0)
		s.Health, s.Begun = append(s.Health, health.Drained), append(s.Begun, 0)
	}
}

// see adds one look at a backend. Of two with one address the former is leaving, and the health is the other's.
func (s *BackendSeries) see(step int, b *upstream.BackendStats) {
	p := &b.Pool
	s.Idle[step], s.Lent[step] = s.Idle[step]+p.Idle, s.Lent[step]+p.Lent
	s.Dialling[step] += p.Dialling
	s.Begun[step] += int(b.Ended()) + b.InFlight
	if !b.Leaving {
		s.Health[step] = b.Health.Status
	}
}

// series is what was collected.
func (r *recording) series() *Series {
	s := &Series{Step: r.step, Answered: r.answered, Failed: r.failed, Backends: r.backends}
	for i := range s.Backends {
		s.Backends[i].fill(len(r.answered))
	}
	for reason, counts := range s.Failed {
		s.Failed[reason] = append(counts, make([]int, len(r.answered)-len(counts))...)
	}
	for _, l := range r.latencies {
		slices.Sort(l)
		o := outcome{latencies: l}
		s.P50, s.P99, s.Longest = append(s.P50, o.quantile(0.5)), append(s.P99, o.quantile(0.99)), append(s.Longest, o.quantile(1))
	}
	return s
}

// fill gives a step that nobody looked at, the last one mostly, the look before it.
func (s *BackendSeries) fill(n int) {
	for len(s.Idle) > 0 && len(s.Idle) < n {
		last := len(s.Idle) - 1
		s.Idle, s.Lent = append(s.Idle, s.Idle[last]), append(s.Lent, s.Lent[last])
		s.Dialling, s.Health = append(s.Dialling, s.Dialling[last]), append(s.Health, s.Health[last])
		s.Begun = append(s.Begun, s.Begun[last])
	}
}

// failedIn counts the failures of one step.
func (s *Series) failedIn(step int) (n int) {
	for _, counts := range s.Failed {
		n += counts[step]
	}
	return n
}
