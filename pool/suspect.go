package pool

import "time"

// One connection that turns out to be dead says something about the others: whatever ended it (a restart, a failover, a
// firewall that forgets) has probably met those as well that lay idle at the same time. What is remembered of that are
// two instants, so that a lend compares one number and usually is done.

// trust is what is owed to an idle connection before it is lent.
type trust uint8

const (
	trusted trust = iota // the usual
	doubted              // a look, however short its rest was
	suspect              // it must not be lent as it is
)

// suspicion is what the connections found dead say about the others. It is a plain value without a lock; instants are
// durations since any epoch, none of them before it. The zero value suspects nobody.
type suspicion struct {
	suspects time.Duration // who is idle since before this instant is a suspect
	doubts   time.Duration // who is idle since before this instant is looked at; never earlier than the other
}

// foundReset notes that a connection which had been idle since then was found reset now. Those that have been idle at
// least as long are suspects, the younger ones are doubted.
func (s *suspicion) foundReset(now, since time.Duration) {
	s.suspects = max(s.suspects, min(since, now)+1)
	s.foundClosed(now)
}

// foundClosed notes that the peer had closed one connection in order, perhaps for reasons that concern no other: all
// that are idle now are doubted.
func (s *suspicion) foundClosed(now time.Duration) { s.doubts = max(s.doubts, now+1) }

// of is the trust in a connection that is idle since then.
func (s *suspicion) of(since time.Duration) trust {
	switch {
	case since >= s.doubts:
		return trusted
	case since >= s.suspects:
		return doubted
	}
	return suspect
}
