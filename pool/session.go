package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Session is a connection that Config.Setup has made ready, and that may carry several loans at a time: the streams of
// HTTP/2, the requests of a pipelined protocol. Its methods must be safe for concurrent use; Available and Err must not
// block and must not call the pool, whose lock may be held.
type Session interface {
	// Available is how many loans the connection may carry at a time, those of now included. It is asked before each
	// loan and may change at any time: see [Pool.SessionChanged]. Zero means that it takes no more, as after GOAWAY;
	// it is retired when the last loan ends.
	Available() int
	// Err is nil as long as the connection works; a session with an error takes no more loans and is retired when the
	// last loan ends.
	Err() error
	// Close closes the connection. The pool calls it once, when no loan is left.
	Close() error
}

// Exclusive is what Config.Setup returns when set-up put another connection in place of the dialled one, such as a
// *tls.Conn, and it carries one loan at a time. NetConn is then nc itself, and Conn.Session is nil. Closing nc must close the
// dialled one. Before a loan the pool looks at the dialled connection, below nc: bytes that wait there do not end
// it before its first loan, since set-up protocols send things on their own (TLS 1.3 its tickets), which are read with what the first
// borrower reads. Later they do: they may be an answer that nobody asked for. What nc itself has read and holds is its user's to look at.
func Exclusive(nc net.Conn) Session { return exclusive{nc} }

type exclusive struct{ net.Conn }

// NetConn returns what Exclusive was given, for who made the set-up's call without a pool.
func (e exclusive) NetConn() net.Conn { return e.Conn }

func (exclusive) Available() int { return 1 }
func (exclusive) Err() error     { return nil }

// mostStreams is more than any session carries: one that says so many has no limit.
const mostStreams = 1 << 20

// errNoStreams is why a session that takes no loans from the start is of no use.
var errNoStreams = errors.New("the session takes no loans")

// streams are the loans of a session.
type streams struct {
	out    int     // loans that are begun, or about to begin
	taken  int     // so many there have been
	all    []*loan // ever made
	spare  []*loan // of those, the ones that are not out
	ending bool    // takes no more loans, for why
	why    Reason
	// leaving says that it has been taken out of the idle ones to be retired.
	leaving bool
}

// setUp runs Config.Setup on a new connection, under the limit of its dial. The error is its own, or says how it
// misbehaved.
func (p *Pool) setUp(ctx context.Context, nc net.Conn) (s Session, err error) {
	if p.cfg.Setup == nil {
		return nil, nil
	}
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("panic in Setup: %v", r)
		}
	}()
	// A Setup that waits for the peer without looking at its context ends with the connection's deadline.
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline)
	}
	if s, err = p.cfg.Setup(ctx, nc); err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Time{})
	if s == nil {
		return nil, nil
	}
	if err = s.Err(); err == nil && s.Available() < 1 {
		err = errNoStreams
	}
	if err != nil { // of no use from the start: a failure, after which there is a pause
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// install makes what Setup returned part of the connection.
func (k *link) install(s Session) {
	switch s := s.(type) {
	case nil:
	case exclusive:
		k.nc, k.look.through, k.look.layered = s.Conn, true, true
	default:
		k.session, k.streams = s, new(streams)
	}
}

// expectLocked learns from a connection that has been set up how many loans one carries.
func (p *Pool) expectLocked(k *link) {
	p.perConn = 1
	if k.session != nil {
		p.perConn = min(max(k.session.Available(), 1), mostStreams)
	}
}

// addSessionLocked lists a session that has been set up, without loans.
func (p *Pool) addSessionLocked(k *link, now time.Duration) {
	p.sessions = append(p.sessions, k)
	p.sessionIdleLocked(k, now)
}

// sessionIdleLocked counts a session without loans as idle.
func (p *Pool) sessionIdleLocked(k *link, now time.Duration) {
	k.since = now
	p.idleSessions++
	p.nIdle++
	p.lent--
	if at := k.expiry(now, p.idleFor); at < p.upkeepAt {
		p.armUpkeepLocked(at)
	}
}

// forgetSessionLocked takes a session that is retired off the list.
func (p *Pool) forgetSessionLocked(k *link) {
	if k.session == nil {
		return
	}
	for i, s := range p.sessions {
		if s == k {
			p.sessions = append(p.sessions[:i], p.sessions[i+1:]...)
			return
		}
	}
}

// roomLocked is how many loans may begin now on idle connections and on sessions; it need not count beyond enough.
func (p *Pool) roomLocked(enough int) int {
	room := p.nIdle - p.idleSessions
	for _, k := range p.sessions {
		if room >= enough {
			break
		}
		room += p.roomOn(k)
	}
	return room
}

// roomOn is how many loans may begin on a session now.
func (p *Pool) roomOn(k *link) int {
	if k.streams.ending || k.session.Err() != nil {
		return 0
	}
	room := min(k.session.Available(), mostStreams) - k.streams.out
	if p.cfg.MaxUses > 0 {
		room = min(room, p.cfg.MaxUses-k.streams.taken)
	}
	return max(room, 0)
}

// popStreamLocked takes a place on the first session that has one, oldest first, so that the younger ones can become
// idle. A session without loans that has ended is given too, marked so: whoever inspects it gives it back, which
// retires it.
func (p *Pool) popStreamLocked(now time.Duration) *loan {
	for _, k := range p.sessions {
		if k.streams.ending {
			continue
		}
		why, bad := p.sessionEnds(k, now)
		if bad {
			p.endSessionLocked(k, why)
		}
		if bad && k.streams.out == 0 || !bad && p.roomOn(k) > 0 {
			return p.takeStreamLocked(k)
		}
	}
	return nil
}

// takeStreamLocked takes a place on a session, which counts as lent from then on.
func (p *Pool) takeStreamLocked(k *link) *loan {
	s := k.streams
	if s.out == 0 {
		p.idleSessions--
		p.nIdle--
		p.lent++
	}
	s.out++
	s.taken++
	if n := len(s.spare); n > 0 {
		l := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return l
	}
	l := &loan{link: k}
	if p.cfg.LeakAfter > 0 {
		l.places = new(places)
	}
	s.all = append(s.all, l)
	return l
}

// sessionEnds says why a session takes no more loans.
func (p *Pool) sessionEnds(k *link, now time.Duration) (Reason, bool) {
	switch {
	case k.session.Err() != nil, k.session.Available() < 1:
		return ReasonSessionEnded, true
	case k.gen != p.gen:
		return ReasonOutdated, true
	case k.streams.out > 0:
		return k.expired(now, 0, 0)
	}
	return k.expired(now, now-k.since, p.idleFor)
}

// endSessionLocked lets a session take no more loans.
func (p *Pool) endSessionLocked(k *link, why Reason) {
	k.streams.ending, k.streams.why = true, why
	p.departLocked(k)
}

// streamEndsLocked says why a session on which a loan has ended takes no more.
func (p *Pool) streamEndsLocked(k *link, now time.Duration) (why Reason, bad bool) {
	if why, bad = p.endsLocked(k, now); bad {
		return why, true
	}
	k.since = now
	if why, bad = p.sessionEnds(k, now); bad {
		return why, true
	}
	switch {
	case p.cfg.MaxUses > 0 && k.streams.taken >= p.cfg.MaxUses:
		return ReasonMaxUses, true
	case k.streams.out == 0 && p.fullLocked():
		return ReasonExcess, true
	}
	return 0, false
}

// giveStreamLocked gives back a place on a session: for those in line, or for nobody. It unlocks.
func (p *Pool) giveStreamLocked(l *loan, now time.Duration) {
	k, s := l.link, l.link.streams
	s.out--
	s.spare = append(s.spare, l)
	if why, bad := p.streamEndsLocked(k, now); bad && !s.ending {
		p.endSessionLocked(k, why)
	}
	if s.out == 0 && s.ending {
		s.leaving = true // the upkeep must not find it idle meanwhile
		p.unlock()
		if p.drop(k, now, s.why) {
			p.ready()
		}
		return
	}
	if s.out == 0 {
		p.sessionIdleLocked(k, now)
	}
	waiting := p.waiters.head != nil
	p.unlock()
	if waiting {
		p.serveLine(nil)
		p.begin() // one less is lent, as in giveLocked
		return
	}
	p.ready()
}

// discardStream is Conn.Discard on a session: it takes no more loans, and the last one to end closes it.
func (p *Pool) discardStream(c Conn, now time.Duration, why Reason, at place) {
	k := c.loan.link
	p.lock()
	if c.loan.n.Load() != c.n {
		p.unlock()
		c.misused("Discard")
	}
	p.endLoanLocked(c.loan, now, at)
	if !k.streams.ending {
		p.endSessionLocked(k, why)
	}
	p.giveStreamLocked(c.loan, now)
}

// SessionChanged tells the pool that a session's Available or Err has changed: those in line are served, or get dials,
// without waiting for the next loan to end. It returns at once, takes no lock and may be called from anywhere, but not
// from within a method of a Session.
func (p *Pool) SessionChanged() {
	if !p.over.Load() && p.rechecks.CompareAndSwap(false, true) {
		p.launch(p.recheck)
	}
}

// recheck is the work of SessionChanged, in a goroutine of its own, which Close waits for.
func (p *Pool) recheck() {
	p.lock()
	p.rechecks.Store(false)
	p.running++
	p.unlock()
	p.serveLine(nil)
	p.dropEndedSessions()
	p.begin()
	p.lock()
	free := p.waiters.n == 0 && !p.closed
	p.unlock()
	if free {
		p.ready()
	}
	p.lock()
	p.running--
	p.settleLocked()
	p.unlock()
}

// dropEndedSessions retires the sessions that have ended without loans.
func (p *Pool) dropEndedSessions() {
	for {
		var why Reason
		p.lock()
		k := p.popIdleWhereLocked(func(k *link) (bad bool) {
			if k.session != nil {
				why, bad = p.sessionEnds(k, p.now())
			}
			return bad
		})
		p.unlock()
		if k == nil {
			return
		}
		rest := p.apart()
		if p.drop(k, p.now(), why) {
			p.ready()
		}
		rest()
	}
}
