package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/benbjohnson/clock"
)

// A ping is like a dial: it takes a while, a goroutine of the pool makes it, and it ends with a connection for whoever is
// first in line, or with nothing. Meanwhile the connection counts as lent, and as one under way.

// errPingTimeout is the end of a ping that did not return.
var errPingTimeout = errors.New("pool: the ping has not returned in time")

// pingRun is one ping.
type pingRun struct {
	link      *link
	ctx       context.Context
	cancel    context.CancelFunc
	limit     *clock.Timer // for a Ping that does not look at its context; Pool.running counts it
	cancelled bool         // by Close
	ended     bool
}

// pingDue says whether an idle connection must be pinged before it is lent to somebody who asked at a given instant. One
// that came back since, from a borrower or from a ping, need not be: otherwise a batch, for which connections lie ready
// until the last one is there, might have them pinged again and again. The caller owns the link as for judge.
func (p *Pool) pingDue(k *link, now, asked time.Duration) bool {
	if p.cfg.Ping == nil || k.session != nil || k.gen != p.gen {
		return false
	}
	idle := now - k.since
	if _, bad := k.expired(now, idle, p.idleFor); bad {
		return false
	}
	trust := p.suspicion.of(k.since)
	return trust == suspect || trust != condemned && idle >= p.cfg.PingAfter && k.since < asked
}

// popReadyLocked is popForLoanLocked for a caller who cannot use a connection that must be pinged first. Where it finds
// such ones it has them pinged, as long as fewer pings than most are under way, and looks for another.
func (p *Pool) popReadyLocked(at int, now, asked time.Duration, most int) *loan {
	l := p.popForLoanLocked(at, now)
	for l != nil && p.pingDue(l.link, now, asked) {
		full := len(p.pings) >= most
		if full {
			p.lieDownLocked(l.link, l.link.since)
		} else {
			p.beginPingLocked(l.link)
		}
		if rested := p.popRestedLocked(at, now, asked); rested != nil || full {
			return rested
		}
		l = p.popForLoanLocked(at, now)
	}
	return l
}

// popRestedLocked takes an idle connection that needs no ping. On each list the one on top has been idle for the
// shortest time: where it needs one, all do.
func (p *Pool) popRestedLocked(at int, now, asked time.Duration) *loan {
	for i := range p.shards {
		from := (at + i) % len(p.shards)
		last := len(p.shards[from].idle) - 1
		if last >= 0 && !p.pingDue(p.shards[from].idle[last], now, asked) {
			k := p.popAtLocked(from, last)
			k.shard = int32(at)
			return &k.loan
		}
	}
	return nil
}

// ping begins the ping of a connection that has been taken from its list.
func (p *Pool) ping(k *link) {
	p.lock()
	p.beginPingLocked(k)
	p.unlock()
}

// beginPingLocked is ping under the lock.
func (p *Pool) beginPingLocked(k *link) {
	run := &pingRun{link: k}
	run.ctx, run.cancel = p.clk.WithTimeout(context.Background(), p.cfg.PingTimeout)
	p.pings = append(p.pings, run)
	if p.closed { // after cancelPings
		run.cancelled = true
		run.cancel()
	}
	p.running++
	run.limit = p.clk.AfterFunc(p.cfg.PingTimeout, func() {
		p.pingEnds(run, errPingTimeout)
		p.lock()
		p.running--
		p.settleLocked()
		p.unlock()
	})
	p.launch(func() { p.runPing(run) })
}

// runPing is the goroutine of a ping.
func (p *Pool) runPing(run *pingRun) {
	defer run.cancel()
	nc := run.link.nc
	deadline, _ := run.ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	err := callPing(run.ctx, p.cfg.Ping, nc)
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	p.pingEnds(run, err)
}

// callPing turns the misbehaviour of a Ping into an error.
func callPing(ctx context.Context, ping func(context.Context, net.Conn) error, nc net.Conn) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in Ping: %v", r)
		}
	}()
	return ping(ctx, nc)
}

// pingEnds gives a connection that answered back for the next borrower, and retires another one. The first end of a ping
// counts.
func (p *Pool) pingEnds(run *pingRun, err error) {
	now := p.now()
	k := run.link
	p.lock()
	if run.ended {
		p.unlock()
		return
	}
	run.ended = true
	p.pings = slices.DeleteFunc(p.pings, func(r *pingRun) bool { return r == run })
	if run.limit.Stop() {
		p.running--
	}
	if err == nil {
		p.giveLocked(&k.loan, now)
		p.wakeWarmers(nil)
		return
	}
	why := ReasonPingFailed
	if p.closed {
		why = ReasonPoolClosed
	} else {
		p.suspicion.foundDumb(now, k.since)
	}
	p.unlock()
	if p.drop(k, now, why) {
		p.ready()
	}
	p.serveLine(nil) // others lie idle that the line left alone as long as this one was under way
}

// cancelPings gives up the pings under way, one instant each.
func (p *Pool) cancelPings() {
	for {
		p.lock()
		var run *pingRun
		if i := slices.IndexFunc(p.pings, func(r *pingRun) bool { return !r.cancelled }); i >= 0 {
			run = p.pings[i]
			run.cancelled = true
		}
		p.unlock()
		if run == nil {
			return
		}
		rest := p.apart()
		run.cancel()
		_ = run.link.nc.SetDeadline(time.Unix(1, 0)) // for a Ping that does not look at its context
		rest()
	}
}
