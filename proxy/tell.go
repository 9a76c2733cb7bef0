package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/proxyproto"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// teller tells the backends of an upstream by the PROXY protocol whose connection one is. That is known only when a client
// gets it, so the pool dials, and what comes before the first request, the header and the handshake of TLS behind it,
// happens here. A connection that was made ready beforehand has said nothing yet, and serves as well as a fresh one.
type teller struct {
	version int
	back    *certs.Back   // nil: cleartext
	within  time.Duration // for header and handshake: connect_timeout
}

// newTeller is nil for an upstream that is told nothing.
func newTeller(c *config.Upstream, back *certs.Back) *teller {
	v := headerVersion(c.SendProxy)
	if v == 0 {
		return nil
	}
	return &teller{version: v, back: back, within: c.Pool.ConnectTimeout}
}

func headerVersion(word string) int {
	switch word {
	case config.SendProxyV1:
		return proxyproto.V1
	case config.SendProxyV2:
		return proxyproto.V2
	}
	return 0
}

// tellOn writes the header for a client on a connection that it has got, and makes the handshake of TLS behind it. It
// returns what is to be used in the connection's place. Whoever cuts the client off finds the connection by hold.
func (c *client) tellOn(t *teller, address string, nc net.Conn) (net.Conn, error) {
	if err := nc.SetDeadline(c.s.now().Add(t.within)); err != nil {
		return nil, err
	}
	if c.cutOff() {
		return nil, os.ErrDeadlineExceeded
	}
	who := c.bothEnds()
	header := proxyproto.Append(nil, t.version, proxyproto.Header{Source: who.from, Destination: who.to})
	if _, err := nc.Write(header); err != nil {
		return nil, err
	}
	out := nc
	if t.back != nil {
		tc := t.back.Client(nc, address)
		if err := tc.Handshake(); err != nil {
			return nil, err
		}
		out = tc
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if !c.hold(out) {
		return nil, os.ErrDeadlineExceeded
	}
	return out, nil
}

// tell is tellOn for a request.
func (c *httpConn) tell(b *backend) error {
	nc, err := c.tellOn(c.to.tells, c.attempt.Address, c.attempt.Conn.NetConn())
	if err != nil {
		return err
	}
	b.sock.Init(nc)
	c.attempt.Stream = nc // what the attempt's deadlines are for
	return nil
}

// notTold ends an attempt before anything of its request has gone.
func (c *httpConn) notTold(up *upstream.Upstream, b *backend, err error) next {
	if f, blamed := c.clientsFault(err); blamed {
		return c.failed(up, b, upstream.OutcomeClientGone, pool.ReasonAborted, f)
	}
	if c.attempt.Conn.Reused() && c.fresh < maxFresh { // it had lain ready, and died there
		c.fresh++
		c.finish(up, b, upstream.OutcomeStale, false, pool.ReasonBroken)
		return afresh
	}
	c.finish(up, b, upstream.OutcomeConnectFailed, false, pool.ReasonBroken)
	if up.MayRetry(&c.attempt, upstream.OnConnectFailure) {
		return again
	}
	return c.refused(FailConnect)
}

// notToldOf is notTold for a tunnel.
func (c *client) notToldOf(a *upstream.Attempt, up *upstream.Upstream, finish func(upstream.Outcome, pool.Reason), mayFresh bool, err error) next {
	c.letGo()
	if c.cutOff() {
		finish(upstream.OutcomeClientGone, pool.ReasonAborted)
		c.fail(FailShutdown, "")
		return hangUp
	}
	if a.Conn.Reused() && mayFresh {
		finish(upstream.OutcomeStale, pool.ReasonBroken)
		return afresh
	}
	finish(upstream.OutcomeConnectFailed, pool.ReasonBroken)
	if up.MayRetry(a, upstream.OnConnectFailure) {
		return again
	}
	c.fail(FailConnect, err.Error())
	return hangUp
}

// goodbye closes what tellOn has put in the place of the pool's connection in its own way.
func goodbye(nc net.Conn) {
	if tc, ok := nc.(*tls.Conn); ok {
		_ = tc.Close()
	}
}

// setUpOfChecks is setUp for the connections of health checks, which are our own.
func (s *Server) setUpOfChecks(c *config.Upstream, back *certs.Back) setUpFunc {
	setup := s.setUp(c, back)
	if c.SendProxy != config.SendProxyOff {
		setup = introduceOurselves(c.SendProxy, setup)
	}
	return setup
}

// introduceOurselves is the set-up of the connections of health checks: nobody stands behind them.
func introduceOurselves(word string, then setUpFunc) setUpFunc {
	header := proxyproto.Append(nil, headerVersion(word), proxyproto.Header{Local: true})
	return func(address string) func(context.Context, net.Conn) (pool.Session, error) {
		return func(ctx context.Context, nc net.Conn) (pool.Session, error) {
			if _, err := nc.Write(header); err != nil {
				return nil, err
			}
			if then == nil {
				return pool.Exclusive(nc), nil
			}
			return then(address)(ctx, nc)
		}
	}
}
