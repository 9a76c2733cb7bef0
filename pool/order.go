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

// Orders returns the closed list, the default first.
func Orders() []Order { return []Order{OrderRecent, OrderFIFO} }

const (
	// rotateEvery is how many lends of idle connections make a turn of the rotation.
	rotateEvery = 16
	// peakWindow is the least time for which the peak of the lent connections is remembered.
	peakWindow = 10 * time.Second
)

// rotation is the state of OrderRecent in one shard: how many connections are needed, and when the next turn is.
type rotation struct {
	lends      int // since the last turn
	loans      int // that borrowers of this shard have now: connections in the pool's own hands are needed by nobody
	high       int // most loans at a time since the pool's size was looked at
	peak, past int // most loans at a time: since the window began, and in the one before
	ends       time.Duration
}

// turn begins the next turn and says how many connections are needed at all, the lent ones included.
func (r *rotation) turn(now time.Duration) (need int) {
	r.lends = 0
	if now >= r.ends {
		r.past, r.peak, r.ends = r.peak, r.loans+1, now+peakWindow
	}
	return max(r.past, r.peak)
}

// pop takes the connection whose turn it is from a list that is not empty.
func (s *shard) pop(now time.Duration, p *Pool) *link {
	if p.cfg.Order == OrderFIFO {
		return s.take(0)
	}
	last := len(s.idle) - 1
	r := &s.rotation
	if r.lends++; r.lends < rotateEvery {
		k := s.idle[last]
		s.idle[last] = nil
		s.idle = s.idle[:last]
		return k
	}
	need := r.turn(now)
	spare := 0 // those at the bottom that nobody needed lately: let them age
	if p.cfg.IdleTimeout > 0 {
		spare = max(last+1-(need-r.loans), 0)
	}
	return s.take(min(spare, last))
}

// take takes the connection at place i of the list.
func (s *shard) take(i int) *link {
	k := s.idle[i]
	last := len(s.idle) - 1
	copy(s.idle[i:], s.idle[i+1:])
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return k
}

// sink moves the connection on top down to where it belongs by the time since which it has been idle.
func (s *shard) sink() {
	for i := len(s.idle) - 1; i > 0 && s.idle[i].since < s.idle[i-1].since; i-- {
		s.idle[i], s.idle[i-1] = s.idle[i-1], s.idle[i]
	}
}

// popForLoanLocked takes the idle connection of the shard whose turn it is, or of the next shard that has one, or else
// a place on a session, and counts the connection as lent.
func (p *Pool) popForLoanLocked(shard int, now time.Duration) *loan {
	if p.nIdle == p.idleSessions {
		return p.popStreamLocked(now)
	}
	s := &p.shards[shard]
	for i := shard; len(s.idle) == 0; {
		i = (i + 1) % len(p.shards)
		s = &p.shards[i]
	}
	k := s.pop(now, p)
	k.shard = int32(shard)
	p.nIdle--
	p.lent++
	return &k.loan
}
