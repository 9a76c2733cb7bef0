package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// Pool is a bounded set of connections to one address. All its methods are safe for concurrent use.
type Pool struct {
	cfg Config
	clk clock.Clock
	seq atomic.Uint64

	mu       sync.Mutex
	rng      *rand.Rand
	idle     [][]*Conn // one stack for each shard, the last returned on top
	nIdle    int
	rotation rotation
	conns    []*Conn // all that are open, in no order
	lent     int
	dialling int
	fresh    int        // of those, the ones that callers of Fresh wait for: nobody else may count on them
	dials    []*dialRun // those under way whose dialer has been called, oldest first
	warm     bool       // MinIdle is kept up
	failures int        // dials that failed in a row
	retryAt  time.Time  // MinIdle is not refilled before, after a failed dial
	waiters  waiterList
	hist     histograms
	stats    Stats // the counters only; the gauges are the fields above
	lastID   uint64
	upkeep   *clock.Timer // pending run of the upkeep, nil if none
	upkeepAt time.Time
	running  int // runs of the upkeep that have been started or are due and have not ended
	closed   bool
	draining bool          // no new lends: Drain has been called
	gen      uint32        // generation: the number of calls of Retire
	limit    int           // MaxConnections, as Resize left it
	maxIdle  int           // MaxIdle under that limit
	minIdle  int           // MinIdle under that limit
	warmers  []*warmer     // callers of WarmUp, first come first
	drained  chan struct{} // closed when a closed pool holds nothing any more
}

// New checks the configuration and returns a pool without connections. It dials nothing until it is asked to.
// The error lists every mistake.
func New(cfg Config) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, clk: cfg.Clock, idle: make([][]*Conn, cfg.Shards), drained: make(chan struct{})}
	p.rng = cfg.Rand("pool/" + cfg.Name)
	p.boundLocked(cfg.MaxConnections)
	return p, nil
}

// Name is the pool's name.
func (p *Pool) Name() string { return p.cfg.Name }

// Address is what the pool dials.
func (p *Pool) Address() string { return p.cfg.Address }

// Stats returns a consistent snapshot.
func (p *Pool) Stats() Stats {
	now := p.clk.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Dialling, s.Idle, s.Lent, s.Waiting = p.dialling, p.nIdle, p.lent, p.waiters.n
	s.Limit = p.limit
	s.OldestWait = p.oldestWaitLocked(now)
	return s
}

// Free is the number of lends and dials that could begin now: idle connections and free slots.
func (p *Pool) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.limit-p.lent-p.dialling, 0)
}

// sharedLocked is the number of dials under way that will serve whoever comes first.
func (p *Pool) sharedLocked() int { return p.dialling - p.fresh }

// openLocked is the number of connections that are open or being dialled.
func (p *Pool) openLocked() int { return p.nIdle + p.lent + p.dialling }

// pushIdleLocked puts a returned connection on top of its shard's stack.
func (p *Pool) pushIdleLocked(c *Conn, now time.Time) {
	c.state, c.since = stateIdle, now
	p.lent--
	p.nIdle++
	p.idle[c.shard] = append(p.idle[c.shard], c)
	// Nearly always a run of the upkeep is due before this connection ends, and this is all that it takes to see that.
	idle := p.cfg.IdleTimeout
	if p.upkeep == nil || idle > 0 && p.upkeepAt.Sub(now) > idle || !c.ends.IsZero() && c.ends.Before(p.upkeepAt) {
		p.armUpkeepLocked(p.expiryLocked(c))
	}
}

// popIdleLocked takes the most recently used connection of the shard, or of the next shard that has one, and counts
// it as lent.
func (p *Pool) popIdleLocked(shard int) *Conn {
	if p.nIdle == 0 {
		return nil
	}
	s := shard
	if len(p.idle[s]) == 0 {
		s = p.stockedLocked(shard)
	}
	list := p.idle[s]
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[s] = list[:len(list)-1]
	p.nIdle--
	p.lent++
	c.state, c.shard = stateLent, shard
	return c
}

// popOldestLocked takes the connection that has been idle longest and counts it as lent.
func (p *Pool) popOldestLocked() *Conn {
	best := -1
	for s, list := range p.idle {
		if len(list) > 0 && (best < 0 || list[0].since.Before(p.idle[best][0].since)) {
			best = s
		}
	}
	if best < 0 {
		return nil
	}
	return p.popAtLocked(best, 0)
}

// popAtLocked takes the connection at place i of a shard's list and counts it as lent.
func (p *Pool) popAtLocked(shard, i int) *Conn {
	list := p.idle[shard]
	c := list[i]
	copy(list[i:], list[i+1:])
	list[len(list)-1] = nil
	p.idle[shard] = list[:len(list)-1]
	p.nIdle--
	p.lent++
	c.state = stateLent
	return c
}

// event tells the observer, outside the lock.
func (p *Pool) event(e Event) {
	if p.cfg.Observer == nil {
		return
	}
	e.Pool, e.Seq = p.cfg.Name, p.seq.Add(1)
	p.cfg.Observer(e)
}
