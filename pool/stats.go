package pool

import "time"

// Stats is one consistent view of a pool. Begun = Dialling + Dialled + DialFailed and
// Dialled = Idle + Lent + the sum of Retired hold in every snapshot.
type Stats struct {
	// Begun counts the dials that were started; Dialled those that gave a connection; DialFailed the others.
	Begun, Dialled, DialFailed uint64
	// Dialling, Idle, Lent and Waiting are what there is at this instant.
	Dialling, Idle, Lent, Waiting int
	// Loans is how many loans there are at this instant: as many as Lent, less the connections in the pool's own hands
	// (in set-up or validation), and more where sessions carry several.
	Loans int
	// LearnedIdleTimeout is for how long the pool trusts an idle connection, where that is shorter than
	// Config.IdleTimeout: what the peer said (Conn.PeerIdleTimeout) or what its closes taught, less a margin. 0: nothing.
	LearnedIdleTimeout time.Duration
	// Limit is the pool's MaxConnections.
	Limit int
	// Ceiling is what Idle + Lent + Dialling never exceeds: Limit, or, after Resize has gone below what was open, as many as
	// there were then, or at the last look since.
	Ceiling int
	// Abandoned is the number of dials that were given up because their dialer, or Setup, did not return; they count in
	// DialFailed or Retired, and against MaxDials until they return.
	Abandoned int
	// Down says that the last dials failed and no connection is open, so that callers fail at once; never with a Judge.
	Down bool
	// TurnedAway counts the calls that were answered by a *DownError.
	TurnedAway uint64
	// DialTimeout is how long a dial may take that begins now; 0: for as long as the dialer likes.
	DialTimeout time.Duration
	// Retired counts the connections that left the pool, by reason.
	Retired [NumReasons]uint64
	// Lends counts the connections that borrowers got; Reuses those that had been used before.
	Lends, Reuses uint64
	// Waits counts the calls of Lend that had to wait; GaveUp those whose context ended first.
	Waits, GaveUp uint64
	// OldestWait is how long the first caller in the line has waited; 0 when nobody waits.
	OldestWait time.Duration
	// LifetimeSum is the sum of the ages of the retired connections at their retirement.
	LifetimeSum time.Duration
}

// RetiredTotal is the number of connections that left the pool for any reason.
func (s *Stats) RetiredTotal() uint64 {
	var n uint64
	for _, r := range s.Retired {
		n += r
	}
	return n
}

// Utilization is the share of the limit that is lent, 0 to 1.
func (s *Stats) Utilization() float64 {
	if s.Limit == 0 {
		return 0
	}
	return float64(s.Lent) / float64(s.Limit)
}

// ReuseRate is the share of lends that reused a connection, 0 to 1; 0 before the first lend.
func (s *Stats) ReuseRate() float64 {
	if s.Lends == 0 {
		return 0
	}
	return float64(s.Reuses) / float64(s.Lends)
}

// MeanLifetime is the mean age at which connections were retired; 0 before the first retirement.
func (s *Stats) MeanLifetime() time.Duration {
	n := s.RetiredTotal()
	if n == 0 {
		return 0
	}
	return s.LifetimeSum / time.Duration(n)
}
