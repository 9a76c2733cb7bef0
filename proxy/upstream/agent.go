package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// Agent says that beside each backend there is an agent, which tells in a line of text how the backend wants to be used: see
// probe.ParseAgent. Its word holds until it takes it back; an agent that is silent, or is not understood, changes nothing. It is
// independent of the operators' (DrainBackend) and of what checks and requests say.
type Agent struct {
	// Port is where the agents listen, on the backends' hosts. Default 0: there are none; at most 65535.
	Port int
	// Send is what they are sent first. Default nothing; at most probe.MaxAgentSend bytes.
	Send string
	// Interval and Timeout are those of probe.Schedule, with its defaults and bounds.
	Interval, Timeout time.Duration
}

// check returns what is wrong with it.
func (a *Agent) check() error {
	if *a == (Agent{}) {
		return nil
	}
	if err := (probe.Schedule{Interval: a.Interval, Timeout: a.Timeout}).Validate(); err != nil {
		return fmt.Errorf("Agent: %w", err)
	}
	_, err := probe.Agent(nil, a.Port, []byte(a.Send))
	return err
}

// AgentStats is what the agent of a backend has said.
type AgentStats struct {
	// Asked says that there is one to be asked.
	Asked bool
	// Weight is the weight in percent of the configured one. 100 where it has said nothing.
	Weight int
	// MaxConnections is its bound on the connections; 0 for none.
	MaxConnections int
	// Text is what its last line has for people.
	Text string
	// Trouble is why the last question has no answer, in a word of probe.Reason; empty where it has one.
	Trouble string
}

// agentWord is what is kept of an agent. Upstream.mu guards it.
type agentWord struct {
	AgentStats
	run  int    // which one of its runs the present one is
	stop func() // ends it; nil without any
}

// fullWeight is the percentage of a backend whose agent has not spoken of it.
const fullWeight = 100

// armAgentLocked prepares the questions to the agent of one backend, as armChecksLocked does for checks.
func (u *Upstream) armAgentLocked(b *backend) (begin func()) {
	a := u.cfg.Agent
	if b.agent.Asked = a.Port != 0; !b.agent.Asked {
		return func() {}
	}
	p, err := probe.Agent(u.cfg.Dialer, a.Port, []byte(a.Send))
	if err != nil { // it has been checked
		return func() {}
	}
	var ctx context.Context
	ctx, b.agent.stop = context.WithCancel(context.Background())
	b.agent.run++
	run := b.agent.run
	s := probe.Schedule{Interval: a.Interval, Timeout: a.Timeout, Clock: u.clk,
		Rand: u.cfg.Rand(fmt.Sprintf("agent/%s@%d", b.stream, run))}
	u.work.Add(1)
	return func() {
		u.clk.AfterFunc(0, func() {
			defer u.work.Done()
			_ = probe.Run(ctx, s, p, b.address, func(now time.Time, err error) {
				if err != nil {
					u.agentSilent(b, run, err)
					return
				}
				u.agentSaid(now, b, run, p.Heard())
			})
		})
	}
}

// agentSilent notes that an agent was asked in vain. The first time of each kind is told.
func (u *Upstream) agentSilent(b *backend, run int, err error) {
	word := probe.BadAnswer.String()
	if e := (*probe.Error)(nil); errors.As(err, &e) {
		word = e.Kind.String()
	}
	u.mu.Lock()
	news := b.agent.run == run && !b.leaving && b.agent.Trouble != word
	if news {
		b.agent.Trouble = word
	}
	u.mu.Unlock()
	if news {
		u.tell(b, Event{At: u.Now(), Kind: KindAgent, Reason: word, Detail: err.Error()})
	}
}

// agentSaid carries out what an agent has said. Run names the questions that it answers: an answer to earlier ones is late.
func (u *Upstream) agentSaid(now time.Time, b *backend, run int, r probe.AgentReport) {
	u.mu.Lock()
	if b.leaving || b.agent.run != run || u.closed {
		u.mu.Unlock()
		return
	}
	was := b.agent.AgentStats
	a := &b.agent.AgentStats
	a.Trouble, a.Text = "", r.Text
	if r.Weight >= 0 {
		a.Weight = r.Weight
	}
	if r.MaxConnections > 0 {
		a.MaxConnections = r.MaxConnections
	}
	is := *a
	if is.Weight != was.Weight && is.Weight > 0 {
		u.picker.SetWeight(b.index, u.weightLocked(b))
		u.rescaleLocked(false)
	}
	wasGone, wasOut := u.agentGoneLocked(b), u.judge.AgentAsks(b.index)
	ch, changed := u.judge.Agent(now, b.index, r.Says)
	if changed {
		u.applyLocked(ch)
		if r.Text != "" {
			ch.Detail += ": " + r.Text
		}
	}
	isGone, isOut := u.agentGoneLocked(b), u.judge.AgentAsks(b.index)
	u.admittedLocked(b)
	if !changed {
		u.panicLocked() // it may be a share of fewer, or of more
	}
	turned := u.panicTurned
	u.mu.Unlock()
	u.agentEvent(b, &was, &is)
	if is.MaxConnections != was.MaxConnections || isOut != wasOut {
		u.adjust(b)
	}
	switch {
	case changed:
		u.changed(b, ch)
	case turned:
		u.panicked()
	}
	if isOut && !wasOut {
		b.pool.Retire()
	}
	if isGone && !wasGone {
		u.moveAll(b)
	}
	u.rebuild()
}

// agentGoneLocked says whether the agent says that nothing is to be expected of the backend any more. One that is drained finishes
// what it has.
func (u *Upstream) agentGoneLocked(b *backend) bool {
	r, out := u.judge.AgentOut(b.index)
	return out && r != health.AgentDrain
}

// agentEvent tells of changes of weight and bound.
func (u *Upstream) agentEvent(b *backend, was, is *AgentStats) {
	var parts []string
	if is.Weight != was.Weight {
		parts = append(parts, fmt.Sprintf("weight %d%% instead of %d%%", is.Weight, was.Weight))
	}
	if is.MaxConnections != was.MaxConnections {
		parts = append(parts, fmt.Sprintf("maxconn %d", is.MaxConnections))
	}
	if len(parts) == 0 {
		return
	}
	if is.Text != "" {
		parts = append(parts, is.Text)
	}
	u.tell(b, Event{At: u.Now(), Kind: KindAgent, Reason: OpReweight.String(), Detail: strings.Join(parts, ", ")})
}

// restartAgent ends the questions to the agent of a backend and begins those that are configured now. What it has said stays, unless
// there is to be none any more: nobody could take it back.
func (u *Upstream) restartAgent(b *backend) {
	u.mu.Lock()
	if u.closed || b.leaving || !u.started {
		u.mu.Unlock()
		return
	}
	stop := b.agent.stop
	b.agent.stop = nil
	begin := u.armAgentLocked(b)
	gone, run := !b.agent.Asked, b.agent.run
	u.mu.Unlock()
	if stop != nil {
		rest := apart(u.clk)
		stop()
		rest()
	}
	begin()
	if gone {
		u.forgetAgent(b, run)
	}
}

// forgetAgent takes back all that an agent has said.
func (u *Upstream) forgetAgent(b *backend, run int) {
	u.agentSaid(u.Now(), b, run, probe.AgentReport{
		Says:   health.AgentReport{Mode: health.AgentInService, State: health.AgentWell, Weighty: true},
		Weight: fullWeight,
	})
	u.mu.Lock()
	bounded := b.agent.MaxConnections > 0 && b.agent.run == run
	if bounded {
		b.agent.MaxConnections = 0
	}
	u.mu.Unlock()
	if bounded {
		u.adjust(b)
	}
}

// adjust brings the settings in force to the pool of a backend. They may change meanwhile, and whoever has changed them may have been
// faster here: it looks again.
func (u *Upstream) adjust(b *backend) {
	for done := false; !done; {
		u.mu.Lock()
		c := u.poolOfLocked(b, u.cfg.Pool)
		u.mu.Unlock()
		_ = b.pool.Adjust(c) // it has been checked; a pool that is closed has none to change
		u.mu.Lock()
		is := u.poolOfLocked(b, u.cfg.Pool)
		u.mu.Unlock()
		done = limitsOf(&is) == limitsOf(&c)
	}
}

// poolOfLocked are settings for the pool of a backend, with its agent's bound. Nothing is kept ready in the reserve, and at one that is
// drained, or out because its agent asks for that.
func (u *Upstream) poolOfLocked(b *backend, c pool.Config) pool.Config {
	if b.reserve || !b.leaving && u.judge.Rests(b.index) {
		c.MinIdle = 0
	}
	return limited(c, b.agent.MaxConnections)
}

// limited are the settings of a pool with an agent's bound, which can only lower them; 0 is none.
func limited(c pool.Config, most int) pool.Config {
	if most > 0 && cmp.Or(c.MaxConnections, 50) > most { // 50 is the pool's default
		c.MaxConnections, c.MinIdle = most, min(c.MinIdle, most)
		if c.MaxIdle > most {
			c.MaxIdle = 0
		}
	}
	return c
}

// weightLocked is the weight by which a backend is picked: that of the settings, unless agents give percentages of it. Then all of
// the group's are larger by the same factor, so that half of 1 is not 1.
func (u *Upstream) weightLocked(b *backend) int {
	if u.cfg.Agent.Port == 0 {
		return b.weight
	}
	return min(max(b.weight*u.scale*b.agent.Weight/fullWeight, 1), lb.MaxWeight)
}

// rescaleLocked finds the factor for the weights that there are, with the agents' percentages of them: the largest, up to 100, that
// leaves them within bounds. With always the picker is told even if it has not changed.
func (u *Upstream) rescaleLocked(always bool) {
	most, scale := 1, 1
	for _, b := range u.members {
		most = max(most, b.weight*max(b.agent.Weight, fullWeight))
	}
	if u.cfg.Agent.Port != 0 {
		scale = min(max(lb.MaxWeight*fullWeight/most, 1), 100)
	}
	if scale == u.scale && !always {
		return
	}
	u.scale = scale
	for _, b := range u.members {
		u.picker.SetWeight(b.index, u.weightLocked(b))
	}
}
