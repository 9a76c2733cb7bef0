package health

import (
	"fmt"
	"time"
)

// Add puts a backend at index i, which is Len() or that of a removed one. Like all at the beginning it is available:
// nothing has been said against it. It panics when a backend is there.
func (g *Group) Add(i int) {
	switch {
	case i < 0 || i > len(g.backends):
		panic(fmt.Sprintf("health: Add(%d): the group has %d backends", i, len(g.backends)))
	case i == len(g.backends):
		g.backends = append(g.backends, backend{})
	case g.backends[i].present:
		panic(fmt.Sprintf("health: Add(%d): there is a backend", i))
	}
	g.backends[i] = backend{present: true}
	g.used.size++
	g.used.up++
	g.settleLimit()
}

// settleLimit finds out how many may be ejected.
func (g *Group) settleLimit() { g.limit = g.cfg.Passive.ejectionLimit(g.used.size, g.Size()) }

// shareOf is the count to which a backend belongs.
func (g *Group) shareOf(b *backend) *share {
	if b.reserve {
		return &g.reserve
	}
	return &g.used
}

// Reserve says that backend i is not in use, or is again: the group is larger than what one proxy sends requests to. It is no part of
// that of which a share is ejected, or too small to go on with, nor is it ejected itself: what comes from there is late news. Its
// checks, drains and agent count as ever, and so does the time of an ejection. It comes into use with a clean slate.
//
// Where fewer are in use than before, more of them may be ejected than a share would allow now. They serve their time; until then no
// other one follows.
func (g *Group) Reserve(i int, on bool) {
	b := g.at(i, "Reserve")
	if b.reserve == on {
		return
	}
	g.enter(b, -1)
	b.reserve = on
	g.enter(b, 1)
	if !on {
		b.passive.forget()
		b.window = window{}
		if b.circuit != nil {
			b.circuit.forget()
		}
	}
	g.settleLimit()
}

// enter adds a backend to its share, or with -1 takes it out.
func (g *Group) enter(b *backend, n int) {
	s := g.shareOf(b)
	s.size += n
	if b.available() {
		s.up += n
	}
	if b.passive.out() {
		s.ejected += n
	}
	if b.resting() {
		s.resting += n
	}
}

// Remove takes backend i out of the group, with all that is known of it; its index is then vacant, for Add. A smaller
// group may have fewer ejected, and its only backend is never ejected: those that are too many are let in again, whose
// time would end first. They are the changes that Remove returns.
func (g *Group) Remove(now time.Time, i int) []Change {
	b := g.at(i, "Remove")
	g.enter(b, -1)
	if b.circuit != nil {
		g.unblock(b.circuit)
	}
	*b = backend{check: check{down: true}} // so that nobody takes it for available
	g.settleLimit()
	return g.pardon(now, g.limit, "too few backends are left")
}

// pardon ends ejections of those in use until no more are left than so many.
func (g *Group) pardon(now time.Time, most int, why string) []Change {
	var changes []Change
	for g.used.ejected > most {
		first := -1
		for i := range g.backends {
			p := &g.backends[i].passive
			if p.out() && !g.backends[i].reserve && (first < 0 || p.until.Before(g.backends[first].passive.until)) {
				first = i
			}
		}
		changes = g.let(now, first, why, changes)
	}
	return changes
}

// let ends an ejection before its time.
func (g *Group) let(now time.Time, i int, why string, changes []Change) []Change {
	g.endEjection(now, &g.backends[i])
	if c, ok := g.back(now, i, EjectionOver, why); ok {
		changes = append(changes, c)
	}
	return changes
}

// Drain brings an operator's wish that backend i gets nothing new, whatever checks and traffic say, until Undrain. It
// returns a Change, and true, when that has made the backend unavailable. Checks and evidence go on to count.
func (g *Group) Drain(now time.Time, i int) (Change, bool) {
	b := g.at(i, "Drain")
	if b.drained {
		return Change{}, false
	}
	was := b.available()
	g.recount(b, b.resting(), true)
	b.drained, b.asked = true, now
	if !was {
		return Change{}, false
	}
	return g.left(now, i, DrainAsked, "by an operator"), true
}

// Undrain ends what Drain began. It returns a Change, and true, when that has made the backend available; one that is
// down or ejected comes back by itself.
func (g *Group) Undrain(now time.Time, i int) (Change, bool) {
	b := g.at(i, "Undrain")
	if !b.drained {
		return Change{}, false
	}
	b.drained = false
	g.recount(b, true, b.resting())
	return g.back(now, i, DrainOver, "by an operator")
}

// Draining reports whether backend i would be available but for a drain, by an operator or its agent. It takes nothing new; what
// belongs there, such as a session, may go on there.
func (g *Group) Draining(i int) bool {
	b := g.at(i, "Draining")
	reason, out := b.agent.out()
	if out && reason != AgentDrain || !out && !b.drained {
		return false
	}
	return !b.check.down && !b.passive.out() && !b.refused && (b.circuit == nil || !b.circuit.blocked)
}

// Drained reports whether an operator has drained backend i, or its agent asks for that; maintenance is more than a drain.
func (g *Group) Drained(i int) bool {
	b := g.at(i, "Drained")
	reason, out := b.agent.out()
	return b.drained || out && reason == AgentDrain
}

// Reconfigure changes what follows from evidence; the evidence, and what has been decided, stay, as far as the new
// configuration has a use for them. Where active checks are switched off, nobody could let a backend in again that is
// down: all of them are up. Where nothing ejects a backend any more, those that are ejected come back at once: who switches that off
// does so because it is wrong. The error is that of a Config out of range, and then nothing has changed.
func (g *Group) Reconfigure(now time.Time, cfg Config) ([]Change, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Passive.EjectionJitter > 0 && g.rnd == nil {
		return nil, ErrNoRand
	}
	g.cfg = cfg
	g.settleLimit()
	var changes []Change
	for i := range g.backends {
		b := &g.backends[i]
		if !b.present {
			continue
		}
		b.check.passed, b.check.failed = min(b.check.passed, cfg.Rise-1), min(b.check.failed, cfg.Fall-1)
		p := &b.passive
		p.answers5xx = min(p.answers5xx, max(cfg.Passive.Consecutive5xx, 0))
		p.gateway = min(p.gateway, max(cfg.Passive.ConsecutiveGatewayErrors, 0))
		p.failures = min(p.failures, max(cfg.Passive.ConsecutiveFailures, 0))
		if b.check.down && !cfg.Active {
			b.check = check{}
			if c, ok := g.back(now, i, AssumedUp, "checks were switched off"); ok {
				changes = append(changes, c)
			}
		}
	}
	most, why := g.limit, "too few backends are left"
	if p := &cfg.Passive; p.Consecutive5xx < 0 && p.ConsecutiveGatewayErrors < 0 && p.ConsecutiveFailures < 0 && !p.Outliers.on() {
		most, why = 0, "ejections were switched off"
	}
	changes = append(changes, g.pardon(now, most, why)...)
	for i := range g.backends {
		if b := &g.backends[i]; b.reserve && b.passive.out() && most == 0 {
			changes = g.let(now, i, why, changes)
		}
	}
	changes = g.resetBreakers(now, changes)
	if g.started {
		for i := range g.backends {
			g.backends[i].window = window{}
		}
		g.Start(now)
	}
	return changes, nil
}
