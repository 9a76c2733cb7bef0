package pool

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// Pool is a bounded set of connections to one address. All its methods are safe for concurrent use.
type Pool struct {
	cfg   Config
	clk   clock.Clock
	alone reserver  // the clock, where it offers Reserve
	epoch time.Time // instants are counted from here
	seq   atomic.Uint64
	spare sync.Pool // of *waiter

	shards []shard
	owned  atomic.Bool // mu guards the shards too: see the locking law
	stand  atomic.Bool // callers of Lend or GetN wait
	_      [64]byte    // what callers read without a lock is not on the line of the cache that mu moves about

	mu       sync.Mutex
	rng      *rand.Rand
	central  bool    // every loan must be seen under mu: the shards' own locks are never used
	nIdle    int     // right only under lock
	lent     int     // likewise
	conns    []*link // all that are open, in no order
	sessions []*link // of those, the ones with a session, oldest first
	// idleSessions counts those without loans. perConn is how many loans the last connection that was set up carries;
	// zero as long as that is not known.
	idleSessions, perConn int
	looking               int // taken for the line, and looked at
	departing             int // of the connections, those that are about to be retired: too many no longer
	dialling              int
	settingUp             int           // dials that have a connection, on which Setup runs; without those of Fresh
	fresh                 int           // of the dials, the ones that callers of Fresh wait for: nobody else may count on them
	dials                 []*dialRun    // those under way whose dialer has been called, oldest first
	warm                  bool          // MinIdle is kept up
	refillShort           bool          // MinIdle lacks dials that MaxDials or an outage held back
	abandoned             int           // dials that were given up and whose dialer or Setup has not returned
	outage                outage        // what is known of a backend that takes no connections
	dialTimes             dialTimes     // how long dials take
	patience              patience      // how long loans take
	pace                  *clock.Timer  // pending run of the pace, nil if none
	paceAt                time.Duration // when it is due; never if none is pending
	waiters               waiterList
	size                  sizer
	hist                  histograms
	stats                 Stats // the counters only; the gauges are the fields above
	lastID                uint64
	upkeep                *clock.Timer  // pending run of the upkeep, nil if none
	upkeepAt              time.Duration // when it is due; never if none is pending
	running               int           // runs of timers and of recheck that have been started or are due and have not ended
	closed                bool
	over                  atomic.Bool   // closed, for those who take no lock
	rechecks              atomic.Bool   // a recheck has been started and has not begun
	draining              bool          // no new lends: Drain has been called
	gen                   uint32        // generation: the number of calls of Retire
	learn                 learner       // of the peer's idle timeout
	told                  atomic.Int64  // what learn was told last, for those who take no lock
	idleFor               time.Duration // IdleTimeout, or what was learned where that is shorter; guarded as gen is
	suspicion             suspicion     // likewise
	pings                 []*pingRun    // those under way, oldest first
	limit                 int           // MaxConnections, as Resize left it
	ceiling               int           // the limit, or what was open when Resize went below that
	maxIdle               int           // MaxIdle under that limit
	minIdle               int           // MinIdle under that limit
	warmers               []*warmer     // callers of WarmUp, first come first
	drained               chan struct{} // closed when a closed pool holds nothing any more
}

// New checks the configuration and returns a pool without connections. It dials nothing until it is asked to.
// The error lists every mistake.
func New(cfg Config) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, clk: cfg.Clock, epoch: cfg.Clock.Now(), shards: make([]shard, cfg.Shards),
		upkeepAt: never, paceAt: never, idleFor: cfg.IdleTimeout, drained: make(chan struct{})}
	p.waiters.stand = &p.stand
	p.alone, _ = cfg.Clock.(reserver)
	p.rng = cfg.Rand("pool/" + cfg.Name)
	p.size = newSizer(cfg.Predict, cfg.PredictEvery, cfg.TrimEvery)
	p.owned.Store(p.size.asleep())
	p.perConn = 1
	if cfg.Setup != nil {
		p.perConn = max(cfg.LoansExpected, 0)
	}
	p.outage = outage{min: cfg.RetryMin, max: cfg.RetryMax, judged: cfg.Judge != nil}
	p.dialTimes = dialTimes{lower: cfg.MinDialTimeout, upper: cfg.DialTimeout}
	if cfg.MinDialTimeout < 0 {
		p.dialTimes.lower = cfg.DialTimeout
	}
	p.patience.share = cfg.Patience
	p.boundLocked(cfg.MaxConnections)
	return p, nil
}

// now is the present instant, from the epoch.
func (p *Pool) now() time.Duration { return p.clk.Since(p.epoch) }

// at is an instant from the epoch.
func (p *Pool) at(t time.Time) time.Duration { return t.Sub(p.epoch) }

// time is an instant as others know it.
func (p *Pool) time(d time.Duration) time.Time { return p.epoch.Add(d) }

// Now is the present instant by the pool's clock, for TryLend, LendAt and ReleaseAt.
// It costs half of a reading of the clock, since it asks only for the time that has passed since New: when somebody sets
// the machine's clock, it goes on as if nobody had.
func (p *Pool) Now() time.Time { return p.time(p.now()) }

// Name is the pool's name.
func (p *Pool) Name() string { return p.cfg.Name }

// Address is what the pool dials.
func (p *Pool) Address() string { return p.cfg.Address }

// Stats returns a consistent snapshot.
func (p *Pool) Stats() Stats {
	now := p.now()
	p.lock()
	defer p.unlock()
	s := p.stats
	s.Dialling, s.Idle, s.Lent, s.Waiting = p.dialling, p.nIdle, p.lent, p.waiters.n
	s.Limit, s.Ceiling = p.limit, p.ceiling
	p.ceiling = max(p.limit, min(p.ceiling, p.openLocked())) // what has gone does not come back
	s.LearnedIdleTimeout = p.peerTimeoutLocked(now)
	s.OldestWait = p.oldestWaitLocked(now)
	s.Abandoned, s.Down, s.DialTimeout = p.abandoned, p.downLocked(), p.dialTimes.timeout()
	for i := range p.shards {
		s.Lends += p.shards[i].lends
		s.Reuses += p.shards[i].reuses
		s.Loans += p.shards[i].rotation.loans
	}
	return s
}

// Free is the number of lends and dials that could begin now: idle connections, places on sessions, and free slots as far
// as MaxDials lets them be used. While the backend is down, and there is no Judge, no slot is free.
func (p *Pool) Free() int {
	p.lock()
	defer p.unlock()
	slots := p.slotsLocked()
	if p.outage.holds() {
		slots = 0
	}
	return max(min(p.limit-p.lent-p.dialling, p.nIdle+slots), 0) + max(p.roomLocked(math.MaxInt)-p.nIdle, 0)
}

// Ready says whether TryLend would find something at this moment: an idle connection, or a place on a session. It is a look,
// for a caller who can choose between pools, and promises nothing: others lend too, and a connection may be found dead.
func (p *Pool) Ready() bool {
	for i := range p.shards {
		if p.owned.Load() {
			break
		}
		s := &p.shards[i]
		acquire(&s.mu)
		idle := !p.owned.Load() && len(s.idle) > 0
		s.mu.Unlock()
		if idle {
			return true
		}
	}
	if !p.owned.Load() {
		return false
	}
	p.lock()
	defer p.unlock()
	return !p.closed && !p.draining && p.waiters.n == 0 && p.roomLocked(1) > 0
}

// tooManyLocked says that there are more connections than the limit allows, even without those that are going already.
func (p *Pool) tooManyLocked() bool { return p.openLocked()-p.departing > p.limit }

// departLocked notes that a connection is about to be retired.
func (p *Pool) departLocked(k *link) {
	if !k.departing {
		k.departing = true
		p.departing++
	}
}

// comingLocked is the number of connections under way that will serve whoever comes first.
func (p *Pool) comingLocked() int { return p.dialling - p.fresh + p.settingUp + len(p.pings) }

// openLocked is the number of connections that are open or being dialled.
func (p *Pool) openLocked() int { return p.nIdle + p.lent + p.dialling }

// pushIdleLocked puts a returned connection on top of its shard's list.
func (p *Pool) pushIdleLocked(k *link, now time.Duration) { p.lieDownLocked(k, now) }

// lieDownLocked puts a connection that has been idle since then on its shard's list, on top of those that have been idle
// for longer.
func (p *Pool) lieDownLocked(k *link, since time.Duration) {
	k.since = since
	p.lent--
	p.nIdle++
	s := &p.shards[k.shard]
	s.idle = append(s.idle, k)
	s.sink()
	if at := k.expiry(since, p.idleFor); at < p.upkeepAt {
		p.armUpkeepLocked(at)
	}
}

// popIdleWhereLocked takes the first idle connection that fits, and counts it as lent: to be retired.
func (p *Pool) popIdleWhereLocked(fits func(*link) bool) *link {
	for i := range p.shards {
		for at, k := range p.shards[i].idle {
			if fits(k) {
				p.departLocked(k)
				return p.popAtLocked(i, at)
			}
		}
	}
	for _, k := range p.sessions {
		if k.streams.out == 0 && !k.streams.leaving && fits(k) {
			return p.popIdleSessionLocked(k)
		}
	}
	return nil
}

// popIdleSessionLocked takes a session without loans, to be retired.
func (p *Pool) popIdleSessionLocked(k *link) *link {
	p.departLocked(k)
	k.streams.ending, k.streams.leaving = true, true
	p.idleSessions--
	p.nIdle--
	p.lent++
	return k
}

// popOldestLocked takes the connection that has been idle longest and counts it as lent: to be retired.
func (p *Pool) popOldestLocked() *link {
	var oldest *link
	for i := range p.shards {
		if list := p.shards[i].idle; len(list) > 0 && (oldest == nil || list[0].since < oldest.since) {
			oldest = list[0]
		}
	}
	for _, k := range p.sessions {
		if k.streams.out == 0 && !k.streams.leaving && (oldest == nil || k.since < oldest.since) {
			oldest = k
		}
	}
	switch {
	case oldest == nil:
		return nil
	case oldest.session != nil:
		return p.popIdleSessionLocked(oldest)
	}
	return p.popIdleWhereLocked(func(k *link) bool { return k == oldest })
}

// popAtLocked takes the connection at place i of a shard's list and counts it as lent.
func (p *Pool) popAtLocked(shard, i int) *link {
	p.nIdle--
	p.lent++
	return p.shards[shard].take(i)
}

// event tells the observer, outside the lock.
func (p *Pool) event(e Event) {
	if p.cfg.Observer == nil {
		return
	}
	e.Pool, e.Seq = p.cfg.Name, p.seq.Add(1)
	p.cfg.Observer(e)
}
