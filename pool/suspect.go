package pool

import "time"

// One connection that turns out to be dead says something about the others: whatever ended it (a restart, a failover, a
// firewall that forgets) has probably met those as well that lay idle at the same time. What is remembered of that are
// two instants, so that a lend compares one number and usually is done.

// trust is what is owed to an idle connection before it is lent.
type trust uint8

const (
	trusted   trust = iota // the usual
	doubted                // a look, however short its rest was
	suspect                // it must not be lent as it is, and may be asked with a ping
	condemned              // it must not be lent: a ping of a younger one failed
)

// suspicion is what the connections found dead say about the others. It is a plain value without a lock; instants are
// durations since any epoch. The zero value suspects nobody who is idle since the epoch or later.
type suspicion struct {
	suspects time.Duration // who is idle since before this instant is a suspect
	doubts   time.Duration // who is idle since before this instant is looked at; never earlier than the others
	condemns time.Duration // who is idle since before this instant is not even worth a ping
}

// foundReset notes that a connection which had been idle since then was found reset now. Those that have been idle at
// least as long are suspects, the younger ones are doubted.
func (s *suspicion) foundReset(now, since time.Duration) {
	s.suspects = max(s.suspects, min(since+1, now))
	s.foundClosed(now)
}

// foundClosed notes that the peer had closed one connection in order, perhaps for reasons that concern no other: all
// that are idle now are doubted.
func (s *suspicion) foundClosed(now time.Duration) { s.doubts = max(s.doubts, now) }

// foundDumb notes that a connection which had been idle since then failed its ping. To wait in vain for the next one, and
// the next, is what nobody wants who waits in line.
func (s *suspicion) foundDumb(now, since time.Duration) {
	s.condemns = max(s.condemns, min(since+1, now))
	s.foundReset(now, since)
}

// of is the trust in a connection that is idle since then.
func (s *suspicion) of(since time.Duration) trust {
	switch {
	case since >= s.doubts:
		return trusted
	case since >= s.suspects:
		return doubted
	case since >= s.condemns:
		return suspect
	}
	return condemned
}
