package pool

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// Conn is one loan: the right to use one connection of a pool until the loan ends, with exactly one of Release (or
// ReleaseAt), Discard and Take. It is a small value, to be copied freely; the zero value is no loan. A use after the
// loan's end panics, also when the connection has been lent to somebody else meanwhile. One goroutine at a time may use
// it.
//
// On a connection that carries several streams (see [Session]) each stream is a loan of its own.
type Conn struct {
	loan *loan
	n    uint64
}

// loan is the place of a loan on a connection. An exclusive connection has one, a session as many as were ever lent at
// a time. Its number is raised when a loan ends, which makes all handles of that loan void.
type loan struct {
	n     atomic.Uint64
	link  *link
	since time.Duration // lent since
	uses  uint64        // of the connection, when it was lent
	shard int32         // the borrower's
	ended place         // where the last loan here was ended
	// held says that a borrower has it: it may also be in the pool's own hands. reported says that it has been told of
	// as a leak.
	held, reported bool
	places         *places // nil without Config.LeakAfter
}

// handle is what the borrower of the present loan gets.
func (l *loan) handle() Conn { return Conn{l, l.n.Load()} }

// use returns the loan, or panics when it has ended.
func (c Conn) use(op string) *loan {
	if c.loan == nil || c.loan.n.Load() != c.n {
		c.misused(op)
	}
	return c.loan
}

// misused is apart from the check so that the check costs no call.
func (c Conn) misused(op string) {
	if c.loan == nil {
		panic("pool: " + op + " of the zero Conn, which is no loan")
	}
	p := c.loan.link.pool
	p.lock()
	at, whole := c.loan.ended, stack{}
	if c.loan.places != nil {
		whole = c.loan.places.ended
	}
	mine := c.loan.n.Load() == c.n+1 // no later loan has ended since, whose place it would be
	p.unlock()
	where := " (the place where has been overwritten by a later loan's)"
	switch {
	case !mine:
	case whole.n > 0:
		where = ", here:\n" + whole.String()
	case at != 0:
		where = ", here:\n" + at.String()
	default:
		where = " (Config.LeakAfter keeps the place where)"
	}
	panic("pool: " + op + " of a connection that is not lent (pool " + p.cfg.Name + "): its loan ended before" + where)
}

// Lent says whether the loan has not ended; it is false for the zero Conn. It never panics.
func (c Conn) Lent() bool { return c.loan != nil && c.loan.n.Load() == c.n }

// NetConn is the connection: the one that the dialer made, or that Config.Setup put in its place with [Exclusive]. It
// is bare, so that splice, peek and type switches work on it.
func (c Conn) NetConn() net.Conn { return c.use("NetConn").link.nc }

// Session is what Config.Setup returned for the connection; nil when it is an exclusive one.
func (c Conn) Session() Session { return c.use("Session").link.session }

// ID numbers the connection within its pool, from 1.
func (c Conn) ID() uint64 { return c.use("ID").link.id }

// Uses counts the loans of this connection up to the present one.
func (c Conn) Uses() uint64 { return c.use("Uses").uses }

// Reused says whether the connection was used before this loan, or lay idle for a millisecond or more: its peer may have
// ended it meanwhile, and a request that dies on it says nothing about the backend. It is false for a connection that
// comes straight from its dial.
func (c Conn) Reused() bool {
	l := c.use("Reused")
	return l.uses > 1 || l.link.rested
}

// Born is the instant at which its dial ended.
func (c Conn) Born() time.Time {
	k := c.use("Born").link
	return k.pool.time(k.born)
}

// DialTime is how long its dial took, without Config.Setup.
func (c Conn) DialTime() time.Duration { return c.use("DialTime").link.took }

// Aux is what SetAux left with the connection, in this loan or an earlier one; nil before that. The pool never looks
// at it.
func (c Conn) Aux() any { return c.use("Aux").link.aux }

// SetAux leaves something with the connection for this borrower and the next ones: say, a parser's state. Borrowers of
// the streams of one session share it, and must agree among themselves about who may use it when.
func (c Conn) SetAux(v any) { c.use("SetAux").link.aux = v }

// Release gives the connection back for the next borrower. Deadlines that the borrower set stay as they are; the next
// borrower sets its own.
//
//go:noinline
func (c Conn) Release() {
	l := c.use("Release")
	p := l.link.pool
	p.release(c, p.now(), callersPlace())
}

// ReleaseAt is Release for a caller who has read the clock: now is the present instant.
//
//go:noinline
func (c Conn) ReleaseAt(now time.Time) {
	l := c.use("Release")
	p := l.link.pool
	p.release(c, p.at(now), callersPlace())
}

// Discard gives the connection back as unusable: it is closed, and its slot is free. A session that carries other loans
// takes no more, and is closed when the last of them ends.
//
//go:noinline
func (c Conn) Discard(why Reason) {
	p := c.use("Discard").link.pool
	if int(why) >= NumReasons {
		panic(fmt.Sprintf("pool: Discard for the unknown reason %d (pool %s)", why, p.cfg.Name))
	}
	p.discard(c, p.now(), why, callersPlace())
}

// Take removes the connection from the pool and leaves it open: from here on it belongs to the borrower, who closes
// it. Its slot in the pool is free. A connection with a [Session] cannot be taken: that panics.
//
//go:noinline
func (c Conn) Take() net.Conn {
	k := c.use("Take").link
	if k.session != nil {
		panic("pool: Take of a connection with a Session (pool " + k.pool.cfg.Name + ")")
	}
	p, now := k.pool, k.pool.now()
	nc := k.nc
	p.endLoan(c, "Take", now, callersPlace())
	if p.retire(k, now, ReasonTaken) {
		p.ready()
	}
	return nc
}
