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
		p.lock()
		ok := !p.draining && p.reserveDialLocked()
		p.size.asked(p.openLocked())
		p.unlock()
		if !ok {
			break
		}
		p.startDial()
	}
	return begun
}

// Cover sees to it that at least n dials are under way, as far as MaxConnections allows, and returns how many are.
// Those that callers of Fresh wait for do not count, and a ping counts as one. An outer queue asks with it for as many dials as it has requests
// that count on this pool, so that dials whose requests have gone serve those that come.
func (p *Pool) Cover(n int) int {
	// What is missing is reserved at once: a dial that ends between two looks is not one that was never begun.
	p.lock()
	under, begin := p.comingLocked(), 0
	for under+begin < n && !p.draining && p.reserveDialLocked() {
		begin++
	}
	p.noteLocked(p.demandLocked() + n)
	p.unlock()
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
	l, err := p.connect(context.Background(), false)
	if err != nil {
		p.dialFailed(err, false)
		return
	}
	now := p.now()
	p.lock()
	p.giveLocked(l, now)
	if p.cfg.Setup != nil { // now it is known how many loans one carries
		p.dialForLine()
	}
	p.wakeWarmers(nil)
}

// dialForLine begins the dials that the line lacks.
func (p *Pool) dialForLine() {
	p.lock()
	begin := p.beginForLineLocked()
	p.unlock()
	for range begin {
		p.startDial()
	}
}

// connect dials a connection and sets it up. It counts as lent from the end of its dial on. Failed says what went
// wrong, for dialFailed to count; a connection that was dialled has been retired then.
func (p *Pool) connect(ctx context.Context, fresh bool) (l *loan, failed *DialError) {
	ctx, cancel := p.withDialTimeout(ctx)
	defer cancel()
	run, err := p.callDialer(ctx, cancel)
	if err != nil {
		return nil, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}
	}
	k := p.adopt(run, p.now(), fresh)
	err = p.setUp(ctx, k)
	p.leave(run)
	now := p.now()
	p.lock()
	if !fresh {
		p.settingUp--
	}
	if err != nil {
		p.unlock()
		k.close()
		p.lock()
		p.retireLocked(k, now, ReasonSetupFailed)
		p.unlock()
		p.event(Event{At: p.time(now), Kind: EventRetired, Conn: k.id, Reason: ReasonSetupFailed})
		return nil, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Setup: true, Err: err}
	}
	p.failures = 0
	p.expectLocked(k)
	p.grownLocked(now, now-run.begun)
	l = &k.loan
	if k.session != nil {
		p.central = true
		p.addSessionLocked(k, now)
		l = p.takeStreamLocked(k)
		if !fresh { // it will be given away, which is no loan yet
			k.streams.taken--
		}
	}
	p.unlock()
	return l, nil
}

// adopt makes a finished dial's connection one of the pool's. As long as it is in nobody's hands it counts as lent.
func (p *Pool) adopt(run *dialRun, now time.Duration, fresh bool) *link {
	p.lock()
	p.dialEndsLocked(fresh)
	if !fresh {
		p.settingUp++
	}
	run.made = run.nc
	p.stats.Dialled++
	p.hist.dial.observe(now - run.begun)
	p.lastID++
	k := &link{pool: p, nc: run.nc, id: p.lastID, born: now, gen: run.gen, ends: never}
	k.loan.link = k
	k.shard = int32(int(p.lastID) % len(p.shards))
	k.look.init(run.nc)
	k.at, p.conns = len(p.conns), append(p.conns, k)
	if p.cfg.LeakAfter > 0 {
		k.loan.places = new(places)
	}
	if life := p.cfg.MaxLifetime; life > 0 {
		if p.cfg.LifetimeSpread > 0 {
			life -= time.Duration(p.rng.Float64() * p.cfg.LifetimeSpread * float64(life))
		}
		k.ends = now + life
	}
	p.lent++
	p.unlock()
	p.event(Event{At: p.time(now), Kind: EventDialled, Conn: k.id})
	return k
}

// Fresh dials a connection for this caller alone and waits for it: a borrower whose reused connection turned out to be
// dead does not want another one of that age. Where the pool is full the connection that has been idle longest gives
// way. It returns ErrNoRoom when every connection is lent, ErrClosed after Close or Drain, ctx's error when ctx ended first,
// and a *DialError when the dial failed.
func (p *Pool) Fresh(ctx context.Context, shard int) (Conn, error) {
	if err := p.reserveFresh(); err != nil {
		return Conn{}, err
	}
	l, failed := p.connect(ctx, true)
	if failed != nil {
		closed := p.dialFailed(failed, true)
		switch {
		case ctx.Err() != nil:
			return Conn{}, ctx.Err()
		case closed:
			return Conn{}, ErrClosed
		}
		return Conn{}, failed
	}
	now := p.now()
	p.lock()
	l.link.shard = int32(shard)
	p.lendLocked(l, now, shard)
	p.unlock()
	p.watch(l)
	p.wakeWarmers(nil)
	return l.handle(), nil
}

// reserveFresh takes a slot for a dial of Fresh, from the connection that has been idle longest if need be. That slot
// passes from the one to the other under the lock, so that nobody else can take it.
func (p *Pool) reserveFresh() error {
	p.lock()
	var old *link
	if !p.closed && !p.draining && p.openLocked() >= p.limit {
		old = p.popOldestLocked()
	}
	if old != nil {
		p.unlock()
		now := p.now()
		old.close()
		defer p.event(Event{At: p.time(now), Kind: EventRetired, Conn: old.id, Reason: ReasonExcess})
		p.lock()
		p.retireLocked(old, now, ReasonExcess)
		p.settleLocked()
	}
	closed := p.closed || p.draining
	ok := !closed && p.reserveDialLocked()
	if ok {
		p.fresh++
	}
	p.unlock()
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

// withDialTimeout is the context of one dial and its set-up.
func (p *Pool) withDialTimeout(parent context.Context) (context.Context, context.CancelFunc) {
	if p.cfg.DialTimeout > 0 {
		return p.clk.WithTimeout(parent, p.cfg.DialTimeout)
	}
	return context.WithCancel(parent)
}

// callDialer runs the dialer and turns its misbehaviour into errors. A dial that gave a connection stays listed, for
// Close to give up its set-up.
func (p *Pool) callDialer(ctx context.Context, cancel context.CancelFunc) (run *dialRun, err error) {
	run = &dialRun{cancel: cancel, begun: p.now()}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the dialer panicked: %v", r)
		}
		if err != nil {
			p.leave(run)
		}
	}()
	if !p.enter(run) {
		return nil, ErrClosed
	}
	run.nc, err = p.cfg.Dialer.DialContext(ctx, p.cfg.Network, p.cfg.Address)
	if err == nil && run.nc == nil {
		err = errNilConn
	}
	if err == nil {
		if err = tune(run.nc, p.cfg.KeepAlive, p.cfg.UserTimeout); err != nil {
			_ = run.nc.Close()
		}
	}
	return run, err
}

// dialRun is a dial whose dialer has been called.
type dialRun struct {
	cancel context.CancelFunc
	gen    uint32   // the pool's generation when it began
	nc     net.Conn // what it gave
	made   net.Conn // the same, once the pool's lock guards it
	begun  time.Duration
}

// enter lists a dial among those that Close gives up; false when the pool is closed already.
func (p *Pool) enter(d *dialRun) bool {
	p.lock()
	defer p.unlock()
	if p.closed {
		return false
	}
	d.gen = p.gen
	p.dials = append(p.dials, d)
	return true
}

// leave takes it off the list.
func (p *Pool) leave(d *dialRun) {
	p.lock()
	defer p.unlock()
	if i := slices.Index(p.dials, d); i >= 0 {
		p.dials = slices.Delete(p.dials, i, i+1)
	}
}

// dialFailed draws the consequences of a dial or a set-up that failed and says whether the pool is closed. Where the
// dial was nobody's own, the first waiter is told, or the outer queue when nobody waits. The slot that is free now is
// announced in any case.
func (p *Pool) dialFailed(err *DialError, fresh bool) (closed bool) {
	now := p.now()
	p.lock()
	if !err.Setup {
		p.dialEndsLocked(fresh)
		p.stats.DialFailed++
	}
	p.failures++
	var w *waiter
	if first := p.waiters.firstLive(); !fresh && first != nil && first.need > 0 {
		w = first
		p.waiters.remove(w)
	}
	begin := p.beginForLineLocked()
	if p.warm {
		p.retryAt = now + p.pauseLocked()
		p.armUpkeepLocked(p.retryAt)
	}
	closed = p.closed
	free := p.waiters.n == 0
	p.settleLocked()
	p.unlock()
	if closed {
		return true
	}
	p.event(Event{At: p.time(now), Kind: EventDialFailed, Err: err.Err})
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
