package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/benbjohnson/clock"
)

// Dialer opens connections. *net.Dialer fits, and so does a simulated host.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Config describes a pool. Only Address is required; the zero value of every other field is a safe default.
type Config struct {
	// Name stands for the pool in errors and events. Default: Address.
	Name string
	// Network and Address are what the dialer is given. Network defaults to "tcp".
	Network, Address string

	// Dialer opens the connections. Default: a *net.Dialer.
	Dialer Dialer
	// Clock is the source of time. Default: the real clock.
	Clock clock.Clock
	// Rand returns the random stream of a named entity; the pool uses the one of its Name. Default: a stream that
	// differs from run to run.
	Rand func(entity string) *rand.Rand

	// MaxConnections bounds the connections that are open or being dialled; Resize changes it. Default 50, at least 1.
	MaxConnections int
	// MinIdle is the number of connections kept ready: when Warm is called for the first time, and from then on whenever a
	// connection has been retired, as many are dialled as are missing to so many idle ones, as far as MaxConnections
	// allows. A loan begins no dial, or each spike would leave so many more. Default 0, at most MaxConnections.
	MinIdle int
	// MaxIdle bounds the idle connections; one that returns beyond it is closed. Default and maximum: MaxConnections.
	MaxIdle int
	// IdleTimeout ends a connection that nobody used for so long. Default 30 s; negative: never.
	IdleTimeout time.Duration
	// MaxLifetime ends a connection at this age, less a random share of up to LifetimeSpread so that connections born
	// together do not die together. One that is lent finishes its use first. Default 30 min; negative: never.
	MaxLifetime time.Duration
	// LifetimeSpread is the largest share of MaxLifetime taken off, 0 < spread < 1. Default 0.1; negative: none.
	LifetimeSpread float64
	// MaxUses ends a connection when it comes back from this many loans. Default 0: no limit; it must not be negative.
	MaxUses int
	// DialTimeout bounds one dial. A dial that has not returned a second after its limit is given up: it counts as
	// failed, and what it gives later is closed. Default 5 s; negative: only the dialer's own limit.
	DialTimeout time.Duration
	// MinDialTimeout is the least to which the limit of a dial comes down: it follows the last dials, as three times the
	// longest of 64, and never exceeds DialTimeout. Default 1.5 s, so that one lost SYN, which is repeated after 1 s, is
	// survived; negative: the limit is always DialTimeout.
	MinDialTimeout time.Duration
	// MaxDials bounds the dials under way, without those of Fresh but with those that were given up and have not returned.
	// A dial that ends makes room for the next one. Default 16; it must not be negative, and MaxConnections bounds it too.
	MaxDials int
	// RetryMin and RetryMax bound the pause between dials while they fail: it doubles from the one to the other, with half
	// of it at random. Default 100 ms and 10 s, with a Judge 500 ms and 30 s; RetryMin at most RetryMax, not negative.
	RetryMin, RetryMax time.Duration
	// Judge, if set, says that somebody else judges the backend: the pool then turns no caller away because dials have
	// failed, and sends no probe; only MinIdle rests between failed dials. It is told the result of every dial, nil for a
	// success, unless its caller or the pool gave it up early. It must not block. Default: the pool is its own judge; see
	// [DownError].
	Judge func(error)
	// Patience is how long a waiter of Lend or GetN may be left without a dial while returning connections will probably
	// serve it sooner, as a share of a usual dial's time, at most 1. Default 0.25; negative: it dials at once.
	Patience float64
	// ValidateAfter is how long a connection may have been idle and still be lent without a look at it.
	// Default 1 ms; negative: never look. One nanosecond means always, in practice.
	ValidateAfter time.Duration
	// Validate looks at an idle connection before it is lent: nil means good, anything else retires it. It must not
	// block. Default: [Peek], where the connection offers it, and otherwise nothing.
	Validate func(net.Conn) error
	// Greets says that the peer may speak first, as mail servers and databases do: bytes on an idle connection are its
	// greeting to whoever borrows it next, and no reason to retire it. Its end behind such bytes still is one, where it can
	// be seen (Linux, and connections with PeerEnded() bool). Default false: bytes that nobody asked for retire it.
	Greets bool
	// Ping, if set, asks the peer whether an idle connection still works, before it is lent: say, a PING of Redis, or SELECT 1.
	// It runs in a goroutine of the pool while those who want a connection wait in line, or are lent another one. The
	// context and the connection's deadline end at PingTimeout; after an error, a panic, or when it has not returned by then,
	// the connection is closed. A Ping that goes on then is left to itself. It is not called for connections with a Session.
	Ping func(ctx context.Context, nc net.Conn) error
	// PingAfter is how long a connection may have been idle and still be lent without a ping. Default 1 s; it must not be
	// negative.
	PingAfter time.Duration
	// PingTimeout bounds one ping. Default 1 s; it must not be negative.
	PingTimeout time.Duration
	// KeepAlive is set on each dialled connection that offers SetKeepAliveConfig, such as *net.TCPConn, also inside a
	// *tls.Conn. Zero: left as the dialer made it, which for a *net.Dialer means probes every 15 s.
	KeepAlive net.KeepAliveConfig
	// UserTimeout is for how long sent bytes may stay unacknowledged until the connection breaks (TCP_USER_TIMEOUT, RFC
	// 5482): what finds a peer that vanished. It is set on Linux, on TCP, in whole milliseconds, and on connections that offer
	// SetUserTimeout(time.Duration) error; elsewhere it does nothing. Default 0: the system's own; it must not be negative.
	UserTimeout time.Duration
	// TrimEvery is the interval of the steps in which idle connections that recent demand did not need are closed. Demand is
	// what is lent or waited for, and its peak is remembered for ten seconds or more. Each step closes half of what is
	// too much, rounded up, those idle for longest first, and never goes below MinIdle; one is always left to its
	// IdleTimeout. They leave with ReasonSurplus. Default 5 s; negative: never.
	TrimEvery time.Duration
	// Predict says how connections are kept ready for the demand to come, beyond MinIdle. Default: PredictOff.
	Predict Predict
	// PredictEvery is the interval of which Predict takes the peak of demand. Default 1 s, at least 10 ms.
	PredictEvery time.Duration
	// MaxWaiters bounds the callers that wait in Lend. Default 1024; negative: nobody may wait.
	MaxWaiters int
	// Order says which idle connection is lent next. Default: OrderRecent.
	Order Order
	// Shards is the number of idle lists. A caller names its shard and is served from that list first, then from the
	// others. Default 1, at most 1024.
	Shards int

	// OnReady, if set, is called after a connection became idle or a slot became free while nobody waited in Lend, and
	// after a dial ended that MaxDials had kept others from. It is called without a lock, by whoever made that happen, and
	// may call the pool, but not Close or Drain, which may wait for that very caller.
	OnReady func()
	// OnDialFailed, if set, is called after a dial failed that no waiter in Lend and no caller of Fresh is told about.
	// OnReady follows, for the slot. The same is allowed to it as to OnReady.
	OnDialFailed func(error)
	// Setup, if set, makes a dialled connection ready before its first loan: TLS, a PROXY header, a password, HTTP/2. It
	// has what is left of DialTimeout, as the context's deadline and as the connection's, and the context ends when it
	// returns. Nil instead of a Session means that the connection carries one loan at a time as it is; see Exclusive for one
	// that takes its place. After an error the connection is closed and the dial counts as failed for whoever waits.
	Setup func(ctx context.Context, nc net.Conn) (Session, error)

	// LoansExpected is how many loans a connection is thought to carry as long as none has shown it, for a Setup that returns
	// a Session: so many requests that wait are worth one dial of Cover. Default 0: it is not known, and each is worth one.
	LoansExpected int

	// LeakAfter is how long a connection may be lent before it counts as leaked: that is told once per loan through
	// OnLeak, and the stacks of lend and return are kept for that, for Holders and for the panic of a second release.
	// Default 0: off, at no cost. A loan then costs two looks at the stack, about a microsecond; it must not be negative.
	LeakAfter time.Duration
	// OnLeak, if set, is told of each leaked loan, until Close begins. It must not block, nor call Close or Drain.
	OnLeak func(Leak)
	// Observer, if set, is told every event. It must not block and must not call the pool.
	Observer func(Event)
}

const (
	defaultMaxConnections = 50
	defaultMaxWaiters     = 1024
	maxShards             = 1024
	defaultIdleTimeout    = 30 * time.Second
	defaultMaxLifetime    = 30 * time.Minute
	defaultLifetimeSpread = 0.1
	defaultDialTimeout    = 5 * time.Second
	defaultValidateAfter  = time.Millisecond
	defaultPingAfter      = time.Second
	defaultPingTimeout    = time.Second
)

// withDefaults returns the configuration with every default filled in, or all the mistakes in it.
func (c Config) withDefaults() (Config, error) {
	var bad []error
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	c.checkAddress(wrong)
	c.checkSizes(wrong)
	c.checkLives(wrong)
	c.checkSoundness(wrong)
	c.checkPace(wrong)
	if len(bad) > 0 {
		return c, fmt.Errorf("pool: invalid Config: %w", errors.Join(bad...))
	}
	c.fillNumbers()
	c.fillPace()
	c.bound()
	c.fillDoors()
	return c, nil
}

// checkAddress finds the mistakes in what is dialled.
func (c *Config) checkAddress(wrong func(format string, args ...any)) {
	if c.Address == "" {
		wrong("Address is empty")
	}
	if !knownNetwork(c.Network) && c.Dialer == nil {
		wrong("Network %q is unknown to the default Dialer", c.Network)
	}
}

// checkSizes finds the mistakes in how many connections there are to be.
func (c *Config) checkSizes(wrong func(format string, args ...any)) {
	if c.MaxConnections < 0 {
		wrong("MaxConnections %d is negative", c.MaxConnections)
	}
	limit := or(c.MaxConnections, defaultMaxConnections)
	if c.MinIdle < 0 || c.MinIdle > limit {
		wrong("MinIdle %d is not within 0 and MaxConnections %d", c.MinIdle, limit)
	}
	if c.MaxIdle < 0 || c.MaxIdle > limit {
		wrong("MaxIdle %d is not within 0 and MaxConnections %d", c.MaxIdle, limit)
	}
	if most := or(c.MaxIdle, limit); c.MinIdle > most {
		wrong("MinIdle %d is more than MaxIdle %d", c.MinIdle, most)
	}
	if int(c.Order) >= numOrders {
		wrong("Order %d is unknown", c.Order)
	}
	if int(c.Predict) >= numPredicts {
		wrong("Predict %d is unknown", c.Predict)
	}
	if c.PredictEvery != 0 && c.PredictEvery < minPredictEvery {
		wrong("PredictEvery %v is below %v", c.PredictEvery, minPredictEvery)
	}
	if c.Shards < 0 || c.Shards > maxShards {
		wrong("Shards %d is not within 0 and %d", c.Shards, maxShards)
	}
}

// checkLives finds the mistakes in how long a connection and a loan may last.
func (c *Config) checkLives(wrong func(format string, args ...any)) {
	if c.MaxUses < 0 {
		wrong("MaxUses %d is negative", c.MaxUses)
	}
	if c.LeakAfter < 0 {
		wrong("LeakAfter %v is negative", c.LeakAfter)
	}
	if c.LifetimeSpread >= 1 {
		wrong("LifetimeSpread %g is not below 1", c.LifetimeSpread)
	}
}

// fillNumbers puts the default in place of every number and name that is zero.
func (c *Config) fillNumbers() {
	c.MaxConnections = or(c.MaxConnections, defaultMaxConnections)
	c.MaxIdle = or(c.MaxIdle, c.MaxConnections)
	c.Network, c.Shards = or(c.Network, "tcp"), or(c.Shards, 1)
	c.Name = or(c.Name, c.Address)
	c.IdleTimeout = or(c.IdleTimeout, defaultIdleTimeout)
	c.MaxLifetime = or(c.MaxLifetime, defaultMaxLifetime)
	c.LifetimeSpread = or(c.LifetimeSpread, defaultLifetimeSpread)
	c.DialTimeout = or(c.DialTimeout, defaultDialTimeout)
	c.ValidateAfter = or(c.ValidateAfter, defaultValidateAfter)
	c.TrimEvery = or(c.TrimEvery, defaultTrimEvery)
	c.PredictEvery = or(c.PredictEvery, defaultPredictEvery)
	c.MaxWaiters = or(c.MaxWaiters, defaultMaxWaiters)
	c.PingAfter, c.PingTimeout = or(c.PingAfter, defaultPingAfter), or(c.PingTimeout, defaultPingTimeout)
}

// longest is almost for ever, and so that an instant that is so far away is still a number.
const longest = time.Duration(1) << 61

// bound cuts durations that are longer than anybody lives.
func (c *Config) bound() {
	for _, d := range []*time.Duration{&c.IdleTimeout, &c.MaxLifetime, &c.DialTimeout, &c.MinDialTimeout, &c.RetryMin, &c.RetryMax,
		&c.ValidateAfter, &c.PingAfter, &c.PingTimeout, &c.TrimEvery, &c.PredictEvery, &c.LeakAfter} {
		*d = min(*d, longest)
	}
}

// fillDoors puts the real clock, network and chance in place of those that are nil.
func (c *Config) fillDoors() {
	if c.Clock == nil {
		c.Clock = clock.New()
	}
	if c.Dialer == nil {
		c.Dialer = &net.Dialer{} // real: the default of a nil door
	}
	if c.Rand == nil {
		c.Rand = func(string) *rand.Rand {
			return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) // real: a pool used alone needs no seed
		}
	}
}

// checkSoundness finds the mistakes in what concerns the soundness of idle connections.
func (c *Config) checkSoundness(wrong func(format string, args ...any)) {
	if c.PingAfter < 0 {
		wrong("PingAfter %v is negative", c.PingAfter)
	}
	if c.PingTimeout < 0 {
		wrong("PingTimeout %v is negative", c.PingTimeout)
	}
	if c.UserTimeout < 0 {
		wrong("UserTimeout %v is negative", c.UserTimeout)
	}
}

// knownNetwork says whether a *net.Dialer knows the network of a connection.
func knownNetwork(name string) bool {
	switch name {
	case "", "tcp", "tcp4", "tcp6", "unix", "unixpacket":
		return true
	}
	return false
}

// or returns v, or def where v is the zero value.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
