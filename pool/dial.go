package pool

import (
	"context"
	"net"
	"time"
)

// Want asks for n more connections, as far as MaxConnections and MaxDials allow, and returns how many dials it began.
// It does not wait: a finished dial serves a waiter, or becomes idle and is announced by Config.OnReady. While the
// backend is down, and there is no Judge, it begins none; what it asked for is remembered and keeps the probe going.
func (p *Pool) Want(n int) int {
	begun := 0
	for ; begun < n; begun++ {
		p.lock()
		ok := p.mayDialLocked() && p.reserveDialLocked()
		p.size.asked(p.openLocked())
		p.unlock()
		if !ok {
			break
		}
		p.startDial(false)
	}
	return begun
}

// Cover sees to it that dials for at least n loans are under way, as far as MaxConnections and MaxDials allow, and returns
// for how many loans they are. Those that callers of Fresh wait for do not count, and a ping counts as one. An outer queue asks with it for as many
// dials as it has requests that count on this pool, so that dials whose requests have gone serve those that come. While
// the backend is down it begins none, as Want.
func (p *Pool) Cover(n int) int {
	// What is missing is reserved at once: a dial that ends between two looks is not one that was never begun.
	p.lock()
	each := max(p.perConn, 1)
	n = (n + each - 1) / each
	under, begin := p.comingLocked(), 0
	for under+begin < n && p.mayDialLocked() && p.reserveDialLocked() {
		begin++
	}
	p.noteLocked(p.demandLocked() + n)
	p.unlock()
	p.start(dials{n: begin})
	return (under + begin) * each
}

// mayDialLocked says whether an outer queue may have a dial now. While it may not, its wish is noted.
func (p *Pool) mayDialLocked() bool {
	if p.outage.holds() && !p.closed && !p.draining {
		p.askLocked()
		return false
	}
	return !p.draining
}

// slotsLocked is how many dials may begin now, those of Fresh excepted.
func (p *Pool) slotsLocked() int {
	return max(min(p.limit-p.openLocked(), p.cfg.MaxDials-p.dialsLocked()), 0)
}

// dialsLocked is how many dials count against MaxDials.
func (p *Pool) dialsLocked() int { return p.dialling - p.fresh + p.settingUp + p.abandoned }

// reserveDialLocked takes a slot for one dial, if one is free.
func (p *Pool) reserveDialLocked() bool {
	if p.closed || p.slotsLocked() == 0 {
		return false
	}
	p.dialling++
	p.stats.Begun++
	return true
}

// startDial begins a dial whose slot has been reserved.
func (p *Pool) startDial(probe bool) {
	p.launch(func() { p.dial(&dialRun{probe: probe}) })
}

// dial makes one connection and gives it to the first waiter, or to the idle list.
func (p *Pool) dial(run *dialRun) {
	if !p.connect(run) {
		return
	}
	p.running++ // Close waits for what follows
	defer p.ran()
	capped := p.dialsLocked() == p.cfg.MaxDials-1
	p.giveLocked(run.loan, run.ended)
	p.judged(nil)
	p.begin()
	p.wakeWarmers(nil)
	if capped {
		p.ready() // whoever was refused a dial for their number may have one
	}
}

// connect dials a connection and sets it up. It counts as lent from the end of its dial on. True: run has it, and the
// pool is locked, so that nobody counts on that dial any more before the connection has been given away. False: it
// failed, or was given up, and all that follows from that has been done.
func (p *Pool) connect(run *dialRun) bool {
	ctx, cancel := p.limitDial(run)
	defer cancel()
	nc, err := p.callDialer(ctx, run)
	if err != nil {
		p.lock()
		mine := p.claimEndLocked(run)
		p.unlock()
		if !mine {
			p.dialReturned()
			return false
		}
		p.dialFailed(run, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Err: err}, ctx.Err())
		return false
	}
	k := p.adopt(run, nc)
	if k == nil {
		_ = nc.Close()
		p.dialReturned()
		return false
	}
	s, err := p.setUp(ctx, nc)
	now := p.now()
	p.lock()
	if !p.claimEndLocked(run) {
		p.unlock()
		if s != nil {
			_ = s.Close()
		}
		p.dialReturned()
		return false
	}
	if err != nil {
		p.unlock()
		p.dropUnmade(run, err)
		p.dialFailed(run, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Setup: true, Err: err}, ctx.Err())
		return false
	}
	p.setUpEndsLocked(run)
	k.install(s)
	if k.ends != never && p.cfg.Setup != nil { // its life begins when it is ready
		k.ends += now - k.born
	}
	p.dialTimes.succeeded(now - run.begun)
	p.dialSucceededLocked(run)
	p.expectLocked(k)
	p.grownLocked(now)
	run.loan = &k.loan
	if k.session != nil {
		p.central = true
		p.addSessionLocked(k, now)
		run.loan = p.takeStreamLocked(k)
		if !run.fresh { // it will be given away, which is no loan yet
			k.streams.taken--
		}
	}
	run.ended = now
	return true
}

// adopt makes a finished dial's connection one of the pool's. As long as it is in nobody's hands it counts as lent. It is
// nil when the dial has been given up.
func (p *Pool) adopt(run *dialRun, nc net.Conn) *link {
	now := p.now()
	p.lock()
	if run.over {
		p.unlock()
		return nil
	}
	p.dialEndsLocked(run.fresh)
	if !run.fresh {
		p.settingUp++
	}
	p.stats.Dialled++
	p.hist.dial.observe(now - run.begun)
	p.lastID++
	k := &link{pool: p, nc: nc, id: p.lastID, born: now, took: now - run.begun, gen: run.gen, ends: never}
	run.made = k
	k.loan.link = k
	k.shard = int32(int(p.lastID) % len(p.shards))
	k.look.init(nc)
	k.look.through = p.cfg.Greets
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

// dialSucceededLocked ends an outage, if there was one. What it held back is due now.
func (p *Pool) dialSucceededLocked(run *dialRun) {
	if run.probe {
		p.outage.probeEnded()
	}
	if p.outage.holds() {
		p.refillShort = true
	}
	p.outage.over()
}

// dialEndsLocked counts a dial out.
func (p *Pool) dialEndsLocked(fresh bool) {
	p.dialling--
	if fresh {
		p.fresh--
	}
}

// dropUnmade retires a connection whose set-up failed.
func (p *Pool) dropUnmade(run *dialRun, why error) {
	k := run.made
	k.close()
	now := p.now()
	p.lock()
	p.setUpEndsLocked(run)
	p.retireLocked(k, now, ReasonSetupFailed)
	p.unlock()
	p.event(Event{At: p.time(now), Kind: EventRetired, Conn: k.id, Reason: ReasonSetupFailed, Err: why})
}

// dialFailed draws the consequences of a dial or a set-up that failed; ended is how its context had ended by then. Where
// the dial was nobody's own, the first waiter is told, or the outer queue when nobody waits. The slot that is free now is
// announced in any case.
func (p *Pool) dialFailed(run *dialRun, err *DialError, ended error) {
	now := p.now()
	p.lock()
	if !err.Setup {
		p.dialEndsLocked(run.fresh)
		p.stats.DialFailed++
	}
	run.failed, run.closed = err, p.closed
	evidence := p.learnFailureLocked(run, now, ended)
	w := p.concernedLocked(run)
	due := p.lineDueLocked(now)
	if p.warm && !p.outage.holds() {
		p.armUpkeepLocked(max(now, p.outage.refillAt()))
	}
	closed, free := p.closed, p.waiters.n == 0
	p.running++ // Close waits for what follows
	p.unlock()
	defer p.ran()
	if !err.Setup { // whose connection has been told of as retired
		p.event(Event{At: p.time(now), Kind: EventDialFailed, Err: err.Err})
	}
	if closed {
		p.answer(run)
		return
	}
	if evidence {
		p.judged(err)
	}
	p.start(due)
	switch {
	case w != nil:
		p.tell(w, result{err: err})
		p.serveLine(nil) // what lay ready for a batch is the next one's
		p.trim()
	case !run.fresh && p.cfg.OnDialFailed != nil:
		p.cfg.OnDialFailed(err)
	}
	if p.turnAway() || free {
		p.ready()
	}
	p.wakeWarmers(err)
	p.answer(run)
}

// learnFailureLocked remembers what a failed dial says about the backend, if anything: not when its caller gave it up,
// nor when the pool did to close.
func (p *Pool) learnFailureLocked(run *dialRun, now time.Duration, ended error) (evidence bool) {
	if run.probe {
		p.outage.probeEnded()
	}
	if p.closed || run.left {
		return false
	}
	if ended == context.DeadlineExceeded {
		p.dialTimes.timedOut(run.limit)
	}
	if pause := p.outage.failed(now, run.begun, run.failed); pause && (p.warm || !p.outage.judged) {
		p.outage.rest(now, p.rng)
	}
	return true
}

// concernedLocked takes the waiter whom a failed dial concerns out of the line; nil if there is none. The failure of a
// probe is no news to those who wait for a connection that is lent.
func (p *Pool) concernedLocked(run *dialRun) *waiter {
	w := p.waiters.firstLive()
	if w == nil || w.need == 0 || run.fresh || run.probe && p.lent > p.settingUp {
		return nil
	}
	p.waiters.remove(w)
	return w
}

// judged tells the judge how a dial ended.
func (p *Pool) judged(err error) {
	if p.cfg.Judge != nil {
		p.cfg.Judge(err)
	}
}
