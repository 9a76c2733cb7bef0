package netsim

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/benbjohnson/clock"
)

// clockFault is how wrong the clocks of some hosts are.
type clockFault struct {
	host  string
	by    time.Duration
	rate  float64 // seconds gained in each second since the fault began
	since int64
}

func (f *clockFault) offset(now int64) time.Duration {
	return f.by + time.Duration(f.rate*float64(now-f.since))
}

// SkewClock has the host's clock differ from true time by so much, until Stop puts it right. Positive is
// ahead. It shifts what Now, Since and Until of Host.Clock tell, and nothing else: timers, sleeps and
// deadlines take their true time. Several such faults add up. host is a name, an address, or "*".
func (s *Sim) SkewClock(host string, by time.Duration) *Fault {
	return s.clockFault("skew-clock("+host+","+by.String()+")", clockFault{host: host, by: by})
}

// JumpClock steps the host's clock by so much now, and back at Stop. Its effect is that of SkewClock: what
// is off from the start is a skew, what becomes so in the middle of things is a jump. It has a name of its
// own because it tells another story: a correction by NTP, a virtual machine that was moved. See Host.Clock
// for what happens to deadlines.
func (s *Sim) JumpClock(host string, by time.Duration) *Fault {
	return s.clockFault("jump-clock("+host+","+by.String()+")", clockFault{host: host, by: by})
}

// DriftClock has the host's clock run fast (or slow, when negative) by so many parts per million of the time
// since the fault began; at Stop it steps back to true time. Real quartz drifts by up to 100 ppm. It panics at
// -1,000,000 and below, where time would stand still or run backwards.
func (s *Sim) DriftClock(host string, ppm float64) *Fault {
	if !(ppm > -1e6 && ppm < 1e12) {
		panic("netsim: DriftClock needs more than -1,000,000 parts per million")
	}
	return s.clockFault("drift-clock("+host+","+strconv.FormatFloat(ppm, 'g', -1, 64)+"ppm)",
		clockFault{host: host, rate: ppm / 1e6})
}

func (s *Sim) clockFault(what string, c clockFault) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.addFaultLocked(what, passAll, c.host)
	entry := &c
	entry.since = s.now()
	s.clocks = append(s.clocks, entry)
	s.wrongClocks.Add(1)
	f.ended = func(int64) {
		s.clocks = slices.DeleteFunc(s.clocks, func(e *clockFault) bool { return e == entry })
		s.wrongClocks.Add(-1)
	}
	return f
}

// clockOffset is how far ahead the host's clock is. Sim.mu is held.
func (h *Host) clockOffset() (off time.Duration) {
	for _, f := range h.s.clocks {
		if matches(f.host, h) {
			off += f.offset(h.s.now())
		}
	}
	return off
}

// trueTime translates what the host's clock shows. Sim.mu is held.
func (h *Host) trueTime(t time.Time) time.Time {
	if t.IsZero() || len(h.s.clocks) == 0 {
		return t
	}
	return t.Add(-h.clockOffset())
}

// Clock returns the simulation's clock as this machine sees it: for code that runs on the host. Until a
// fault makes it wrong it shows what Sim.Clock does. Under SkewClock, JumpClock and DriftClock:
//
//   - Now, Since and Until are those of the wrong clock. The times of a simulation have no monotonic reading,
//     so the difference of two readings shows a jump between them, as it would on a real machine only for
//     times that have lost theirs (by Round(0), in a file, from a database).
//   - Timers, Sleep, AfterFunc and WithTimeout take their true time.
//   - Deadlines are instants of this clock and are translated when they are set, by WithDeadline and by
//     SetDeadline of the host's connections and listeners: one that was made by adding to Now takes its true
//     time even if the clock jumps later, as the monotonic reading brings about in reality. Only a jump
//     between Now and the setting shows. Deadline of a context shows the end on the clock as it is when asked.
//   - The times that After and a Timer's channel deliver are true ones.
//
// Code of a host uses this clock, and not Sim.Clock, for all that it hands to the host's connections. Under
// Pause, Sleep and the functions of AfterFunc wait for the fault's end; a Timer whose function waits so is no
// longer stopped by Stop.
func (h *Host) Clock() clock.Clock { return h.clk }

// hostClock is the simulation's clock on one host.
type hostClock struct {
	clock.Clock
	h *Host
}

func (c *hostClock) offset() time.Duration {
	if c.h.s.wrongClocks.Load() == 0 {
		return 0
	}
	c.h.s.mu.Lock()
	defer c.h.s.mu.Unlock()
	return c.h.clockOffset()
}

// Now is the present instant as the host's clock shows it.
func (c *hostClock) Now() time.Time { return c.Clock.Now().Add(c.offset()) }

// Since is Now minus t.
func (c *hostClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Until is t minus Now.
func (c *hostClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// Sleep takes its true time, and as long as the host is paused.
func (c *hostClock) Sleep(d time.Duration) {
	life := c.life()
	c.Clock.Sleep(d)
	c.stopHere(life)
}

// AfterFunc calls f after the true time d, or when the host goes on after a pause.
func (c *hostClock) AfterFunc(d time.Duration, f func()) *clock.Timer {
	life := c.life()
	return c.Clock.AfterFunc(d, func() {
		c.stopHere(life)
		f()
	})
}

func (c *hostClock) life() int {
	c.h.s.mu.Lock()
	defer c.h.s.mu.Unlock()
	return c.h.life
}

func (c *hostClock) stopHere(life int) {
	c.h.s.mu.Lock()
	defer c.h.s.mu.Unlock()
	c.h.stopHere(life)
}

// Reserve is that of Sim.Clock; on the real clock there is nothing to reserve.
func (c *hostClock) Reserve() (wait func()) {
	if r, ok := c.Clock.(interface{ Reserve() (wait func()) }); ok {
		return r.Reserve()
	}
	return func() {}
}

// WithTimeout ends after the true time d.
func (c *hostClock) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return c.WithDeadline(parent, c.Now().Add(d))
}

// WithDeadline ends when the host's clock, as it goes now, will show t.
func (c *hostClock) WithDeadline(parent context.Context, t time.Time) (context.Context, context.CancelFunc) {
	at := t.Add(-c.offset())
	if left, ok := c.left(parent); ok && left < c.Clock.Until(at) {
		return context.WithCancel(parent)
	}
	ctx, cancel := c.Clock.WithDeadline(endless{parent}, at)
	return &hostContext{ctx, c}, cancel // also on a clock that is right now: it may be wrong when it is asked
}

// left is how much true time a context has.
func (c *hostClock) left(ctx context.Context) (time.Duration, bool) {
	end, ok := ctx.Deadline()
	switch {
	case !ok:
		return 0, false
	case onHostClock(ctx):
		return c.Until(end), true
	}
	return c.Clock.Until(end), true
}

type hostContextKey struct{}

func onHostClock(ctx context.Context) bool {
	_, ok := ctx.Value(hostContextKey{}).(*hostClock)
	return ok
}

// hostContext shows its deadline, which is a true one, on a clock that may be wrong.
type hostContext struct {
	context.Context
	c *hostClock
}

// Deadline is the end as the host's clock, as it goes now, will show it.
func (x *hostContext) Deadline() (time.Time, bool) {
	at, _ := x.Context.Deadline()
	return at.Add(x.c.offset()), true
}

// Value lets the clock find out that a deadline up the chain is not a true one.
func (x *hostContext) Value(key any) any {
	if key == (hostContextKey{}) {
		return x.c
	}
	return x.Context.Value(key)
}

// endless hides a deadline that is on another clock, and known to come later.
type endless struct{ context.Context }

// Deadline tells of none.
func (endless) Deadline() (time.Time, bool) { return time.Time{}, false }
