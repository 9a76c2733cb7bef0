package health

import "time"

// passive is the verdict of real traffic on one backend.
//
// Invariants: until is zero exactly when the backend is not ejected; 0 <= answers5xx <= Consecutive5xx,
// 0 <= gateway <= ConsecutiveGatewayErrors and 0 <= failures <= ConsecutiveFailures, where these are on, or else 0.
type passive struct {
	answers5xx int
	gateway    int // of these, answers of 502, 503 and 504 in a row
	failures   int

	until  time.Time // end of the running ejection
	since  time.Time // its beginning
	reason Reason    // its reason
	// vouched counts the checks passed in a row since the ejection began; see Group.vouch.
	vouched int

	ejections int       // which one in close succession the last ejection was; see succession
	endedAt   time.Time // end of the last ejection, from which remembered ones are forgotten
	total     int
	refused   int
}

func (p *passive) out() bool { return !p.until.IsZero() }

func (p *passive) forget() { p.answers5xx, p.gateway, p.failures = 0, 0, 0 }

// Observe brings what one real request has to say about backend i. It returns a Change, and true, when that
// has ejected the backend. Evidence about a backend that is out is ignored. It is ObserveRequest of a request that took no
// time, such as a connection that could not be made.
func (g *Group) Observe(now time.Time, i int, s Signal) (Change, bool) {
	return g.ObserveRequest(now, i, s, 0, 0)
}

// ObserveRequest brings the end of one real request to backend i: what it has to say, what its answer took to begin (0
// where that is not known, or says nothing about the backend), and whether it was a probe of the breaker's. It returns a
// Change, and true, when that has made the backend available or unavailable. Evidence about a backend that is out is
// ignored, but for that of probes.
//
// When the evidence is complete but the limit on ejections is reached, the backend stays, the refusal is
// counted once, and the next piece of evidence of that kind asks again.
func (g *Group) ObserveRequest(now time.Time, i int, s Signal, took time.Duration, probe Probe) (Change, bool) {
	b := g.at(i, "Observe")
	p := &b.passive
	b.refused = s == ConnectFailed
	if !g.sweepAt.IsZero() && b.available() {
		b.window.note(s, took)
	}
	if g.cfg.Breaker.on() {
		if c, changed := g.trial(now, i, s, took, probe); changed {
			return c, true
		}
	}
	if s == Success {
		p.forget()
		return Change{}, false
	}
	if !b.available() || b.reserve {
		return Change{}, false
	}
	if s == Response5xx || s == ResponseGateway {
		p.failures = 0 // a 5xx is an answer
		return g.count5xx(now, i, s)
	}
	return g.count(now, i, &p.failures, g.cfg.Passive.ConsecutiveFailures, ConsecutiveFailures)
}

// count5xx adds an answer to the streaks of those.
func (g *Group) count5xx(now time.Time, i int, s Signal) (Change, bool) {
	p := &g.backends[i].passive
	if s == ResponseGateway {
		if c, ejected := g.count(now, i, &p.gateway, g.cfg.Passive.ConsecutiveGatewayErrors, ConsecutiveGatewayErrors); ejected {
			return c, true
		}
	} else {
		p.gateway = 0
	}
	return g.count(now, i, &p.answers5xx, g.cfg.Passive.Consecutive5xx, Consecutive5xx)
}

// count adds one to a streak of bad signs and ejects the backend when the streak has reached its threshold.
func (g *Group) count(now time.Time, i int, streak *int, threshold int, r Reason) (Change, bool) {
	if threshold < 0 {
		return Change{}, false
	}
	grown := *streak < threshold
	if grown {
		*streak++
	}
	if *streak < threshold {
		return Change{}, false
	}
	if g.used.ejected >= g.limit {
		if grown {
			g.backends[i].passive.refused++
		}
		return Change{}, false
	}
	return g.eject(now, i, r, ofThreshold(threshold)), true
}

// eject begins an ejection of a backend that is available.
func (g *Group) eject(now time.Time, i int, r Reason, detail string) Change {
	cfg, p := &g.cfg.Passive, &g.backends[i].passive
	p.ejections = g.succession(now, p)
	length := cfg.MaxEjectionTime
	// The division keeps the product from overflowing, however many ejections there were.
	if int64(p.ejections) <= int64(cfg.MaxEjectionTime/cfg.BaseEjectionTime) {
		length = cfg.BaseEjectionTime * time.Duration(p.ejections)
	}
	if cfg.EjectionJitter > 0 {
		length += time.Duration(g.rnd.Float64() * cfg.EjectionJitter * float64(length))
	}
	p.since, p.until, p.reason, p.vouched = now, now.Add(length), r, 0
	p.total++
	p.forget()
	g.used.ejected++ // one of the reserve is never ejected
	c := g.left(now, i, r, detail)
	c.Until = p.until
	return c
}

// endEjection ends the ejection of a backend. Whether it is available then is another matter: see back.
func (g *Group) endEjection(now time.Time, b *backend) {
	b.passive.until, b.passive.endedAt = time.Time{}, now
	g.shareOf(b).ejected--
}

// succession returns which one in close succession an ejection is that begins at that instant. One earlier ejection
// is forgotten for each BaseEjectionTime since the last one ended. There is no counting beyond what already gives
// the longest ejection: it would only take longer to forget.
func (g *Group) succession(now time.Time, p *passive) int {
	cfg := &g.cfg.Passive
	enough := int64((cfg.MaxEjectionTime + cfg.BaseEjectionTime - 1) / cfg.BaseEjectionTime)
	forgotten := int64(max(0, now.Sub(p.endedAt)) / cfg.BaseEjectionTime)
	remembered := max(0, int64(p.ejections)-forgotten)
	return int(min(remembered, enough-1) + 1)
}

// Tick does what is due by now: it ends the ejections that are over, lets breakers half open, and compares the backends
// with each other (Outliers). It returns the backends that this has made available or unavailable, or nil: of the first
// kind, in order of their index, then of the second, and then of the third, which are those ejected. One that is down by
// its checks does not come back by Tick. An ejection lasts until Tick says otherwise, however late that is.
func (g *Group) Tick(now time.Time) []Change {
	changes := g.tickBreakers(now, g.tickEjections(now))
	if !g.sweepAt.IsZero() && !g.sweepAt.After(now) {
		changes = append(changes, g.sweep(now)...)
	}
	return changes
}

func (g *Group) tickEjections(now time.Time) []Change {
	var changes []Change
	for i := range g.backends {
		if g.used.ejected+g.reserve.ejected == 0 {
			break
		}
		p := &g.backends[i].passive
		if !p.out() || p.until.After(now) {
			continue
		}
		g.endEjection(now, &g.backends[i])
		lasted := now.Sub(p.since).Round(time.Millisecond)
		if c, ok := g.back(now, i, EjectionOver, "after "+lasted.String()); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// Next returns the instant at which Tick is next needed, and whether it is needed at all. The instant changes
// only when a call has returned a Change, when Tick, Start or Reconfigure was called, or when Rearm says so.
func (g *Group) Next() (time.Time, bool) {
	next := g.sweepAt
	if g.used.ejected+g.reserve.ejected+g.blocked == 0 {
		return next, !next.IsZero()
	}
	for i := range g.backends {
		b := &g.backends[i]
		if p := &b.passive; p.out() && (next.IsZero() || p.until.Before(next)) {
			next = p.until
		}
		if c := b.circuit; c != nil && c.blocked && (next.IsZero() || c.until.Before(next)) {
			next = c.until
		}
	}
	return next, true
}

// Rearm reports whether a breaker has changed Next since it was last asked. There may have been no Change that told so: a
// breaker that opens again while it admits nothing leaves the backend as unavailable as it was.
func (g *Group) Rearm() bool {
	if !g.rearm {
		return false
	}
	g.rearm = false
	return true
}
