package upstream

import (
	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// counters are the upstream's own plain counters, under its lock.
type counters struct {
	begun, waits, retries, overBudget uint64
}

// BackendStats is what is known of one backend.
type BackendStats struct {
	// Address and Weight are as configured.
	Address string
	Weight  int
	// Health is the judge's state.
	Health health.State
	// InFlight is the picker's count: requests at the backend, and those that wait for a dial to it.
	InFlight int
	// Outcomes counts the attempts that ended, by outcome.
	Outcomes [NumOutcomes]uint64
	// Checks counts the active checks; ChecksPassed those that passed.
	Checks, ChecksPassed uint64
	// Pool is the snapshot of its connections.
	Pool pool.Stats
}

// Stats is a snapshot of the group. Begun = InFlight + the sum over all backends of Outcomes holds in each.
type Stats struct {
	// Name and Strategy are as configured.
	Name, Strategy string
	// Begun counts attempts, including those that ended with their dial; InFlight those that are not finished.
	Begun    uint64
	InFlight int
	// Waiting is the length of the queue; Waits counts the requests that were ever in it.
	Waiting int
	Waits   uint64
	// Retries counts the repetitions that the policy allowed; OverBudget those that only the budget forbade.
	Retries, OverBudget uint64
	// Available is the number of backends that health admits.
	Available int
	// Backends are in the order of the configuration.
	Backends []BackendStats
}

// Stats returns a snapshot. The numbers of the group are consistent with each other; each pool's are with each other.
func (u *Upstream) Stats() Stats {
	u.mu.Lock()
	s := Stats{
		Name: u.cfg.Name, Strategy: u.cfg.Strategy, Begun: u.stats.begun, InFlight: u.inFlight,
		Waiting: len(u.queue.line), Waits: u.stats.waits, Retries: u.stats.retries, OverBudget: u.stats.overBudget,
		Available: u.judge.AvailableCount(), Backends: make([]BackendStats, len(u.backends)),
	}
	for i, b := range u.backends {
		s.Backends[i] = BackendStats{
			Address: b.address, Weight: b.weight, Health: u.judge.State(i), InFlight: u.picker.InFlight(i),
			Outcomes: b.outcomes, Checks: b.checked, ChecksPassed: b.checkPassed,
		}
	}
	u.mu.Unlock()
	for i, b := range u.backends {
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
