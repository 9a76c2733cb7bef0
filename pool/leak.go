package pool

import (
	"cmp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Leak is one loan that has lasted for longer than Config.LeakAfter.
type Leak struct {
	// Conn is the connection's number in its pool, from 1.
	Conn uint64
	// Age is how long it has been lent, at least Config.LeakAfter.
	Age time.Duration
	// Stack is where the borrower got it: a function and its file and line for each call, the innermost first.
	Stack string
}

// Holder is one loan of a connection.
type Holder struct {
	// Conn is the connection's number in its pool, from 1; Uses counts its loans, this one included.
	Conn, Uses uint64
	// Since is the instant of the lend.
	Since time.Time
	// Stack is where the borrower got it, as in Leak; empty unless Config.LeakAfter is set.
	Stack string
}

// depth is the number of calls that a kept stack holds.
const depth = 24

// stack is a place in the program, kept as addresses and made readable only when somebody asks.
type stack struct {
	pcs [depth]uintptr
	n   int
}

// keep takes the caller's stack. It allocates nothing.
func (s *stack) keep() { s.n = runtime.Callers(2, s.pcs[:]) }

// ownCode is how the names of the pool's own methods begin; the place of a borrower is above them.
var ownCode = []string{
	"github.com/wavepool/wavepool/pool.(*Pool).", "github.com/wavepool/wavepool/pool.(*Conn).",
	"github.com/wavepool/wavepool/pool.(*stack).", "github.com/wavepool/wavepool/pool.ReleaseAll",
}

// String makes the stack readable, without the pool's own calls at its inner end.
func (s *stack) String() string {
	if s.n == 0 {
		return ""
	}
	var b strings.Builder
	frames := runtime.CallersFrames(s.pcs[:s.n])
	for inside, more := true, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		inside = inside && slices.ContainsFunc(ownCode, func(own string) bool {
			return strings.HasPrefix(f.Function, own)
		})
		if !inside {
			b.WriteString(f.Function + "\n\t" + f.File + ":" + strconv.Itoa(f.Line) + "\n")
		}
	}
	return b.String()
}

// places is where the last loan of a connection began and ended. Only a pool with LeakAfter keeps it.
type places struct{ lent, ended stack }

// holdersLocked returns the lent connections, the longest lent first.
func (p *Pool) holdersLocked() []*Conn {
	var held []*Conn
	for _, c := range p.conns {
		if c.loaned {
			held = append(held, c)
		}
	}
	slices.SortFunc(held, func(a, b *Conn) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id))
	})
	return held
}

// Holders lists who holds what, the longest loan first. With Config.LeakAfter it says also where each borrower got its
// connection. It looks at every connection of the pool, and so is meant for people and for tests.
func (p *Pool) Holders() []Holder {
	p.mu.Lock()
	held := p.holdersLocked()
	out := make([]Holder, len(held))
	stacks := make([]stack, len(held))
	for i, c := range held {
		out[i] = Holder{Conn: c.id, Uses: c.uses, Since: c.since}
		if c.places != nil {
			stacks[i] = c.places.lent
		}
	}
	p.mu.Unlock()
	for i := range out { // without the lock: it takes a while
		out[i].Stack = stacks[i].String()
	}
	return out
}

// watchLocked begins the watch over a loan.
func (p *Pool) watchLocked(c *Conn) {
	c.reported = false
	c.places.lent.keep()
	p.armUpkeepLocked(c.since.Add(p.cfg.LeakAfter))
}

// reportLeaks tells of the loans that have lasted for too long, each once, the longest first.
func (p *Pool) reportLeaks(now time.Time) {
	if p.cfg.LeakAfter <= 0 {
		return
	}
	for {
		var leak Leak
		var at stack
		p.mu.Lock()
		for _, c := range p.holdersLocked() {
			if age := now.Sub(c.since); age >= p.cfg.LeakAfter && !c.reported {
				c.reported = true
				leak, at = Leak{Conn: c.id, Age: age}, c.places.lent
				break
			}
		}
		p.mu.Unlock()
		if leak.Conn == 0 {
			return
		}
		if p.cfg.OnLeak != nil {
			leak.Stack = at.String()
			p.cfg.OnLeak(leak)
		}
	}
}

// nextLeakLocked is when the next loan will have lasted for too long, zero if none is watched.
func (p *Pool) nextLeakLocked() (next time.Time) {
	if p.cfg.LeakAfter <= 0 {
		return next
	}
	for _, c := range p.conns {
		if !c.loaned || c.reported {
			continue
		}
		if at := c.since.Add(p.cfg.LeakAfter); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}
