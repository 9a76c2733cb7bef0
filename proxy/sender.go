package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/socket"
)

// sender streams the body of a request to the backend while its connection's goroutine waits for the answer.
// The fields below done are written before done is closed and read after it.
type sender struct {
	stop atomic.Bool // the answer is over: nobody wants the rest
	ok   atomic.Bool // the whole body has been sent
	last atomic.Bool // its last bytes are being written
	done chan struct{}
	to   net.Conn // what it writes to

	keeps bool // kept holds all that was taken from the client, as it was written
	kept  []byte
	taken int64 // payload bytes in it

	mu    sync.Mutex // orders the two goroutines that set the read deadline of the backend's connection
	seen  sign
	moved time.Time // when the last bytes of the answer came; zero before it has begun

	clientErr error // why the client's body could not be read to its end
	status    int   // the status that says so, if it is not the failure's own
	tooLarge  bool
}

// sign is what the two goroutines of an exchange have seen so far. The time that the backend has follows from it.
type sign uint8

const (
	bodyBegun   sign = 1 << iota // bytes of the body came from the client
	bodySent                     // all of it went to the backend
	bodyRefused                  // the backend's connection takes no more; an answer may be there nevertheless
	bodyBroken                   // the body cannot be completed: there is nothing to wait for
	interimSeen                  // the backend has sent a 1xx answer
	finalSeen                    // and the head of the final one
)

// note adds to what has been seen, and gives the backend the time that it has from now on. As long as the body is
// under way the client's time counts, and not the backend's.
func (c *httpConn) note(b *backend, what sign) {
	s := c.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen |= what
	now := c.s.now()
	if what == finalSeen {
		s.moved = now
	}
	switch {
	case s.seen&bodyBroken != 0:
		b.setRead(past)
	case s.seen&finalSeen != 0 && s.seen&(bodySent|bodyRefused) != 0:
		b.setRead(now.Add(c.to.stall))
	case s.seen&finalSeen == 0 && s.seen&(bodySent|bodyRefused) != 0:
		c.setAnswerDeadline(b, now)
	case s.seen == 0: // the client waits for the backend's word: see send
	default:
		b.setRead(time.Time{})
	}
	if c.cutOff() {
		b.setRead(past)
	}
}

// lastWriteTime is the moment for which an answer waits for the end of a write that its backend must have seen.
const lastWriteTime = 25 * time.Millisecond

var errTooLarge = errors.New("the body is longer than allowed")

// startSender begins to stream.
func (c *httpConn) startSender(b *backend) {
	s := &sender{done: make(chan struct{}), to: b.sock.NetConn(), keeps: b.stream != nil}
	c.sender = s
	c.readBy = time.Time{} // the sender sets others
	launch(c.s.clk, func() {
		defer close(s.done)
		c.copyBody(s, b)
	})
}

// sent says whether the whole request has gone out.
func (c *httpConn) sent() bool { return c.whole || c.sender != nil && c.sender.ok.Load() }

// letSenderEnd gives a sender that has only its last bytes to write a moment to come back from that. A backend may answer
// them before the sender's goroutine runs again: such an answer is not an early one, and would cost both connections.
func (c *httpConn) letSenderEnd() {
	s := c.sender
	if s == nil || s.ok.Load() || !s.last.Load() {
		return
	}
	select {
	case <-s.done:
	case <-c.s.clk.After(lastWriteTime):
	}
}

// stopSenderIf stops the sender where the answer did not wait for the body.
func (c *httpConn) stopSenderIf(early bool) {
	if early {
		c.stopSender()
	} else if c.sender != nil {
		<-c.sender.done
	}
}

// stopSender ends the sender and waits for it.
func (c *httpConn) stopSender() {
	s := c.sender
	if s == nil {
		return
	}
	s.stop.Store(true)
	if !s.ok.Load() {
		_ = c.nc.SetReadDeadline(past)
		_ = s.to.SetWriteDeadline(past)
	}
	<-s.done
}

// failure is the request's failure when the client's body was at fault.
func (s *sender) failure() Failure {
	var parse *http1.ParseError
	switch {
	case s.tooLarge:
		return FailTooLarge
	case errors.As(s.clientErr, &parse):
		s.status = parse.Status
		return FailBadRequest
	case errors.Is(s.clientErr, os.ErrDeadlineExceeded):
		return FailBodyTimeout
	}
	return FailClientGone
}

// copyBody copies the body. A client that fails, and a backend that takes nothing for too long, wake the goroutine
// that waits for the answer.
func (c *httpConn) copyBody(s *sender, b *backend) {
	chunked := c.req.Framing == http1.Chunked
	limit := c.plan.cfg.MaxRequestBody
	sent := c.taken
	first := true
	pace := c.paceOf(b, sent)
	var out []byte
	for {
		_ = c.nc.SetReadDeadline(pace.begin(c.s.now()))
		if s.stop.Load() || c.cutOff() {
			return
		}
		if c.body.Remaining() > socket.SpliceMax && c.reader.Buffered() == 0 && socket.CanSplice(&b.sock, &c.sock) {
			if !c.spliceBody(s, b, &pace, &first) {
				return
			}
		}
		run, err := c.body.Next()
		for err != nil && c.excused(s, &pace, err) {
			run, err = c.body.Next()
		}
		if err == io.EOF {
			break
		}
		now := c.s.now()
		pace.end(now, len(run))
		if err == nil {
			if sent += int64(len(run)); limit > 0 && sent > limit {
				err, s.tooLarge = errTooLarge, true
			}
		}
		if err != nil {
			if !s.stop.Load() {
				s.clientErr = err
				c.note(b, bodyBroken)
			}
			return
		}
		if first {
			first = false
			c.note(b, bodyBegun)
		}
		c.s.counters.bytesIn.Add(uint64(len(run)))
		if chunked {
			out = appendRun(out[:0], run, true)
			run = out
		}
		s.keep(run, sent)
		if c.body.Done() && !chunked {
			s.last.Store(true)
		}
		if err := c.writeBackend(b, now, run); err != nil {
			c.notTaken(s, b, err)
			return
		}
	}
	if chunked {
		s.last.Store(true)
		out = http1.AppendLastChunk(out[:0], c.body.Trailers())
		if err := c.writeBackend(b, c.s.now(), out); err != nil {
			c.notTaken(s, b, err)
			return
		}
		s.keep(out, sent)
	}
	s.ok.Store(true)
	c.note(b, bodySent)
}

// keep keeps what goes out, as long as it is not much: a stream that its backend does not look at is sent again.
func (s *sender) keep(run []byte, taken int64) {
	if s.keeps = s.keeps && len(s.kept)+len(run) <= replayMax; !s.keeps {
		s.kept = nil
		return
	}
	s.kept, s.taken = append(s.kept, run...), taken
}

// takeBack makes what the sender, which has ended, has taken from the client a part of what is sent again. It reports
// whether all of that is there.
func (c *httpConn) takeBack() bool {
	s := c.sender
	if s == nil {
		return c.whole
	}
	if !s.keeps || s.clientErr != nil {
		return false
	}
	c.out, c.whole, c.sender = append(c.out, s.kept...), s.ok.Load(), nil
	c.taken = max(c.taken, s.taken)
	return true
}

// excused says whether a wait for the body goes on, though the client has been silent for too long: the answer has begun meanwhile,
// and what looks like a slow body is a conversation, in which one side may only listen. It ends when neither has sent anything for
// the upstream's stream_idle_timeout, and the client nothing for its body_timeout.
func (c *httpConn) excused(s *sender, pace *pace, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	limit, talking := s.quietUntil(pace.since, c.to.stall)
	if own := pace.since.Add(pace.idle); own.After(limit) {
		limit = own
	}
	if !talking || !c.s.now().Before(limit) {
		return false
	}
	pace.excuse()
	pace.until = limit
	_ = c.nc.SetReadDeadline(limit)
	return !s.stop.Load() && !c.cutOff()
}

// quietUntil is how long both sides may go on saying nothing, where the client has waited since that instant, and whether the answer
// has begun.
func (s *sender) quietUntil(since time.Time, stall time.Duration) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved.After(since) {
		since = s.moved
	}
	return since.Add(stall), s.seen&finalSeen != 0
}

// paceOf is how fast a body must come that goes to a backend.
func (c *httpConn) paceOf(b *backend, sent int64) pace {
	p := newPace(c.plan.cfg, sent, c.req.ExpectContinue)
	// Calls of gRPC may wait in silence for each other before either has said much. To hold one costs a stream, and not a connection,
	// where the backend speaks HTTP/2.
	if b.stream != nil && isGRPC(c.req.Get("Content-Type")) {
		p.excuse()
	}
	return p
}

// spliceBody moves a body whose length is known from socket to socket, all but its end: the last bytes go the usual way,
// which knows that they are the last. It reports false when the sender is at its end.
func (c *httpConn) spliceBody(s *sender, b *backend, pace *pace, first *bool) bool {
	for waits := false; ; { // waits: since before, with nothing come
		left := c.body.Remaining() - socket.SpliceMax
		if left <= 0 {
			return true
		}
		if !waits {
			_ = c.nc.SetReadDeadline(pace.begin(c.s.now()))
		}
		if err := c.armBackend(b, pace.until); err != nil {
			return false
		}
		if s.stop.Load() || c.cutOff() {
			return false
		}
		n, srcErr, dstErr := socket.Splice(&b.sock, &c.sock, left)
		if n > 0 {
			pace.spliced(c.s.now(), int(n))
		}
		if *first && n > 0 {
			*first = false
			c.note(b, bodyBegun)
		}
		c.s.counters.bytesIn.Add(uint64(n))
		switch {
		case dstErr != nil:
			c.notTaken(s, b, dstErr)
			return false
		case srcErr != nil && c.excused(s, pace, srcErr):
			waits = true
			continue
		case srcErr != nil:
			if srcErr == io.EOF {
				srcErr = io.ErrUnexpectedEOF
			}
			if !s.stop.Load() {
				s.clientErr = srcErr
				c.note(b, bodyBroken)
			}
			return false
		}
		c.body.Bypassed(n, false)
		waits = false
	}
}

// notTaken tells the goroutine that waits for the answer that the backend does not take the body. A connection that
// is dead tells it by itself; one that has merely stalled would let it wait for ever.
func (c *httpConn) notTaken(s *sender, b *backend, err error) {
	switch {
	case s.stop.Load():
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.note(b, bodyBroken)
	default:
		c.note(b, bodyRefused)
	}
}

// writeBackend writes body bytes under the upstream's stream_idle_timeout.
func (c *httpConn) writeBackend(b *backend, now time.Time, p []byte) error {
	if err := c.armBackend(b, now); err != nil {
		return err
	}
	_, err := b.sock.Write(p)
	return err
}

// armBackend gives the backend at least that time from the instant on to take bytes.
func (c *httpConn) armBackend(b *backend, now time.Time) error {
	if b.writeBy.Sub(now) >= c.to.stall {
		return nil
	}
	b.writeBy = now.Add(2 * c.to.stall)
	if err := b.sock.NetConn().SetWriteDeadline(b.writeBy); err != nil {
		return err
	}
	if c.sender.stop.Load() || c.cutOff() {
		return os.ErrDeadlineExceeded
	}
	return nil
}
