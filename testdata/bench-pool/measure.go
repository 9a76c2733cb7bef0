package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// workload is one way to use a pool of eight connections.
type workload struct {
	name    string
	callers int
	work    work
}

const (
	connections = 8
	oneCaller   = "1 caller"
	callers32   = "32 callers"
	callers512  = "512 callers"
	yielding32  = "32 callers, yielding"
	yielding512 = "512 callers, yielding"
)

// Callers that hold a connection for no time at all seldom find the pool empty, until the scheduler ends the time slice
// of some that hold one: a measurement lasts for many slices, because otherwise each caller would be done within its
// own and never meet another. Callers that yield while they hold one always find the pool empty, so that what is measured
// there is the line of waiters.
var workloads = []workload{
	{oneCaller, 1, work{}},
	{callers32, 32, work{}},
	{callers512, 512, work{}},
	{yielding32, 32, work{yield: true}},
	{yielding512, 512, work{yield: true}},
}

// lasting is how long one measurement takes at scale 1, some forty slices of the scheduler; chunk is how many times a
// caller lends and returns before it looks whether that time is over.
const (
	lasting = 400 * time.Millisecond
	chunk   = 500
)

// sample is one measurement, each number for one lend and return.
type sample struct {
	ns     float64 // wall time of the whole divided by all operations
	cpu    float64 // processor time of the process, in nanoseconds: others on the machine disturb it less
	bytes  float64
	allocs float64
}

// measureAll measures every workload on every peer, once in each round. The result is by workload, peer and round.
func measureAll(rounds int, scale float64) ([][][]sample, error) {
	out := make([][][]sample, len(workloads))
	for i, wl := range workloads {
		out[i] = make([][]sample, len(peers))
		for r := range rounds {
			for _, j := range order(r) {
				s, err := measure(peers[j], wl, time.Duration(float64(lasting)*scale))
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", peers[j].name, wl.name, err)
				}
				out[i][j] = append(out[i][j], s)
			}
		}
	}
	return out, nil
}

// order is the order of the peers in a round: forward and backward in turn, so that whatever drifts favours nobody.
func order(round int) []int {
	out := make([]int, len(peers))
	for i := range out {
		out[i] = i
	}
	if round%2 == 1 {
		slices.Reverse(out)
	}
	return out
}

// measure opens a pool, lets all callers warm it up, and measures them for some time.
func measure(p peer, wl workload, d time.Duration) (sample, error) {
	l, err := p.open(new(maker), connections)
	if err != nil {
		return sample{}, err
	}
	defer l.close()
	if err := crowd(l, wl.callers, 50, wl.work, nil); err != nil {
		return sample{}, err
	}
	runtime.GC()
	var before, after reading
	var done atomic.Int64
	var over atomic.Bool
	timed := l
	timed.run = func(ctx context.Context, n int, w work) error {
		for !over.Load() {
			if err := l.run(ctx, n, w); err != nil {
				return err
			}
			done.Add(int64(n))
		}
		return nil
	}
	time.AfterFunc(d, func() { over.Store(true) })
	err = crowd(timed, wl.callers, chunk, wl.work, &before)
	after.take()
	return after.per(before, float64(done.Load())), err
}

// crowd starts callers that lend and return n times each and waits for them. Start, if not nil, is taken when all of
// them stand ready.
func crowd(l lender, callers, n int, w work, start *reading) error {
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	errs := make([]error, callers)
	ready.Add(callers)
	for i := range callers {
		done.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_ = ctx.Done() // made now, since it is made once for each context and not once for each loan
			ready.Done()
			<-gate
			errs[i] = l.run(ctx, n, w)
		})
	}
	ready.Wait()
	if start != nil {
		start.take()
	}
	close(gate)
	done.Wait()
	return errors.Join(errs...)
}

// reading is what the clocks and the allocator say.
type reading struct {
	wall time.Time
	cpu  time.Duration
	mem  runtime.MemStats
}

func (r *reading) take() {
	runtime.ReadMemStats(&r.mem)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		r.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	r.wall = time.Now()
}

// per is what happened between before and r, for each of n operations.
func (r *reading) per(before reading, n float64) sample {
	return sample{
		ns:     float64(r.wall.Sub(before.wall)) / n,
		cpu:    float64(r.cpu-before.cpu) / n,
		bytes:  float64(r.mem.TotalAlloc-before.mem.TotalAlloc) / n,
		allocs: float64(r.mem.Mallocs-before.mem.Mallocs) / n,
	}
}

// size is what one idle connection weighs in bytes, and how many goroutines there are for all of them.
type size struct {
	name        string
	heap, stack float64
	goroutines  int
}

// weighAll weighs n idle connections in the pools that keep something about each.
func weighAll(n int) ([]size, error) {
	bare := func(m *maker, size int) (lender, error) {
		kept := make([]*fakeConn, 0, size)
		return lender{
			fill: func(_ context.Context, n int) error {
				for range n {
					kept = append(kept, m.make())
				}
				return nil
			},
			close: func() { clear(kept) },
		}, nil
	}
	var out []size
	for _, p := range []peer{{fakesOnly, bare}, {oursPlain, openOurs}, {puddleV2, openPuddle}, {stdSQL, openSQL}} {
		s, err := weigh(p, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func weigh(p peer, n int) (size, error) {
	before, goroutines := settled()
	l, err := p.open(new(maker), n)
	if err != nil {
		return size{}, err
	}
	defer l.close()
	if err := l.fill(context.Background(), n); err != nil {
		return size{}, err
	}
	after, more := settled()
	per := func(a, b uint64) float64 { return (float64(b) - float64(a)) / float64(n) }
	return size{p.name, per(before.HeapAlloc, after.HeapAlloc), per(before.StackInuse, after.StackInuse),
		more - goroutines}, nil
}

// settled reads the memory that is left after collections; the second one frees what the first one found dead late.
func settled() (runtime.MemStats, int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m, runtime.NumGoroutine()
}
