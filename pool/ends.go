package pool

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Retire ends every connection of today: the idle ones are closed now, one instant each; lent ones when they come
// back, and those whose dial is under way when it has ended, unless a caller of Fresh waits for it, who still gets
// it. All of them leave with ReasonOutdated. Connections that are dialled later are not concerned. It is what to call
// after a change behind the address: a new certificate, a node moved, a failover.
func (p *Pool) Retire() {
	p.lock()
	p.gen++
	p.unlock()
	for {
		p.lock()
		k := p.popIdleWhereLocked(func(k *link) bool { return k.gen != p.gen })
		p.unlock()
		if k == nil {
			return
		}
		rest := p.apart()
		if p.drop(k, p.now(), ReasonOutdated) {
			p.ready()
		}
		rest()
	}
}

// Resize changes MaxConnections to n, at least 1. After a growth the waiters' dials begin, MinIdle is refilled and
// OnReady is called. After a shrinking the connections idle for longest are closed, one instant each, as far as there are
// too many; lent ones and dials finish, and are closed when they come back, all with ReasonExcess. Until then Idle +
// Lent + Dialling may be more than the limit. Callers of GetN and WarmUp that ask for more than n fail with
// ErrTooLarge. MinIdle and MaxIdle stay what Config says, as far as n allows. The error is ErrClosed, or says that n is below 1.
func (p *Pool) Resize(n int) error {
	if n < 1 {
		return fmt.Errorf("pool %s: a limit of %d connections is below 1", p.cfg.Name, n)
	}
	p.lock()
	if p.closed {
		p.unlock()
		return ErrClosed
	}
	p.boundLocked(n)
	p.unlock()
	p.failTooLarge()
	p.serveLine(nil)
	p.trim()
	p.lock()
	due, free := p.dueLocked(p.now()), p.waiters.n == 0
	p.unlock()
	p.start(due)
	p.refill(p.now())
	p.wakeWarmers(nil)
	if free && p.Free() > 0 {
		p.ready()
	}
	return nil
}

// boundLocked sets the limits that hold with n connections.
func (p *Pool) boundLocked(n int) {
	p.limit, p.ceiling = n, max(n, p.openLocked())
	p.maxIdle = min(p.cfg.MaxIdle, n)
	if p.cfg.MaxIdle == p.cfg.MaxConnections {
		p.maxIdle = n // it was not bounded any further
	}
	p.minIdle = min(p.cfg.MinIdle, p.maxIdle)
	p.central = p.cfg.LeakAfter > 0 || p.maxIdle < p.limit || len(p.sessions) > 0
}

// trim closes the connections idle for longest while there are more than the limits allow.
func (p *Pool) trim() {
	for {
		p.lock()
		var k *link
		if p.tooManyLocked() || p.waiters.n == 0 && p.nIdle > p.maxIdle {
			k = p.popOldestLocked()
		}
		p.unlock()
		if k == nil {
			return
		}
		rest := p.apart()
		if p.drop(k, p.now(), ReasonExcess) {
			p.ready()
		}
		rest()
	}
}

// failTooLarge tells every waiter whose batch is larger than the limit, one instant each.
func (p *Pool) failTooLarge() {
	for {
		p.lock()
		w := p.waiters.head
		for w != nil && w.need <= p.limit {
			w = w.next
		}
		if w != nil {
			p.waiters.remove(w)
		}
		p.unlock()
		if w == nil {
			return
		}
		p.tell(w, result{err: ErrTooLarge})
	}
}

// Drain ends the pool in order. From now on Lend, GetN, WarmUp and Fresh return ErrClosed, TryLend, Want and Cover
// give nothing. Those who wait in line already are still served, until ctx ends; then Close does the rest, and so Drain
// returns when nothing is lent any more. Its error is ctx's when waiters were turned away, and nil when none was.
func (p *Pool) Drain(ctx context.Context) error {
	p.lock()
	p.draining = true
	closed := p.closed
	w := p.newWaiter(ctx, p.now(), 0, 0)
	if !closed && p.waiters.n > 0 {
		p.waiters.push(w)
	}
	waits := w.queued
	p.unlock()
	p.wakeWarmers(nil)
	turnedAway := false
	if waits {
		w.served.wait(ctx)
		p.lock()
		if w.queued {
			p.waiters.remove(w)
		}
		turnedAway = p.waiters.n > 0
		p.unlock()
	}
	p.Close()
	if turnedAway {
		return ctx.Err()
	}
	return nil
}

// Close ends the pool: waiters fail with ErrClosed one after the other, dials are given up, idle connections are
// closed. It returns when every lent connection has come back and every dial has ended. Further calls wait too.
func (p *Pool) Close() {
	p.lock()
	first := !p.closed
	p.closed = true
	p.over.Store(true)
	p.stopUpkeepLocked()
	p.stopPaceLocked()
	p.unlock()
	if first {
		p.failWaiters()
		p.wakeWarmers(nil)
		p.cancelDials()
		p.cancelPings()
		p.closeIdle()
	}
	p.lock()
	p.settleLocked()
	p.unlock()
	<-p.drained
}

// Cut closes the connections that are lent out under the hands of their borrowers, one instant each, when Close or Drain
// waits for them in vain: reads and writes on them end with net.ErrClosed. Their loans must be ended all the same. Before
// Close it does nothing.
func (p *Pool) Cut() {
	p.lock()
	var open []net.Conn
	if p.closed {
		for _, k := range p.conns {
			open = append(open, k.nc)
		}
	}
	p.unlock()
	for _, nc := range open {
		rest := p.apart()
		_ = nc.Close() // one that came back meanwhile is closed for the second time
		rest()
	}
}

// failWaiters tells every waiter that the pool is closed, one instant each.
func (p *Pool) failWaiters() {
	for {
		p.lock()
		w := p.waiters.pop()
		p.unlock()
		if w == nil {
			return
		}
		p.tell(w, result{err: ErrClosed})
	}
}

// cancelDials gives up the dials under way, one instant each.
func (p *Pool) cancelDials() {
	for {
		p.lock()
		var d *dialRun
		var made net.Conn
		if len(p.dials) > 0 {
			d, p.dials = p.dials[0], p.dials[1:]
			if d.made != nil {
				made = d.made.nc
			}
		}
		p.unlock()
		if d == nil {
			return
		}
		rest := p.apart()
		d.cancel()
		if made != nil { // a Setup that does not look at its context ends with its connection's deadline
			_ = made.SetDeadline(time.Unix(1, 0))
		}
		rest()
	}
}

// closeIdle retires every idle connection.
func (p *Pool) closeIdle() {
	for {
		p.lock()
		k := p.popIdleWhereLocked(func(*link) bool { return true })
		p.unlock()
		if k == nil {
			return
		}
		p.drop(k, p.now(), ReasonPoolClosed)
	}
}

// ran counts a run out, of whatever Close waits for.
func (p *Pool) ran() {
	p.lock()
	p.running--
	p.settleLocked()
	p.unlock()
}

// settleLocked lets Close return once a closed pool holds nothing any more.
func (p *Pool) settleLocked() {
	if !p.closed || p.lent > 0 || p.nIdle > 0 || p.dialling > 0 || p.running > 0 || p.waiters.n > 0 ||
		p.rechecks.Load() {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}
