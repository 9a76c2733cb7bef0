package pool

import "time"

// Order says which idle connection is lent next. The list is closed; String gives the word that a configuration uses.
type Order uint8

// The orders.
const (
	// OrderRecent lends the one that came back last, so that the pool can shrink to what is needed, and every
	// sixteenth time another one by rotation: see the package's documentation.
	OrderRecent Order = iota
	// OrderFIFO lends the one that has been idle longest. Use is spread evenly and every connection stays young, so
	// that no pool with regular use ever shrinks. A lend costs a copy of the list of idle connections.
	OrderFIFO

	numOrders = int(iota)
)

// String returns the order's word.
func (o Order) String() string {
	switch o {
	case OrderRecent:
		return "recent"
	case OrderFIFO:
		return "fifo"
	}
	return "unknown"
}

const (
	// rotateEvery is how many lends of idle connections make a turn of the rotation.
	rotateEvery = 16
	// peakWindow is the least time for which the peak of the lent connections is remembered.
	peakWindow = 10 * time.Second
)

// rotation is the state of OrderRecent: how many connections are needed, and when the next turn is.
type rotation struct {
	lends      int // since the last turn
	loans      int // connections that borrowers have now: those in the pool's own hands are not needed by anybody
	peak, past int // most loans at a time: since the window began, and in the one before
	ends       time.Time
}

// turnLocked begins the next turn and says how many connections are needed at all, the lent ones included.
func (p *Pool) turnLocked(now time.Time) (need int) {
	r := &p.rotation
	r.lends = 0
	if !now.Before(r.ends) {
		r.past, r.peak, r.ends = r.peak, r.loans+1, now.Add(peakWindow)
	}
	return max(r.past, r.peak)
}

// popForLoanLocked takes the idle connection of the shard, or of the next shard that has one, whose turn it is, and
// counts it as lent.
func (p *Pool) popForLoanLocked(shard int, now time.Time) *Conn {
	if p.nIdle == 0 {
		return nil
	}
	if p.cfg.Order == OrderFIFO {
		s := p.stockedLocked(shard)
		c := p.popAtLocked(s, 0)
		c.shard = shard
		return c
	}
	r := &p.rotation
	if r.lends++; r.lends < rotateEvery {
		return p.popIdleLocked(shard)
	}
	need := p.turnLocked(now)
	s := p.stockedLocked(shard)
	spare := 0 // those at the bottom that nobody needed lately: let them age
	if p.cfg.IdleTimeout > 0 {
		spare = max(len(p.idle[s])-(need-r.loans), 0)
	}
	c := p.popAtLocked(s, min(spare, len(p.idle[s])-1))
	c.shard = shard
	return c
}

// stockedLocked is the shard, or the next one whose list holds a connection.
func (p *Pool) stockedLocked(shard int) int {
	for k := range p.idle {
		if s := (shard + k) % len(p.idle); len(p.idle[s]) > 0 {
			return s
		}
	}
	panic("pool: idle connections are counted that no list holds")
}
