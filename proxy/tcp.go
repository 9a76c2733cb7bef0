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
	s.counters.requests.Add(1)
	a := upstream.Attempt{Shard: c.worker}
	if err := to.up.Begin(c.lifetime(), &a); err != nil {
		f := c.beginFailure(err)
		s.fail(c.l, f, err.Error())
		return
	}
	backend := a.Conn.NetConn()
	if !c.hold(backend) {
		to.up.Finish(&a, to.up.Now(), upstream.OutcomeClientGone, false, pool.ReasonAborted)
		s.fail(c.l, FailShutdown, "")
		return
	}
	cfg := tunnel.Config{
		Clock: s.clk, Idle: max(to.settings.TunnelIdleTimeout, 0), Stop: c.cutOff,
		AToB: &s.counters.bytesIn, BToA: &s.counters.bytesOut,
	}
	res := tunnel.Run(cfg, c.nc, backend)
	c.letGo()
	switch {
	case c.cutOff():
		to.up.Finish(&a, to.up.Now(), upstream.OutcomeClientGone, false, pool.ReasonAborted)
		s.fail(c.l, FailShutdown, "")
	case res.End == tunnel.EndB && res.BToA == 0:
		// A backend that cannot be spoken to at all; one that resets later may have its reasons.
		to.up.Finish(&a, to.up.Now(), upstream.OutcomeReset, false, pool.ReasonBroken)
		s.fail(c.l, FailReset, res.Err.Error())
	default:
		to.up.Finish(&a, to.up.Now(), upstream.OutcomeAnswered, false, pool.ReasonNotReusable)
		s.counters.answered.Add(1)
		s.counters.answeredByClass[0].Add(1)
	}
}
