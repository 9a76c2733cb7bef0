package scenario

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// tally is what the proxy has counted up to an instant, or between two of them.
type tally struct {
	attempts, retries, repeated, waits uint64
	dials, dialFailures, lends, reuses uint64
	wait                               pool.HistogramSnapshot
	backends                           []backendTally
}

// backendTally counts the attempts that one backend of an upstream has answered, with whatever status.
type backendTally struct {
	upstream, address string
	weight            int
	answered          uint64
}

// tallyOf reads the proxy's counters.
func tallyOf(st *proxy.Stats) tally {
	t := tally{repeated: st.Repeated}
	t.addUpstream(&st.Retired)
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		t.addUpstream(u)
		for j := range u.Backends {
			b := &u.Backends[j]
			t.addPool(&b.Pool)
			t.backends = append(t.backends, backendTally{u.Name, b.Address, b.Weight,
				b.Outcomes[upstream.OutcomeAnswered] + b.Outcomes[upstream.OutcomeAnswered5xx] + b.Outcomes[upstream.OutcomeGatewayError]})
		}
	}
	return t
}

// addUpstream adds what an upstream has counted, and the pools of the backends that have left it.
func (t *tally) addUpstream(u *upstream.Stats) {
	t.attempts += u.Begun
	t.retries += u.Retries
	t.waits += u.Waits
	t.wait.Add(&u.Wait)
	t.addPool(&u.Removed.Pool)
}

func (t *tally) addPool(p *pool.Stats) {
	t.dials += p.Begun
	t.dialFailures += p.DialFailed
	t.lends += p.Lends
	t.reuses += p.Reuses
}

// queueWait is what the share q of those who left the queue waited at most, in seconds; 0 where nobody did.
func (t *tally) queueWait(q float64) float64 { return t.wait.Quantile(q).Seconds() }

// find is the tally of one backend; the zero value where there is none.
func (t *tally) find(b *backendTally) (out backendTally) {
	i := slices.IndexFunc(t.backends, func(x backendTally) bool { return x.upstream == b.upstream && x.address == b.address })
	if i >= 0 {
		out = t.backends[i]
	}
	return out
}

// add adds what was counted between two instants; the backends and their weights are those of the later one.
func (t *tally) add(from, to *tally) {
	t.attempts += to.attempts - from.attempts
	t.retries += to.retries - from.retries
	t.repeated += to.repeated - from.repeated
	t.waits += to.waits - from.waits
	t.wait.Add(&to.wait)
	t.wait.Sub(&from.wait)
	t.dials += to.dials - from.dials
	t.dialFailures += to.dialFailures - from.dialFailures
	t.lends += to.lends - from.lends
	t.reuses += to.reuses - from.reuses
	sum := slices.Clone(to.backends)
	for i := range sum {
		b := &sum[i]
		b.answered += t.find(b).answered
		b.answered -= min(b.answered, from.find(b).answered) // one that went and came back counts anew
	}
	t.backends = sum
}

// loadSpread is by how much the share of the answers that a backend gave is off its fair share, which is that of its weight
// in its upstream: the greatest such difference of all backends, as a share of the fair share; and in words whose it is.
// An upstream with one backend has none, and neither has one that answered nothing.
func (t *tally) loadSpread() (spread float64, whose string) {
	spread = math.NaN()
	for from := 0; from < len(t.backends); {
		to, weights, answered := from, 0, uint64(0)
		for to < len(t.backends) && t.backends[to].upstream == t.backends[from].upstream {
			weights, answered = weights+t.backends[to].weight, answered+t.backends[to].answered
			to++
		}
		group := t.backends[from:to]
		from = to
		if len(group) < 2 || answered == 0 {
			continue
		}
		for i := range group {
			if group[i].weight <= 0 {
				continue // it shall get nothing
			}
			got, fair := float64(group[i].answered)/float64(answered), float64(group[i].weight)/float64(weights)
			if x := math.Abs(got/fair - 1); math.IsNaN(spread) || x > spread {
				spread = x
				whose = fmt.Sprintf("%s/%s gave %s of the answers of its upstream; its fair share is %s", group[i].upstream,
					group[i].address, share.format(got), share.format(fair))
			}
		}
	}
	return spread, whose
}

// The pools are looked at ten times a second on average, and in a long run about ten thousand times in all.
const (
	minLook  = 100 * time.Millisecond
	maxLooks = 10_000
)

// sample is one look at the pools.
type sample struct {
	at   time.Duration
	peak float64 // the greatest lent / max_connections of any pool
	all  float64 // the lent connections of all pools / all max_connections
}

func sampleOf(at time.Duration, st *proxy.Stats) sample {
	s := sample{at: at}
	lent, limit := 0, 0
	for i := range st.Upstreams {
		for j := range st.Upstreams[i].Backends {
			p := &st.Upstreams[i].Backends[j].Pool
			s.peak = max(s.peak, p.Utilization())
			lent, limit = lent+p.Lent, limit+p.Limit
		}
	}
	if limit > 0 {
		s.all = float64(lent) / float64(limit)
	}
	return s
}

// marks keeps the proxy's counters at the instants at which windows begin and end. Run.mu guards it.
type marks struct {
	edges []time.Duration // in order
	at    []tally         // of those that are over
}

// edgesOf lists the instants at which the expectations' windows begin and end.
func edgesOf(sc *Scenario) []time.Duration {
	var out []time.Duration
	for _, e := range sc.Expect {
		if e.Window.Kind == "" {
			continue
		}
		spans, _ := e.Window.spans(sc.Faults, sc.Duration) // one that has none is refused when the file is read
		for _, s := range spans {
			out = append(out, s.from, s.to)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// look keeps the counters if an edge has come since the last look.
func (m *marks) look(now time.Duration, st *proxy.Stats) {
	for len(m.at) < len(m.edges) && m.edges[len(m.at)] <= now {
		m.at = append(m.at, tallyOf(st))
	}
}

// between is what was counted in the spans of a window; end are the counters after the last request.
func (m *marks) between(spans []span, total time.Duration, end *tally) tally {
	mark := func(at time.Duration) *tally {
		i := slices.Index(m.edges, at)
		switch {
		case at == 0:
			return &tally{}
		case at >= total || i < 0 || i >= len(m.at):
			return end
		}
		return &m.at[i]
	}
	var sum tally
	for _, s := range spans {
		sum.add(mark(s.from), mark(s.to))
	}
	return sum
}
