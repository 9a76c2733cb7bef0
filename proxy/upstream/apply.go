package upstream

import (
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Check says whether Apply would accept the configuration. It changes nothing.
func (u *Upstream) Check(cfg Config) error {
	cfg.Name, cfg.Clock, cfg.Dialer, cfg.Observer = u.cfg.Name, u.clk, u.cfg.Dialer, nil
	cfg.Rand = func(string) *rand.Rand { return rand.New(rand.NewPCG(0, 0)) } // never drawn from
	_, err := New(cfg)
	return err
}

// Apply changes the group to what cfg says, under load. Backends that stay keep their connections, their health and their
// counts, and are drained if they were; new ones join as by AddBackend, and those that are not in cfg leave as by
// RemoveBackend, within the given time. The sizes and times of pools, thresholds, checks, the strategy, the rules of
// retries and of the queue change for whatever comes next; the number of shards does not, nor do name and doors. When
// there is an error, nothing has changed: it is ErrClosed, or lists the mistakes.
func (u *Upstream) Apply(cfg Config, within time.Duration) error {
	if err := u.Check(cfg); err != nil {
		return err
	}
	cfg.Name = u.cfg.Name
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return ErrClosed
	}
	d := u.differenceLocked(cfg)
	verdicts, err := u.adoptLocked(cfg)
	u.mu.Unlock()
	if err != nil {
		return err
	}
	u.resettle()
	u.allChanged(verdicts)
	u.carryOut(cfg, d, within)
	return nil
}

// difference is what Apply has to do after the settings of the group.
type difference struct {
	stay          []*backend
	add, reweight []Backend
	move          []Backend // to another tier or zone
	remove        []string
	pools, checks bool // the pools' sizes and times change; so do the checks
	limits        bool // and the limits on what is in flight
	agents        bool // and the questions to agents
}

// differenceLocked compares the group with what it is to be.
func (u *Upstream) differenceLocked(cfg Config) difference {
	d := difference{
		pools:  limitsOf(&u.cfg.Pool) != limitsOf(&cfg.Pool),
		checks: !sameCheck(u.cfg.Check, cfg.Check),
		limits: u.cfg.Concurrency != cfg.Concurrency,
		agents: u.cfg.Agent != cfg.Agent,
	}
	for _, c := range cfg.Backends {
		b := u.findLocked(c.Address)
		if b == nil {
			d.add = append(d.add, c)
			continue
		}
		d.stay = append(d.stay, b)
		if c.Weight = max(c.Weight, 1); c.Weight != b.weight {
			d.reweight = append(d.reweight, c)
		}
		if c.Priority != b.tier || c.Zone != b.zone {
			d.move = append(d.move, c)
		}
	}
	for _, b := range u.members {
		if !b.leaving && !slices.Contains(d.stay, b) {
			d.remove = append(d.remove, b.address)
		}
	}
	return d
}

// sameCheck says whether two groups are checked in the same way. Of probers that cannot be compared each is another one.
func sameCheck(a, b Check) bool {
	for _, p := range []any{a.Prober, b.Prober} {
		if p != nil && !reflect.ValueOf(p).Comparable() {
			return false
		}
	}
	return a == b
}

// limits are what can change in a pool at work.
type limits struct {
	connections, minIdle, maxIdle, uses, dials int
	idle, life, dial, leastDial, validate      time.Duration
	trim, every, user                          time.Duration
	spread                                     float64
	greets                                     bool
	order                                      pool.Order
	predict                                    pool.Predict
	keepAlive                                  net.KeepAliveConfig
}

func limitsOf(p *pool.Config) limits {
	return limits{
		p.MaxConnections, p.MinIdle, p.MaxIdle, p.MaxUses, p.MaxDials,
		p.IdleTimeout, p.MaxLifetime, p.DialTimeout, p.MinDialTimeout, p.ValidateAfter,
		p.TrimEvery, p.PredictEvery, p.UserTimeout, p.LifetimeSpread, p.Greets, p.Order, p.Predict, p.KeepAlive,
	}
}

// adoptLocked takes over what concerns the group as a whole.
func (u *Upstream) adoptLocked(cfg Config) ([]verdict, error) {
	var changes []health.Change
	var err error
	if cfg.Strategy != u.cfg.Strategy || cfg.picking() != u.cfg.picking() {
		if err = u.switchPickerLocked(cfg.Strategy, cfg.picking()); err != nil {
			return nil, err
		}
	}
	if cfg.Health != u.cfg.Health {
		if changes, err = u.judge.Reconfigure(u.Now(), cfg.Health); err != nil {
			return nil, err
		}
	}
	c := &u.cfg
	if c.Check.MaxConcurrent != cfg.Check.MaxConcurrent {
		u.limit = limitOf(cfg.Check)
	}
	c.Strategy, c.Health, c.Check = cfg.Strategy, cfg.Health, cfg.Check
	if c.Agent != cfg.Agent {
		c.Agent = cfg.Agent
		u.rescaleLocked(true)
	}
	c.BalanceFactor, c.SlowStart = cfg.BalanceFactor, cfg.SlowStart
	c.Zone, c.MinZonePercent = cfg.Zone, cfg.MinZonePercent
	c.Instance, c.SubsetSize = cfg.Instance, cfg.SubsetSize
	u.settleZonesLocked()
	u.chooseLocked()
	for _, b := range u.members {
		u.rankAnewLocked(b)
	}
	if c.Concurrency != cfg.Concurrency {
		c.Concurrency = cfg.Concurrency
		u.limitLocked(cfg.Concurrency)
	}
	c.Attempts, c.BudgetPercent, c.BudgetMin = cfg.Attempts, cfg.BudgetPercent, cfg.BudgetMin
	c.RetryOn, c.PerTryTimeout = cfg.RetryOn, cfg.PerTryTimeout
	c.MaxWaiting, c.MaxWaitingPerBackend, c.QueueTimeout = cfg.MaxWaiting, cfg.MaxWaitingPerBackend, cfg.QueueTimeout
	u.settleShareLocked()
	if c.QueueTarget != cfg.QueueTarget || c.QueueInterval != cfg.QueueInterval {
		c.QueueTarget, c.QueueInterval = cfg.QueueTarget, cfg.QueueInterval
		for l := range u.queue.every() { // what stood by one measure may not by the other
			l.delay = delay{}
		}
	}
	shards := c.Pool.Shards // callers count on it
	c.Pool = cfg.Pool
	c.Pool.Shards = shards
	return u.verdictsLocked(changes), nil
}

// switchPickerLocked hands all that one picker knows to another one, but for slow starts and latencies. The tables of a group
// of a thousand take some milliseconds, which requests wait for here: it is another strategy that they are picked by.
func (u *Upstream) switchPickerLocked(strategy string, o lb.Options) error {
	next, err := lb.NewWith(strategy, nil, u.cfg.Rand("lb/"+u.cfg.Name+"/"+strategy), o)
	if err != nil {
		return err
	}
	for i, b := range u.backends {
		if b == nil {
			next.Add(i, lb.Backend{})
			next.SetAvailable(i, false)
			continue
		}
		next.Add(i, u.forPickerLocked(b))
		next.SetAvailable(i, u.availableLocked(b))
		if b.full.Load() || b.limited {
			next.SetReady(i, 0)
		}
		for range u.picker.InFlight(i) {
			next.Take(i)
		}
	}
	for i, b := range u.backends {
		if b == nil {
			next.Remove(i)
		}
	}
	lb.RebuildNow(next)
	u.picker = next
	u.queue.chooseBy(lb.ByKey(strategy))
	return nil
}

// carryOut changes the members. Those that come do so before others go. An operator who changes the same members at the
// same time may find the work done already, which is what is wanted.
func (u *Upstream) carryOut(cfg Config, d difference, within time.Duration) {
	defer u.rebuild() // once for all of it
	for _, b := range d.add {
		_ = u.addBackend(b)
	}
	for _, b := range d.reweight {
		_ = u.setWeight(b.Address, b.Weight)
	}
	for _, b := range d.move {
		_ = u.move(b)
	}
	for _, b := range d.stay {
		if d.pools {
			u.adjust(b)
		}
		if d.checks {
			u.restartChecks(b)
		}
		if d.limits {
			u.serve(b)
		}
		if d.agents {
			u.restartAgent(b)
		}
	}
	for _, address := range d.remove {
		_ = u.RemoveBackend(address, within)
	}
	u.mu.Lock()
	order := func(b *backend) int {
		i := slices.IndexFunc(cfg.Backends, func(c Backend) bool { return c.Address == b.address })
		if i < 0 || b.leaving {
			return len(cfg.Backends)
		}
		return i
	}
	slices.SortStableFunc(u.members, func(a, b *backend) int { return order(a) - order(b) })
	u.replaceLocked()
	u.mu.Unlock()
}

// replaceLocked numbers the members anew, whose order may be another one. A picker learns a place when a backend is added: the one
// strategy to which it matters is made anew, and has nothing to forget.
func (u *Upstream) replaceLocked() {
	moved := false
	for i, b := range u.members {
		moved = moved || i > 0 && b.place < u.members[i-1].place
	}
	if !moved {
		return
	}
	for i, b := range u.members {
		b.place = i + 1
	}
	u.places = len(u.members)
	if u.cfg.Strategy == "first" {
		_ = u.switchPickerLocked(u.cfg.Strategy, u.cfg.picking()) // it has been made so before
	}
}

// restartChecks ends the checks of a backend and begins those that are configured now. What they have found out stays.
func (u *Upstream) restartChecks(b *backend) {
	u.mu.Lock()
	if u.closed || b.leaving || !u.started {
		u.mu.Unlock()
		return
	}
	stop := b.stop
	b.stop, b.hurry = nil, nil
	begin := u.armChecksLocked(b)
	u.mu.Unlock()
	if stop != nil {
		rest := apart(u.clk)
		stop()
		rest()
	}
	begin()
}

// checkStream names the stream of chance of a backend's checks. Those that are replaced may still draw from theirs.
func (b *backend) checkStream() string {
	b.checkRuns++
	if b.checkRuns == 1 {
		return "check/" + b.stream
	}
	return fmt.Sprintf("check/%s@%d", b.stream, b.checkRuns)
}
