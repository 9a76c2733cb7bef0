package scenario

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Stream is one request and its answer. h2Conn.mu guards it.
type h2Stream struct {
	id     uint32
	nonce  string
	path   string
	head   bool // the answer has no body
	room   int64
	window int64
	plan   plan
	left   int  // bytes of the body to be sent
	whole  bool // the request has come to its end
	placed bool // it has a place at the gate
}

// headers takes in the head of a request, or the trailers of one.
func (c *h2Conn) headers(f *http2.MetaHeadersFrame) error {
	c.mu.Lock()
	st := c.open[f.StreamID]
	switch {
	case st == nil && c.leaving && f.StreamID > c.last: // the peer has been told that it is not looked at
		c.mu.Unlock()
		return nil
	case st == nil && f.StreamID%2 == 0, f.Truncated:
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil && f.StreamID <= c.last:
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	case st != nil && (st.whole || !f.StreamEnded()):
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st != nil:
		st.whole = true
		c.mu.Unlock()
		c.take(st)
		return nil
	}
	c.last = f.StreamID
	if len(c.open) >= c.cfg.MaxStreams {
		_ = c.writer.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream)
		c.flushLocked()
		c.mu.Unlock()
		return nil
	}
	c.busyLocked()
	st = &h2Stream{id: f.StreamID, path: f.PseudoValue("path"), head: f.PseudoValue("method") == "HEAD", room: streamRoom, window: c.first}
	for _, field := range f.RegularFields() {
		if strings.EqualFold(field.Name, nonceField) {
			st.nonce = field.Value
		}
	}
	st.whole = f.StreamEnded()
	c.open[st.id] = st
	c.taken++
	if c.taken == c.cfg.CloseAfterRequests && !c.leaving {
		c.leaving = true
		_ = c.writer.WriteGoAway(c.last, http2.ErrCodeNo, nil)
		c.flushLocked()
	}
	c.mu.Unlock()
	if f.StreamEnded() {
		c.take(st)
	}
	return nil
}

// data takes in a part of a request's body, which nobody looks at.
func (c *h2Conn) data(f *http2.DataFrame) error {
	c.mu.Lock()
	st, size := c.open[f.StreamID], int64(f.Length)
	if c.room -= size; c.room < 0 || st != nil && st.room < size {
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if c.room < connRoom/2 {
		_ = c.writer.WriteWindowUpdate(0, uint32(connRoom-c.room))
		c.room = connRoom
		c.flushLocked()
	}
	switch {
	case st == nil && f.StreamID > c.last && !c.leaving:
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil: // reset, refused, or behind the GOAWAY
		c.mu.Unlock()
		return nil
	case st.whole:
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	}
	st.whole = f.StreamEnded()
	if st.room -= size; st.room < streamRoom/2 && !f.StreamEnded() {
		_ = c.writer.WriteWindowUpdate(st.id, uint32(streamRoom-st.room))
		st.room = streamRoom
		c.flushLocked()
	}
	c.mu.Unlock()
	if f.StreamEnded() {
		c.take(st)
	}
	return nil
}

// take begins what a request that has come whole asks for. Requests come one at a time, in the order of their frames, and so do
// the draws.
func (c *h2Conn) take(st *h2Stream) {
	if st.nonce == "" {
		c.answer(st, plan{status: 200})
		return
	}
	p := c.plan([]byte(st.path))
	c.work.Add(1)
	c.gate.admit(func() {
		c.clk.AfterFunc(p.took, func() {
			defer c.work.Done()
			st.placed = true
			if !c.answer(st, p) {
				c.gate.leave()
			} else if p.status < 500 && !p.stalls {
				c.tell(c.server)
			}
		})
	})
}

// answer begins an answer, and says whether somebody waits for it. The stream's place, if it has one, is given back when the answer
// has been written.
func (c *h2Conn) answer(st *h2Stream, p plan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.open[st.id] != st {
		return false
	}
	st.plan, st.left = p, p.size
	switch {
	case st.head:
		st.left, st.plan.stalls = 0, false
	case p.stalls:
		st.left /= 2
	}
	c.block.Reset()
	c.field(":status", strconv.Itoa(p.status))
	c.field("content-length", strconv.Itoa(p.size))
	if st.nonce != "" {
		c.field(strings.ToLower(nonceField), st.nonce)
	}
	_ = c.writer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: st.id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: st.done(),
	})
	c.sending = append(c.sending, st)
	c.flushLocked()
	return true
}

func (c *h2Conn) field(name, value string) {
	_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
}

// done says whether nothing of the answer is left.
func (st *h2Stream) done() bool { return st.left == 0 && !st.plan.stalls }

// fillLocked turns bodies into frames, one of each stream in turn, as long as there is room in out and in the peer's windows. It
// returns the streams that are complete by that.
func (c *h2Conn) fillLocked() (done []*h2Stream) {
	for moved := true; moved; {
		moved = false
		for i := 0; i < len(c.sending); i++ {
			st := c.sending[i]
			if n := min(int64(st.left), int64(c.frameSize), st.window, c.window); n > 0 && c.out.Len() < maxOut {
				st.left -= int(n)
				st.window -= n
				c.window -= n
				_ = c.writer.WriteData(st.id, st.done(), c.body[:n])
				moved = true
			}
			if st.done() {
				c.sending = slices.Delete(c.sending, i, i+1)
				delete(c.open, st.id)
				done = append(done, st)
				i--
			}
		}
	}
	if len(done) > 0 && len(c.open) == 0 {
		c.restLocked()
	}
	return done
}

// flushLocked sees to it that what there is to write gets written, by a goroutine that begins at an instant of its own.
func (c *h2Conn) flushLocked() {
	if c.flushing || c.over {
		return
	}
	c.flushing = true
	c.work.Add(1)
	c.clk.AfterFunc(0, func() {
		defer c.work.Done()
		for c.flush() {
		}
	})
}

// flush writes what there is, and says whether there may be more.
func (c *h2Conn) flush() bool {
	c.mu.Lock()
	done := c.fillLocked()
	run := bytes.Clone(c.out.Bytes())
	c.out.Reset()
	end := c.closing && len(run) == 0
	if len(run) == 0 {
		c.flushing = false
	}
	c.mu.Unlock()
	switch {
	case end:
		_ = c.nc.Close() // the reader notices
		return false
	case len(run) == 0:
		return false
	}
	_, err := c.nc.Write(run) // what is done has its last frame in here
	c.release(done)
	if err != nil {
		c.mu.Lock()
		c.out.Reset()
		c.flushing = false
		c.mu.Unlock()
	}
	return err == nil
}

// enlarge opens a window of the peer's.
func (c *h2Conn) enlarge(id uint32, by int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.open[id]
	switch {
	case id == 0:
		c.window += by
	case st != nil:
		st.window += by
	case id > c.last && !c.leaving:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if c.window > maxWindow || st != nil && st.window > maxWindow {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if len(c.sending) > 0 {
		c.flushLocked()
	}
	return nil
}

// resizeLocked gives the streams another window to begin with, those that are open too (RFC 9113 section 6.9.2).
func (c *h2Conn) resizeLocked(size int64) error {
	by := size - c.first
	c.first = size
	for id := uint32(1); id <= c.last && len(c.open) > 0; id += 2 {
		if st := c.open[id]; st != nil {
			if st.window += by; st.window > maxWindow {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
	}
	return nil
}

// reset ends a stream that the peer wants no more. What is done for it goes on to its end, and nobody gets it.
func (c *h2Conn) reset(id uint32) error {
	c.mu.Lock()
	st := c.open[id]
	if st == nil {
		unknown := id > c.last && !c.leaving
		c.mu.Unlock()
		if unknown {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil
	}
	delete(c.open, id)
	var held []*h2Stream
	if i := slices.Index(c.sending, st); i >= 0 {
		c.sending = slices.Delete(c.sending, i, i+1)
		held = append(held, st)
	}
	if len(c.open) == 0 {
		c.restLocked()
	}
	c.mu.Unlock()
	c.release(held)
	return nil
}
