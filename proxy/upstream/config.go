package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Dialer opens connections to backends. *net.Dialer fits.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Backend is one server of the group.
type Backend struct {
	// Address is "host:port", as the dialer takes it.
	Address string
	// Weight is its share relative to the others. Default 1, range 1 to 1000.
	Weight int
	// Priority is its tier: one of priority 1 gets requests while none of priority 0 is available and has room, and so on.
	// Default 0, range 0 to MaxPriority.
	Priority int
	// Zone is where it stands, a word such as "eu-1a"; empty: nobody knows.
	Zone string
}

// MaxPriority is the last of the tiers that a Backend can have.
const MaxPriority = lb.MaxPriority / 2

// Changing is what a pool.Session implements whose Available or Err changes by itself: it calls what OnChange was given,
// which does not block.
type Changing interface{ OnChange(func()) }

// Check describes the active health checks of the group.
type Check struct {
	// Prober makes one check. Nil: no active checks.
	Prober probe.Prober
	// Interval, Timeout and Spread are those of probe.Schedule, with its defaults and bounds.
	Interval, Timeout time.Duration
	Spread            float64
	// FastInterval, DownInterval and SlowInterval are Fast, Down and Slow of probe.Schedule, with its defaults. What vouches for
	// a backend are requests that it has answered with a status below 500, while none has failed; one that is not available
	// has nobody to vouch for it.
	FastInterval, DownInterval, SlowInterval time.Duration
	// MaxConcurrent bounds the checks of the group that are under way; others wait for their turn. Default 0: no bound.
	MaxConcurrent int
	// Reuse is that of probe.Schedule.
	Reuse bool
}

// schedule is that of the checks of one backend, but for its doors.
func (c *Check) schedule() probe.Schedule {
	return probe.Schedule{
		Interval: c.Interval, Timeout: c.Timeout, Spread: c.Spread, Reuse: c.Reuse,
		Fast: c.FastInterval, Down: c.DownInterval, Slow: c.SlowInterval,
	}
}

// check returns what is wrong with it.
func (c *Check) check() error {
	if c.MaxConcurrent < 0 {
		return fmt.Errorf("Check.MaxConcurrent %d is negative", c.MaxConcurrent)
	}
	if err := c.schedule().Validate(); err != nil {
		return fmt.Errorf("Check: %w", err)
	}
	return nil
}

// Config describes an upstream. Name and Backends are required; the zero value of everything else is a safe default.
type Config struct {
	// Name stands for the group in errors, events and metrics.
	Name string
	// Strategy is one of lb.Strategies(). Default "round-robin".
	Strategy string
	// Backends are the servers, at least one, no address twice.
	Backends []Backend
	// Zone is where the proxy stands. Among the backends of a tier those of its own zone are preferred, as long as MinZonePercent of
	// their weight is available. Default empty: none are.
	Zone string
	// MinZonePercent is that part. Default 70, range 1 to 100; negative: no zone is preferred.
	MinZonePercent int
	// SubsetSize is how many backends of each priority this proxy uses: those that fit its Instance best (subset.go), as long as half of
	// them are available. The others are neither dialled nor checked. Default 0: all.
	SubsetSize int
	// Instance is the proxy's own name among those that share the backends. It is needed with SubsetSize.
	Instance string
	// BalanceFactor bounds the load of each backend with the strategies that choose by Attempt.Key: see lb.Options.
	BalanceFactor int
	// SlowStart is the time in which a backend that was added at work, or that health has let in again, gets its whole weight:
	// see lb.Options. Default 0: at once.
	SlowStart time.Duration

	// Pool holds the sizes and times of each backend's pool; what identifies a pool is filled in here.
	Pool pool.Config
	// Setup, if set, returns what makes the new connections of one backend, known by its address, ready before their
	// first use: pool.Config.Setup of its pool. Default: nothing.
	Setup func(address string) func(ctx context.Context, nc net.Conn) (pool.Session, error)
	// Health holds the thresholds of the judge. Its Active is set from Check.
	Health health.Config
	// Check describes the active checks.
	Check Check
	// Agent describes the agents beside the backends.
	Agent Agent
	// Checkers carries the checks out. Groups that have it in common share those of an address which are the same. Default (when
	// nil) the group has its own.
	Checkers *probe.Checkers

	// Attempts is how often one request may be tried in all, the first time included. A repetition because a reused
	// connection was dead does not count. Default 2, at least 1.
	Attempts int
	// BudgetPercent bounds the retries under way to this share of the other requests under way, though BudgetMin are always
	// allowed. Default 20, range 1 to 100.
	BudgetPercent int
	// BudgetMin is the number of concurrent retries that are always allowed. Default 3; negative: none.
	BudgetMin int
	// RetryOn are the conditions under which a request is tried again. Default DefaultConditions; OnNothing: never.
	RetryOn Condition
	// PerTryTimeout is the time that a backend has to begin an answer while another one can be asked; the last attempt has
	// all of the caller's own. Default 0: it is learned, as three times the 99th percentile of what answers took lately,
	// from 250 ms to 5 s, once 200 have been seen; negative: none.
	PerTryTimeout time.Duration

	// Concurrency bounds what is in flight at each backend by how long its answers take. It is for requests: a tunnel gives no
	// answer from which anything could be learned. Default off.
	Concurrency health.Concurrency

	// MaxWaiting bounds the requests that wait for a connection. One more is refused; one that would wait for one backend alone goes to
	// another one first, if that has an idle connection. Default 10000; negative: none may.
	MaxWaiting int
	// MaxWaitingPerBackend bounds those among them whom only one backend may serve, for each backend: those that prefer it
	// (Attempt.Prefer), and those that wait for their dial to the one of their key (Attempt.Key). One more goes anywhere, as if it had no
	// preference, and so does the last of the least urgent where a more urgent one comes. It holds for who comes from then on.
	// Default 0: MaxWaiting divided by the number of backends, or by 100 where there are more, rounded up; negative: no bound but
	// MaxWaiting.
	MaxWaitingPerBackend int
	// QueueTimeout bounds the wait of one request. Default 5 s; negative: only the caller's context.
	QueueTimeout time.Duration
	// QueueTarget is how long a wait for room may be when the queue does not get shorter: when all who had their turn within
	// QueueInterval had waited for longer, those who have are refused with ErrQueueShed until the queue has been empty. It is
	// looked at for each class by itself, and for those before each backend whom it alone may serve, and never leaves free what somebody waits for. Default 0: off.
	QueueTarget time.Duration
	// QueueInterval is the time that a burst may take to pass. Default 100 ms.
	QueueInterval time.Duration

	// Dialer, Clock and Rand are the doors to network, time and chance; nil means the real ones.
	Dialer Dialer
	Clock  clock.Clock
	Rand   func(entity string) *rand.Rand
	// Observer, if set, is told every event. It must not block.
	Observer func(Event)
}

const (
	defaultStrategy      = "round-robin"
	defaultAttempts      = 2
	defaultBudgetPercent = 20
	defaultBudgetMin     = 3
	defaultMaxWaiting    = 10000
	defaultQueueTimeout  = 5 * time.Second
	defaultQueueInterval = 100 * time.Millisecond // RFC 8289 section 4.2
	// defaultMinZone leaves the zone when less is left of it than can take its whole load at 140 % of its usual one each.
	defaultMinZone = 70
)

func (c Config) withDefaults() (Config, error) {
	var bad []error
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		wrong("Name is empty")
	}
	if len(c.Backends) == 0 {
		wrong("there are no Backends")
	}
	seen := map[string]bool{}
	for _, b := range c.Backends {
		if seen[b.Address] {
			wrong("backend %s is listed twice", b.Address)
		}
		seen[b.Address] = true
		if b.Priority < 0 || b.Priority > MaxPriority {
			wrong("priority %d of backend %s is not within 0 and %d", b.Priority, b.Address, MaxPriority)
		}
	}
	if c.Attempts < 0 {
		wrong("Attempts %d is negative", c.Attempts)
	}
	if c.SubsetSize < 0 || c.SubsetSize > 0 && c.Instance == "" {
		wrong("SubsetSize is %d, and Instance %q: a size is positive, and needs an instance", c.SubsetSize, c.Instance)
	}
	if c.QueueTarget < 0 || c.QueueInterval < 0 {
		wrong("QueueTarget %s or QueueInterval %s is negative", c.QueueTarget, c.QueueInterval)
	}
	if c.BudgetPercent < 0 || c.BudgetPercent > 100 {
		wrong("BudgetPercent %d is not within 1 and 100", c.BudgetPercent)
	}
	var err error
	if c.Concurrency, err = c.Concurrency.Fill(); err != nil {
		wrong("%w", err)
	}
	for _, err := range []error{c.Agent.check(), c.Check.check()} {
		if err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) > 0 {
		return c, fmt.Errorf("upstream %s: invalid Config: %w", c.Name, errors.Join(bad...))
	}
	setDefault(&c.Strategy, defaultStrategy)
	setDefault(&c.Attempts, defaultAttempts)
	setDefault(&c.BudgetPercent, defaultBudgetPercent)
	setDefault(&c.BudgetMin, defaultBudgetMin)
	setDefault(&c.RetryOn, DefaultConditions)
	setDefault(&c.MinZonePercent, defaultMinZone)
	setDefault(&c.MaxWaiting, defaultMaxWaiting)
	setDefault(&c.QueueTimeout, defaultQueueTimeout)
	setDefault(&c.QueueInterval, defaultQueueInterval)
	if c.Clock == nil {
		c.Clock = clock.New()
	}
	if c.Dialer == nil {
		c.Dialer = &net.Dialer{} // real: the default of a nil door
	}
	if c.Rand == nil {
		c.Rand = func(string) *rand.Rand {
			return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) // real: no seed was asked for
		}
	}
	if c.Checkers == nil {
		c.Checkers = probe.NewCheckers()
	}
	c.Health.Active = c.Check.Prober != nil
	return c, nil
}

// picking is what of the configuration the picker is made from.
func (c *Config) picking() lb.Options {
	return lb.Options{BalanceFactor: c.BalanceFactor, SlowStart: c.SlowStart}
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
