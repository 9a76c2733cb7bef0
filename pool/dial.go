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
		ok := !p.draining && p.reserveDialLocked()
		p.mu.Unlock()
		if !ok {
			break
		}
		p.startDial()
	}
	return begun
}

// Cover sees to it that at least n dials are under way, as far as MaxConnections allows, and returns how many are.
// Those that callers of Fresh wait for do not count. An outer queue asks with it for as many dials as it has requests
// that count on this pool, so that dials whose requests have gone serve those that come.
func (p *Pool) Cover(n int) int {
	// What is missing is reserved at once: a dial that ends between two looks is not one that was never begun.
	p.mu.Lock()
	under, begin := p.sharedLocked(), 0
	for under+begin < n && !p.draining && p.reserveDialLocked() {
		begin++
	}
	p.mu.Unlock()
	for range begin {
		p.startDial()
	}
	return under + begin
}

// reserveDialLocked takes a slot for one dial, if one is free.
func (p *Pool) reserveDialLocked() bool {
	if p.closed || p.openLocked() >= p.limit {
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
	run, err := p.callDialer(context.Background())
	now := p.clk.Now()
	if err != nil {
		p.dialFailed(now, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}, false)
		return
	}
	p.release(p.adopt(run, now, false), now)
	p.wakeWarmers(nil)
}

// adopt makes a finished dial's connection one of the pool's. As long as it is in nobody's hands it counts as lent.
func (p *Pool) adopt(run *dialRun, now time.Time, fresh bool) *Conn {
	p.mu.Lock()
	p.dialEndsLocked(fresh)
	p.stats.Dialled++
	p.hist.dial.observe(now.Sub(run.begun))
	p.failures = 0
	p.lastID++
	c := &Conn{pool: p, nc: run.nc, id: p.lastID, born: now, gen: run.gen, state: stateLent}
	c.shard = int(p.lastID) % len(p.idle)
	c.look.init(run.nc)
	c.at, p.conns = len(p.conns), append(p.conns, c)
	if p.cfg.LeakAfter > 0 {
		c.places = new(places)
	}
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
// way. It returns ErrNoRoom when every connection is lent, ErrClosed after Close or Drain, ctx's error when ctx ended first,
// and a *DialError when the dial failed.
func (p *Pool) Fresh(ctx context.Context, shard int) (*Conn, error) {
	if err := p.reserveFresh(); err != nil {
		return nil, err
	}
	run, err := p.callDialer(ctx)
	now := p.clk.Now()
	if err != nil {
		dialErr := &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}
		closed := p.dialFailed(now, dialErr, true)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case closed:
			return nil, ErrClosed
		}
		return nil, dialErr
	}
	c := p.adopt(run, now, true)
	c.shard = shard
	p.mu.Lock()
	p.lendLocked(c, now)
	p.mu.Unlock()
	p.wakeWarmers(nil)
	return c, nil
}

// reserveFresh takes a slot for a dial of Fresh, from the connection that has been idle longest if need be. That slot
// passes from the one to the other under the lock, so that nobody else can take it.
func (p *Pool) reserveFresh() error {
	p.mu.Lock()
	var old *Conn
	if !p.closed && !p.draining && p.openLocked() >= p.limit {
		old = p.popOldestLocked()
	}
	if old != nil {
		p.mu.Unlock()
		now := p.clk.Now()
		p.endLoan(old, now)
		_ = old.nc.Close()
		defer p.event(Event{At: now, Kind: EventRetired, Conn: old.id, Reason: ReasonExcess})
		p.mu.Lock()
		p.retireLocked(old, now, ReasonExcess)
		p.settleLocked()
	}
	closed := p.closed || p.draining
	ok := !closed && p.reserveDialLocked()
	if ok {
		p.fresh++
	}
	p.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !ok:
		return ErrNoRoom
	}
	return nil
}

// dialEndsLocked counts a dial out.
func (p *Pool) dialEndsLocked(fresh bool) {
	p.dialling--
	if fresh {
		p.fresh--
	}
}

// callDialer runs the dialer under the dial timeout and turns its misbehaviour into errors.
func (p *Pool) callDialer(parent context.Context) (run *dialRun, err error) {
	defer func() {
		if r := recover(); r != nil {
			run, err = nil, fmt.Errorf("the dialer panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithCancel(parent)
	if p.cfg.DialTimeout > 0 {
		cancel()
		ctx, cancel = p.clk.WithTimeout(parent, p.cfg.DialTimeout)
	}
	defer cancel()
	run = &dialRun{cancel: cancel, begun: p.clk.Now()}
	if !p.enter(run) {
		return nil, ErrClosed
	}
	defer p.leave(run)
	run.nc, err = p.cfg.Dialer.DialContext(ctx, p.cfg.Network, p.cfg.Address)
	if err == nil && run.nc == nil {
		err = errNilConn
	}
	return run, err
}

// dialRun is a dial whose dialer has been called.
type dialRun struct {
	cancel context.CancelFunc
	gen    uint32   // the pool's generation when it began
	nc     net.Conn // what it gave
	begun  time.Time
}

// enter lists a dial among those that Close gives up; false when the pool is closed already.
func (p *Pool) enter(d *dialRun) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	d.gen = p.gen
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

// dialFailed accounts for a failed dial and says whether the pool is closed. Where the dial was nobody's own, the first
// waiter is told, or the outer queue when nobody waits. The slot that is free now is announced in any case.
func (p *Pool) dialFailed(now time.Time, err *DialError, fresh bool) (closed bool) {
	p.mu.Lock()
	p.dialEndsLocked(fresh)
	p.stats.DialFailed++
	p.failures++
	var w *waiter
	if first := p.waiters.firstLive(); !fresh && first != nil && first.need > 0 {
		w = first
		p.waiters.remove(w)
	}
	begin := p.beginForLineLocked()
	if p.warm {
		p.retryAt = now.Add(p.pauseLocked())
		p.armUpkeepLocked(p.retryAt)
	}
	closed = p.closed
	free := p.waiters.n == 0
	p.settleLocked()
	p.mu.Unlock()
	if closed {
		return true
	}
	p.event(Event{At: now, Kind: EventDialFailed, Err: err.Err})
	for range begin {
		p.startDial()
	}
	switch {
	case w != nil:
		p.tell(w, result{err: err})
		p.serveLine(nil) // what lay ready for a batch is the next one's
		p.trim()
	case !fresh && p.cfg.OnDialFailed != nil:
		p.cfg.OnDialFailed(err)
	}
	if free {
		p.ready()
	}
	p.wakeWarmers(err)
	return false
}
