package pool

import (
	"math"
	"net"
	"time"
)

// restAfter is the idle time from which on a connection that nobody has used yet no longer counts as fresh from its dial.
const restAfter = time.Millisecond

// never is an instant that does not come.
const never = time.Duration(math.MaxInt64)

// link is one open connection of the pool. Instants are durations since the pool's epoch: half as large as a time.Time
// and compared in one step.
//
// A link on an idle list belongs to that list's lock; one that is lent, to its borrower, or to the pool's goroutine that
// has it in hand; one with a session, to Pool.lock.
type link struct {
	aux     any
	pool    *Pool
	nc      net.Conn
	look    looker
	session Session // nil: exclusive
	loan    loan    // of an exclusive connection
	streams *streams
	born    time.Duration
	took    time.Duration // by its dial
	ends    time.Duration // end of its share of MaxLifetime, or never
	since   time.Duration // idle since
	id      uint64
	uses    uint64 // loans so far
	at      int    // its place in Pool.conns
	gen     uint32 // the pool's generation when its dial began
	shard   int32  // the list where it lies, or to which it will go back
	// departing says that it is about to be retired, and counts in Pool.departing.
	departing bool
	// rested says that it has been idle for at least restAfter at some time.
	rested bool
}

// close closes the connection, whatever it is.
func (k *link) close() {
	if k.session != nil {
		_ = k.session.Close()
	}
	_ = k.nc.Close()
}

// expiry is the instant at which the connection must go if it lies idle from since on.
func (k *link) expiry(since, idleTimeout time.Duration) time.Duration {
	if idleTimeout <= 0 {
		return k.ends
	}
	return min(k.ends, since+idleTimeout)
}

// expired says whether the connection's age, or the time for which it has been idle, ends it.
func (k *link) expired(now, idle, idleTimeout time.Duration) (Reason, bool) {
	if now >= k.ends {
		return ReasonMaxLifetime, true
	}
	if idleTimeout > 0 && idle >= idleTimeout {
		if own := k.pool.cfg.IdleTimeout; own <= 0 || idle < own {
			return ReasonPeerIdleTimeout, true
		}
		return ReasonIdleTimeout, true
	}
	return 0, false
}

// judge is what can be said about an idle connection before a loan without looking at it; look says that a look is
// due, and perhaps a ping after it. The caller owns the link, and the pool's generation.
func (p *Pool) judge(k *link, now time.Duration) (why Reason, bad, look bool) {
	if k.session != nil {
		return k.streams.why, k.streams.ending, false
	}
	idle := now - k.since
	k.rested = k.rested || idle >= restAfter
	if k.gen != p.gen {
		return ReasonOutdated, true, false
	}
	why, bad = k.expired(now, idle, p.idleFor)
	look = !bad && p.cfg.ValidateAfter > 0 && idle >= p.cfg.ValidateAfter
	if bad || k.since >= p.suspicion.doubts && p.cfg.Ping == nil {
		return why, bad, look
	}
	return p.judgeTrust(k, now, look)
}
