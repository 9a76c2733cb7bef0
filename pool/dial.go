package pool

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// Want asks for n more connections, as far as MaxConnections allows, and returns how many dials it began. It does
// not wait: a finished dial serves a waiter, or becomes idle and is announced by Config.OnReady.
func (p *Pool) Want(n int) int {
	begun := 0
	for ; begun < n; begun++ {
		p.mu.Lock()
		ok := p.reserveDialLocked()
		p.mu.Unlock()
		if !ok {
			break
		}
		p.startDial()
	}
	return begun
}

// reserveDialLocked takes a slot for one dial, if one is free.
func (p *Pool) reserveDialLocked() bool {
	if p.closed || p.openLocked() >= p.cfg.MaxConnections {
		return false
	}
	p.dialling++
	p.stats.Begun++
	return true
}

// startDial begins a dial whose slot has been reserved. AfterFunc and not a go statement: see the locking law.
func (p *Pool) startDial() { p.clk.AfterFunc(0, p.dial) }

// dial makes one connection and gives it to the first waiter, or to the idle list.
func (p *Pool) dial() {
	nc, err := p.callDialer(context.Background())
	now := p.clk.Now()
	if err != nil {
		p.dialFailed(now, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}, true)
		return
	}
	p.release(p.adopt(nc, now), now)
}

// adopt makes a finished dial's connection one of the pool's. As long as it is in nobody's hands it counts as lent.
func (p *Pool) adopt(nc net.Conn, now time.Time) *Conn {
	p.mu.Lock()
	p.dialling--
	p.stats.Dialled++
	p.failures = 0
	p.lastID++
	c := &Conn{pool: p, nc: nc, id: p.lastID, born: now, state: stateLent, shard: int(p.lastID) % len(p.idle)}
	c.look.init(nc)
	if life := p.cfg.MaxLifetime; life > 0 {
		if p.cfg.LifetimeSpread > 0 {
			life -= time.Duration(p.rng.Float64() * p.cfg.LifetimeSpread * float64(life))
		}
		c.ends = now.Add(life)
	}
	p.lent++
	p.mu.Unlock()
	p.event(Event{At: now, Kind: EventDialled, Conn: c.id})
	return c
}

// Fresh dials a connection for this caller alone and waits for it: a borrower whose reused connection turned out to be
// dead does not want another one of that age. Where the pool is full the connection that has been idle longest gives
// way. It returns ErrNoRoom when every connection is lent, ErrClosed after Close, ctx's error when ctx ended first,
// and a *DialError when the dial failed.
func (p *Pool) Fresh(ctx context.Context, shard int) (*Conn, error) {
	p.mu.Lock()
	var old *Conn
	if !p.closed && p.openLocked() >= p.cfg.MaxConnections {
		old = p.popOldestLocked()
	}
	p.mu.Unlock()
	if old != nil {
		p.discard(old, p.clk.Now(), ReasonExcess)
	}
	p.mu.Lock()
	ok, closed := p.reserveDialLocked(), p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case !ok:
		return nil, ErrNoRoom
	}
	nc, err := p.callDialer(ctx)
	now := p.clk.Now()
	if err != nil {
		dialErr := &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}
		p.dialFailed(now, dialErr, false)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, dialErr
	}
	c := p.adopt(nc, now)
	c.shard = shard
	p.mu.Lock()
	p.lendLocked(c)
	p.mu.Unlock()
	return c, nil
}

// callDialer runs the dialer under the dial timeout and turns its misbehaviour into errors.
func (p *Pool) callDialer(parent context.Context) (nc net.Conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			nc, err = nil, fmt.Errorf("the dialer panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithCancel(parent)
	if p.cfg.DialTimeout > 0 {
		cancel()
		ctx, cancel = p.clk.WithTimeout(parent, p.cfg.DialTimeout)
	}
	defer cancel()
	run := &dialRun{cancel: cancel}
	if !p.enter(run) {
		return nil, ErrClosed
	}
	defer p.leave(run)
	nc, err = p.cfg.Dialer.DialContext(ctx, p.cfg.Network, p.cfg.Address)
	if err == nil && nc == nil {
		err = errNilConn
	}
	return nc, err
}

// dialRun is a dial whose dialer has been called.
type dialRun struct{ cancel context.CancelFunc }

// enter lists a dial among those that Close gives up; false when the pool is closed already.
func (p *Pool) enter(d *dialRun) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.dials = append(p.dials, d)
	return true
}

// leave takes it off the list.
func (p *Pool) leave(d *dialRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.dials, d); i >= 0 {
		p.dials = slices.Delete(p.dials, i, i+1)
	}
}

// dialFailed accounts for a failed dial. Where it was nobody's own, the first waiter is told, or the outer queue when
// nobody waits.
func (p *Pool) dialFailed(now time.Time, err *DialError, tell bool) {
	p.mu.Lock()
	p.dialling--
	p.stats.DialFailed++
	p.failures++
	var w *waiter
	if tell {
		w = p.waiters.popLive()
	}
	dial := p.dialling < p.waiters.n && p.reserveDialLocked()
	if p.warm {
		p.retryAt = now.Add(p.pauseLocked())
		p.armUpkeepLocked(p.retryAt)
	}
	closed := p.closed
	p.settleLocked()
	p.mu.Unlock()
	if closed {
		return
	}
	p.event(Event{At: now, Kind: EventDialFailed, Err: err.Err})
	if dial {
		p.startDial()
	}
	switch {
	case w != nil:
		w.served <- result{err: err}
	case tell && p.cfg.OnDialFailed != nil:
		p.cfg.OnDialFailed(err)
	}
}
