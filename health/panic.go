package health

// Panicking reports whether too few backends are available, by Config.PanicPercent or Config.FailOpen, so that those that
// are not are admitted too. It costs nothing.
func (g *Group) Panicking() bool {
	return g.up*100 < g.cfg.PanicPercent*g.size || g.cfg.FailOpen && g.up == 0 && g.size > 0
}

// Admits reports whether requests may be sent to backend i: it is available, or the group panics, nobody has drained it, its
// agent included, and the last connection to it that was wanted could be made. In panic checks, ejections and breakers keep nobody out.
//
// What it says changes with each [Change], and in panic also with evidence about that backend, Drain and Undrain of it.
func (g *Group) Admits(i int) bool {
	b := g.at(i, "Admits")
	return b.available() || b.admittedInPanic() && g.Panicking()
}

func (b *backend) admittedInPanic() bool {
	return b.present && !b.drained && !b.agent.asked() && !b.refused
}

// AdmittedCount returns how many backends Admits says yes to. It costs nothing but in panic.
func (g *Group) AdmittedCount() int {
	if !g.Panicking() {
		return g.up
	}
	n := 0
	for i := range g.backends {
		if b := &g.backends[i]; b.available() || b.admittedInPanic() {
			n++
		}
	}
	return n
}
