package proxy

import (
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/tunnel"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// target is where a TCP listener's connection goes, found as a request's: see httpConn.route.
func (c *client) target() *target {
	for {
		p := c.l.plan.Load()
		c.using.Store(p.tcp)
		if c.l.plan.Load() == p {
			return p.tcp
		}
	}
}

// serveTCP carries one connection of a TCP listener. It counts as one request.
func (c *client) serveTCP() {
	s := c.s
	to := c.target()
	defer c.using.Store(nil)
	if c.beginLine("tcp"); c.line != nil {
		c.line.Upstream = to.settings.Name
		defer c.endLine()
	}
	s.counters.requests.Add(1)
	a := upstream.Attempt{Shard: c.worker}
	if err := to.up.Begin(c.lifetime(), &a); err != nil {
		c.logNoAttempt(err)
		c.fail(c.beginFailure(err), err.Error())
		return
	}
	backend := a.Conn.NetConn()
	if !c.hold(backend) {
		c.finishTCP(to.up, &a, upstream.OutcomeClientGone, false, pool.ReasonAborted)
		c.fail(FailShutdown, "")
		return
	}
	cfg := tunnel.Config{
		Clock: s.clk, Idle: max(to.settings.TunnelIdleTimeout, 0), Stop: c.cutOff,
		AToB: &s.counters.bytesIn, BToA: &s.counters.bytesOut,
	}
	res := tunnel.Run(cfg, c.nc, backend)
	c.letGo()
	c.logTunnel(res.AToB, res.BToA)
	switch {
	case c.cutOff():
		c.finishTCP(to.up, &a, upstream.OutcomeClientGone, false, pool.ReasonAborted)
		c.fail(FailShutdown, "")
	case res.End == tunnel.EndB && res.BToA == 0:
		// A backend that cannot be spoken to at all; one that resets later may have its reasons.
		c.finishTCP(to.up, &a, upstream.OutcomeReset, false, pool.ReasonBroken)
		c.fail(FailReset, res.Err.Error())
	default:
		c.finishTCP(to.up, &a, upstream.OutcomeAnswered, false, pool.ReasonNotReusable)
		c.logOutcome(upstream.OutcomeAnswered.String())
		s.counters.answered.Add(1)
		s.counters.answeredByClass[0].Add(1)
	}
}

// finishTCP ends the attempt of a TCP listener's connection.
func (c *client) finishTCP(up *upstream.Upstream, a *upstream.Attempt, o upstream.Outcome, keep bool, why pool.Reason) {
	now := up.Now()
	c.logAttempt(a, now, o)
	up.Finish(a, now, o, keep, why)
}
