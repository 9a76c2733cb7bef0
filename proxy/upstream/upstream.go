package upstream

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Upstream is a group of backends. All its methods are safe for concurrent use.
type Upstream struct {
	cfg      Config
	clk      clock.Clock
	epoch    time.Time    // when it was made: see Now
	backends []*backend   // by index; nil where one was removed. Under mu, as members
	members  []*backend   // in the order of the configuration, and behind them those that are leaving
	waiting  atomic.Int32 // requests in the queue, for a look without the lock
	waits    pool.Histogram
	warm     func(i int) bool // for the picker: see lb.Query.Warm

	mu      sync.Mutex
	picker  lb.Picker
	judge   *health.Group
	subsets bool       // only a part of the backends is used: see subset.go
	moved   []*backend // those who have come into that part, or left it, and of whom resettle does not know yet
	// reserveInUse: so few of that part of a tier are available that the others of that tier are used too.
	reserveInUse [MaxPriority + 1]bool
	places       int          // the place of the last one to come
	limit        *probe.Limit // of the checks; nil: none
	queue        queue
	inFlight     int // attempts that hold a connection
	retries      int // of those, the repetitions that the budget counts
	perTry       perTry
	ownZone      [MaxPriority + 1]bool // by tier: the own zone's backends are preferred
	stats        counters
	removed      Removed          // what the backends that are gone have left
	seqs         map[string]*life // by address, for all that there ever were
	scale        int              // of the weights: see weightLocked
	tick         *clock.Timer     // what the judge has to do next, at its time
	// panicking and panicTurned: see panicLocked.
	panicking, panicTurned bool
	started                bool
	closed                 bool
	work                   sync.WaitGroup // checks, and ends of ejections that are due
}

// Now is the present instant by the upstream's clock, for Finish and for the attempts' own durations. It asks only for
// the time that has passed since New, which costs half of a reading of the clock: when somebody sets the machine's clock,
// it goes on as if nobody had.
func (u *Upstream) Now() time.Time { return u.epoch.Add(u.clk.Since(u.epoch)) }

// backend is one server with its pool. What is not constant is under Upstream.mu, unless it is atomic.
//
// A backend that is removed is leaving first: it gets nothing new, health has forgotten it, and it keeps its index in
// picker and queue for the requests that are still there. When its pool is closed and nothing is in flight it is gone:
// the index is free for another one, and what was counted is added to Upstream.removed.
type backend struct {
	index   int
	address string
	entity  string // in events
	stream  string // in the names of streams of chance: those of an address that comes back are new ones
	weight  int
	reserve bool // it is not in the subset
	fit     fit  // how well it fits there
	place   int  // in the list: see lb.Backend.Place
	tier    int  // its priority
	zone    string
	pool    *pool.Pool
	full    atomic.Bool // the picker passes it over: its pool had no room
	life    *life

	limiter *health.Limiter // of what is in flight; nil: there is none
	limited bool            // the picker passes it over: so many are in flight as the limiter says

	underWay attempts // those that may still be moved elsewhere

	outcomes             [NumOutcomes]uint64
	checked, checkPassed uint64
	stop                 func() // ends its checks; nil without any
	hurry                func() // has the next check made at once; nil likewise
	checkRuns            int    // how often its checks were begun
	agent                agentWord
	leaving, emptied     bool // it was removed; and its pool is closed
	admitted             bool // the picker has it for available; kept while the group panics
	gone                 bool
}

// life is what outlives the removal of a backend, for the case that its address comes back.
type life struct {
	seq   atomic.Uint64 // of its events
	times int           // how often it was added
	now   *backend      // the member of that address; nil: there is none, or it is leaving. Under Upstream.mu
}

// New checks the configuration and returns an upstream that does nothing yet. See Start.
func New(cfg Config) (*Upstream, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &Upstream{cfg: cfg, scale: 1, limit: limitOf(cfg.Check), clk: cfg.Clock, epoch: cfg.Clock.Now(), seqs: make(map[string]*life)}
	u.warm = func(i int) bool { return u.backends[i].pool.Ready() }
	if u.picker, err = lb.NewWith(cfg.Strategy, nil, cfg.Rand("lb/"+cfg.Name), cfg.picking()); err != nil {
		return nil, err
	}
	if u.judge, err = health.New(cfg.Health, 0, cfg.Rand("health/"+cfg.Name)); err != nil {
		return nil, err
	}
	for _, b := range cfg.Backends {
		if _, err := u.joinLocked(b); err != nil {
			return nil, err
		}
	}
	u.chooseLocked() // once for all of them
	u.queue.byKey = lb.ByKey(cfg.Strategy)
	lb.RebuildNow(u.picker)
	return u, nil
}

// joinLocked makes a backend a member of the group: it may be picked from now on. The caller chooses the subset anew.
func (u *Upstream) joinLocked(cfg Backend) (*backend, error) {
	cfg.Weight = max(cfg.Weight, 1)
	if cfg.Weight > lb.MaxWeight {
		return nil, fmt.Errorf("upstream %s: weight %d of backend %s is not between 1 and %d",
			u.cfg.Name, cfg.Weight, cfg.Address, lb.MaxWeight)
	}
	b, err := u.newBackend(cfg)
	if err != nil {
		return nil, err
	}
	if b.index = slices.Index(u.backends, nil); b.index < 0 {
		b.index = len(u.backends)
		u.backends, u.queue.on = append(u.backends, nil), append(u.queue.on, 0)
		u.queue.tier, u.queue.own = append(u.queue.tier, 0), append(u.queue.own, ownLines{})
	}
	u.backends[b.index], b.life.now = b, b
	at := len(u.members)
	for at > 0 && u.members[at-1].leaving {
		at--
	}
	u.members = slices.Insert(u.members, at, b)
	u.places++
	b.place = u.places
	u.queue.tier[b.index] = u.rankLocked(b)
	u.picker.Add(b.index, u.forPickerLocked(b))
	u.rescaleLocked(false)
	if u.started {
		u.picker.SlowStart(b.index, u.Now())
	}
	u.judge.Add(b.index)
	u.panicLocked()
	u.settleZonesLocked()
	u.queue.forget(b.index)
	return b, nil
}

// forPickerLocked is what a picker knows a backend by. Its name is its address, so that all proxies that list it agree on who serves
// a key.
func (u *Upstream) forPickerLocked(b *backend) lb.Backend {
	return lb.Backend{Name: b.address, Weight: u.weightLocked(b), Priority: u.rankLocked(b), Place: b.place}
}

// newBackend makes the pool of one backend.
func (u *Upstream) newBackend(cfg Backend) (*backend, error) {
	b := &backend{address: cfg.Address, weight: cfg.Weight, tier: cfg.Priority, zone: cfg.Zone, entity: u.cfg.Name + "/" + cfg.Address}
	b.agent.Weight = fullWeight
	if b.life = u.seqs[cfg.Address]; b.life == nil {
		b.life = &life{}
		u.seqs[cfg.Address] = b.life
	}
	b.stream = b.entity
	if b.life.times++; b.life.times > 1 {
		b.stream += "#" + strconv.Itoa(b.life.times)
	}
	pc := u.cfg.Pool
	pc.Name, pc.Network, pc.Address = b.stream, "tcp", cfg.Address
	pc.Dialer, pc.Clock, pc.Rand = u.cfg.Dialer, u.clk, u.cfg.Rand
	if u.cfg.Setup != nil {
		setup := u.cfg.Setup(cfg.Address)
		pc.Setup = func(ctx context.Context, nc net.Conn) (pool.Session, error) {
			s, err := setup(ctx, nc)
			if c, ok := s.(Changing); ok {
				c.OnChange(func() { b.pool.SessionChanged() })
			}
			return s, err
		}
	}
	pc.OnReady = func() { u.ready(b) }
	pc.OnDialFailed = func(err error) { u.dialFailed(b, err) }
	// Health judges, so that the pool must not. What it needs to know of dials it hears elsewhere: of those that no
	// request is told of through OnDialFailed, of the others from the attempts. Here it would hear of each twice.
	pc.Judge = func(error) {}
	if u.cfg.Observer != nil {
		pc.Observer = func(e pool.Event) { u.poolEvent(b, e) }
	}
	if u.cfg.Concurrency.On() {
		b.limiter = health.NewLimiter(u.cfg.Concurrency)
	}
	var err error
	b.pool, err = pool.New(pc)
	return b, err
}

// Name is the group's name.
func (u *Upstream) Name() string { return u.cfg.Name }

// Start begins the health checks and warms the pools. Close ends both.
func (u *Upstream) Start() {
	u.resettle()
	u.mu.Lock()
	if u.started || u.closed {
		u.mu.Unlock()
		return
	}
	u.started = true
	u.judge.Start(u.Now())
	u.armTickLocked()
	members := slices.Clone(u.members)
	begin := make([]func(), len(members))
	for i, b := range members {
		begin[i] = u.watchLocked(b)
	}
	u.mu.Unlock()
	for i, b := range members {
		b.pool.Warm()
		begin[i]()
	}
	u.panicked()
}

// Close ends the upstream: no attempt begins any more, waiting requests fail with ErrClosed one after the other,
// checks end, and every pool is closed, which waits for the attempts under way to be finished.
func (u *Upstream) Close() {
	u.mu.Lock()
	first := !u.closed
	u.closed = true
	u.stopTickLocked()
	members := slices.Clone(u.members) // nobody joins a closed group
	var stops []func()
	for _, b := range members {
		stops = append(stops, b.stopsLocked()...)
	}
	u.mu.Unlock()
	if first {
		u.failWaiters(ErrClosed)
		for _, stop := range stops {
			rest := apart(u.clk)
			stop()
			rest()
		}
	}
	u.work.Wait()
	for _, b := range members {
		b.pool.Close()
	}
}
