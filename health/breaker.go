package health

import (
	"fmt"
	"math"
	"time"
)

// Breaker is a circuit breaker for each backend. The zero value is off.
//
// Closed, it counts the requests of a sliding window. When too many of them fail, or are slow, it opens: the backend is
// not available for OpenTime. Then it is half-open: the backend is available for so many requests as there are Probes,
// and for no more until these have ended. When all have succeeded it closes, and when one has not it opens again.
//
// A breaker knows nothing of the rest of the group, and no limit on ejections holds it back: that a backend which fails
// is asked less is the point. When all breakers are open no backend is available.
type Breaker struct {
	// ErrorPercent opens the breaker when so many of a hundred requests have failed: a 5xx answer, or none. 0 is off; else
	// from 1 to 100.
	ErrorPercent int
	// SlowPercent opens the breaker when so many of a hundred requests have been slow: their answer took SlowAfter or longer to
	// begin. 0 is off; else from 1 to 100.
	SlowPercent int
	// SlowAfter is the time from which a request is slow. It is needed with SlowPercent; positive.
	SlowAfter time.Duration
	// Window is for how long a request is counted, to a tenth of itself. Default 10 s (when 0 and something is on); at least
	// 10 ns.
	Window time.Duration
	// MinRequests is the least number of requests in the window with which the breaker opens. Default 20 (when 0); at least 1.
	MinRequests int
	// OpenTime is for how long the breaker stays open, and then for how long half-open it waits for its probes to end, before it
	// gives them up and admits as many again. Default 10 s (when 0); not negative.
	OpenTime time.Duration
	// Probes is how many requests half-open admits, all of which must succeed. Default 3 (when 0); at least 1.
	Probes int
}

func (c *Breaker) on() bool { return c.ErrorPercent > 0 || c.SlowPercent > 0 }

// fill fills in the defaults of what is on, and returns the first mistake.
func (c *Breaker) fill() error {
	switch {
	case c.ErrorPercent < 0 || c.ErrorPercent > 100:
		return fmt.Errorf("health: Breaker.ErrorPercent is %d; from 0 to 100", c.ErrorPercent)
	case c.SlowPercent < 0 || c.SlowPercent > 100:
		return fmt.Errorf("health: Breaker.SlowPercent is %d; from 0 to 100", c.SlowPercent)
	}
	if !c.on() {
		*c = Breaker{}
		return nil
	}
	orDefault(&c.Window, 10*time.Second)
	orDefault(&c.MinRequests, 20)
	orDefault(&c.OpenTime, 10*time.Second)
	orDefault(&c.Probes, 3)
	switch {
	case c.SlowPercent > 0 && c.SlowAfter <= 0:
		return fmt.Errorf("health: Breaker.SlowAfter is %v; SlowPercent needs a positive one", c.SlowAfter)
	case c.Window < slots:
		return fmt.Errorf("health: Breaker.Window is %v; at least %d ns", c.Window, slots)
	case c.MinRequests < 1:
		return fmt.Errorf("health: Breaker.MinRequests is %d; at least 1", c.MinRequests)
	case c.OpenTime < 0 || c.OpenTime > math.MaxInt64/4:
		return fmt.Errorf("health: Breaker.OpenTime is %v; it must be positive, and less than a lifetime", c.OpenTime)
	case c.Probes < 1:
		return fmt.Errorf("health: Breaker.Probes is %d; at least 1", c.Probes)
	}
	return nil
}

// Circuit is the state of a breaker. The list is closed.
type Circuit uint8

const (
	// Closed: requests pass, and are counted.
	Closed Circuit = iota
	// Open: no request passes.
	Open
	// HalfOpen: a few requests pass, on which it depends what is next.
	HalfOpen
)

// String returns the word for the state.
func (c Circuit) String() string {
	switch c {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	}
	return fmt.Sprintf("circuit(%d)", uint8(c))
}

// Probe says on behalf of which half-open phase of a breaker a request is made; 0 for one that is no probe.
type Probe uint32

// slots is the number of parts of a window.
const slots = 10

// tally counts requests.
type tally struct{ requests, failed, slow int }

func (t *tally) add(o tally, sign int) {
	t.requests += sign * o.requests
	t.failed += sign * o.failed
	t.slow += sign * o.slow
}

// circuit is the breaker of one backend.
//
// Invariants: blocked when Open, and when HalfOpen with admitted == Probes, and never else; until is set exactly while
// blocked; passed <= admitted <= Probes when HalfOpen; sum is the sum of parts.
type circuit struct {
	state   Circuit
	blocked bool
	until   time.Time // of the open time, or of the patience with probes
	since   time.Time // of the last opening

	parts  [slots]tally
	sum    tally
	newest int64 // the number of the part that is counted in now

	phase            Probe // of the last half-open phase
	admitted, passed int
	trips            int
}

// forget empties the window.
func (c *circuit) forget() { c.parts, c.sum = [slots]tally{}, tally{} }

// count adds one request to the window.
func (c *circuit) count(now time.Time, part time.Duration, one tally) {
	number := now.UnixNano() / int64(part)
	switch gone := number - c.newest; {
	case gone >= slots || gone <= -slots: // the parts may have become longer, and their numbers less
		c.forget()
		c.newest = number
	case gone > 0:
		for ; c.newest < number; c.newest++ {
			old := c.part(c.newest + 1)
			c.sum.add(*old, -1)
			*old = tally{}
		}
	}
	c.part(c.newest).add(one, 1)
	c.sum.add(one, 1)
}

// part is where the part of that number is counted. Instants before 1970 have negative ones.
func (c *circuit) part(number int64) *tally { return &c.parts[(number%slots+slots)%slots] }

// tripped says whether the window is reason to open, and in which words.
func (c *circuit) tripped(cfg *Breaker) (detail string, yes bool) {
	n := c.sum.requests
	switch {
	case n < cfg.MinRequests:
		return "", false
	case cfg.ErrorPercent > 0 && c.sum.failed*100 >= cfg.ErrorPercent*n:
		return fmt.Sprintf("%d of %d failed", c.sum.failed, n), true
	case cfg.SlowPercent > 0 && c.sum.slow*100 >= cfg.SlowPercent*n:
		return fmt.Sprintf("%d of %d were slow", c.sum.slow, n), true
	}
	return "", false
}

// Breaking reports whether requests have to be brought to Admit.
func (g *Group) Breaking() bool { return g.cfg.Breaker.on() }

// Probes reports whether a request that went to backend i now would be a probe.
func (g *Group) Probes(i int) bool {
	c := g.at(i, "Probes").circuit
	return c != nil && c.state == HalfOpen && !c.blocked
}

// Admit says that a request goes to backend i, which is available. Half-open it is a probe, whose end is brought to
// ObserveRequest, or to Forgo when it came to nothing. It returns a Change, and true, when no more probes are admitted now.
func (g *Group) Admit(now time.Time, i int) (p Probe, ch Change, changed bool) {
	b := g.at(i, "Admit")
	c := b.circuit
	if !g.Probes(i) {
		return 0, Change{}, false
	}
	was := b.available()
	if c.admitted++; c.admitted < g.cfg.Breaker.Probes {
		return c.phase, Change{}, false
	}
	g.block(c, now)
	if !was {
		return c.phase, Change{}, false
	}
	return c.phase, g.left(now, i, BreakerProbing, fmt.Sprintf("%d of %d", c.admitted, c.admitted)), true
}

// Forgo says that a probe has ended without an outcome: its client has left, or it was never sent. It returns a Change, and
// true, when another one is admitted for it.
func (g *Group) Forgo(now time.Time, i int, p Probe) (Change, bool) {
	b := g.at(i, "Forgo")
	c := b.circuit
	if p == 0 || c == nil || c.state != HalfOpen || p != c.phase {
		return Change{}, false
	}
	c.admitted--
	if !c.blocked {
		return Change{}, false
	}
	g.unblock(c)
	return g.back(now, i, BreakerHalfOpen, "a probe came to nothing")
}

// GaveUp says that the client of a request has left before the answer had begun, after so long. Where that makes a slow request it is
// counted as one: impatient clients must not hide a backend that hangs. Otherwise it says nothing of the backend, and is Forgo.
func (g *Group) GaveUp(now time.Time, i int, waited time.Duration, p Probe) (Change, bool) {
	g.at(i, "GaveUp")
	if c := &g.cfg.Breaker; c.SlowPercent > 0 && waited >= c.SlowAfter {
		return g.trial(now, i, Success, waited, p)
	}
	return g.Forgo(now, i, p)
}

// nextPhase numbers the half-open phases of all breakers: a probe may outlive the breaker that has admitted it.
func (g *Group) nextPhase() Probe {
	if g.phase++; g.phase == 0 {
		g.phase++
	}
	return g.phase
}

// block and unblock keep count of the circuits that Tick has to look at.
func (g *Group) block(c *circuit, now time.Time) {
	if !c.blocked {
		g.blocked++
	}
	c.blocked, c.until = true, now.Add(g.cfg.Breaker.OpenTime)
	g.rearm = true
}

func (g *Group) unblock(c *circuit) {
	if c.blocked {
		g.blocked--
		g.rearm = true
	}
	c.blocked, c.until = false, time.Time{}
}

// trial brings the end of a request to the breaker of backend i. It returns a Change, and true, when that has made the
// backend available or unavailable.
func (g *Group) trial(now time.Time, i int, s Signal, took time.Duration, p Probe) (Change, bool) {
	b, cfg := &g.backends[i], &g.cfg.Breaker
	if b.circuit == nil {
		b.circuit = &circuit{}
	}
	c := b.circuit
	one := tally{requests: 1}
	if s != Success {
		one.failed = 1
	}
	if cfg.SlowPercent > 0 && took >= cfg.SlowAfter {
		one.slow = 1
	}
	switch c.state {
	case Closed:
		if !b.available() {
			return Change{}, false
		}
		c.count(now, cfg.Window/slots, one)
		if detail, yes := c.tripped(cfg); yes {
			return g.open(now, i, detail)
		}
	case HalfOpen:
		bad := cfg.ErrorPercent > 0 && one.failed > 0 || one.slow > 0
		switch {
		case p != c.phase && !(s == ConnectFailed && bad): // it was begun before; but a dial fails now
		case bad:
			return g.open(now, i, "a probe failed")
		default:
			if c.passed++; c.passed == cfg.Probes { // all of them were admitted, so that it was blocked
				c.state = Closed
				g.unblock(c)
				return g.back(now, i, BreakerClosed, ofThreshold(cfg.Probes))
			}
		}
	}
	return Change{}, false
}

// open opens the breaker of backend i.
func (g *Group) open(now time.Time, i int, detail string) (Change, bool) {
	b := &g.backends[i]
	c := b.circuit
	was := b.available()
	c.state, c.since = Open, now
	c.trips++
	c.forget()
	g.block(c, now)
	if !was {
		return Change{}, false
	}
	return g.left(now, i, BreakerOpen, detail), true
}

// tickBreakers lets breakers half open whose time is over, and gives up the probes that take too long.
func (g *Group) tickBreakers(now time.Time, changes []Change) []Change {
	for i := range g.backends {
		if g.blocked == 0 {
			break
		}
		c := g.backends[i].circuit
		if c == nil || !c.blocked || c.until.After(now) {
			continue
		}
		detail := "after " + now.Sub(c.since).Round(time.Millisecond).String()
		if c.state == HalfOpen {
			detail = "its probes did not end"
		}
		c.state, c.admitted, c.passed = HalfOpen, 0, 0
		c.phase = g.nextPhase()
		g.unblock(c)
		if ch, ok := g.back(now, i, BreakerHalfOpen, detail); ok {
			changes = append(changes, ch)
		}
	}
	return changes
}

// resetBreakers empties the windows, and has nobody wait for longer than the open time is now; where breakers are switched off, whom they kept out comes back.
func (g *Group) resetBreakers(now time.Time, changes []Change) []Change {
	for i := range g.backends {
		b := &g.backends[i]
		if b.circuit == nil {
			continue
		}
		c, r, detail := b.circuit, BreakerClosed, "breakers were switched off"
		c.forget()
		switch {
		case !g.cfg.Breaker.on():
			b.circuit = nil
		case c.state == HalfOpen: // there may be more probes under way than are admitted now: the phase begins again
			r, detail = BreakerHalfOpen, "the settings were changed"
			c.admitted, c.passed = 0, 0
			c.phase = g.nextPhase()
		default:
			if latest := now.Add(g.cfg.Breaker.OpenTime); c.blocked && c.until.After(latest) {
				c.until, g.rearm = latest, true
			}
			continue
		}
		if !c.blocked {
			continue
		}
		g.unblock(c)
		if ch, ok := g.back(now, i, r, detail); ok {
			changes = append(changes, ch)
		}
	}
	return changes
}
