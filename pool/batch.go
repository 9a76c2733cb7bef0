package pool

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// GetN lends n connections together, or none. The caller stands in the line as one waiter: when it is at the head,
// returned connections and finished dials lie ready until n are idle, and it is served whole. As it holds nothing
// while it waits, callers that each want half of the pool, or all of it, cannot block each other for ever.
// A caller that asks while it holds other loans of the same pool gives that promise away.
//
// Errors are those of Lend, one failed dial included, and ErrTooLarge at once when n is more than the pool's limit, or
// later when Resize makes it so. An n below 1 gives neither connections nor an error.
func (p *Pool) GetN(ctx context.Context, shard, n int) ([]Conn, error) {
	p.checkShard(shard)
	if err := ctx.Err(); err != nil || n < 1 {
		return nil, err
	}
	w := p.newWaiter(ctx, p.now(), n, shard)
	r, err := p.await(w)
	p.done(w)
	if err != nil {
		return nil, err
	}
	if n == 1 {
		r.batch = []*loan{r.loan}
	}
	conns := make([]Conn, n)
	for i, l := range r.batch {
		conns[i] = l.handle()
		p.watch(l)
	}
	return conns, nil
}

// ReleaseAll gives several connections of one pool or of many back for the next borrowers, in their order. Loans that
// have ended otherwise, and zero entries, are passed over.
//
//go:noinline
func ReleaseAll(conns []Conn) {
	at := callersPlace()
	for _, c := range conns {
		if c.Lent() {
			p := c.loan.link.pool
			p.release(c, p.now(), at)
		}
	}
}

// readyLocked is the number of connections that are open and set up.
func (p *Pool) readyLocked() int { return p.nIdle + p.lent - p.settingUp }

// warmer is one caller of WarmUp.
type warmer struct {
	n    int
	woke chan error // holds one: waking never blocks; the error is that of a failed dial
}

// WarmUp dials until n connections are open, lent ones included, and waits for that or for the end of ctx. After a
// failed dial it pauses and tries again; when ctx ends, its error comes together with that of the last failed dial, and
// errors.Is and errors.As find both. It returns ErrClosed once the pool drains or is closed, ErrTooLarge when n is
// more than may lie idle, and a *DownError, as Lend does, when the backend is down already. Nothing keeps the connections
// open afterwards: that is what Config.MinIdle is for.
func (p *Pool) WarmUp(ctx context.Context, n int) error {
	var last error
	for ctx.Err() == nil {
		w := &warmer{n: n, woke: make(chan error, 1)}
		done, err := p.beginWarmUp(w, last == nil)
		if done {
			return err
		}
		select {
		case err = <-w.woke:
		case <-ctx.Done():
			p.lock()
			if i := slices.Index(p.warmers, w); i >= 0 {
				p.warmers = slices.Delete(p.warmers, i, i+1)
			}
			p.unlock()
			continue
		}
		if err == nil {
			continue
		}
		last = err
		p.lock()
		pause := p.outage.retryIn(p.now())
		if p.outage.judged {
			pause = p.outage.pause(p.rng)
		}
		p.unlock()
		p.rest(ctx, pause)
	}
	if last != nil {
		return fmt.Errorf("%w, last failure: %w", ctx.Err(), last)
	}
	return ctx.Err()
}

// beginWarmUp begins the dials that a WarmUp lacks and enlists it to be woken; done says that there is nothing to wait for.
// A newcomer does not wait for a backend that is down.
func (p *Pool) beginWarmUp(w *warmer, newcomer bool) (done bool, err error) {
	now := p.now()
	p.lock()
	switch {
	case p.closed || p.draining:
		err = ErrClosed
	case w.n > p.maxIdle:
		err = ErrTooLarge
	case newcomer && w.n > 0:
		err = p.turnedAwayLocked(now)
	}
	if err != nil || p.readyLocked() >= w.n {
		p.unlock()
		return true, err
	}
	p.size.asked(w.n)
	p.warmers = append(p.warmers, w)
	due := p.dueLocked(now)
	p.unlock()
	p.start(due)
	return false, nil
}

// rest waits for a pause to pass, or for the end of ctx, or of the pool.
func (p *Pool) rest(ctx context.Context, pause time.Duration) {
	ctx, cancel := p.clk.WithTimeout(ctx, pause)
	defer cancel()
	w := &warmer{n: restsOnly, woke: make(chan error, 1)}
	p.lock()
	if p.closed || p.draining {
		p.unlock()
		return
	}
	p.warmers = append(p.warmers, w)
	p.unlock()
	select {
	case <-w.woke:
	case <-ctx.Done():
		p.lock()
		if i := slices.Index(p.warmers, w); i >= 0 {
			p.warmers = slices.Delete(p.warmers, i, i+1)
		}
		p.unlock()
	}
}

// wakeResting ends the pauses of the callers of WarmUp, one instant each.
func (p *Pool) wakeResting() {
	for {
		p.lock()
		i := slices.IndexFunc(p.warmers, func(w *warmer) bool { return w.n == restsOnly })
		if i < 0 {
			p.unlock()
			return
		}
		w := p.warmers[i]
		p.warmers = slices.Delete(p.warmers, i, i+1)
		p.unlock()
		rest := p.apart()
		w.woke <- nil
		rest()
	}
}

// restsOnly marks a warmer that pauses after a failed dial, and that only the end of the pool may wake before.
const restsOnly = -1

// wakeWarmers wakes the callers of WarmUp that have something to do: one instant each. With failed, a dial failed;
// else the connections changed.
func (p *Pool) wakeWarmers(failed error) {
	for {
		p.lock()
		w := p.nextWarmerLocked(failed)
		p.unlock()
		if w == nil {
			return
		}
		rest := p.apart()
		w.woke <- failed
		rest()
	}
}

// nextWarmerLocked takes one caller of WarmUp off the list: each of them when the pool ends or a dial has failed, and
// else one whose number is reached, or out of reach.
func (p *Pool) nextWarmerLocked(failed error) *warmer {
	for i, w := range p.warmers {
		ended := p.closed || p.draining
		moved := failed != nil || p.readyLocked() >= w.n || w.n > p.maxIdle
		if ended || w.n != restsOnly && moved {
			p.warmers = slices.Delete(p.warmers, i, i+1)
			return w
		}
	}
	return nil
}
