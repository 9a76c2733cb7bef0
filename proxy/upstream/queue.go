package upstream

import (
	"context"
	"slices"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// noPick is the backend of a waiter that counts on no particular one.
const noPick = -1

// grant is what a waiter is served: a connection of a backend, or an error.
type grant struct {
	backend int
	conn    *pool.Conn
	err     error
}

// waiter is a request in the queue. Its fields belong to Upstream.mu while it is queued.
type waiter struct {
	ctx    context.Context
	a      *Attempt
	pick   int // the backend whose dial it counts on and in whose in-flight count it is, or noPick
	served chan grant
	queued bool
}

// queue is the line, first come first. It is short, or the upstream is in trouble: a slice will do.
type queue struct {
	line      []*waiter
	undialled int // waiters with noPick
}

func (q *queue) push(w *waiter) {
	w.queued = true
	q.line = append(q.line, w)
	if w.pick == noPick {
		q.undialled++
	}
}

func (q *queue) remove(w *waiter) {
	i := slices.Index(q.line, w)
	q.line = slices.Delete(q.line, i, i+1)
	w.queued = false
	if w.pick == noPick {
		q.undialled--
	}
}

// repick changes the backend that a queued waiter counts on.
func (q *queue) repick(w *waiter, pick int) {
	if w.pick == noPick {
		q.undialled--
	}
	w.pick = pick
	if pick == noPick {
		q.undialled++
	}
}

// firstFor returns the first waiter that backend i may serve, or nil.
func (q *queue) firstFor(i int) *waiter {
	for _, w := range q.line {
		if w.ctx.Err() == nil && !slices.Contains(w.a.tried, i) {
			return w
		}
	}
	return nil
}

// firstOn returns the first waiter that counts on backend i, or nil.
func (q *queue) firstOn(i int) *waiter {
	for _, w := range q.line {
		if w.pick == i {
			return w
		}
	}
	return nil
}

// leaveLocked takes a waiter out of the line and gives back its pick.
func (u *Upstream) leaveLocked(w *waiter) {
	u.queue.remove(w)
	u.waiting.Store(int32(len(u.queue.line)))
	if w.pick != noPick {
		u.picker.Done(w.pick, lb.Abandoned, 0)
		w.pick = noPick
	}
}

// wait queues the attempt and returns when it has been served. It is called with the lock and returns without it.
// The pick, if any, has been counted.
func (u *Upstream) wait(ctx context.Context, a *Attempt, pick int) error {
	if len(u.queue.line) >= max(u.cfg.MaxWaiting, 0) {
		if pick != noPick {
			u.picker.Done(pick, lb.Abandoned, 0)
		}
		u.mu.Unlock()
		return ErrQueueFull
	}
	w := &waiter{ctx: ctx, a: a, pick: pick, served: make(chan grant, 1)}
	u.queue.push(w)
	u.waiting.Store(int32(len(u.queue.line)))
	u.stats.waits++
	u.mu.Unlock()
	u.wantFor(w)
	u.recheck(w)
	return u.park(w)
}

// park waits for the grant, the time limit or the end of the context.
func (u *Upstream) park(w *waiter) error {
	var late <-chan struct{}
	if u.cfg.QueueTimeout > 0 {
		limit, cancel := u.clk.WithTimeout(context.Background(), u.cfg.QueueTimeout)
		defer cancel()
		late = limit.Done()
	}
	err := ErrQueueTimeout
	select {
	case g := <-w.served:
		return u.accept(w.a, g)
	case <-late:
	case <-w.ctx.Done():
		err = w.ctx.Err()
	}
	u.mu.Lock()
	queued := w.queued
	if queued {
		u.leaveLocked(w)
	}
	u.mu.Unlock()
	if queued {
		return err
	}
	// It was served in the very moment at which its time ran out: then it may as well go on.
	return u.accept(w.a, <-w.served)
}

// accept turns a grant into the attempt's connection.
func (u *Upstream) accept(a *Attempt, g grant) error {
	if g.err != nil {
		return g.err
	}
	u.begun(a, u.backends[g.backend], g.conn)
	return nil
}

// wantFor makes sure that a dial is under way for a queued waiter, at the backend it counts on or, where that one is
// full, at another one with room.
func (u *Upstream) wantFor(w *waiter) {
	for {
		u.mu.Lock()
		if w.queued && w.pick == noPick {
			if i := u.picker.Pick(u.clk.Now(), w.a.query()); i >= 0 {
				u.queue.repick(w, i)
			}
		}
		i, queued := w.pick, w.queued
		u.mu.Unlock()
		if !queued || i == noPick {
			return
		}
		b := u.backends[i]
		if b.pool.Want(1) == 1 {
			return
		}
		u.mu.Lock()
		if w.queued && w.pick == i {
			u.picker.Done(i, lb.Abandoned, 0)
			u.queue.repick(w, noPick)
			u.fullLocked(b)
		}
		u.mu.Unlock()
		if b.pool.Free() > 0 {
			u.serve(b) // an idle connection came back meanwhile: the head of the line gets it
		}
	}
}

// fullLocked makes the picker pass over a backend whose pool has neither an idle connection nor a free slot.
func (u *Upstream) fullLocked(b *backend) {
	b.full.Store(true)
	u.picker.SetReady(b.index, 0)
	// Whoever frees something after this look sees the flag; whoever did so before is seen by the look.
	if b.pool.Free() > 0 {
		b.full.Store(false)
		u.picker.SetReady(b.index, -1)
	}
}

// recheck serves what became free between the failed lend and the place in the line.
func (u *Upstream) recheck(w *waiter) {
	u.mu.Lock()
	pick := w.pick
	u.mu.Unlock()
	if pick != noPick {
		u.serve(u.backends[pick])
		return
	}
	for _, b := range u.backends {
		u.serve(b)
	}
}

// ready is a pool's word that a connection or a slot is free.
func (u *Upstream) ready(b *backend) {
	if b.full.Load() {
		u.mu.Lock()
		b.full.Store(false)
		u.picker.SetReady(b.index, -1)
		u.mu.Unlock()
	}
	u.serve(b)
}

// serve gives what is free at a backend to the head of the line.
func (u *Upstream) serve(b *backend) {
	for u.waiting.Load() > 0 {
		u.mu.Lock()
		w := u.queue.firstFor(b.index)
		if w == nil || !u.judge.Available(b.index) {
			u.mu.Unlock()
			return
		}
		shard := w.a.Shard
		u.mu.Unlock()
		now := u.clk.Now()
		c := b.pool.TryLend(now, shard)
		if c == nil {
			u.dialForUndialled(b)
			return
		}
		u.mu.Lock()
		if w = u.queue.firstFor(b.index); w != nil {
			if w.pick != b.index {
				if w.pick != noPick {
					u.picker.Done(w.pick, lb.Abandoned, 0)
				}
				u.queue.repick(w, b.index)
				u.picker.Take(b.index)
			}
			u.queue.remove(w)
			u.waiting.Store(int32(len(u.queue.line)))
		}
		u.mu.Unlock()
		if w == nil {
			c.Release(now)
			return
		}
		w.served <- grant{backend: b.index, conn: c}
		u.clk.Sleep(0) // the waiter runs in this instant; whoever served it goes on in the next
	}
}

// dialForUndialled uses a free slot of a backend for the first waiter that has no dial under way anywhere.
func (u *Upstream) dialForUndialled(b *backend) {
	u.mu.Lock()
	var w *waiter
	for _, x := range u.queue.line {
		if x.pick == noPick && x.ctx.Err() == nil && !slices.Contains(x.a.tried, b.index) {
			w = x
			break
		}
	}
	if w != nil {
		u.queue.repick(w, b.index)
		u.picker.Take(b.index)
	}
	u.mu.Unlock()
	if w != nil {
		u.wantFor(w)
	}
}

// failWaiters empties the line, one instant each.
func (u *Upstream) failWaiters(err error) {
	for {
		u.mu.Lock()
		var w *waiter
		if len(u.queue.line) > 0 {
			w = u.queue.line[0]
			u.leaveLocked(w)
		}
		u.mu.Unlock()
		if w == nil {
			return
		}
		w.served <- grant{err: err}
		u.clk.Sleep(0)
	}
}
