package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Upstream is a group of backends. All its methods are safe for concurrent use.
type Upstream struct {
	cfg      Config
	clk      clock.Clock
	epoch    time.Time // when it was made: see Now
	backends []*backend
	waiting  atomic.Int32 // requests in the queue, for a look without the lock

	mu       sync.Mutex
	picker   lb.Picker
	judge    *health.Group
	queue    queue
	inFlight int // attempts that hold a connection
	retries  int // of those, the repetitions that the budget counts
	stats    counters
	tick     *clock.Timer // pending end of an ejection
	started  bool
	closed   bool
	work     sync.WaitGroup // checks, and ends of ejections that are due
}

// Now is the present instant by the upstream's clock, for Finish and for the attempts' own durations. It asks only for
// the time that has passed since New, which costs half of a reading of the clock: when somebody sets the machine's clock,
// it goes on as if nobody had.
func (u *Upstream) Now() time.Time { return u.epoch.Add(u.clk.Since(u.epoch)) }

// backend is one server with its pool.
type backend struct {
	index   int
	address string
	entity  string
	weight  int
	pool    *pool.Pool
	full    atomic.Bool // the picker passes it over: its pool had no room
	seq     atomic.Uint64

	outcomes             [NumOutcomes]uint64 // under Upstream.mu
	checked, checkPassed uint64              // under Upstream.mu
	stop                 context.CancelFunc  // ends its checks; set by Start under Upstream.mu
}

// New checks the configuration and returns an upstream that does nothing yet. See Start.
func New(cfg Config) (*Upstream, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &Upstream{cfg: cfg, clk: cfg.Clock, epoch: cfg.Clock.Now()}
	u.queue.on = make([]int, len(cfg.Backends))
	weights := make([]lb.Backend, len(cfg.Backends))
	for i, b := range cfg.Backends {
		weights[i] = lb.Backend{Weight: b.Weight}
	}
	if u.picker, err = lb.New(cfg.Strategy, weights, cfg.Rand("lb/"+cfg.Name)); err != nil {
		return nil, err
	}
	if u.judge, err = health.New(cfg.Health, len(weights), cfg.Rand("health/"+cfg.Name)); err != nil {
		return nil, err
	}
	for i := range cfg.Backends {
		b, err := u.newBackend(i)
		if err != nil {
			return nil, err
		}
		u.backends = append(u.backends, b)
	}
	return u, nil
}

// newBackend makes the pool of one backend.
func (u *Upstream) newBackend(i int) (*backend, error) {
	cfg := u.cfg.Backends[i]
	b := &backend{index: i, address: cfg.Address, weight: max(cfg.Weight, 1), entity: u.cfg.Name + "/" + cfg.Address}
	pc := u.cfg.Pool
	pc.Name, pc.Network, pc.Address = b.entity, "tcp", cfg.Address
	pc.Dialer, pc.Clock, pc.Rand = u.cfg.Dialer, u.clk, u.cfg.Rand
	pc.OnReady = func() { u.ready(b) }
	pc.OnDialFailed = func(err error) { u.dialFailed(b, err) }
	// Health judges, so that the pool must not. What it needs to know of dials it hears elsewhere: of those that no
	// request is told of through OnDialFailed, of the others from the attempts. Here it would hear of each twice.
	pc.Judge = func(error) {}
	if u.cfg.Observer != nil {
		pc.Observer = func(e pool.Event) { u.poolEvent(b, e) }
	}
	var err error
	b.pool, err = pool.New(pc)
	return b, err
}

// Name is the group's name.
func (u *Upstream) Name() string { return u.cfg.Name }

// Start begins the health checks and warms the pools. Close ends both.
func (u *Upstream) Start() {
	u.mu.Lock()
	if u.started || u.closed {
		u.mu.Unlock()
		return
	}
	u.started = true
	// Close, which may come at any moment from here on, finds everything that it must end.
	ctxs := make([]context.Context, len(u.backends))
	if u.cfg.Check.Prober != nil {
		for i, b := range u.backends {
			ctxs[i], b.stop = context.WithCancel(context.Background())
			u.work.Add(1)
		}
	}
	u.mu.Unlock()
	for i, b := range u.backends {
		b.pool.Warm()
		if ctxs[i] != nil {
			u.startChecks(ctxs[i], b)
		}
	}
}

// Close ends the upstream: no attempt begins any more, waiting requests fail with ErrClosed one after the other,
// checks end, and every pool is closed, which waits for the attempts under way to be finished.
func (u *Upstream) Close() {
	u.mu.Lock()
	first := !u.closed
	u.closed = true
	u.stopTickLocked()
	u.mu.Unlock()
	if first {
		u.failWaiters(ErrClosed)
		for _, b := range u.backends {
			if b.stop != nil {
				rest := apart(u.clk)
				b.stop()
				rest()
			}
		}
	}
	u.work.Wait()
	for _, b := range u.backends {
		b.pool.Close()
	}
}
