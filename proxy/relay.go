package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/socket"
	"github.com/wavepool/wavepool/proxy/tunnel"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// coalesce is how much of an answer, head and body, is put into one write.
const coalesce = 16 << 10

// relay passes the final answer on, whose head has been read into c.resp.
func (c *httpConn) relay(up *upstream.Upstream, b *backend) next {
	status := c.resp.Status
	c.letSenderEnd()
	b.body.Start(&b.reader, c.resp.Framing, c.resp.ContentLength, &answerLimits)
	if status >= 500 && !c.interim && up.MayLeave(&c.attempt, upstream.OnStatus(status)) {
		return c.swallow(up, b)
	}
	trails := c.hear(b)
	keep := c.req.KeepAlive && !c.last && c.sent() && !c.l.draining()
	f := http1.ForwardResponse{Framing: c.resp.Framing, ContentLength: c.resp.ContentLength, Via: via, Date: c.s.date(c.recent)}
	if f.Framing == http1.Chunked || f.Framing == http1.UntilClose {
		f.Framing = http1.Chunked
		if c.req.Minor == 0 {
			f.Framing, keep = http1.UntilClose, false
		}
	}
	f.Close, f.KeepAliveTo10 = !keep, keep && c.req.Minor == 0
	if k := c.to.sticky; k != nil {
		c.stick(k, &f)
	}
	chunked := f.Framing == http1.Chunked
	c.out = http1.AppendResponseHead(c.out[:0], &c.resp, &f)
	c.started = true
	c.logHead(status, len(c.out))
	c.gather(b, chunked)
	if b.body.Done() {
		// All of it is in our hands: the backend's connection need not wait for a slow client.
		reusable, why := c.reusable(b)
		c.stopSenderIf(!reusable)
		c.finish(up, b, c.hearEnd(b, trails), reusable, why)
		if err := c.writeClient(c.out); err != nil {
			return c.clientLeft()
		}
		return c.answered(status, keep)
	}
	if err := c.stream(b, chunked); err != nil {
		return c.brokenOff(up, b, err)
	}
	// The sender is looked at before it is stopped: one that ends by itself in this moment has sent everything, but the
	// connection would keep the deadline that stopped it.
	c.letSenderEnd()
	reusable, why := c.reusable(b)
	c.stopSenderIf(!reusable)
	c.finish(up, b, c.hearEnd(b, trails), reusable, why)
	return c.answered(status, keep)
}

const (
	// swallowMax and swallowTime bound what is read of an answer that nobody will see, to keep its connection.
	swallowMax  = 64 << 10
	swallowTime = 10 * time.Millisecond
)

// swallow ends an attempt whose answer asks for another one. The connection is kept if the body is there, or comes at once.
func (c *httpConn) swallow(up *upstream.Upstream, b *backend) next {
	b.setRead(c.s.now().Add(swallowTime))
	if c.cutOff() {
		b.setRead(past)
	}
	for left := swallowMax; left > 0 && !b.body.Done(); {
		run, err := b.body.Next()
		if err != nil {
			break
		}
		left -= len(run)
	}
	reusable, why := false, pool.ReasonAborted
	if b.body.Done() {
		reusable, why = c.reusable(b)
	}
	c.finish(up, b, outcomeOf(c.resp.Status), reusable, why)
	return again
}

func outcomeOf(status int) upstream.Outcome {
	switch {
	case status >= 502 && status <= 504:
		return upstream.OutcomeGatewayError
	case status >= 500:
		return upstream.OutcomeAnswered5xx
	}
	return upstream.OutcomeAnswered
}

// gather appends what has arrived of the answer's body to its head.
func (c *httpConn) gather(b *backend, chunked bool) {
	for len(c.out) < coalesce {
		run, ended := b.body.Available()
		if len(run) > 0 {
			c.out = appendRun(c.out, run, chunked)
			c.s.counters.bytesOut.Add(uint64(len(run)))
		}
		if ended {
			if chunked {
				c.out = http1.AppendLastChunk(c.out, b.body.Trailers())
			}
			return
		}
		if len(run) == 0 {
			return
		}
	}
}

// begins notes that an answer has begun whose end is not there yet.
func (c *httpConn) begins() {
	c.attempt.FirstByte = c.recent
	if c.heard == upstream.OutcomeAnswered {
		c.attempt.Untimed = c.sender != nil
		c.to.up.Proved(&c.attempt, c.recent)
	}
}

// stream writes what has been gathered and passes the rest of the body on as it comes.
func (c *httpConn) stream(b *backend, chunked bool) error {
	for {
		c.recent = c.s.now()
		if c.attempt.FirstByte.IsZero() {
			c.begins()
		}
		if len(c.out) > 0 { // a client that has all of the answer may be gone: nothing must be written to it
			if err := c.writeClient(c.out); err != nil {
				return errClientGone
			}
			c.out = c.out[:0]
		}
		if c.sender != nil {
			c.note(b, finalSeen)
		} else {
			c.setStallDeadline(b)
		}
		if c.spliceable(b) {
			if err := c.spliceAnswer(b); err != nil {
				return err
			}
		}
		run, err := b.body.Next()
		for err != nil && c.waitsOn(b, &err) {
			run, err = b.body.Next()
		}
		switch {
		case err == io.EOF:
			if !chunked {
				return nil
			}
			c.out = http1.AppendLastChunk(c.out, b.body.Trailers())
			c.recent = c.s.now()
			if c.writeClient(c.out) != nil {
				return errClientGone
			}
			return nil
		case err != nil:
			return err
		}
		c.s.counters.bytesOut.Add(uint64(len(run)))
		if chunked {
			c.out = appendRun(c.out, run, true)
			continue
		}
		c.recent = c.s.now()
		if err := c.writeClient(run); err != nil {
			return errClientGone
		}
	}
}

// spliceFrom is how much of a body must be left for it to be moved past our memory.
const spliceFrom = socket.SpliceMax

// spliceable says whether the rest of the answer's body is worth a splice and can have one.
func (c *httpConn) spliceable(b *backend) bool {
	return b.body.Remaining() >= spliceFrom && b.reader.Buffered() == 0 && c.sender == nil && socket.CanSplice(&c.sock, &b.sock)
}

// spliceAnswer moves the rest of an answer's body, whose length is known, from socket to socket.
func (c *httpConn) spliceAnswer(b *backend) error {
	for {
		left := b.body.Remaining()
		if left == 0 {
			return nil
		}
		// What comes at the last instant still has its time to be taken.
		c.recent = b.readBy
		if err := c.armWrite(); err != nil {
			return errClientGone
		}
		n, srcErr, dstErr := socket.Splice(&c.sock, &b.sock, left)
		c.s.counters.bytesOut.Add(uint64(n))
		switch {
		case dstErr != nil:
			return errClientGone
		case srcErr == io.EOF:
			return io.ErrUnexpectedEOF
		case srcErr != nil && c.waitsOn(b, &srcErr):
			continue
		case srcErr != nil:
			return srcErr
		}
		b.body.Bypassed(n, false)
		if now := c.s.now(); c.stallBy.Sub(now) < c.to.stall/2 || b.readBy.Sub(now) < lookAfter/2 {
			c.setStallDeadline(b)
		}
	}
}

// setStallDeadline bounds the wait for the next bytes of an answer's body.
func (c *httpConn) setStallDeadline(b *backend) {
	now := c.s.now()
	c.stallBy = now.Add(c.to.stall)
	b.setRead(c.nextLook(c.stallBy, now))
	if c.cutOff() {
		b.setRead(past)
	}
}

// reusable says whether the backend's connection may carry another exchange, and if not, why.
func (c *httpConn) reusable(b *backend) (bool, pool.Reason) {
	switch {
	case !c.sent():
		return false, pool.ReasonAborted // an early answer: the rest of the request never went out
	case b.reader.Buffered() > 0:
		return false, pool.ReasonUnexpectedData
	case !c.resp.KeepAlive:
		return false, pool.ReasonNotReusable
	case c.to.tells != nil: // it has told of one client
		return false, pool.ReasonNotReusable
	}
	return true, 0
}

// answered counts a request that was answered in full.
func (c *httpConn) answered(status int, keep bool) next {
	c.s.counters.answered.Add(1)
	c.logOutcome(upstream.OutcomeAnswered.String())
	if class := status / 100; class < len(c.s.counters.answeredByClass) {
		c.s.counters.answeredByClass[class].Add(1)
	}
	if keep {
		return goOn
	}
	// Where more of the client's bytes are here or may be on their way, closing at once would reset the connection.
	if !c.body.Done() || c.reader.Buffered() > 0 || c.req.KeepAlive && status != 101 {
		c.linger()
	}
	return hangUp
}

// clientLeft counts a request whose client did not take the answer.
func (c *httpConn) clientLeft() next {
	f := FailClientGone
	if c.cutOff() {
		f = c.whyCutOff()
	}
	c.fail(f, "")
	return hangUp
}

// brokenOff ends an answer that cannot be completed. The client sees it by the missing end: the connection is closed
// before the length or the last chunk is there.
func (c *httpConn) brokenOff(up *upstream.Upstream, b *backend, err error) next {
	c.stopSender()
	o, why, f := upstream.OutcomeReset, pool.ReasonBroken, FailReset
	var parse *http1.ParseError
	switch {
	case c.cutOff():
		o, why, f = upstream.OutcomeClientGone, pool.ReasonAborted, c.whyCutOff()
	case err == errClientGone:
		o, why, f = upstream.OutcomeClientGone, pool.ReasonAborted, FailClientGone
	case c.sender != nil && c.sender.clientErr != nil:
		o, why, f = upstream.OutcomeClientGone, pool.ReasonAborted, c.sender.failure()
	case errors.As(err, &parse):
		o, why, f = upstream.OutcomeBadAnswer, pool.ReasonProtocol, FailBadAnswer
	case errors.Is(err, os.ErrDeadlineExceeded):
		o, why, f = upstream.OutcomeTimeout, pool.ReasonUnanswered, FailTimeout
	}
	c.finish(up, b, o, false, why)
	c.fail(f, err.Error())
	// A close with nothing unread would be an orderly FIN, which ends a body without length in good order. Only a
	// reset tells such a client that the answer is not whole.
	if hard, ok := c.nc.(interface{ SetLinger(sec int) error }); ok && c.resp.Framing != http1.ContentLength {
		_ = hard.SetLinger(0)
	}
	return hangUp
}

// tunnel passes a 101 answer on and carries bytes both ways from then on.
func (c *httpConn) tunnel(up *upstream.Upstream, b *backend) next {
	f := http1.ForwardResponse{Upgrade: c.resp.Upgrade, Via: via}
	if k := c.to.sticky; k != nil {
		c.stick(k, &f)
	}
	c.out = http1.AppendResponseHead(c.out[:0], &c.resp, &f)
	c.started = true
	c.logHead(101, len(c.out))
	c.recent, c.heard = c.s.now(), upstream.OutcomeAnswered
	c.begins()
	if err := c.writeClient(c.out); err != nil {
		return c.brokenOff(up, b, errClientGone)
	}
	nc := c.attempt.Conn.NetConn()
	if c.to.tells != nil {
		nc = b.sock.NetConn()
	}
	_ = nc.SetDeadline(time.Time{})
	_ = c.nc.SetDeadline(time.Time{})
	if c.cutOff() {
		return c.brokenOff(up, b, errClientGone)
	}
	res := tunnel.Run(tunnel.Config{
		Clock: c.s.clk, Idle: max(c.to.settings.TunnelIdleTimeout, 0),
		FromA: c.reader.Peek(), FromB: b.reader.Peek(), Stop: c.cutOff,
		AToB: &c.s.counters.bytesIn, BToA: &c.s.counters.bytesOut,
	}, c.nc, nc)
	c.logTunnel(res.AToB, res.BToA)
	c.finish(up, b, upstream.OutcomeAnswered, false, pool.ReasonNotReusable)
	return c.answered(101, false)
}
