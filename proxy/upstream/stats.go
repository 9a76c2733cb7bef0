package upstream

import (
	"slices"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// counters are the upstream's own plain counters, under its lock.
type counters struct {
	begun, waits, retries, overBudget, shed uint64
}

// BackendStats is what is known of one backend.
type BackendStats struct {
	// Address, Weight and Priority are as configured.
	Address          string
	Weight, Priority int
	// Health is the judge's state.
	Health health.State
	// InFlight is the picker's count: requests at the backend, and those that wait for a dial to it.
	InFlight int
	// Waiting counts those in the queue whom no other backend may serve.
	Waiting int
	// Limit is how many may be in flight; 0: there is no limit but the pool's.
	Limit int
	// Outcomes counts the attempts that ended, by outcome.
	Outcomes [NumOutcomes]uint64
	// Checks counts the active checks; ChecksPassed those that passed.
	Checks, ChecksPassed uint64
	// Agent is what its agent has said.
	Agent AgentStats
	// Reserve says that it is not in the subset of Config.SubsetSize.
	Reserve bool
	// Leaving says that it was removed, and what it has lent is not back yet.
	Leaving bool
	// Pool is the snapshot of its connections.
	Pool pool.Stats
}

// Removed is what the backends that are gone have left: totals go on to hold.
type Removed struct {
	// Backends counts them.
	Backends int
	// Outcomes, Checks and ChecksPassed are the sums of what BackendStats counts.
	Outcomes             [NumOutcomes]uint64
	Checks, ChecksPassed uint64
	// Pool has the sums of the pools' counters. Its gauges are zero: nothing is left to be measured.
	Pool pool.Stats
}

// Add takes in what a backend has left, which is at rest.
func (r *Removed) Add(b *BackendStats) {
	r.Merge(&Removed{Backends: 1, Outcomes: b.Outcomes, Checks: b.Checks, ChecksPassed: b.ChecksPassed, Pool: b.Pool})
}

// Merge adds up two accounts.
func (r *Removed) Merge(o *Removed) {
	r.Backends += o.Backends
	for i, n := range o.Outcomes {
		r.Outcomes[i] += n
	}
	r.Checks, r.ChecksPassed = r.Checks+o.Checks, r.ChecksPassed+o.ChecksPassed
	s, sum := &o.Pool, &r.Pool
	sum.Begun, sum.Dialled, sum.DialFailed = sum.Begun+s.Begun, sum.Dialled+s.Dialled, sum.DialFailed+s.DialFailed
	for i, n := range s.Retired {
		sum.Retired[i] += n
	}
	sum.Lends, sum.Reuses = sum.Lends+s.Lends, sum.Reuses+s.Reuses
	sum.Waits, sum.GaveUp = sum.Waits+s.Waits, sum.GaveUp+s.GaveUp
	sum.TurnedAway, sum.LifetimeSum = sum.TurnedAway+s.TurnedAway, sum.LifetimeSum+s.LifetimeSum
}

// Stats is a snapshot of the group. Begun = InFlight + the sum of Outcomes over all backends and Removed holds in each.
type Stats struct {
	// Name and Strategy are as configured.
	Name, Strategy string
	// Begun counts attempts, including those that ended with their dial; InFlight those that are not finished.
	Begun    uint64
	InFlight int
	// Waiting is the length of the queue; Waits counts the requests that were ever in it.
	Waiting int
	Waits   uint64
	// WaitingByClass is that length by class, in the order of Classes. Shed counts the requests that were sent away because the
	// line stood for longer than Config.QueueInterval.
	WaitingByClass [NumClasses]int
	Shed           uint64
	// Overflowed counts the requests that went anywhere because as many waited for their backend as Config.MaxWaitingPerBackend says.
	Overflowed uint64
	// Wait is how long those were in the queue that have left it, whether they got a connection or gave up.
	Wait pool.HistogramSnapshot
	// Retries counts the repetitions that the policy allowed; OverBudget those that only the budget forbade.
	Retries, OverBudget uint64
	// PerTryTimeout is the timeout in force for attempts that are not the last; 0 while there is none.
	PerTryTimeout time.Duration
	// Available is the number of backends against which health has nothing, the reserve of Config.SubsetSize included.
	Available int
	// Panicking: so few are available that others are used too; see health.Config.
	Panicking bool
	// Backends are in the order of the configuration, and behind them those that are leaving.
	Backends []BackendStats
	// Removed is what those that are gone have left.
	Removed Removed
}

// Stats returns a snapshot. The numbers of the group are consistent with each other; each pool's are with each other.
func (u *Upstream) Stats() Stats {
	u.mu.Lock()
	s := Stats{
		Name: u.cfg.Name, Strategy: u.cfg.Strategy, Begun: u.stats.begun, InFlight: u.inFlight,
		Waiting: u.queue.n, Shed: u.stats.shed, Overflowed: u.queue.overflowed, Waits: u.stats.waits, Retries: u.stats.retries, OverBudget: u.stats.overBudget,
		Panicking: u.panicking, Backends: make([]BackendStats, len(u.members)), Removed: u.removed,
		Wait: u.waits.Snapshot(), PerTryTimeout: u.perTryLocked(),
	}
	for r := range s.WaitingByClass {
		s.WaitingByClass[r] = u.queue.classes[r].n
	}
	members := slices.Clone(u.members)
	for i, b := range members {
		s.Backends[i] = BackendStats{
			Address: b.address, Weight: b.weight, Priority: b.tier, InFlight: u.picker.InFlight(b.index), Leaving: b.leaving, Reserve: b.reserve,
			Waiting: u.queue.own[b.index].n, Outcomes: b.outcomes, Checks: b.checked, ChecksPassed: b.checkPassed,
			Agent: b.agent.AgentStats,
		}
		if b.limiter != nil {
			s.Backends[i].Limit = b.limiter.Limit()
		}
		if b.leaving {
			s.Backends[i].Health = health.State{Status: health.Drained, Reason: health.DrainAsked}
		} else {
			s.Backends[i].Health = u.judge.State(b.index)
			if u.judge.Available(b.index) {
				s.Available++
			}
		}
	}
	u.mu.Unlock()
	for i, b := range members {
		s.Backends[i].Pool = b.pool.Stats()
	}
	return s
}

// Ended is the number of attempts at the backend that ended in any way.
func (b *BackendStats) Ended() uint64 {
	var n uint64
	for _, x := range b.Outcomes {
		n += x
	}
	return n
}
