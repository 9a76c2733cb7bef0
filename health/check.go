package health

import (
	"strconv"
	"time"
)

// check is the verdict of the active checks on one backend.
//
// Invariants: down => 0 <= passed < Rise and failed == 0; not down => 0 <= failed < Fall and passed == 0.
type check struct {
	down   bool
	passed int
	failed int
	since  time.Time // of the last turn to down
}

// Check brings the result of one active check of backend i. It returns a Change, and true, when that result
// has made the backend available or unavailable. Config.Fall failures in a row turn a backend down,
// Config.Rise passes in a row turn it up; a result of the other kind starts the count again.
//
// A backend that comes up by its checks while an ejection is running stays out until the ejection ends, and
// the Change is then that of the ejection's end.
func (g *Group) Check(now time.Time, i int, ok bool) (Change, bool) {
	b := g.at(i, "Check")
	if !g.cfg.Active {
		return Change{}, false
	}
	if b.check.down == !ok { // nothing new: up and passed, or down and failed
		b.check.passed, b.check.failed = 0, 0
		return Change{}, false
	}
	if ok {
		return g.checkPassed(now, i)
	}
	return g.checkFailed(now, i)
}

func (g *Group) checkPassed(now time.Time, i int) (Change, bool) {
	c := &g.backends[i].check
	c.passed++
	if c.passed < g.cfg.Rise {
		return Change{}, false
	}
	c.down, c.passed = false, 0
	return g.back(now, i, CheckPassed, ofThreshold(g.cfg.Rise))
}

func (g *Group) checkFailed(now time.Time, i int) (Change, bool) {
	b := &g.backends[i]
	c := &b.check
	c.failed++
	if c.failed < g.cfg.Fall {
		return Change{}, false
	}
	was := b.available()
	c.down, c.failed, c.since = true, 0, now
	if !was {
		return Change{}, false
	}
	return g.left(now, i, CheckFailed, ofThreshold(g.cfg.Fall)), true
}

// ofThreshold tells people that a count has reached its threshold.
func ofThreshold(n int) string {
	s := strconv.Itoa(n)
	return s + " of " + s
}
