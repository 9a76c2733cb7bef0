package netsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// Config describes a simulated network. The zero value is useful: seed 0, links without latency, the
// kernel's usual retransmission timers.
type Config struct {
	// Seed determines every draw and the order of ties. Any value.
	Seed uint64
	// Latency is the one-way delay of every link that SetLink has not described. Default 0.
	Latency time.Duration
	// Jitter is added to Latency: each segment draws from 0 to Jitter, uniformly. Default 0.
	Jitter time.Duration
	// SendBuffer is how many bytes a connection accepts from Write before the peer has acknowledged them.
	// Default 64 KiB.
	SendBuffer int
	// RecvBuffer is the receive window: how many bytes may be under way to a reader or wait for it. Default
	// 64 KiB.
	RecvBuffer int
	// Backlog is how many connections a listener holds that nobody has accepted; SYNs beyond it are
	// dropped. Default 128.
	Backlog int
	// RTO is the least first retransmission delay; it doubles with each try. Default 200 ms.
	RTO time.Duration
	// MaxRTO caps the doubling. Default 120 s.
	MaxRTO time.Duration
	// Retries is how often a segment is sent again before the sender gives up with ETIMEDOUT. Default 15.
	Retries int
	// UserTimeout, if positive, gives up earlier: when data have been unacknowledged, or held back by a shut
	// window, for that long (RFC 5482). Conn.SetUserTimeout sets it for one connection. Default 0.
	UserTimeout time.Duration
	// SYNRetries is how often a dial's SYN is sent again, after 1 s, 2 s, 4 s and so on. Default 6:
	// ETIMEDOUT after 127 s.
	SYNRetries int
	// CrashGrace is how long a goroutine of Host.Go may go on after its host crashed or was killed, or the
	// simulation was closed, in virtual time. Default 10 s.
	CrashGrace time.Duration
	// KeepTrace keeps every event of the trace. Without it only the rolling hash and the last events are
	// kept.
	KeepTrace bool
	// LastEvents is how many events are kept without KeepTrace. Default 256.
	LastEvents int
	// StuckAfter is how long in wall-clock time Test and Run wait for any progress before they call
	// OnStuck. Default 10 s.
	StuckAfter time.Duration
	// OnStuck is called once, outside the bubble, when a run makes no progress. Default: print the verdict
	// with all stacks on standard error and exit with status 3, as nothing can end the goroutines of a
	// stuck bubble.
	OnStuck func(Stuck)

	progress *atomic.Uint64 // where the watchdog looks
}

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Latency", c.Latency}, {"Jitter", c.Jitter}, {"RTO", c.RTO}, {"MaxRTO", c.MaxRTO}, {"UserTimeout", c.UserTimeout},
		{"CrashGrace", c.CrashGrace}, {"StuckAfter", c.StuckAfter}} {
		if f.value < 0 {
			panic(fmt.Sprintf("netsim: Config.%s is 0 (its default) or more, not %v", f.name, f.value))
		}
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"SendBuffer", c.SendBuffer}, {"RecvBuffer", c.RecvBuffer}, {"Backlog", c.Backlog}, {"Retries", c.Retries},
		{"SYNRetries", c.SYNRetries}, {"LastEvents", c.LastEvents}} {
		if f.value < 0 {
			panic(fmt.Sprintf("netsim: Config.%s is 0 (its default) or more, not %d", f.name, f.value))
		}
	}
	setDefault(&c.SendBuffer, 64<<10)
	setDefault(&c.RecvBuffer, 64<<10)
	setDefault(&c.Backlog, 128)
	setDefault(&c.RTO, 200*time.Millisecond)
	setDefault(&c.MaxRTO, 120*time.Second)
	setDefault(&c.Retries, 15)
	setDefault(&c.SYNRetries, 6)
	setDefault(&c.LastEvents, 256)
	setDefault(&c.CrashGrace, 10*time.Second)
	setDefault(&c.StuckAfter, 10*time.Second)
	if c.progress == nil {
		c.progress = new(atomic.Uint64)
	}
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Sim is one simulated network with its clock and its trace. All methods may be called by any goroutine of
// the bubble that made it. One lock guards all of its state; it is never held over a wait.
type Sim struct {
	cfg      Config
	virtual  bool // made inside a bubble
	start    time.Time
	clk      clock.Clock
	progress *atomic.Uint64

	mu        sync.Mutex
	closing   bool     // Close has begun: no new host comes to life
	closed    bool     // Close has ended: nothing is scheduled any more
	closers   waitList // further calls of Close, while the first goes on
	queue     eventQueue
	claims    instants
	timer     *time.Timer
	armed     int64 // the instant for which timer is set; 0 = it is not
	pumping   bool  // the pump will arm the timer at its end
	unlocked  func()
	lastly    releaser
	releasing int // goroutines that wait in other releasers
	resets    resetter

	hosts    []*Host // in the order of their making
	byName   map[string]*Host
	byAddr   map[string]*Host
	links    []linkRule
	linkGen  int // counts the changes of links
	rules    []*Fault
	unmet    []unmet // names in faults that no host had yet
	faults   int
	packet   Packet // scratch of judge
	segments segmentPool

	services    []*service    // in force
	clocks      []*clockFault // in force
	wrongClocks atomic.Int32  // how many, for those who do not hold mu
	names       dns
	living      int     // processes of Host.Go that have neither ended nor been reported
	mourner     *waiter // Close, while it waits for them
	outlived    []error

	trace  recorder
	actors map[string]*actor
}

// New makes a network. Called inside a testing/synctest bubble it runs in virtual time and repeats exactly;
// outside it runs on the real clock, where instants are not unique. It panics on negative numbers in cfg.
// The caller ends it by Close.
func New(cfg Config) *Sim {
	cfg = cfg.withDefaults()
	s := &Sim{
		cfg:      cfg,
		progress: cfg.progress,
		byName:   make(map[string]*Host),
		byAddr:   make(map[string]*Host),
		actors:   make(map[string]*actor),
	}
	s.trace.keep, s.trace.last = cfg.KeepTrace, cfg.LastEvents
	s.start = time.Now() // real: the bubble makes it virtual
	// A bubble's time has no monotonic reading, and the real clock's has one: that tells where we are.
	s.virtual = s.start == s.start.Round(0)
	s.clk = newClock(s)
	s.lastly.init(s, 0)
	s.lastly.last = true
	s.resets.s = s
	s.resets.ev.init(&s.resets, evReset, 0)
	s.timer = time.AfterFunc(time.Hour, s.pump) // real: the one timer of the core, set by arm
	s.timer.Stop()
	return s
}

// now is the time since the start, in nanoseconds.
func (s *Sim) now() int64 { return int64(time.Since(s.start)) } // real: the bubble makes it virtual

// offset places an absolute time on the simulation's own axis.
func (s *Sim) offset(t time.Time) int64 { return int64(t.Sub(s.start)) }

func duration(ns int64) time.Duration { return time.Duration(ns) }

// Clock returns the clock that code under simulation must use: see the package comment for what it may call.
func (s *Sim) Clock() clock.Clock { return s.clk }

// Elapsed is the virtual time since New.
func (s *Sim) Elapsed() time.Duration { return duration(s.now()) }

// Seed returns Config.Seed.
func (s *Sim) Seed() uint64 { return s.cfg.Seed }

// Rand returns the stream of chance of one named entity. It depends on the seed and the name only: each
// call starts the stream anew, so an entity asks once and keeps it. The stream itself is not safe for
// concurrent use.
func (s *Sim) Rand(entity string) *rand.Rand {
	key := mix(hashString(entity) ^ mix(s.cfg.Seed))
	return rand.New(rand.NewPCG(key, mix(key+1)))
}

// Note adds an event to the canonical trace: rooms above tell their own events through it. One actor should
// be one goroutine at a time, since the actor's own count orders its events within an instant.
func (s *Sim) Note(actor, kind, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Add(1)
	s.note(s.actor(actor), kind, detail, 0)
}

func (s *Sim) actor(name string) *actor {
	a := s.actors[name]
	if a == nil {
		made := newActor(strings.Clone(name))
		a = &made
		s.actors[a.name] = a
	}
	return a
}

// note records an event of now. Sim.mu is held.
func (s *Sim) note(a *actor, kind, detail string, n int64) {
	s.trace.add(s.now(), a, kind, detail, n)
}

// Trace returns a copy of the trace so far.
func (s *Sim) Trace() *Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trace.snapshot()
}

// Hash returns the rolling hash of the canonical trace so far. Equal seeds and programs give equal hashes.
func (s *Sim) Hash() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trace.sum()
}

// Events returns how many events the trace has had so far.
func (s *Sim) Events() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trace.total
}

// runUnlocked has fn called by the pump when it has let go of the lock. Sim.mu is held.
func (s *Sim) runUnlocked(fn func()) {
	if before := s.unlocked; before != nil {
		s.unlocked = func() { before(); fn() }
		return
	}
	s.unlocked = fn
}

// Close ends every connection, listener and dial, wakes the goroutines that are blocked in them one by one
// (they get net.ErrClosed), ends the hosts' contexts, and returns when all of them have been let go.
// It waits for the goroutines of Host.Go too, for Config.CrashGrace at most. Nothing of netsim is left
// afterwards, neither a timer nor a goroutine. It may be called again, also while another call goes on: that waits
// for the same end.
func (s *Sim) Close() {
	s.mu.Lock()
	if s.closing {
		s.closeAgain()
		return
	}
	s.closing = true
	now := s.now()
	for _, h := range s.hosts {
		h.end(now, endSilent)
	}
	w := newWaiter()
	s.lastly.add(w, now)
	s.mu.Unlock()
	<-w.ch

	s.mu.Lock()
	if s.living > 0 {
		s.mourner = newWaiter()
		s.mu.Unlock()
		<-s.mourner.ch
		s.mu.Lock()
	}
	s.closed = true
	s.timer.Stop()
	s.queue = eventQueue{}
	s.segments = segmentPool{}
	s.closers.wakeOne()
	s.mu.Unlock()
}

// closeAgain waits for the Close that goes on; each that has waited lets the next one go. It lets go of the lock.
func (s *Sim) closeAgain() {
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	w := newWaiter()
	s.closers.push(w)
	s.mu.Unlock()
	<-w.ch
	s.mu.Lock()
	s.closers.wakeOne()
}
