package health

import "time"

// AgentMode is the administrative state that an agent beside a backend wants it in. The list is closed.
type AgentMode uint8

// The modes.
const (
	// AgentSilent: the agent does not speak of it, and what it has said before holds.
	AgentSilent AgentMode = iota
	// AgentInService: it ends AgentToDrain and AgentInMaintenance.
	AgentInService
	// AgentToDrain: the backend gets nothing new; what is under way there goes on.
	AgentToDrain
	// AgentInMaintenance: the backend is out entirely.
	AgentInMaintenance
)

// AgentState is what an agent says of the service itself. The list is closed.
type AgentState uint8

// The states.
const (
	// AgentMute: the agent does not speak of it, and what it has said before holds.
	AgentMute AgentState = iota
	// AgentWell: it ends AgentIll.
	AgentWell
	// AgentIll: the service does not work.
	AgentIll
)

// AgentReport is what an agent beside a backend says of it. What it does not speak of stays as it was.
type AgentReport struct {
	// Mode is the administrative state, and State that of the service. They are independent of each other.
	Mode  AgentMode
	State AgentState
	// Weightless says that the backend is to have no part of the requests, and Weighty that it is to have some again. At most one
	// of them is set.
	Weightless, Weighty bool
}

// agent is the word of the agent beside a backend. The zero value is that of one that has said nothing.
type agent struct {
	mode       AgentMode // AgentSilent is as good as AgentInService
	ill        bool
	weightless bool
	keepsOut   bool      // as out says, at hand for each request
	since      time.Time // the backend was taken out for the present reason
}

// out says whether the agent keeps its backend out, and for which reason. Maintenance outranks an ill service, and that a drain.
func (a *agent) out() (Reason, bool) {
	switch {
	case a.mode == AgentInMaintenance:
		return AgentMaint, true
	case a.ill:
		return AgentDown, true
	case a.mode == AgentToDrain || a.weightless:
		return AgentDrain, true
	}
	return 0, false
}

// asked says whether it is out because somebody wants it to be, whether it is ill or not.
func (a *agent) asked() bool { return a.mode >= AgentToDrain || a.weightless }

// wish is the reason for which it is out where that was asked for.
func (a *agent) wish() Reason {
	if a.mode == AgentInMaintenance {
		return AgentMaint
	}
	return AgentDrain
}

// Agent brings what the agent of backend i has to say. It returns a Change, and true, when that has made the backend available
// or unavailable. An agent's word holds until the agent takes it back: that it is silent means nothing. It is independent of
// [Group.Drain], so that a backend which both have taken out comes back when both let it.
func (g *Group) Agent(now time.Time, i int, r AgentReport) (Change, bool) {
	b := g.at(i, "Agent")
	was, a, rested := b.available(), &b.agent, b.resting()
	before, wasOut := a.out()
	if r.Mode != AgentSilent {
		a.mode = r.Mode
	}
	if r.State != AgentMute {
		a.ill = r.State == AgentIll
	}
	a.weightless = a.weightless && !r.Weighty || r.Weightless
	g.recount(b, rested, b.resting())
	reason, out := a.out()
	a.keepsOut = out
	if out && (!wasOut || reason != before) {
		a.since = now
	}
	switch {
	case out && was:
		return g.left(now, i, reason, "by its agent"), true
	case !out && wasOut:
		return g.back(now, i, AgentReady, "by its agent")
	}
	return Change{}, false
}

// AgentAsks says whether the agent of backend i wants it out, for a drain or for maintenance, whether it is ill or not.
func (g *Group) AgentAsks(i int) bool { return g.at(i, "AgentAsks").agent.asked() }

// AgentOut says whether the agent of backend i keeps it out, and for which reason, whatever else does: AgentMaint before AgentDown,
// and that before AgentDrain.
func (g *Group) AgentOut(i int) (Reason, bool) { return g.at(i, "AgentOut").agent.out() }
