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
// Checks that pass also end an ejection, early, if it was for ConsecutiveFailures: the backend could not be
// reached then, and can be now. It takes Config.Rise passes in a row since the ejection began, times the number
// of this ejection in close succession, so that a backend that passes its checks and fails its requests is let in
// ever more rarely. An ejection for 5xx answers runs its time: that a backend is there was never in doubt.
func (g *Group) Check(now time.Time, i int, ok bool) (Change, bool) {
	b := g.at(i, "Check")
	if !g.cfg.Active {
		return Change{}, false
	}
	if !ok {
		b.passive.vouched = 0
		if b.check.down {
			b.check.passed = 0
			return Change{}, false
		}
		return g.checkFailed(now, i)
	}
	b.refused = false
	if b.check.down {
		if c, changed := g.checkPassed(now, i); changed {
			return c, true
		}
	} else {
		b.check.failed = 0
	}
	return g.vouch(now, i)
}

// Checks says what the active checks hold of backend i: that it is down, and that the last ones disagree with that, so
// that more of them would change it.
func (g *Group) Checks(i int) (down, doubt bool) {
	c := &g.at(i, "Checks").check
	return c.down, c.passed > 0 || c.failed > 0
}

// Passed is the number of checks of backend i that have passed in a row since it was out, and so speak for its return.
func (g *Group) Passed(i int) int {
	b := g.at(i, "Passed")
	if !b.passive.out() {
		return b.check.passed
	}
	return max(b.check.passed, b.passive.vouched) // one that is down as well counts them twice
}

// vouch counts a passed check for a backend that traffic has ejected, and lets it in when there are enough.
func (g *Group) vouch(now time.Time, i int) (Change, bool) {
	b := &g.backends[i]
	p := &b.passive
	if !p.out() || p.reason != ConsecutiveFailures {
		return Change{}, false
	}
	p.vouched++
	need := g.cfg.Rise * p.ejections
	if b.check.down || p.vouched < need {
		return Change{}, false
	}
	g.endEjection(now, b)
	return g.back(now, i, CheckPassed, ofThreshold(need))
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
