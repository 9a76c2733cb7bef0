package proxy

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

const (
	// via is our pseudonym in the Via field.
	via = "wavepool"
	// outSize is the size of the buffer in which heads and short bodies are put together; outKeep is the largest one
	// that is kept for the next request.
	outSize, outKeep = 4 << 10, 64 << 10
	// replayMax is how much of a request, head and body, is kept for another attempt.
	replayMax = 16 << 10
	// lingerTime and lingerBytes bound the farewell to a client that is still sending.
	lingerTime, lingerBytes = time.Second, 256 << 10
)

// outs lends the buffers for what is written.
var outs = sync.Pool{New: func() any {
	b := make([]byte, 0, outSize)
	return &b
}}

// httpConn is one HTTP/1 client connection. It serves one request at a time. While requests come, and for restAfter from
// the last one on, it has a goroutine with a grown stack and the memory of its work; a connection that rests has given
// both back, and keeps a small goroutine that waits.
type httpConn struct {
	*client
	*work  // nil while the connection rests
	reader http1.Reader
	inHead bool // a head is being read: see headSource

	readBy   time.Time  // the read deadline set on the client's connection, if it is known
	writeBy  time.Time  // the write deadline set on it
	recent   time.Time  // an instant of the present request, for what need not be exact; at first, when it was accepted
	greeting bool       // nothing has been read on the connection yet
	served   int        // heads read
	ids      *rand.Rand // draws the identities of its requests; nil before the first one
}

// work is the memory that serving requests takes.
type work struct {
	req     http1.Request
	resp    http1.Response
	body    http1.Body // the request's
	attempt upstream.Attempt
	heard   upstream.Outcome // what the head of the final answer says of the backend

	answerBy time.Time // when the backend's time for the head of its answer ends; zero: never
	stallBy  time.Time // when its time for the next bytes of the body ends
	onTrial  bool      // the first of these is the attempt's own, and there is more if it cannot leave
	outp     *[]byte   // borrowed for the time of one request
	out      []byte
	started  bool    // a byte of the final answer has been passed on
	interim  bool    // an interim answer has been passed on
	whole    bool    // out holds the whole request, head and body
	sender   *sender // streams the request's body, nil if there is nothing to stream
	taken    int64   // bytes of the request's body that are in out
	fresh    int     // repetitions on fresh connections so far
	plan     *plan   // what holds for the present request
	to       *target // where it goes
	stuck    stuck   // what its cookie said; valid where the target is sticky
	last     bool    // it is the connection's last: see max_requests_per_connection

	judgedBy  *plan // by which isTrusted holds
	isTrusted bool
	id        []byte // the request's identity, if it has one
	idText    [32]byte
}

// works lends it. What it holds influences nothing: each request sets all of it.
var works = sync.Pool{New: func() any { return new(work) }}

// restAfter is for how long a connection without a request keeps what serving one takes.
const restAfter = 500 * time.Millisecond

// start serves a new connection.
func (c *httpConn) start() {
	c.reader.Reset((*headSource)(c))
	c.greeting, c.recent = true, c.s.now()
	c.serve(false)
}

// serve handles the requests of the connection one after the other, until it ends or rests. Ready says that the first
// bytes of one are there.
func (c *httpConn) serve(ready bool) {
	c.work = works.Get().(*work)
	c.attempt.Shard = c.worker
	for {
		if !ready {
			switch c.await() {
			case gone:
				c.finished()
				return
			case quiet:
				c.giveBackWork()
				launch(c.s.clk, c.rest) // whose stack is small
				return
			}
		}
		ready = false
		if c.greeting && c.isHTTP2() {
			c.serveHTTP2()
			return
		}
		if !c.request() {
			c.finished()
			return
		}
		c.greeting = false
	}
}

// rest waits for the next request of a connection that has been quiet.
func (c *httpConn) rest() {
	if c.endOfWait(c.awaitUntil(c.recent.Add(c.l.plan.Load().cfg.IdleTimeout), true)) == gone {
		c.finished()
		return
	}
	launch(c.s.clk, c.wake)
}

func (c *httpConn) wake() { c.serve(true) }

// finished is the end of the connection.
func (c *httpConn) finished() {
	c.reader.Reset(nil)
	if c.work != nil {
		c.giveBackWork()
	}
	c.end()
}

func (c *httpConn) giveBackWork() {
	c.req.Reset()
	c.resp.Reset()
	*c.work = work{req: c.req, resp: c.resp}
	works.Put(c.work)
	c.work = nil
}

// waited is how a wait for a request ended.
type waited uint8

const (
	ready waited = iota // its first bytes are there
	quiet               // nothing has come for restAfter
	gone                // there will be none: the client left, its time is over, or the server drains
)

// await waits for the first bytes of the next request, without holding a buffer.
func (c *httpConn) await() waited {
	if c.reader.Buffered() > 0 {
		return ready
	}
	c.reader.ReleaseBuffer()
	times := c.l.plan.Load().cfg
	limit := c.recent.Add(times.HeadTimeout)
	if !c.greeting {
		c.recent = c.s.now()
		limit = c.recent.Add(min(times.IdleTimeout, restAfter))
	}
	if !c.armRead(c.recent, limit) {
		return gone
	}
	if c.greeting { // a client that has just connected has a request on its way: no drain ends this wait
		if c.awaitUntil(limit, false) != nil {
			return gone
		}
		return ready
	}
	c.idle.Store(true)
	// Whoever drains sets the flag before it looks for idle connections; whoever becomes idle looks at the flag after.
	if c.l.draining() {
		return gone
	}
	err := c.awaitUntil(limit, false)
	if err != nil && restAfter < times.IdleTimeout && errors.Is(err, os.ErrDeadlineExceeded) && c.mayWaitOn() {
		return quiet
	}
	return c.endOfWait(err)
}

// endOfWait ends the time in which a drain may close the connection. Who was told to go goes, even if a request came in
// the same moment: half of it would be served otherwise.
func (c *httpConn) endOfWait(err error) waited {
	if c.idle.CompareAndSwap(true, false) && err == nil {
		return ready
	}
	return gone
}

// armRead sees to it that a read deadline is set that is not later than the limit. An earlier one, left by the last
// request, will do: setting one costs, and whoever meets it looks at the limit. It reports false when there is nothing to
// wait for.
func (c *httpConn) armRead(now, limit time.Time) bool {
	if c.readBy.After(now) && !c.readBy.After(limit) {
		return true
	}
	return c.setRead(limit)
}

func (c *httpConn) setRead(limit time.Time) bool {
	c.readBy = limit
	return c.nc.SetReadDeadline(limit) == nil && !c.cutOff()
}

// awaitUntil waits for bytes until the limit, whatever deadline is set. A wait that will probably be long holds no buffer in any case.
func (c *httpConn) awaitUntil(limit time.Time, long bool) error {
	for {
		var err error
		if long {
			err = c.sock.AwaitLong(&c.reader)
		} else {
			err = c.sock.Await(&c.reader)
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.mayWaitOn() || !c.s.now().Before(limit) {
			return err
		}
		if !c.setRead(limit) {
			return err
		}
		if !c.mayWaitOn() { // a drain's deadline may have been the one that was just replaced
			return err
		}
	}
}

// mayWaitOn says whether nobody has told the connection to end its wait.
func (c *httpConn) mayWaitOn() bool { return (c.greeting || c.idle.Load()) && !c.cutOff() }

// headSource is what heads and bodies of requests are read from: the connection. A head that has not come whole with its
// first bytes gets its deadline here, at its first further read; most need none.
type headSource httpConn

// Read implements io.Reader.
func (s *headSource) Read(p []byte) (int, error) {
	c := (*httpConn)(s)
	if c.inHead {
		c.inHead = false
		limit := c.recent.Add(c.plan.cfg.HeadTimeout) // a first head has its time from the accept on
		if !c.greeting {
			limit = c.s.now().Add(c.plan.cfg.HeadTimeout)
		}
		if !c.setRead(limit) {
			return 0, os.ErrDeadlineExceeded
		}
	}
	return c.sock.Read(p)
}

// request reads and serves one request. It reports whether the connection may carry another one.
func (c *httpConn) request() bool {
	c.plan = c.l.plan.Load()
	c.outp = outs.Get().(*[]byte)
	c.out = (*c.outp)[:0]
	c.started, c.interim = false, false
	c.whole, c.sender, c.taken, c.fresh, c.to = false, nil, 0, 0, nil
	c.last, c.id = false, nil
	defer c.over()
	c.beginLine("http")
	c.inHead = true
	err := c.reader.ReadRequest(&c.req, &c.plan.limits)
	c.inHead = false
	if err != nil {
		return c.badHead(err)
	}
	c.s.counters.requests.Add(1)
	c.served++
	if limit := c.plan.cfg.MaxRequestsPerConnection; limit > 0 && c.served >= limit && !c.isStream {
		c.last = true
		c.s.counters.worn.Add(1)
	}
	c.body.Start(&c.reader, c.req.Framing, c.req.ContentLength, &c.plan.limits)
	if c.req.MaxForwards() == 0 {
		return c.answerOptions()
	}
	if f, ok := c.admit(); !ok {
		return c.refuse(f, f.Status(), "")
	}
	if !c.build() {
		return c.refuse(FailTooLarge, FailTooLarge.Status(), "")
	}
	return c.exchange()
}

// over ends what the request had of its own.
func (c *httpConn) over() {
	c.using.Store(nil)
	c.lineOver()
	c.giveBackOut()
	c.s.bursts[c.worker].answered()
}

// giveBackOut returns the buffer, unless it has grown beyond what is worth keeping.
func (c *httpConn) giveBackOut() {
	if cap(c.out) <= outKeep {
		*c.outp = c.out[:0]
		outs.Put(c.outp)
	}
	c.out, c.outp = nil, nil
}

// badHead ends a connection whose next head did not come or cannot be trusted.
func (c *httpConn) badHead(err error) bool {
	var parse *http1.ParseError
	switch {
	case errors.As(err, &parse):
		c.s.counters.requests.Add(1)
		c.req.Reset() // what was parsed so far means nothing
		c.logDetail(parse.Reason)
		return c.refuse(FailBadRequest, parse.Status, parse.Reason)
	case !c.reader.Started():
		return false // a quiet end between requests
	}
	c.s.counters.requests.Add(1)
	c.req.Reset()
	switch {
	case c.cutOff():
		c.fail(c.whyCutOff(), "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.refuse(FailHeadTimeout, FailHeadTimeout.Status(), "")
	default:
		c.fail(FailClientGone, err.Error())
	}
	return false
}

// admit applies what the listener allows and finds the route.
func (c *httpConn) admit() (Failure, bool) {
	switch {
	case c.req.IsConnect || string(c.req.Method) == "TRACE":
		return FailMethod, false
	case c.misdirected():
		return FailMisdirected, false
	case c.plan.cfg.MaxRequestBody > 0 && c.req.ContentLength > c.plan.cfg.MaxRequestBody:
		return FailTooLarge, false
	case c.looping():
		return FailLoop, false
	}
	c.route()
	switch {
	case c.plan.table.ambiguous(c.req.Authority, c.req.Path, c.to, c.out):
		return FailBadRequest, false
	case c.to == nil:
		return FailNoRoute, false
	}
	return 0, true
}

// route finds where the request goes by the plan in force, and lets whoever retires an upstream know it. They change the
// plan first and look at using after; here it is the other way round, so that one of the two sees the other.
func (c *httpConn) route() {
	for {
		c.plan = c.l.plan.Load()
		c.to = c.plan.table.find(c.req.Authority, c.req.Path)
		c.using.Store(c.to)
		if c.l.plan.Load() == c.plan {
			return
		}
	}
}

// build puts the request for the backend together: the head rewritten and as much of the body as has arrived. When
// that is all of it, the request can be sent again from memory. It reports false when the body is longer than allowed.
func (c *httpConn) build() bool {
	f := http1.ForwardRequest{
		ClientIP: c.ip, Proto: c.proto(), Via: via, Framing: c.req.Framing, ContentLength: c.req.ContentLength,
	}
	if len(c.req.Authority) == 0 {
		f.Host = []byte(c.to.settings.Backends[0].Address) // HTTP/1.0 may lack one; HTTP/1.1, which we speak, may not
	}
	c.addPolicy(&f)
	f.Trailers = c.to.settings.Protocol != config.UpstreamHTTP1
	if c.upgrading() {
		f.Upgrade = c.req.Upgrade
	}
	c.out = http1.AppendRequestHead(c.out, &c.req, &f)
	if c.body.Done() { // however long the head is
		c.whole = true
		return true
	}
	for len(c.out) < replayMax {
		run, ended := c.body.Available()
		if len(run) > 0 {
			c.out = appendRun(c.out, run, c.req.Framing == http1.Chunked)
			c.s.counters.bytesIn.Add(uint64(len(run)))
			c.taken += int64(len(run))
		}
		if limit := c.plan.cfg.MaxRequestBody; limit > 0 && c.taken > limit {
			return false
		}
		if ended {
			c.whole = true
			if c.req.Framing == http1.Chunked {
				c.out = http1.AppendLastChunk(c.out, c.body.Trailers())
			}
			return true
		}
		if len(run) == 0 {
			return true
		}
	}
	return true
}

// upgrading says whether the request's wish to switch protocols is passed on. Cleartext HTTP/2 is not a protocol that
// one may smuggle through here, a request with a body has nothing to switch with, and HTTP/2 does not switch.
func (c *httpConn) upgrading() bool {
	return c.req.Upgrade != nil && c.req.Framing == http1.NoBody && !listHas(c.req.Upgrade, "h2c") &&
		c.to.settings.Protocol == config.UpstreamHTTP1
}

// appendRun appends body bytes in the framing in which they travel.
func appendRun(dst, run []byte, chunked bool) []byte {
	if !chunked {
		return append(dst, run...)
	}
	dst = http1.AppendChunkHead(dst, len(run))
	dst = append(dst, run...)
	return append(dst, http1.ChunkEnd...)
}

// refuse answers a request in our own name and counts its failure. It reports whether the connection may go on, which
// is only so when the whole request has been read.
func (c *httpConn) refuse(f Failure, status int, detail string) bool {
	c.recent = c.s.now()
	c.fail(f, detail)
	if status == 0 || c.started {
		return false
	}
	keep := c.req.KeepAlive && !c.last && c.body.Done() && f != FailBadRequest && !c.l.draining()
	if detail == "" {
		detail = f.String()
	}
	text, out := c.ownAnswer(status, detail, !keep)
	c.out = out
	c.logAnswer(status, len(out)-len(text), len(text))
	if c.writeClient(out) != nil {
		return false
	}
	if !keep {
		c.linger()
	}
	return keep
}

// writeClient writes to the client under the listener's send_timeout. The deadline is renewed only now and then: setting one costs.
// The field recent must hold the present instant.
func (c *httpConn) writeClient(p []byte) error {
	if err := c.armWrite(); err != nil {
		return err
	}
	_, err := c.sock.Write(p)
	return err
}

// armWrite gives the client at least that time from the instant in recent on.
func (c *httpConn) armWrite() error {
	limit := c.plan.cfg.SendTimeout
	if c.writeBy.Sub(c.recent) >= limit {
		return nil
	}
	c.writeBy = c.recent.Add(2 * limit)
	if err := c.nc.SetWriteDeadline(c.writeBy); err != nil {
		return err
	}
	if c.cutOff() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// linger says farewell to a client that may still be sending: closing at once would reset the connection, and with it
// the answer that is on its way (RFC 9112 section 9.6).
func (c *httpConn) linger() {
	c.lineOver()
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(c.s.now().Add(lingerTime)) != nil || c.cutOff() {
		return
	}
	buf := (*c.outp)[:cap(*c.outp)]
	for left := lingerBytes; left > 0; {
		n, err := c.nc.Read(buf)
		if left -= n; err != nil {
			return
		}
	}
}

// beginFailure says why no attempt was to be had.
func (c *client) beginFailure(err error) Failure {
	var connect *upstream.ConnectError
	switch {
	case c.cutOff() || errors.Is(err, upstream.ErrClosed):
		return c.whyCutOff()
	case errors.Is(err, upstream.ErrNoBackend):
		return FailNoBackend
	case errors.Is(err, upstream.ErrQueueFull):
		return FailQueueFull
	case errors.Is(err, upstream.ErrQueueShed):
		return FailQueueShed
	case errors.Is(err, upstream.ErrQueueTimeout):
		return FailQueueTimeout
	case errors.As(err, &connect):
		return FailConnect
	}
	return FailClientGone
}
