package main

import "time"

// plan says who runs when, in times since the start.
type plan struct {
	clients  int
	requests int           // of each client; 0: no limit
	end      time.Duration // of the whole run; 0: when the requests are done
	phases   []phase       // in order, without gaps
	rampUp   time.Duration
	rampDown time.Duration
}

// phase is a part of the run that the report tells apart.
type phase struct {
	name string
	end  time.Duration // 0: with the run
}

// span is the time of one client; no end means that of the run.
type span struct{ from, to time.Duration }

// newPlan makes the plan of the flags.
func newPlan(o *options) plan {
	if o.loadTest {
		p := plan{clients: o.maxClients, rampUp: o.rampUp, rampDown: o.rampDown, end: o.rampUp + o.hold + o.rampDown}
		end := time.Duration(0)
		for _, part := range []struct {
			name string
			time time.Duration
		}{{"ramp-up", o.rampUp}, {"test", o.hold}, {"ramp-down", o.rampDown}} {
			if part.time > 0 {
				end += part.time
				p.phases = append(p.phases, phase{part.name, end})
			}
		}
		return p
	}
	// One limit alone holds alone; both, or the defaults of both, end the run with whichever comes first.
	p := plan{clients: o.clients, requests: o.requests, end: o.duration}
	if o.set["requests"] && !o.set["duration"] {
		p.end = 0
	}
	if o.set["duration"] && !o.set["requests"] {
		p.requests = 0
	}
	p.phases = []phase{{"load", p.end}}
	return p
}

// span is the time of client i: they come one by one in equal steps, and the last to come is the first to go.
func (p *plan) span(i int) span {
	if p.end == 0 {
		return span{}
	}
	return span{
		from: step(p.rampUp, i, p.clients),
		to:   p.end - p.rampDown + step(p.rampDown, p.clients-i, p.clients),
	}
}

// step is i of n parts of d, without overflow for any d of a flag's size.
func step(d time.Duration, i, n int) time.Duration {
	return time.Duration(float64(d) * float64(i) / float64(n))
}
