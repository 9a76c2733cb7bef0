package config

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// AgentCheck is for backends beside which an agent tells in one line of ASCII how they want to be used, in the language of HAProxy's
// agent-check: a weight such as 75% of the configured one; drain, maint and what ends them, ready; down, fail or stopped, and what ends
// them, up; maxconn:30; and behind a # a text for people. Its word holds until it takes it back. An agent that is silent, or says what is
// not understood, changes nothing. The connection is plain TCP, whatever the upstream's tls.
type AgentCheck struct {
	// Port is where the agents listen, on the hosts of the backends. Key port, required, from 1 to 65535.
	Port int
	// Interval is the time from one question to the next. Key interval, default 5s, from 1ms to 24h.
	Interval time.Duration
	// Timeout bounds one question, connect included. Key timeout, default 1s (or Interval when that is less), from 1ms to Interval.
	Timeout time.Duration
	// Send is what the agent is sent first, as ParseBytes reads it. Key send, default empty: it speaks first. At most 4096 bytes.
	Send string
}

func defaultAgent() AgentCheck { return AgentCheck{Interval: 5 * time.Second, Timeout: time.Second} }

func (a *AgentCheck) form() form.Form {
	return form.Form{
		{Key: "port", Value: form.Int(&a.Port, 1, 65535)},
		{Key: "interval", Value: form.Duration(&a.Interval, tick, day)},
		{Key: "timeout", Value: form.Duration(&a.Timeout, tick, day)},
		{Key: "send", Value: form.String(&a.Send, checkBytes)},
	}
}

func (a *AgentCheck) filled() *AgentCheck {
	if a == nil {
		return nil
	}
	c, d := *a, defaultAgent()
	fill(&c.Interval, d.Interval)
	fill(&c.Timeout, min(d.Timeout, c.Interval))
	return &c
}

// check finds what is wrong with the agents' settings, which are at path.
func (a *AgentCheck) check(r *form.Report, path string) {
	timeout, interval := form.Join(path, "timeout"), form.Join(path, "interval")
	if a == nil || r.Skipped(path) || r.Failed(timeout, interval) || a.Timeout <= a.Interval {
		return
	}
	r.Fail(timeout, "is more than interval (%s > %s)", form.FormatDuration(a.Timeout), form.FormatDuration(a.Interval))
}
