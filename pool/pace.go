package pool

import (
	"math"
	"time"
)

const (
	defaultMaxDials = 16
	defaultPatience = 0.25
)

// checkPace finds the mistakes in what says when to dial.
func (c *Config) checkPace(wrong func(format string, args ...any)) {
	if c.MaxDials < 0 {
		wrong("MaxDials %d is negative", c.MaxDials)
	}
	if c.RetryMin < 0 || c.RetryMax < 0 {
		wrong("RetryMin %v or RetryMax %v is negative", c.RetryMin, c.RetryMax)
	}
	if c.RetryMin > c.RetryMax && c.RetryMax != 0 {
		wrong("RetryMin %v is more than RetryMax %v", c.RetryMin, c.RetryMax)
	}
	if c.Patience > 1 || math.IsNaN(c.Patience) {
		wrong("Patience %g is not at most 1", c.Patience)
	}
}

// fillPace puts the defaults in place of what is zero in what says when to dial.
func (c *Config) fillPace() {
	low, high := defaultRetryMin, defaultRetryMax
	if c.Judge != nil {
		low, high = judgedRetryMin, judgedRetryMax
	}
	c.RetryMax = or(c.RetryMax, max(high, c.RetryMin))
	c.RetryMin = or(c.RetryMin, min(low, c.RetryMax))
	c.MaxDials, c.Patience = or(c.MaxDials, defaultMaxDials), or(c.Patience, defaultPatience)
	c.MinDialTimeout = or(c.MinDialTimeout, defaultMinDialTimeout)
}

// dials are those that have been reserved under the lock, for start to begin without it.
type dials struct {
	n     int
	probe bool // it is one, the probe
}

// start begins what has been reserved.
func (p *Pool) start(d dials) {
	for range d.n {
		p.startDial(d.probe)
	}
}

// begin begins the dials that are due.
func (p *Pool) begin() {
	now := p.now()
	p.lock()
	due := p.dueLocked(now)
	p.unlock()
	p.start(due)
}

// dueLocked reserves the dials that are due: for the line first, then for WarmUp, then for MinIdle where MaxDials or an
// outage had cut its refill short.
func (p *Pool) dueLocked(now time.Duration) dials {
	due := p.lineDueLocked(now)
	if p.closed || p.outage.holds() {
		return due
	}
	for p.lacksWarmLocked() && p.reserveDialLocked() {
		due.n++
	}
	if p.refillShort {
		due.n += p.refillLocked(now).n
	}
	return due
}

// lineDueLocked reserves the dials that are due for the line, or the probe.
func (p *Pool) lineDueLocked(now time.Duration) dials {
	switch {
	case p.closed:
		return dials{}
	case p.outage.holds():
		return p.probeDueLocked(now)
	}
	return dials{n: p.beginForLineLocked(now)}
}

// lacksWarmLocked says whether a caller of WarmUp wants another connection.
func (p *Pool) lacksWarmLocked() bool {
	open := p.openLocked()
	for _, w := range p.warmers {
		if open < w.n {
			return true
		}
	}
	return false
}

// beginForLineLocked reserves the dials that the line lacks, as far as the limits and patience allow.
func (p *Pool) beginForLineLocked(now time.Duration) (n int) {
	if p.waiters.need == 0 || p.slotsLocked() == 0 {
		return 0
	}
	lacking := p.carryingLocked(max(p.waiters.need-p.roomLocked(p.waiters.need)-p.looking, 0)) - p.comingLocked()
	if lacking > 0 && p.perConn == 1 {
		lacking = p.impatientLocked(now, lacking)
	}
	for n < lacking && p.reserveDialLocked() {
		n++
	}
	return n
}

// impatientLocked is how many of those in the line that lack a dial get one now, and sees to it that the others get
// theirs when their patience ends. Those at the head have the dials under way, and so those at the end lack one.
func (p *Pool) impatientLocked(now time.Duration, lacking int) int {
	lent := 0
	for i := range p.shards {
		lent += p.shards[i].rotation.loans
	}
	usual := p.dialTimes.usual()
	wait := p.patience.wait(usual, lent)
	if wait <= 0 {
		return lacking
	}
	var ended uint64
	var sum time.Duration
	for i := range p.shards {
		ended += p.shards[i].lent.Count
		sum += p.shards[i].lent.Sum
	}
	p.patience.learn(ended, sum)
	n := max(p.patience.hopeless(wait, lacking, lent), p.patience.grow(now, usual, lent)-p.dialsLocked())
	covered := p.waiters.need - lacking
	for w := p.waiters.head; w != nil && n < lacking; w = w.next {
		if covered -= w.need; covered >= 0 {
			continue
		}
		if now < w.since+wait {
			p.armPaceLocked(now, w.since+wait)
			break
		}
		n += -covered
		covered = 0
	}
	return min(n, lacking)
}

// armPaceLocked makes sure that the pace runs at the given instant or before: that the dials which are due then begin.
func (p *Pool) armPaceLocked(now, at time.Duration) {
	if p.closed || at >= p.paceAt {
		return
	}
	p.stopPaceLocked()
	p.running++
	p.paceAt = at
	p.pace = p.clk.AfterFunc(max(at-now, 0), p.runPace)
}

// stopPaceLocked takes back a pending run of the pace. One that has begun counts itself out.
func (p *Pool) stopPaceLocked() {
	if p.pace != nil && p.pace.Stop() {
		p.running--
	}
	p.pace, p.paceAt = nil, never
}

// runPace begins the dials that had to wait for this instant.
func (p *Pool) runPace() {
	now := p.now()
	p.lock()
	if now >= p.paceAt {
		p.pace, p.paceAt = nil, never
	}
	p.unlock()
	p.begin()
	p.lock()
	p.running--
	p.settleLocked()
	p.unlock()
}
