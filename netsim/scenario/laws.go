package scenario

import (
	"fmt"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// law is one conservation law that did not hold.
type law struct{ what, numbers string }

// brokenLaws checks every conservation law on one snapshot of the proxy. It is taken at an instant at which
// every other goroutine waits, so the numbers belong together. At the end nothing may be under way.
func brokenLaws(st *proxy.Stats, end bool) []law {
	var out []law
	if st.InFlight < 0 || st.InFlight > st.Open || end && st.InFlight != 0 {
		out = append(out, law{"requests in = in flight + answered + failed", fmt.Sprintf("%d = %d + %d + %d, %d connections open",
			st.Requests, st.InFlight, st.Answered, st.FailedTotal(), st.Open)})
	}
	for i := range st.Upstreams {
		out = append(out, upstreamLaws(&st.Upstreams[i], end)...)
	}
	if st.Retired.Begun > 0 {
		retired := st.Retired
		retired.Name = "retired upstreams"
		out = append(out, upstreamLaws(&retired, end)...)
	}
	return out
}

func upstreamLaws(u *upstream.Stats, end bool) []law {
	var out []law
	ended := uint64(0)
	for i := range u.Backends {
		b := &u.Backends[i]
		ended += b.Ended()
		out = append(out, poolLaws(u.Name+"/"+b.Address, &b.Pool)...)
		if b.InFlight < 0 || end && b.InFlight != 0 {
			out = append(out, law{u.Name + "/" + b.Address + ": in-flight counts come back to 0", fmt.Sprint(b.InFlight)})
		}
	}
	for _, n := range u.Removed.Outcomes {
		ended += n
	}
	out = append(out, poolLaws(u.Name+"/removed", &u.Removed.Pool)...)
	if u.Begun != uint64(u.InFlight)+ended || end && u.InFlight != 0 {
		out = append(out, law{u.Name + ": attempts begun = in flight + ended",
			fmt.Sprintf("%d = %d + %d", u.Begun, u.InFlight, ended)})
	}
	if end && u.Waiting != 0 {
		out = append(out, law{u.Name + ": the queue is empty at the end", fmt.Sprint(u.Waiting)})
	}
	return out
}

func poolLaws(name string, p *pool.Stats) []law {
	var out []law
	if p.Begun != uint64(p.Dialling)+p.Dialled+p.DialFailed {
		out = append(out, law{name + ": dials begun = dialling + dialled + failed",
			fmt.Sprintf("%d = %d + %d + %d", p.Begun, p.Dialling, p.Dialled, p.DialFailed)})
	}
	if retired := p.RetiredTotal(); p.Dialled != uint64(p.Idle)+uint64(p.Lent)+retired {
		out = append(out, law{name + ": dialled = idle + lent + retired",
			fmt.Sprintf("%d = %d + %d + %d", p.Dialled, p.Idle, p.Lent, retired)})
	}
	if open := p.Dialling + p.Idle + p.Lent; open > p.Ceiling {
		out = append(out, law{name + ": connections <= max_connections", fmt.Sprintf("%d <= %d", open, p.Ceiling)})
	}
	return out
}

// held is how many connections the proxy still has.
func held(st *proxy.Stats) int {
	n := int(st.Open)
	for i := range st.Upstreams {
		for j := range st.Upstreams[i].Backends {
			p := &st.Upstreams[i].Backends[j].Pool
			n += p.Dialling + p.Idle + p.Lent
		}
	}
	return n
}
