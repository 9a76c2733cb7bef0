package scenario

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// inOrder are the indexes of the operations in the order of their instants; those of one instant in the file's.
func inOrder(ops []Operation) []int {
	order := make([]int, len(ops))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ops[a].At, ops[b].At) })
	return order
}

// operate carries the operations out, one after the other.
func (r *run) operate() {
	for _, i := range inOrder(r.sc.Operations) {
		o := &r.sc.Operations[i]
		r.clk.Sleep(max(0, o.At-r.sim.Elapsed()))
		r.sim.Note("operator", o.Kind, o.Backend)
		changes, err := r.call(o)
		if err != nil {
			r.moment("%s: refused", o)
			r.trouble(err)
			continue
		}
		text := o.String()
		if o.Kind == OpReload {
			text += ": " + several(changes)
		}
		r.moment("%s", text)
	}
}

// call is the operation, as a call of the proxy.
func (r *run) call(o *Operation) (changes []string, err error) {
	switch o.Kind {
	case OpDrain:
		return nil, r.server.DrainBackend(o.Upstream, o.Backend)
	case OpUndrain:
		return nil, r.server.UndrainBackend(o.Upstream, o.Backend)
	case OpAdd:
		return nil, r.server.AddBackend(o.Upstream, config.Backend{Address: o.Backend, Weight: o.Weight})
	case OpRemove:
		return nil, r.server.RemoveBackend(o.Upstream, o.Backend)
	case OpReweight:
		return nil, r.server.SetWeight(o.Upstream, o.Backend, o.Weight)
	case OpReload:
		return r.server.Reload(simulated(o.Settings))
	case OpRenew:
		r.papers.renew(r.sc.Settings)
		return nil, nil
	}
	panic("scenario: unknown kind of operation " + o.Kind)
}

// several puts some lines on one.
func several(lines []string) string {
	const most = 4
	switch n := len(lines); {
	case n == 0:
		return "nothing changes"
	case n > most:
		return strings.Join(lines[:most], "; ") + "; and more"
	}
	return strings.Join(lines, "; ")
}

// members is which backends each group has, while operations are followed through the file.
type members map[string][]string

func membersOf(c *config.Config) members {
	m := make(members)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		m[u.Name] = nil
		for _, b := range u.Backends {
			m[u.Name] = append(m[u.Name], b.Address)
		}
	}
	return m
}

// groups are the names of the groups, sorted; with an address, of those that have it.
func (m members) groups(address string) []string {
	var names []string
	for name, all := range m {
		if address == "" || slices.Contains(all, address) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkOperations follows the operations in time, fills in what they leave out, and refuses what the proxy would refuse.
func (sc *Scenario) checkOperations(r *form.Report) {
	if sc.Settings == nil || r.Failed("operations", "proxy", "backends") {
		return
	}
	m := membersOf(sc.Settings)
	for _, i := range inOrder(sc.Operations) {
		o, path := &sc.Operations[i], form.Index("operations", i)
		if r.Skipped(path) || r.Failed(path) || o.Kind == "" {
			continue
		}
		at, inside := form.Join(path, "at"), form.Join(path, o.Kind)
		switch {
		case r.Failed(at, "duration"):
		case !r.Given(at) && r.File != "":
			r.Fail(at, "is required")
		case o.At >= sc.Duration:
			r.Fail(at, "is not within the duration of the scenario (%v)", sc.Duration)
		}
		switch {
		case r.Skipped(inside) || r.Failed(inside):
		case o.Kind == OpReload:
			sc.checkReload(r, inside, o, &m)
		case o.Kind == OpRenew:
			if !slices.ContainsFunc(sc.configs(), speaksTLS) {
				r.Fail(inside, "there is no certificate: no listener and no upstream of the proxy has tls")
			}
		default:
			sc.checkMember(r, inside, o, m)
		}
	}
	sc.last = m
}

// checkReload looks for the backends of the other configuration.
func (sc *Scenario) checkReload(r *form.Report, path string, o *Operation, m *members) {
	if o.Settings == nil {
		return // its mistakes have been told
	}
	for i := range o.Settings.Upstreams {
		u := &o.Settings.Upstreams[i]
		for _, b := range u.Backends {
			if !sc.simulates(b.Address) {
				r.Fail(path, "the upstream %s has the backend %s, which is not simulated; add {address: %q} to backends",
					u.Name, b.Address, b.Address)
			}
		}
	}
	*m = membersOf(o.Settings)
}

// checkMember checks an operation on one backend, and does it to the members.
func (sc *Scenario) checkMember(r *form.Report, path string, o *Operation, m members) {
	key := "backend"
	if o.Kind == OpAdd {
		key = "address"
	}
	address, group := form.Join(path, key), form.Join(path, "upstream")
	switch {
	case r.Failed(address, group):
		return
	case o.Backend == "":
		r.Fail(address, "is required: host:port as the proxy's configuration has it")
		return
	case o.Kind == OpReweight && !r.Given(form.Join(path, "weight")) && r.File != "":
		r.Fail(form.Join(path, "weight"), "is required, from 1 to %d", config.MaxWeight)
		return
	}
	possible := m.groups(o.Backend)
	if o.Kind == OpAdd {
		possible = m.groups("")
	}
	if o.Upstream == "" && len(possible) == 1 {
		o.Upstream = possible[0]
	}
	has, known := m[o.Upstream], false
	if _, known = m[o.Upstream]; !known && (o.Upstream != "" || len(possible) > 1) {
		r.Fail(group, "%s", notFound("upstream", o.Upstream, m.groups("")))
		return
	}
	i := slices.Index(has, o.Backend)
	switch {
	case o.Kind == OpAdd && !sc.simulates(o.Backend):
		r.Fail(address, "%s is not simulated; add {address: %q} to backends", o.Backend, o.Backend)
	case o.Kind == OpAdd && i >= 0:
		r.Fail(address, "%s is a backend of %s already", o.Backend, o.Upstream)
	case o.Kind == OpAdd:
		m[o.Upstream] = append(has, o.Backend)
	case i < 0:
		if has == nil {
			for _, name := range m.groups("") {
				has = append(has, m[name]...)
			}
		}
		r.Fail(address, "%s", notFound("backend", o.Backend, has))
	case o.Kind == OpRemove && len(has) == 1:
		r.Fail(address, "%s is the last backend of %s", o.Backend, o.Upstream)
	case o.Kind == OpRemove:
		m[o.Upstream] = slices.Delete(slices.Clone(has), i, i+1)
	}
}

// notFound says that there is none of that name at that time, and which was probably meant.
func notFound(what, name string, known []string) string {
	if name == "" {
		return "is required: one of " + strings.Join(known, ", ")
	}
	if near := config.Nearest(name, known); near != "" && near != name {
		return "there is no " + what + " " + name + " then; did you mean " + near + "?"
	}
	return "there is no " + what + " " + name + " then; one of " + strings.Join(known, ", ")
}

// simulates says whether there is a simulated backend of that address, or of each that its name leads to.
func (sc *Scenario) simulates(address string) bool {
	behind := sc.behind(address)
	for _, one := range behind {
		if !slices.ContainsFunc(sc.Backends, func(b Backend) bool { return b.Address == one }) {
			return false
		}
	}
	return len(behind) > 0
}

// joins says whether an operation brings a backend in that the proxy's first configuration does not have.
func (sc *Scenario) joins(address string) bool {
	return slices.ContainsFunc(sc.Operations, func(o Operation) bool {
		if o.Kind == OpReload && o.Settings != nil {
			return membersOf(o.Settings).leadTo(sc, address)
		}
		return o.Kind == OpAdd && members{"": {o.Backend}}.leadTo(sc, address)
	})
}

// stays says whether a backend is still there when all operations are done.
func (sc *Scenario) stays(address string) bool {
	return sc.last == nil || sc.last.leadTo(sc, address)
}

// leadTo says whether one of the members is the backend of that address, by itself or by its name.
func (m members) leadTo(sc *Scenario, address string) bool {
	for _, all := range m {
		for _, given := range all {
			if given == address || slices.Contains(sc.behind(given), address) || slices.Contains(sc.insteadOf(given), address) {
				return true
			}
		}
	}
	return false
}
