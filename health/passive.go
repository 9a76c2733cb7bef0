package health

import "time"

// passive is the verdict of real traffic on one backend.
//
// Invariants: until is zero exactly when the backend is not ejected; 0 <= answers5xx <= Consecutive5xx and
// 0 <= failures <= ConsecutiveFailures, where these are on.
type passive struct {
	answers5xx int
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

func (p *passive) forget() { p.answers5xx, p.failures = 0, 0 }

// Observe brings what one real request has to say about backend i. It returns a Change, and true, when that
// has ejected the backend. Evidence about a backend that is out is ignored.
//
// When the evidence is complete but the limit on ejections is reached, the backend stays, the refusal is
// counted once, and the next piece of evidence of that kind asks again.
func (g *Group) Observe(now time.Time, i int, s Signal) (Change, bool) {
	b := g.at(i, "Observe")
	p := &b.passive
	if s == Success {
		p.forget()
		return Change{}, false
	}
	if !b.available() {
		return Change{}, false
	}
	if s == Response5xx {
		p.failures = 0 // a 5xx is an answer
		return g.count(now, i, &p.answers5xx, g.cfg.Passive.Consecutive5xx, Consecutive5xx)
	}
	return g.count(now, i, &p.failures, g.cfg.Passive.ConsecutiveFailures, ConsecutiveFailures)
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
	if g.ejected >= g.limit {
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
	g.ejected++
	c := g.left(now, i, r, detail)
	c.Until = p.until
	return c
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

// Tick ends the ejections that are over by now. It returns the backends that this has made available, in
// order of their index, or nil. One that is down by its checks is not among them: it comes back by its
// checks. An ejection lasts until Tick says otherwise, however late that is.
func (g *Group) Tick(now time.Time) []Change {
	var changes []Change
	for i := range g.backends {
		if g.ejected == 0 {
			break
		}
		p := &g.backends[i].passive
		if !p.out() || p.until.After(now) {
			continue
		}
		p.until, p.endedAt = time.Time{}, now
		g.ejected--
		lasted := now.Sub(p.since).Round(time.Millisecond)
		if c, ok := g.back(now, i, EjectionOver, "after "+lasted.String()); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// Next returns the instant at which Tick is next needed, and whether it is needed at all. The instant changes
// only when a call has returned an ejection or Tick was called.
func (g *Group) Next() (time.Time, bool) {
	var next time.Time
	if g.ejected == 0 {
		return next, false
	}
	for i := range g.backends {
		p := &g.backends[i].passive
		if p.out() && (next.IsZero() || p.until.Before(next)) {
			next = p.until
		}
	}
	return next, true
}
