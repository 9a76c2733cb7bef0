package health

// Panicking reports whether too few backends are available, of those in use, by Config.PanicPercent or Config.FailOpen, so that
// those that are not are admitted too. It costs nothing.
func (g *Group) Panicking() bool {
	n, up := g.InService(), g.used.up
	return up*100 < g.cfg.PanicPercent*n || g.cfg.FailOpen && up == 0 && n > 0
}

// resting says whether somebody wants the backend out, an operator or its own agent, for maintenance included.
func (b *backend) resting() bool { return b.drained || b.agent.asked() }

// Rests reports whether somebody wants backend i out, an operator or its own agent, for maintenance included.
func (g *Group) Rests(i int) bool { return g.at(i, "Rests").resting() }

// recount follows what may have changed whether a backend rests.
func (g *Group) recount(b *backend, was, is bool) {
	switch {
	case is && !was:
		g.shareOf(b).resting++
	case was && !is:
		g.shareOf(b).resting--
	}
}

// InService returns the number of backends in use that nobody wants out: of those a share is asked for, since an operator who takes
// half of the group out of service knows what the other half carries.
func (g *Group) InService() int { return g.used.size - g.used.resting }

// Admits reports whether requests may be sent to backend i: it is available, or the group panics, nobody has drained it, its
// agent included, and the last connection to it that was wanted could be made. In panic checks, ejections and breakers keep nobody out.
//
// What it says changes with each [Change], and in panic also with evidence about that backend; Drain and Undrain of any one may
// begin or end a panic.
func (g *Group) Admits(i int) bool {
	b := g.at(i, "Admits")
	return b.available() || b.admittedInPanic() && g.Panicking()
}

func (b *backend) admittedInPanic() bool {
	return b.present && !b.resting() && !b.refused
}

// AdmittedCount returns how many backends in use Admits says yes to. It costs nothing but in panic.
func (g *Group) AdmittedCount() int {
	if !g.Panicking() {
		return g.used.up
	}
	n := 0
	for i := range g.backends {
		if b := &g.backends[i]; !b.reserve && (b.available() || b.admittedInPanic()) {
			n++
		}
	}
	return n
}
