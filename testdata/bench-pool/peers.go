package main

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
)

// fakeConn is the connection that every pool keeps: nothing to read, nothing to write, and a dial that is free. The
// embedded interface is nil; no pool calls more than Close.
type fakeConn struct {
	net.Conn
	uses int // written by whoever holds it, without a lock: the race detector would see two holders
}

func (c *fakeConn) Close() error { return nil }

// maker dials, and counts what it dialled.
type maker struct{ dials atomic.Int64 }

func (m *maker) make() *fakeConn {
	m.dials.Add(1)
	return new(fakeConn)
}

// DialContext makes a connection at once.
func (m *maker) DialContext(context.Context, string, string) (net.Conn, error) { return m.make(), nil }

// work is what a caller does while it holds a connection; the zero value is nothing.
type work struct {
	yield bool            // let another goroutine run, as a caller does that waits for an answer
	visit func(*fakeConn) // for tests; nil in measurements
}

// do is small enough to be inlined, but for the rare parts.
func (w *work) do(c *fakeConn) {
	if w.visit != nil {
		w.visit(c)
	}
	if w.yield {
		runtime.Gosched()
	}
}

// lender is an open pool. Each pool brings its own loop, so that calling it costs no indirection that would be counted as
// the pool's.
type lender struct {
	// run lends and returns n times, in the calling goroutine.
	run func(ctx context.Context, n int, w work) error
	// fill lends n connections at once, and then returns them all.
	fill func(ctx context.Context, n int) error
	// close ends the pool, whose connections are all idle.
	close func()
}

// peer is one kind of pool.
type peer struct {
	name string
	// open makes a pool of at most size connections.
	open func(m *maker, size int) (lender, error)
}

// The names of peers that ratios are made of.
const (
	oursGiven = "wavepool, time given"
	oursBound = "wavepool, time given, no end of ctx"
	oursPlain = "wavepool"
	puddleV2  = "puddle v2"
	bareChan  = "buffered channel"
	ctxChan   = "channel, select on ctx"
	stdSQL    = "database/sql"
	fakesOnly = "(the bare connections)"
)

// peers are all the pools, in the order of the table. go-redis is not among them, which keeps its pool in an
// internal package.
var peers = []peer{
	{oursGiven, openOursGiven},
	{oursBound, openOursBound},
	{oursPlain, openOurs},
	{puddleV2, openPuddle},
	{stdSQL, openSQL},
	{"redigo", openRedigo},
	{"commons-pool", openCommons},
	{bareChan, openChannel},
	{ctxChan, openSelect},
	{"mutex and slice", openSlice},
}

// openChannel is a channel of connections and nothing else: a caller that waits cannot be called off.
func openChannel(m *maker, size int) (lender, error) {
	free := make(chan *fakeConn, size)
	for range size {
		free <- m.make()
	}
	return lender{
		run: func(_ context.Context, n int, w work) error {
			for range n {
				c := <-free
				w.do(c)
				free <- c
			}
			return nil
		},
		fill:  keepFull,
		close: func() {},
	}, nil
}

// openSelect is the same with a caller that gives up when its context ends.
func openSelect(m *maker, size int) (lender, error) {
	free := make(chan *fakeConn, size)
	for range size {
		free <- m.make()
	}
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			for range n {
				select {
				case c := <-free:
					w.do(c)
					free <- c
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		},
		fill:  keepFull,
		close: func() {},
	}, nil
}

// openSlice is the floor: a stack under a mutex, and a condition for those who find it empty. It serves in no order and
// knows no context.
func openSlice(m *maker, size int) (lender, error) {
	var mu sync.Mutex
	some := sync.NewCond(&mu)
	free := make([]*fakeConn, size)
	for i := range free {
		free[i] = m.make()
	}
	return lender{
		run: func(_ context.Context, n int, w work) error {
			for range n {
				mu.Lock()
				for len(free) == 0 {
					some.Wait()
				}
				c := free[len(free)-1]
				free = free[:len(free)-1]
				mu.Unlock()
				w.do(c)
				mu.Lock()
				free = append(free, c)
				mu.Unlock()
				some.Signal()
			}
			return nil
		},
		fill:  keepFull,
		close: func() {},
	}, nil
}

// keepFull is fill of a pool that is full from the start.
func keepFull(context.Context, int) error { return nil }
