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
	"github.com/wavepool/wavepool/pool.(*Pool).", "github.com/wavepool/wavepool/pool.Conn.",
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

// eachLoanLocked shows every loan that a borrower has.
func (p *Pool) eachLoanLocked(see func(*loan)) {
	for _, k := range p.conns {
		if k.session == nil {
			if k.loan.held {
				see(&k.loan)
			}
			continue
		}
		for _, l := range k.streams.all {
			if l.held {
				see(l)
			}
		}
	}
}

// Holders lists who holds what, the longest loan first. With Config.LeakAfter it says also where each borrower got its
// connection. It looks at every connection of the pool, and so is meant for people and for tests.
func (p *Pool) Holders() []Holder {
	var out []Holder
	var stacks []stack
	p.lock()
	p.eachLoanLocked(func(l *loan) {
		h, at := p.holder(l)
		out, stacks = append(out, h), append(stacks, at)
	})
	p.unlock()
	for i := range out { // without the lock: it takes a while
		out[i].Stack = stacks[i].String()
	}
	slices.SortFunc(out, func(a, b Holder) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Conn, b.Conn), cmp.Compare(a.Uses, b.Uses))
	})
	return out
}

// holder is what Holders tells of a loan, and the stack, not yet readable.
func (p *Pool) holder(l *loan) (h Holder, at stack) {
	if l.places != nil {
		at = l.places.lent
	}
	return Holder{Conn: l.link.id, Uses: l.uses, Since: p.time(l.since)}, at
}

// longestLocked is the loan that has lasted longest, nil if there is none.
func (p *Pool) longestLocked() (longest *loan) {
	p.eachLoanLocked(func(l *loan) {
		if longest == nil || l.since < longest.since || l.since == longest.since && l.link.id < longest.link.id {
			longest = l
		}
	})
	return longest
}

// limitErrorLocked is what a caller is told who finds the line full.
func (p *Pool) limitErrorLocked(now time.Duration) error {
	e := &LimitError{Pool: p.cfg.Name, Limit: p.limit, Lent: p.lent, Waiting: p.waiters.n}
	if l := p.longestLocked(); l != nil {
		var at stack
		e.Longest, at = p.holder(l)
		e.stack = &at
		e.Age = now - l.since
	}
	return e
}

// watch begins the watch over a loan, in its borrower's goroutine.
func (p *Pool) watch(l *loan) {
	if p.cfg.LeakAfter <= 0 {
		return
	}
	p.lock()
	l.reported = false
	l.places.lent.keep()
	p.armUpkeepLocked(l.since + p.cfg.LeakAfter)
	p.unlock()
}

// reportLeaks tells of the loans that have lasted for too long, each once, the longest first.
func (p *Pool) reportLeaks(now time.Duration) {
	if p.cfg.LeakAfter <= 0 {
		return
	}
	for {
		var leaked *loan
		p.lock()
		p.eachLoanLocked(func(l *loan) {
			if !l.reported && now-l.since >= p.cfg.LeakAfter && (leaked == nil || l.since < leaked.since) {
				leaked = l
			}
		})
		if leaked == nil {
			p.unlock()
			return
		}
		leaked.reported = true
		h, at := p.holder(leaked)
		p.unlock()
		p.event(Event{At: p.time(now), Kind: EventLeaked, Conn: h.Conn})
		if p.cfg.OnLeak != nil {
			p.cfg.OnLeak(Leak{Conn: h.Conn, Age: now - p.at(h.Since), Stack: at.String()})
		}
	}
}

// nextLeakLocked is when the next loan will have lasted for too long.
func (p *Pool) nextLeakLocked() time.Duration {
	next := never
	if p.cfg.LeakAfter > 0 {
		p.eachLoanLocked(func(l *loan) {
			if !l.reported {
				next = min(next, l.since+p.cfg.LeakAfter)
			}
		})
	}
	return next
}
