package lb

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// inner is what a strategy implements, for the backends of one tier. Its indexes are those of the whole group, those
// of other tiers' backends are vacant in it. Arguments have been checked, but for what counts requests in flight.
type inner interface {
	Pick(now time.Time, q *Query) int
	Take(i int)
	Done(i int, o Outcome, latency time.Duration)
	SetAvailable(i int, ok bool)
	SetReady(i int, n int)
	SetWeight(i int, w int)
	Add(i int, b Backend)
	Remove(i int)

	grow(n int)
	facts(i int) *member
	rebuild() (build func() (install func()))
}

// tiered is the Picker that callers see. It asks the tiers one after the other, each of which is a picker of the same
// strategy, and keeps the slow starts.
type tiered struct {
	at    []inner // by index: the tier of the backend there; nil where none is
	order []inner // those that there are, first things first
	tiers [MaxPriority + 1]inner
	who   []Backend // by index
	make  func() inner
	ramps ramps
}

func newTiered(s *strategy, rnd *rand.Rand, o Options) *tiered {
	p := &tiered{make: func() inner { return s.build(fleet{}, rnd, o) }}
	if s.ramps {
		p.ramps.length = max(o.SlowStart, 0)
	}
	return p
}

// tier returns the tier of that priority, which is made when it is first needed.
func (p *tiered) tier(priority int) inner {
	if p.tiers[priority] == nil {
		p.tiers[priority] = p.make()
		p.order = p.order[:0]
		for _, t := range p.tiers {
			if t != nil {
				p.order = append(p.order, t)
			}
		}
	}
	t := p.tiers[priority]
	t.grow(len(p.at))
	return t
}

// of returns the tier of the backend at that index. Misuse is named here once, instead of a bare index panic everywhere.
func (p *tiered) of(i int, method string) inner {
	if i < 0 || i >= len(p.at) {
		panic(fmt.Sprintf("lb: %s(%d): there are %d backends", method, i, len(p.at)))
	}
	if p.at[i] == nil {
		panic(fmt.Sprintf("lb: %s(%d): that backend was removed", method, i))
	}
	return p.at[i]
}

// Pick implements Picker.
func (p *tiered) Pick(now time.Time, q *Query) int {
	if len(p.ramps.on) > 0 {
		p.climb(now)
	}
	for _, t := range p.order {
		if i := t.Pick(now, q); i >= 0 {
			return i
		}
	}
	return -1
}

// Take implements Picker.
func (p *tiered) Take(i int) { p.of(i, "Take").Take(i) }

// Done implements Picker.
func (p *tiered) Done(i int, o Outcome, latency time.Duration) { p.of(i, "Done").Done(i, o, latency) }

// SetAvailable implements Picker.
func (p *tiered) SetAvailable(i int, ok bool) { p.of(i, "SetAvailable").SetAvailable(i, ok) }

// SetReady implements Picker.
func (p *tiered) SetReady(i int, n int) { p.of(i, "SetReady").SetReady(i, n) }

// InFlight implements Picker.
func (p *tiered) InFlight(i int) int { return int(p.of(i, "InFlight").facts(i).inFlight) }

// Len implements Picker.
func (p *tiered) Len() int { return len(p.at) }

// SetWeight implements Picker.
func (p *tiered) SetWeight(i int, w int) {
	t := p.of(i, "SetWeight")
	if w < 1 || w > MaxWeight {
		panic(fmt.Sprintf("lb: SetWeight(%d, %d): a weight is between 1 and %d", i, w, MaxWeight))
	}
	p.who[i].Weight = w
	t.SetWeight(i, p.ramps.weight(i, w))
}

// SetPriority implements Picker. The backend changes hands with all that is counted at it.
func (p *tiered) SetPriority(i int, priority int) {
	from := p.of(i, "SetPriority")
	if priority < 0 || priority > MaxPriority {
		panic(fmt.Sprintf("lb: SetPriority(%d, %d): a priority is between 0 and %d", i, priority, MaxPriority))
	}
	if p.who[i].Priority == priority {
		return
	}
	to, m := p.tier(priority), *from.facts(i)
	p.who[i].Priority = priority
	for range m.inFlight {
		from.Done(i, Abandoned, 0)
	}
	from.Remove(i)
	p.at[i] = to
	p.place(i)
	to.SetAvailable(i, m.available)
	to.SetReady(i, m.ready)
	for range m.inFlight {
		to.Take(i)
	}
}

// place adds a backend to its tier.
func (p *tiered) place(i int) {
	b := p.who[i]
	b.Weight = p.ramps.weight(i, b.Weight)
	p.at[i].Add(i, b)
}

// Add implements Picker.
func (p *tiered) Add(i int, b Backend) {
	if b.Weight == 0 {
		b.Weight = 1
	}
	switch {
	case b.Weight < 1 || b.Weight > MaxWeight:
		panic(fmt.Sprintf("lb: Add(%d) with weight %d: a weight is between 1 and %d", i, b.Weight, MaxWeight))
	case b.Priority < 0 || b.Priority > MaxPriority:
		panic(fmt.Sprintf("lb: Add(%d) with priority %d: a priority is between 0 and %d", i, b.Priority, MaxPriority))
	case i < 0 || i > len(p.at):
		panic(fmt.Sprintf("lb: Add(%d): there are %d backends", i, len(p.at)))
	case i == len(p.at):
		p.at, p.who = append(p.at, nil), append(p.who, Backend{})
	case p.at[i] != nil:
		panic(fmt.Sprintf("lb: Add(%d): there is a backend", i))
	}
	p.who[i], p.at[i] = b, p.tier(b.Priority)
	p.place(i)
}

// Remove implements Picker.
func (p *tiered) Remove(i int) {
	p.of(i, "Remove").Remove(i)
	p.ramps.end(i)
	p.at[i], p.who[i] = nil, Backend{}
}

// Rebuild implements Picker.
func (p *tiered) Rebuild() (build func() (install func())) {
	for _, t := range p.order {
		if build := t.rebuild(); build != nil {
			return build
		}
	}
	return nil
}
