package pool

import (
	"net"
	"time"
)

// restAfter is the idle time from which on a connection that nobody has used yet no longer counts as fresh from its dial.
const restAfter = time.Millisecond

// connState is what a handle may be used for.
type connState uint8

const (
	stateLent connState = iota
	stateIdle
	stateGone
)

// Conn is one connection of a pool, lent to one borrower. The borrower ends the loan with exactly one of Release,
// Discard and Take, and does not touch the handle afterwards. Its methods are not safe for concurrent use.
type Conn struct {
	// Aux belongs to the users of the connection: what one borrower leaves here (say, a parser's state), the next
	// one finds. The pool never looks at it.
	Aux any

	pool  *Pool
	nc    net.Conn
	look  looker
	born  time.Time
	ends  time.Time // end of its share of MaxLifetime; zero: none
	since time.Time // idle since, or lent since
	id    uint64
	uses  uint64 // lends so far, this one included
	// rested says that the connection has been idle for at least restAfter at some time.
	rested bool
	// loaned says that a borrower has it: a lent connection may also be in the pool's own hands. reported says that its
	// loan has been told of as a leak.
	loaned, reported bool
	places           *places // nil without Config.LeakAfter
	at               int     // its place in Pool.conns
	shard            int
	gen              uint32 // the pool's generation when its dial began
	state            connState
}

// NetConn is the bare connection. It is not wrapped, so that splice, peek and type switches work on it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// ID numbers the connection within its pool, from 1.
func (c *Conn) ID() uint64 { return c.id }

// Uses counts the loans of this connection, the present one included.
func (c *Conn) Uses() uint64 { return c.uses }

// Reused says whether the connection was used before this loan, or lay idle for a millisecond or more: its peer may have
// ended it meanwhile, and a request that dies on it says nothing about the backend. It is false for a connection that
// comes straight from its dial.
func (c *Conn) Reused() bool { return c.uses > 1 || c.rested }

// Born is the instant at which its dial ended.
func (c *Conn) Born() time.Time { return c.born }

// Release gives the connection back for the next borrower; now is the present instant. Deadlines that the borrower
// set stay as they are; the next borrower sets its own.
func (c *Conn) Release(now time.Time) { c.pool.release(c, now) }

// Discard gives the connection back as unusable: it is closed, and its slot is free.
func (c *Conn) Discard(now time.Time, why Reason) { c.pool.discard(c, now, why) }

// Take removes the connection from the pool and leaves it open: from here on it belongs to the borrower, who closes
// it. Its slot in the pool is free.
func (c *Conn) Take(now time.Time) net.Conn {
	c.pool.endLoan(c, now)
	if c.pool.retire(c, now, ReasonTaken) {
		c.pool.ready()
	}
	return c.nc
}

// mustBeLentLocked panics, without the lock, when the handle's loan has ended already.
func (c *Conn) mustBeLentLocked(op string) {
	if c.state != stateLent {
		c.misusedLocked(op)
	}
}

// misusedLocked is apart from the check so that the check costs no call.
func (c *Conn) misusedLocked(op string) {
	where := " (Config.LeakAfter keeps the place where)"
	if c.places != nil {
		where = ", here:\n" + c.places.ended.String()
	}
	c.pool.mu.Unlock()
	panic("pool: " + op + " of a connection that is not lent (pool " + c.pool.cfg.Name + "): its loan ended before" + where)
}

// endLoanLocked ends a borrower's loan, if there is one.
func (c *Conn) endLoanLocked(now time.Time) {
	if !c.loaned {
		return
	}
	c.loaned = false
	c.pool.rotation.loans--
	c.pool.hist.lent.observe(now.Sub(c.since))
	if c.places != nil {
		c.places.ended.keep()
	}
}

// expired says whether the connection's age, or the time for which it has been idle, ends it.
func (c *Conn) expired(now time.Time, idle, idleTimeout time.Duration) (Reason, bool) {
	if !c.ends.IsZero() && !now.Before(c.ends) {
		return ReasonMaxLifetime, true
	}
	if idleTimeout > 0 && idle >= idleTimeout {
		return ReasonIdleTimeout, true
	}
	return 0, false
}
