package proxy

import (
	"errors"
	"os"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/tunnel"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// target is where a TCP listener's connection goes, found as a request's: see httpConn.route. It is nil when no route
// matches and the listener has no upstream for the rest.
func (c *client) target(name string) *target {
	for {
		p := c.l.plan.Load()
		to := p.tcp
		if name != "" {
			if routed := p.table.find([]byte(name), []byte("/")); routed != nil {
				to = routed
			}
		}
		c.using.Store(to)
		if c.l.plan.Load() == p {
			return to
		}
	}
}

// wanted is the server name by which a TCP listener with routes finds the way, and what was read to learn it.
func (c *client) wanted() (name string, said []byte, err error) {
	switch {
	case len(c.l.plan.Load().table.routes) == 0:
		return "", nil, nil
	case c.front != nil: // the handshake has told
		return c.serverName, nil, nil
	}
	return c.overhear()
}

// helloFailure says why a client has not said whom it wants.
func (c *client) helloFailure(err error) Failure {
	switch {
	case c.cutOff():
		return FailShutdown
	case errors.Is(err, os.ErrDeadlineExceeded):
		return FailHeadTimeout
	}
	return FailClientGone
}

// serveTCP carries one connection of a TCP listener. It counts as one request.
//
// As long as no byte has gone to a backend or come from it, another one is as good: a dial that fails goes to the next
// backend (upstream.Begin does that), and so does a connection that breaks before its first byte, under the rules for
// requests: on a fresh connection where it had lain ready, and else by attempts and budget. What the client has said so far
// goes with it. From the first byte on the connection ends with its backend.
func (c *client) serveTCP() {
	if c.beginLine("tcp"); c.line != nil {
		defer c.endLine()
	}
	c.s.counters.requests.Add(1)
	name, said, err := c.wanted()
	if err != nil {
		c.fail(c.helloFailure(err), err.Error())
		return
	}
	to := c.target(name)
	defer c.using.Store(nil)
	if to == nil {
		c.fail(FailNoRoute, name)
		return
	}
	if c.line != nil {
		c.line.Upstream = to.settings.Name
	}
	a := upstream.Attempt{Shard: c.worker, Key: c.tunnelKey(to), Class: to.class}
	err = to.up.BeginUnused(c.lifetime(), &a)
	for fresh := 0; ; {
		if err != nil {
			c.logNoAttempt(err)
			c.fail(c.beginFailure(err), err.Error())
			return
		}
		var how next
		switch how, said = c.carry(to, &a, said, fresh < maxFresh); how {
		case again:
			err = to.up.BeginUnused(c.lifetime(), &a)
		case afresh:
			fresh++
			c.s.counters.repeated.Add(1)
			err = to.up.BeginFresh(c.lifetime(), &a)
		default:
			return
		}
	}
}

// carry runs the tunnel of one attempt, which begins with what the client has said before. It ends the attempt, and counts
// the request unless it says that there is to be another one.
func (c *client) carry(to *target, a *upstream.Attempt, said []byte, mayFresh bool) (next, []byte) {
	up, backend := to.up, a.Conn.NetConn()
	finish := func(o upstream.Outcome, why pool.Reason) {
		now := up.Now()
		c.logAttempt(a, now, o)
		a.Untimed = true // how long a tunnel lives says nothing of how fast its backend is
		if to.tells != nil {
			goodbye(backend)
		}
		up.Finish(a, now, o, false, why)
	}
	if !c.hold(backend) {
		finish(upstream.OutcomeClientGone, pool.ReasonAborted)
		c.fail(FailShutdown, "")
		return hangUp, nil
	}
	if to.tells != nil {
		told, err := c.tellOn(to.tells, a.Address, backend)
		if err != nil {
			return c.notToldOf(a, up, finish, mayFresh, err), said
		}
		backend = told
	}
	a.Untimed = true // how long a tunnel takes to say something says nothing of how fast its backend is
	res := tunnel.Run(tunnel.Config{
		Answered: func() { up.Proved(a, up.Now()) },
		Clock:    c.s.clk, Idle: max(to.settings.TunnelIdleTimeout, 0), Stop: c.cutOff,
		AToB: &c.s.counters.bytesIn, BToA: &c.s.counters.bytesOut, FromA: said, Trial: a.Conn.Reused(),
	}, c.nc, backend)
	c.letGo()
	c.logTunnel(res.AToB, res.BToA)
	unused := res.AToB == 0 && res.BToA == 0
	switch {
	case c.cutOff():
		finish(upstream.OutcomeClientGone, pool.ReasonAborted)
		c.fail(FailShutdown, "")
	case res.End == tunnel.EndB && unused && !errors.Is(res.Err, os.ErrDeadlineExceeded):
		how := hangUp
		if a.Conn.Reused() && mayFresh { // it had lain ready, and died there
			how = afresh
			finish(upstream.OutcomeStale, pool.ReasonBroken)
		} else if finish(upstream.OutcomeReset, pool.ReasonBroken); up.MayRetry(a, upstream.OnReset) {
			how = again
		}
		if how == hangUp {
			c.fail(FailReset, res.Err.Error())
			return how, nil
		}
		_ = c.nc.SetDeadline(time.Time{}) // the tunnel has left one; who is cut off meanwhile is noticed by hold
		return how, res.Unsent
	case res.End == tunnel.EndB && res.BToA == 0:
		// A backend that cannot be spoken to at all; one that resets later may have its reasons.
		finish(upstream.OutcomeReset, pool.ReasonBroken)
		c.fail(FailReset, res.Err.Error())
	default:
		finish(upstream.OutcomeAnswered, pool.ReasonNotReusable)
		c.logOutcome(upstream.OutcomeAnswered.String())
		c.s.counters.answered.Add(1)
		c.s.counters.answeredByClass[0].Add(1)
	}
	return hangUp, nil
}
