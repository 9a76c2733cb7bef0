package netsim

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrOutlived is the verdict about a goroutine of Host.Go that did not end with its host.
var ErrOutlived = errors.New("a goroutine outlived its host")

// process is one goroutine of a host.
type process struct {
	h     *Host
	name  string
	actor actor
	dying string // what ended its host; "" = the host lives
	over  bool   // it has ended, or has been reported
	grace event
}

// Go starts a goroutine that belongs to the host, at an instant of its own after the caller's: what f listens on
// does not listen yet when Go returns, so listen before Go where the next step dials. f gets the host's Context
// of now. When the host crashes or is killed, or the simulation is closed, f has Config.CrashGrace of virtual
// time to return. A goroutine that has not returned by then is reported by its name: as the event "outlived"
// in the trace, and as an error that is ErrOutlived, of Run's Result or by failing Test. Names need not be
// unique, but tell more if they are. On a host that is down f is not started; it panics when name is empty.
func (h *Host) Go(name string, f func(ctx context.Context)) {
	if name == "" {
		panic("netsim: a goroutine of a host needs a name")
	}
	h.s.mu.Lock()
	if h.state != hostUp {
		h.s.mu.Unlock()
		return
	}
	p := &process{h: h, name: name, actor: newActor(h.name + "/" + name)}
	p.grace.init(p, evGrace, p.actor.hash)
	h.processes = append(h.processes, p)
	h.s.living++
	ctx, life := h.ctx, h.life
	h.s.mu.Unlock()
	h.s.clk.AfterFunc(0, func() {
		defer p.ended()
		h.s.mu.Lock()
		h.stopHere(life)
		over := h.life != life // ctx may end a little later
		h.s.mu.Unlock()
		if !over && ctx.Err() == nil {
			f(ctx)
		}
	})
}

// ended is the return of the goroutine.
func (p *process) ended() {
	p.h.s.mu.Lock()
	defer p.h.s.mu.Unlock()
	if !p.over {
		p.h.s.cancel(&p.grace)
		p.bury()
	}
}

// bury takes the goroutine off all lists, and lets Close go on after the last one.
func (p *process) bury() {
	s := p.h.s
	p.over = true
	if i := slices.Index(p.h.processes, p); i >= 0 {
		p.h.processes = slices.Delete(p.h.processes, i, i+1)
	}
	s.living--
	if s.living == 0 && s.mourner != nil {
		s.mourner.wake()
	}
}

// mourn begins the time that the host's goroutines have to end. Sim.mu is held.
func (h *Host) mourn(now int64) {
	why := "its kill"
	switch {
	case h.s.closing:
		why = "the simulation"
	case h.state == hostCrashed:
		why = "its crash"
	}
	for _, p := range h.processes {
		if p.dying == "" {
			p.dying = why
			h.s.schedule(&p.grace, now+int64(h.s.cfg.CrashGrace), now)
		}
	}
}

// fire is the end of the grace.
func (p *process) fire(_ eventKind, now int64) {
	s := p.h.s
	s.trace.add(now, &p.actor, "outlived", p.dying, 0)
	s.outlived = append(s.outlived, fmt.Errorf("netsim: seed %d: %w: goroutine %q of host %q outlived %s by %v",
		s.cfg.Seed, ErrOutlived, p.name, p.h.name, p.dying, s.cfg.CrashGrace))
	p.bury()
}

// leftover is the verdict about goroutines that did not end with their hosts, and about faults of no host.
func (s *Sim) leftover() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(errors.Join(s.outlived...), s.misspelt())
}
