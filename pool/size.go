package pool

import "time"

// Predict says how the pool keeps connections ready for the demand to come. The list is closed; String gives the word
// that a configuration uses.
type Predict uint8

// The ways of prediction. Demand is what borrowers have and callers wait for; its peak is taken within each
// Config.PredictEvery.
const (
	// PredictOff dials when somebody asks, and keeps MinIdle.
	PredictOff Predict = iota
	// PredictReactive keeps connections for a fifth more than the last peak.
	PredictReactive
	// PredictHolt forecasts demand at the end of a dial that would begin now and one interval later, by Holt's double
	// exponential smoothing of the peaks, and keeps connections for a tenth more than that. On a ramp the dials are
	// made before they are needed; after it, the forecast falls below the last peak.
	PredictHolt

	numPredicts = int(iota)
)

// String returns the word of the way of prediction.
func (p Predict) String() string {
	switch p {
	case PredictOff:
		return "off"
	case PredictReactive:
		return "reactive"
	case PredictHolt:
		return "holt"
	}
	return "unknown"
}

// Predicts returns the closed list, the default first.
func Predicts() []Predict { return []Predict{PredictOff, PredictReactive, PredictHolt} }

const (
	defaultTrimEvery    = 5 * time.Second
	defaultPredictEvery = time.Second
	minPredictEvery     = 10 * time.Millisecond

	reactiveShare = 1.2
	holtShare     = 1.1
	// asleepBelow is the forecast below which nothing is expected any more.
	asleepBelow = 0.5
	// spared is the number of idle connections that the trim leaves to their idle timeout, however small the demand
	// was: a pool that is used once in a while, one connection at a time, is not fat, and would dial for each use.
	spared = 1
)

// sizer decides how many connections there should be: it is told the demand, and answers what to dial and what to close.
// It is plain state, without a clock; every instant is counted from the pool's epoch.
type sizer struct {
	predict           Predict
	every, trims      time.Duration // Config.PredictEvery, and Config.TrimEvery
	predictAt, trimAt time.Duration // the next look and the next step; never if none is due
	high              int           // most demand since see was called, as far as note was told
	recent            recentPeak
	interval          int // peak of demand since the last look
	wanted            int // connections that the prediction wants open, the lent ones included
	holt              holt
}

func newSizer(predict Predict, every, trims time.Duration) sizer {
	return sizer{predict: predict, every: every, trims: trims, predictAt: never, trimAt: never}
}

// asleep says that the prediction expects nothing and waits for the next loan: whoever sees one calls see.
func (s *sizer) asleep() bool { return s.predict != PredictOff && s.predictAt == never }

// note is told a demand that may be a peak.
func (s *sizer) note(demand int) { s.high = max(s.high, demand) }

// see is told the most that demand has been since it was told last, besides what note was told, and what it is now.
func (s *sizer) see(now time.Duration, most, demand int) {
	most, s.high = max(most, s.high), 0
	s.recent.see(now, most, demand)
	s.interval = max(s.interval, most, demand)
	if s.asleep() && s.interval > 0 {
		s.predictAt = now + s.every
	}
}

// look takes the peak of the interval that is over, if one is, and sets what the prediction wants, at most limit. Demand
// is the present one, which the next interval begins with; dial is how long dials usually take.
func (s *sizer) look(now time.Duration, demand, limit int, dial time.Duration) {
	if now < s.predictAt {
		return
	}
	peak := s.interval
	s.interval, s.predictAt = demand, now+s.every
	var expected, want float64
	switch s.predict {
	case PredictReactive:
		expected, want = float64(peak), float64(peak)*reactiveShare
	case PredictHolt:
		s.holt.observe(float64(peak))
		expected = s.holt.ahead(1 + float64(dial)/float64(s.every))
		want = expected * holtShare
	}
	s.wanted = min(roundUp(want), limit)
	if peak == 0 && demand == 0 && expected < asleepBelow {
		s.wanted, s.holt, s.predictAt = 0, holt{}, never
	}
}

// lacks is how many connections should be dialled now for the prediction. Ready are those that are idle or being dialled
// for whoever comes first; beyond maxIdle they could not lie idle.
func (s *sizer) lacks(ready, lent, maxIdle int) int { return max(min(s.wanted-lent, maxIdle)-ready, 0) }

// surplus is how many idle connections are more than recent demand and the prediction need, floor being MinIdle.
func (s *sizer) surplus(idle, lent, floor int) int {
	need := max(s.recent.most(), s.wanted)
	return max(min(idle+lent-need, idle-max(floor, spared)), 0)
}

// step is how many of the idle connections to close now: half of the surplus, rounded up, once every Config.TrimEvery.
func (s *sizer) step(now time.Duration, idle, lent, floor int) int {
	if now < s.trimAt {
		return 0
	}
	s.trimAt = never
	return (s.surplus(idle, lent, floor) + 1) / 2
}

// asked is told how many connections somebody wants open who has no use for them yet: the trim leaves them for as long as
// if they had been lent, and the prediction learns nothing from them.
func (s *sizer) asked(open int) { s.recent.present = max(s.recent.present, open) }

// due is when something of this has to be done next, with so many connections open: never, if there is neither demand
// to be observed nor a connection that could become too many.
func (s *sizer) due(now time.Duration, open, floor int) time.Duration {
	switch {
	case s.trims < 0 || open <= max(floor, spared):
		s.trimAt = never
	case s.trimAt == never:
		s.trimAt = now + s.trims
	}
	return min(s.trimAt, s.predictAt)
}

// demandLocked is how many connections are lent or waited for.
func (p *Pool) demandLocked() int { return p.busyLocked() + p.carryingLocked(p.waiters.need) }

// busyLocked is how many connections are lent to borrowers: those that are being set up or pinged will be free soon.
func (p *Pool) busyLocked() int { return p.lent - p.settingUp - len(p.pings) }

// carryingLocked is how many connections carry so many loans: one, as long as none has shown how many it carries.
func (p *Pool) carryingLocked(loans int) int {
	if p.perConn == 0 {
		return min(loans, 1)
	}
	return (loans + p.perConn - 1) / p.perConn
}

// seeSizeLocked collects the peak of demand for the sizer. Loans that began under a shard's lock are known by the shard's
// own peak; the sum of these may be more than the peak of the sum was, never less.
func (p *Pool) seeSizeLocked(now time.Duration) {
	most := 0
	for i := range p.shards {
		r := &p.shards[i].rotation
		most += r.high
		r.high = r.loans
	}
	p.size.see(now, p.carryingLocked(most), p.demandLocked())
}

// noteLocked takes note of demand that is told of before it becomes a loan.
func (p *Pool) noteLocked(demand int) {
	p.size.note(demand)
	if p.size.asleep() {
		p.watchSizeLocked(p.now())
	}
}

// watchSizeLocked sees to it that the upkeep runs when the size is to be looked at next.
func (p *Pool) watchSizeLocked(now time.Duration) {
	p.seeSizeLocked(now)
	p.armUpkeepLocked(p.size.due(now, len(p.conns), p.minIdle))
}

// grownLocked takes note of a connection that is ready for its first loan.
func (p *Pool) grownLocked(now time.Duration) {
	p.armUpkeepLocked(p.size.due(now, len(p.conns), p.minIdle))
}

// fit closes one step of the idle connections that are too many, one instant each, and begins the dials that the
// prediction wants.
func (p *Pool) fit(now time.Duration) {
	p.lock()
	p.seeSizeLocked(now)
	p.size.look(now, p.demandLocked(), p.limit, p.dialTimes.usual())
	surplus := p.size.step(now, p.nIdle, p.lent, p.minIdle)
	p.unlock()
	for ; surplus > 0 && p.dropSurplus(); surplus-- {
	}
	begin := 0
	p.lock()
	if p.outage.failures == 0 && !p.draining { // whoever needs a connection finds out whether dials work again
		lacks := p.size.lacks(p.nIdle+p.comingLocked(), p.busyLocked(), p.maxIdle)
		for begin < lacks && p.reserveDialLocked() {
			begin++
		}
	}
	p.unlock()
	p.start(dials{n: begin})
}

// dropSurplus closes the connection that has been idle longest, if there still are too many.
func (p *Pool) dropSurplus() bool {
	p.lock()
	var k *link
	if !p.closed && !p.draining && p.size.surplus(p.nIdle, p.lent, p.minIdle) > 0 {
		k = p.popOldestLocked()
	}
	p.unlock()
	if k == nil {
		return false
	}
	rest := p.apart()
	if p.drop(k, p.now(), ReasonSurplus) {
		p.ready()
	}
	rest()
	return true
}
