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

// returnGrace is for how long after the end of its time a dial may still take to return before it is given up.
const returnGrace = time.Second

// errNotReturned is why a dial was given up.
var errNotReturned = fmt.Errorf("%w, and the dialer or Setup did not return within %v of it", context.DeadlineExceeded, returnGrace)

var errNilConn = errors.New("the dialer returned neither a connection nor an error")

// dialRun is one dial with its set-up.
type dialRun struct {
	fresh  bool // a caller of Fresh waits for it
	probe  bool // it is the one probe
	cancel context.CancelFunc
	begun  time.Duration
	limit  time.Duration // how long it may take; 0: for as long as it likes

	keepAlive   net.KeepAliveConfig // what its connection gets, as the settings were when it began
	userTimeout time.Duration

	// Pool.lock guards these. The dial is over when its end is accounted for: by its own goroutine, or by the timer that
	// has given it up.
	over  bool
	watch *clock.Timer // gives it up
	gen   uint32       // the pool's generation when it began
	made  *link        // the connection, while Setup runs on it

	// The result: the loan, or the error, of a pool that was closed or not. A caller of Fresh may read it when it is told.
	loan   *loan
	ended  time.Duration
	failed *DialError
	closed bool
	told   signal // nil: nobody waits for this dial
	ready  bool   // a caller of Fresh may have the connection; Pool.lock guards this and left
	left   bool   // that caller has gone
}

// DialTimeout is how long a dial that begins now may take, its set-up included; 0: for as long as the dialer likes. It
// follows the last dials: see [Config.MinDialTimeout].
func (p *Pool) DialTimeout() time.Duration {
	p.lock()
	defer p.unlock()
	return p.dialTimes.timeout()
}

// limitDial makes the context of one dial and its set-up.
func (p *Pool) limitDial(run *dialRun) (ctx context.Context, cancel context.CancelFunc) {
	run.begun, run.limit = p.now(), p.DialTimeout()
	if run.limit > 0 {
		ctx, cancel = p.clk.WithTimeout(context.Background(), run.limit)
	} else {
		ctx, cancel = context.WithCancel(context.Background())
	}
	run.cancel = cancel
	return ctx, cancel
}

// callDialer runs the dialer and turns its misbehaviour into errors. A dial that gave a connection stays listed, for
// Close to give up its set-up.
func (p *Pool) callDialer(ctx context.Context, run *dialRun) (nc net.Conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the dialer panicked: %v", r)
		}
	}()
	if !p.enter(run) {
		return nil, ErrClosed
	}
	nc, err = p.cfg.Dialer.DialContext(ctx, p.cfg.Network, p.cfg.Address)
	if err == nil && nc == nil {
		err = errNilConn
	}
	if err == nil {
		if err = tune(nc, run.keepAlive, run.userTimeout); err != nil {
			_ = nc.Close()
		}
	}
	return nc, err
}

// enter lists a dial among those that Close gives up, and sees to it that it is given up where the dialer takes no
// notice of its time; false when the pool is closed already, or its caller has gone.
func (p *Pool) enter(run *dialRun) bool {
	p.lock()
	defer p.unlock()
	if p.closed || run.left {
		return false
	}
	run.gen, run.keepAlive, run.userTimeout = p.gen, p.cfg.KeepAlive, p.cfg.UserTimeout
	p.dials = append(p.dials, run)
	if run.limit > 0 {
		p.running++
		run.watch = p.clk.AfterFunc(run.limit+returnGrace, func() { p.giveUpDial(run) })
	}
	return true
}

// claimEndLocked is asked by the dial's own goroutine when dialer or Setup have returned: true, and the dial is off the
// list and its end is to be accounted for, or false because the dial has been given up.
func (p *Pool) claimEndLocked(run *dialRun) bool {
	if run.over {
		return false
	}
	p.endLocked(run)
	if run.watch != nil && run.watch.Stop() {
		p.running--
	}
	return true
}

// endLocked takes a dial off the list.
func (p *Pool) endLocked(run *dialRun) {
	run.over = true
	if i := slices.Index(p.dials, run); i >= 0 {
		p.dials = slices.Delete(p.dials, i, i+1)
	}
}

// setUpEndsLocked counts a set-up out. Until then nobody takes its connection for one that is ready.
func (p *Pool) setUpEndsLocked(run *dialRun) {
	if !run.fresh {
		p.settingUp--
	}
}

// giveUpDial ends a dial whose dialer or Setup should have returned some time ago. Its goroutine cannot be ended: it
// counts against MaxDials until it returns.
func (p *Pool) giveUpDial(run *dialRun) {
	p.lock()
	mine := !run.over
	if mine {
		p.endLocked(run)
		p.abandoned++
	}
	p.unlock()
	if mine {
		if run.made != nil {
			rest := p.apart()
			p.dropUnmade(run, errNotReturned) // which may well end the Setup that hangs on it
			rest()
		}
		p.dialFailed(run, &DialError{Pool: p.cfg.Name, Address: p.cfg.Address, Setup: run.made != nil, Err: errNotReturned},
			context.DeadlineExceeded)
	}
	p.lock()
	p.running--
	p.settleLocked()
	p.unlock()
}

// dialReturned counts a dial out that had been given up: its place is free.
func (p *Pool) dialReturned() {
	p.lock()
	p.abandoned--
	closed := p.closed
	p.running++
	p.unlock()
	defer p.ran()
	if !closed {
		p.begin()
		p.ready()
	}
}

// answer tells the caller of Fresh who waits for this dial that it has ended.
func (p *Pool) answer(run *dialRun) {
	if run.told == nil {
		return
	}
	rest := p.apart()
	run.told <- struct{}{}
	rest()
}
