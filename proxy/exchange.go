package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/http2"
	"github.com/wavepool/wavepool/proxy/socket"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// backend is what we keep beside each backend connection, in its Aux.
type backend struct {
	sock    socket.Conn   // the connection's bytes
	stream  *http2.Stream // where it is one of many on a connection; nil: it is the connection
	reader  http1.Reader
	body    http1.Body
	writeBy time.Time // the write deadline set on it
	readBy  time.Time // the read deadline set on it, if it is known
	used    bool      // it has carried a request
	one     [1]byte   // what spoilt reads to
}

// setRead sets the read deadline. The zero instant is none.
func (b *backend) setRead(limit time.Time) {
	b.readBy = limit
	_ = b.sock.NetConn().SetReadDeadline(limit)
}

// next says how it goes on after an attempt.
type next uint8

const (
	goOn   next = iota // the request is over, the client's connection may carry another
	hangUp             // the request is over, and so is the connection
	again              // another attempt, on the next backend
	afresh             // another attempt, on a fresh connection to the same backend
	over               // another attempt, since no backend has seen this one
)

const (
	// maxInterim bounds the 1xx answers to one request.
	maxInterim = 16
	// maxFresh bounds the repetitions because a reused connection was dead.
	maxFresh = 2
	// maxAnswerHead bounds the head of an answer.
	maxAnswerHead = 64 << 10
)

var answerLimits = http1.Limits{MaxHeadBytes: maxAnswerHead}

// exchange carries the request that has been built to a backend and the answer back. It reports whether the client's
// connection may carry another request.
func (c *httpConn) exchange() bool {
	up := c.to.up
	c.attempt.Reset()
	c.attempt.Key, c.attempt.Class = c.keyOf(), c.to.class
	if k := c.to.sticky; k != nil {
		c.wantSticky(k)
	}
	c.attempt.Repeatable = c.whole && http1.MethodIdempotent(c.req.Method)
	err := c.begin(up)
	for {
		if err != nil {
			up.Forgo(&c.attempt)
			c.logNoAttempt(err)
			f := c.beginFailure(err)
			status := f.Status()
			if f == FailConnect && upstream.IsTimeout(err) {
				status = 504
			}
			return c.refuse(f, status, "")
		}
		switch c.try(up) {
		case goOn:
			up.Forgo(&c.attempt)
			return true
		case hangUp:
			up.Forgo(&c.attempt)
			return false
		case again:
			err = c.begin(up)
		case afresh:
			c.s.counters.repeated.Add(1)
			err = up.BeginFresh(c.lifetime(), &c.attempt)
		case over:
			c.s.counters.repeated.Add(1)
			err = up.BeginOver(c.lifetime(), &c.attempt)
		}
	}
}

// begin begins an attempt. Where backends are told of each client, it gets a connection of its own.
func (c *httpConn) begin(up *upstream.Upstream) error {
	if c.to.tells != nil {
		return up.BeginUnused(c.lifetime(), &c.attempt)
	}
	return up.Begin(c.lifetime(), &c.attempt)
}

// backendOf is what stands beside the attempt's connection: kept from one request to the next, or made for the one
// stream.
func (c *httpConn) backendOf(conn pool.Conn) *backend {
	if s, ok := conn.Session().(*http2.Session); ok {
		b := &backend{stream: s.Open()}
		b.sock.Init(b.stream)
		b.reader.Reset(&b.sock)
		c.attempt.Stream = b.stream
		return b
	}
	b, ok := conn.Aux().(*backend)
	if !ok {
		b = &backend{}
		b.sock.Init(conn.NetConn())
		b.reader.Reset(&b.sock)
		conn.SetAux(b)
	}
	return b
}

// try makes one attempt on the connection that the upstream has given.
func (c *httpConn) try(up *upstream.Upstream) next {
	conn := c.attempt.Conn
	b := c.backendOf(conn)
	if !c.hold(b.sock.NetConn()) {
		return c.failed(up, b, upstream.OutcomeClientGone, pool.ReasonAborted, c.whyCutOff())
	}
	defer c.letGo()
	if c.to.tells != nil {
		if err := c.tell(b); err != nil {
			return c.notTold(up, b, err)
		}
	}
	if why, bad := b.spoilt(); bad {
		if c.fresh < maxFresh {
			c.fresh++
			c.finish(up, b, upstream.OutcomeStale, false, why)
			return afresh // whatever it asks for: nothing of it has gone
		}
		return c.failed(up, b, upstream.OutcomeStale, why, FailReset)
	}
	if !c.attempt.Await() {
		return c.leave(up, b, upstream.OutcomeLost)
	}
	c.addressBackend()
	written, werr := c.send(b)
	err := c.readHead(up, b)
	if err == nil && c.resp.Status == 101 {
		return c.tunnel(up, b)
	}
	if err == nil {
		if seconds := c.resp.IdleTimeout(); seconds > 0 && b.stream == nil {
			conn.PeerIdleTimeout(time.Duration(seconds) * time.Second)
		}
		return c.relay(up, b)
	}
	return c.noAnswer(up, b, err, werr != nil && written == 0)
}

// spoilt looks for what a backend has said over TLS behind its last answer, in one segment with that: it would be taken for the answer to
// the next request, and the pool does not see it.
func (b *backend) spoilt() (pool.Reason, bool) {
	if !b.used {
		b.used = true
		return 0, false
	}
	over, ok := b.sock.NetConn().(*tls.Conn)
	if !ok {
		return 0, false
	}
	b.readBy = past // as it leaves it
	switch err := pool.PeekHeld(over, b.one[:]); {
	case err == nil:
		return 0, false
	case errors.Is(err, pool.ErrUnexpectedData):
		return pool.ReasonUnexpectedData, true
	}
	return pool.ReasonPeerClosed, true
}

// send writes what has been built and begins to stream what has not. A failure to write is not the end: the answer may
// be there already.
func (c *httpConn) send(b *backend) (int, error) {
	now := c.attempt.Began // that was just now
	fresh := b.writeBy.Sub(now) < c.to.stall
	if fresh {
		b.writeBy = now.Add(2 * c.to.stall)
		_ = b.sock.NetConn().SetWriteDeadline(b.writeBy)
	}
	switch {
	case c.whole:
		fresh = c.armAnswer(b, now) || fresh
	case c.req.ExpectContinue && c.taken == 0:
		c.setAnswerDeadline(b, now) // such a client waits for the backend, and not the other way round
		fresh = true
	default:
		b.setRead(time.Time{}) // the sender sets it when the body has been sent
		fresh = true
	}
	if fresh && c.cutOff() {
		_ = b.sock.NetConn().SetDeadline(past)
	}
	if fresh && c.attempt.Lost() {
		b.setRead(past)
	}
	if c.whole {
		return b.sock.SendAwait(c.out, &b.reader)
	}
	n, err := b.sock.Write(c.out)
	switch {
	case err == nil:
		c.startSender(b)
	case !c.cutOff():
		c.setAnswerDeadline(b, c.s.now()) // nobody else will: there is no sender
		if c.cutOff() {
			b.setRead(past)
		}
	}
	return n, err
}

// armAnswer gives the backend its time for the head of the answer, or the attempt its own. A deadline that an earlier
// request has left will do if it is not later: setting one costs, and whoever meets it looks at answerBy. It reports
// whether one was set.
func (c *httpConn) armAnswer(b *backend, now time.Time) bool {
	limit, most := c.attempt.PerTry, c.to.settings.ResponseTimeout
	if c.onTrial = limit > 0 && (most <= 0 || limit < most); !c.onTrial {
		limit = most
	}
	c.answerBy = time.Time{}
	if limit > 0 {
		c.answerBy = now.Add(limit)
	}
	until := c.nextLook(c.answerBy, now)
	if b.readBy.After(now) && !b.readBy.After(until) {
		return false
	}
	b.setRead(until)
	return true
}

// setAnswerDeadline gives the backend its time for the head of the answer, exactly.
func (c *httpConn) setAnswerDeadline(b *backend, now time.Time) {
	c.answerBy = time.Time{}
	if limit := c.to.settings.ResponseTimeout; limit > 0 {
		c.answerBy = now.Add(limit)
	}
	b.setRead(c.answerBy)
}

// readResponse reads one head. A deadline that was met before the answer's own time is over is replaced by that.
func (c *httpConn) readResponse(up *upstream.Upstream, b *backend) error {
	for {
		err := b.reader.ReadResponse(&c.resp, c.req.Method, &answerLimits)
		if err == nil || c.sender != nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.cutOff() || c.attempt.Lost() {
			return err
		}
		now := c.s.now()
		if !c.answerBy.IsZero() && !now.Before(c.answerBy) {
			if !c.onTrial {
				return err
			}
			if !c.interim && !b.reader.Started() && up.MayLeave(&c.attempt, upstream.OnPerTryTimeout) {
				return errPerTry
			}
			c.endTrial()
		}
		if !now.Before(c.attempt.Began.Add(lookAfter)) && c.hasLeft(false) {
			return errClientGone
		}
		b.setRead(c.nextLook(c.answerBy, now))
		if c.cutOff() || c.attempt.Lost() {
			return err
		}
	}
}

// endTrial gives the attempt, which cannot leave its backend, all the time that a backend has.
func (c *httpConn) endTrial() {
	c.onTrial = false
	c.answerBy = time.Time{}
	if most := c.to.settings.ResponseTimeout; most > 0 {
		c.answerBy = c.attempt.Began.Add(most)
	}
}

// errPerTry ends an attempt that has had its own time, for another one.
var errPerTry = errors.New("the attempt's own time is over")

var errInterim = &http1.ParseError{Status: 502, Reason: "too_many_interim_answers"}

var errSwitch = &http1.ParseError{Status: 502, Reason: "unasked_switch"}

// readHead reads the head of the final answer, and passes the interim ones on.
func (c *httpConn) readHead(up *upstream.Upstream, b *backend) error {
	for range maxInterim {
		err := c.readResponse(up, b)
		if err == nil && !c.attempt.Answered() {
			c.stay(up, b)
		}
		switch {
		case err != nil:
			return err
		case c.resp.Status == 101:
			if !c.upgrading() || c.resp.Upgrade == nil || !sameProtocol(c.req.Upgrade, c.resp.Upgrade) {
				return errSwitch
			}
			return nil
		case c.resp.Status >= 200:
			return nil
		case c.req.Minor == 0:
			continue // HTTP/1.0 knows no interim answers
		}
		if c.sender != nil {
			c.note(b, interimSeen)
		}
		interim := http1.AppendResponseHead(nil, &c.resp, &http1.ForwardResponse{Via: via})
		c.interim = true
		c.recent = c.s.now()
		if err := c.writeClient(interim); err != nil {
			return errClientGone
		}
	}
	return errInterim
}

// stay goes on with an answer that came in the moment in which health gave its backend up.
func (c *httpConn) stay(up *upstream.Upstream, b *backend) {
	up.Stay(&c.attempt)
	b.setRead(c.answerBy)
	if c.cutOff() {
		b.setRead(past)
	}
}

// leave ends an attempt for which there is room elsewhere.
func (c *httpConn) leave(up *upstream.Upstream, b *backend, o upstream.Outcome) next {
	c.finish(up, b, o, false, pool.ReasonUnanswered)
	return again
}

var errClientGone = errors.New("the client left")

// sameProtocol says whether a backend switches to what the client asked for; of a list it may choose any one.
func sameProtocol(asked, got []byte) bool {
	return len(got) > 0 && listHas(asked, string(bytes.ToLower(got)))
}

// listHas says whether a list with commas has a word, which is given in lower case.
func listHas(list []byte, word string) bool {
	for len(list) > 0 {
		one, rest, _ := bytes.Cut(list, []byte(","))
		if equalFold(bytes.Trim(one, " \t"), word) {
			return true
		}
		list = rest
	}
	return false
}

// noAnswer judges an attempt that ended before the head of an answer was complete. Unsent says that not a byte of the
// request left.
func (c *httpConn) noAnswer(up *upstream.Upstream, b *backend, err error, unsent bool) next {
	c.stopSender()
	if f, blamed := c.clientsFault(err); blamed {
		return c.failed(up, b, upstream.OutcomeClientGone, pool.ReasonAborted, f)
	}
	var parse *http1.ParseError
	switch {
	case errors.As(err, &parse):
		return c.failed(up, b, upstream.OutcomeBadAnswer, pool.ReasonProtocol, FailBadAnswer)
	case c.attempt.Lost():
		return c.leave(up, b, upstream.OutcomeLost)
	case err == errPerTry:
		return c.leave(up, b, upstream.OutcomeTimeout)
	case b.stream != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return c.streamLost(up, b, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !c.interim && up.MayLeave(&c.attempt, upstream.OnResponseTimeout) {
			return c.leave(up, b, upstream.OutcomeTimeout)
		}
		return c.failed(up, b, upstream.OutcomeTimeout, pool.ReasonUnanswered, FailTimeout)
	}
	repeatable := c.whole && !c.interim && !b.reader.Started() &&
		(http1.MethodIdempotent(c.req.Method) || unsent)
	if c.attempt.Conn.Reused() && !b.reader.Started() {
		if repeatable && c.fresh < maxFresh {
			c.fresh++
			c.finish(up, b, upstream.OutcomeStale, false, pool.ReasonBroken)
			return afresh
		}
		return c.failed(up, b, upstream.OutcomeStale, pool.ReasonBroken, FailReset)
	}
	c.finish(up, b, upstream.OutcomeReset, false, pool.ReasonBroken)
	if repeatable && up.MayRetry(&c.attempt, upstream.OnReset) {
		return again
	}
	return c.refused(FailReset)
}

// streamLost judges a stream that ended before the head of its answer was complete. One that the backend has not looked at
// may be sent again whatever it asks for.
func (c *httpConn) streamLost(up *upstream.Upstream, b *backend, err error) next {
	unseen, refused := errors.Is(err, http2.ErrUnprocessed), errors.Is(err, http2.ErrRefused)
	repeatable := !c.interim && !b.reader.Started()
	if unseen || refused {
		repeatable = repeatable && c.takeBack()
	} else {
		repeatable = repeatable && c.whole && http1.MethodIdempotent(c.req.Method)
	}
	switch {
	case unseen && repeatable && c.fresh < maxFresh:
		c.fresh++
		c.finish(up, b, upstream.OutcomeStale, false, pool.ReasonBroken)
		return over
	case unseen:
		return c.failed(up, b, upstream.OutcomeStale, pool.ReasonBroken, FailReset)
	}
	c.finish(up, b, upstream.OutcomeReset, false, pool.ReasonBroken)
	if repeatable && up.MayRetry(&c.attempt, upstream.OnReset) {
		return again
	}
	return c.refused(FailReset)
}

// clientsFault says whether it was the client, or a forced end, that spoiled the attempt.
func (c *httpConn) clientsFault(err error) (Failure, bool) {
	switch {
	case c.cutOff():
		return c.whyCutOff(), true
	case err == errClientGone:
		return FailClientGone, true
	case c.sender != nil && c.sender.clientErr != nil:
		return c.sender.failure(), true
	}
	return 0, false
}

// failed ends the attempt and the request with it.
func (c *httpConn) failed(up *upstream.Upstream, b *backend, o upstream.Outcome, why pool.Reason, f Failure) next {
	c.finish(up, b, o, false, why)
	return c.refused(f)
}

// refused answers in our own name, after the attempt has ended.
func (c *httpConn) refused(f Failure) next {
	status := f.Status()
	if c.sender != nil && c.sender.status != 0 {
		status = c.sender.status
	}
	if c.refuse(f, status, "") {
		return goOn
	}
	return hangUp
}

// finish ends the attempt.
func (c *httpConn) finish(up *upstream.Upstream, b *backend, o upstream.Outcome, keep bool, why pool.Reason) {
	c.letGo()
	if keep && c.cutOff() { // it may have deadlines in the past, of which nobody else knows
		keep, why = false, pool.ReasonAborted
	}
	c.recent = up.Now()
	c.logAttempt(&c.attempt, c.recent, o)
	c.logBody(&b.body)
	if b.stream != nil {
		b.reader.Reset(nil)
		keep = c.closeStream(b, why) || keep
	} else if keep {
		b.reader.ReleaseBuffer()
	} else {
		b.reader.Reset(nil)
		if c.to.tells != nil {
			goodbye(b.sock.NetConn())
		}
	}
	c.attempt.Untimed = c.sender != nil // the backend may have waited for the client
	up.Finish(&c.attempt, c.recent, o, keep, why)
}

// closeStream ends a stream, and says whether its connection may carry others: what went wrong with one stream is its own
// affair. Only where the backend has let the time pass without sending anything on any of them, the connection may be dead.
func (c *httpConn) closeStream(b *backend, why pool.Reason) bool {
	silent := b.stream.Silent()
	_ = b.stream.Close()
	return why != pool.ReasonUnanswered || !silent
}
