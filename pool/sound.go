package pool

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// What the pool learns about the soundness of its idle connections, and what it draws from that: where the plain values
// of learn.go and suspect.go meet the pool.

// judgeTrust is the part of judge that most connections never come to.
func (p *Pool) judgeTrust(k *link, now time.Duration, look bool) (Reason, bool, bool) {
	trust := p.suspicion.of(k.since)
	if trust == condemned || trust == suspect && p.cfg.Ping == nil {
		return ReasonSuspect, true, false
	}
	return 0, false, look || trust != trusted || p.pingDue(k, now, now)
}

// validate looks at a connection before it is lent, and tells what it found to those who draw conclusions from it.
func (p *Pool) validate(k *link, now time.Duration) (why Reason, bad bool) {
	err := p.lookAt(k, now)
	switch {
	case err == nil:
		return 0, false
	case errors.Is(err, ErrUnexpectedData):
		return ReasonUnexpectedData, true
	}
	p.lock()
	if errors.Is(err, io.EOF) {
		p.suspicion.foundClosed(now)
	} else {
		p.suspicion.foundReset(now, k.since)
	}
	p.unlock()
	return ReasonPeerClosed, true
}

// callValidate turns a panic of Config.Validate into its error.
func callValidate(validate func(net.Conn) error, nc net.Conn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in Validate: %v", r)
		}
	}()
	return validate(nc)
}

// lookAt looks at a connection and lets the learner know. How a peer treats a connection that nobody has used yet is
// another matter, and so is what a look cannot see.
func (p *Pool) lookAt(k *link, now time.Duration) (err error) {
	told := k.uses > 0
	if p.cfg.Validate != nil {
		err = callValidate(p.cfg.Validate, k.nc)
	} else {
		if k.look.layered && told {
			k.look.through = false
		}
		err = k.look.look()
		told = told && k.look.can() && k.look.n == 0
	}
	idle := now - k.since
	if !told || idle < learnFloor {
		return err
	}
	switch {
	case err == nil:
		p.lock()
		p.learn.foundGood(now, idle)
	case errors.Is(err, io.EOF):
		p.lock()
		p.learn.foundClosed(now, idle)
	default:
		return err
	}
	p.heedTimeoutLocked(now)
	p.unlock()
	return err
}

// lastLook looks at a connection that is retired because it was idle for long: whether the peer had kept it until then
// is what the learner wants to know.
func (p *Pool) lastLook(k *link, now time.Duration, why Reason) {
	if k.session == nil && (why == ReasonIdleTimeout || why == ReasonPeerIdleTimeout) {
		_ = p.lookAt(k, now)
	}
}

// heedDiscard draws the consequences for the others from a connection that its borrower found broken. They concern those
// that were idle as it was: one that came straight from its dial, or from another borrower, says nothing.
func (p *Pool) heedDiscard(l *loan, now time.Duration, why Reason) {
	k := l.link
	if why != ReasonBroken || l.since <= k.since || l.uses < 2 && !k.rested {
		return
	}
	p.lock()
	p.suspicion.foundReset(now, k.since)
	p.unlock()
}

// PeerIdleTimeout tells the pool for how long the peer keeps an idle connection, as it says itself: with "Keep-Alive:
// timeout=5" in HTTP, say. Connections that have been idle for nearly so long (less a tenth, and at least a second unless that
// is more than half) are retired before the peer can close them under a request. It holds for all connections of
// the pool, and the newest word counts; zero or less takes it back. To say the same again costs next to nothing.
func (c Conn) PeerIdleTimeout(d time.Duration) {
	p := c.use("PeerIdleTimeout").link.pool
	if p.told.Load() == int64(d) {
		return
	}
	p.told.Store(int64(d))
	p.lock()
	p.learn.tell(time.Duration(p.told.Load())) // the word of whoever came last, also where several come at once
	p.heedTimeoutLocked(p.now())
	p.unlock()
}

// peerTimeoutLocked is the peer's idle timeout where it matters, and zero elsewhere.
func (p *Pool) peerTimeoutLocked(now time.Duration) time.Duration {
	t := p.learn.timeout(now)
	if own := p.cfg.IdleTimeout; own > 0 && t >= own {
		return 0
	}
	return t
}

// heedTimeoutLocked acts on what is known of the peer's idle timeout now.
func (p *Pool) heedTimeoutLocked(now time.Duration) {
	before := p.idleFor
	p.idleFor = p.cfg.IdleTimeout
	if t := p.peerTimeoutLocked(now); t > 0 {
		p.idleFor = t
	}
	if p.idleFor != before {
		p.armUpkeepLocked(max(p.nextExpiryLocked(), now))
	}
}
