package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/proxy/socket"
)

const (
	// bufferSize is what one direction reads at most at a time.
	bufferSize = 32 << 10
	// spliceAfter is how many bytes pass through memory before the rest is spliced: what is short is not worth a pipe.
	spliceAfter = 64 << 10
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Config describes a tunnel. The zero value is usable.
type Config struct {
	// Clock is the source of time. Default: the real clock.
	Clock clock.Clock
	// Idle ends the tunnel when no byte went either way for so long. Default 0: never.
	Idle time.Duration
	// Stop, if set, says that the tunnel is to end. It is asked after every deadline that the tunnel sets, so whoever
	// ends a tunnel from outside makes it true first and then sets deadlines in the past. It must not block.
	Stop func() bool
	// AToB and BToA, if set, are added to as bytes are delivered.
	AToB, BToA *atomic.Uint64
	// FromA and FromB are bytes that were read from the connections before the tunnel began and are still to be
	// delivered to the other side. They are not kept beyond Run.
	FromA, FromB []byte
	// Answered, if set, is called once, when the first byte of B has reached A, on the goroutine of that direction.
	Answered func()
	// Trial says that B was made ready some time ago and may be dead. Then an end of its stream before a byte has gone
	// either way is not passed on: the tunnel ends with EndB and io.EOF, and A can still be given another B.
	Trial bool
}

// End says how a tunnel ended. The list is closed.
type End uint8

// The ways in which a tunnel ends.
const (
	// EndBothClosed: both sides ended their streams in order.
	EndBothClosed End = iota
	// EndIdle: nothing was said for Config.Idle.
	EndIdle
	// EndA and EndB: reading from or writing to that side failed.
	EndA
	EndB
)

// String returns the word for the end.
func (e End) String() string {
	switch e {
	case EndBothClosed:
		return "both_closed"
	case EndIdle:
		return "tunnel_idle"
	case EndA:
		return "a_failed"
	case EndB:
		return "b_failed"
	}
	return "unknown"
}

// Result is what a tunnel did.
type Result struct {
	// AToB and BToA are the bytes delivered in each direction.
	AToB, BToA int64
	// End is how it ended, and Err the error behind EndA and EndB.
	End End
	Err error
	// Unsent are the bytes that were read from A when not one had been delivered to B: whoever finds another B begins
	// with them. It is empty when AToB is not zero.
	Unsent []byte
}

// tunnel is one run.
type tunnel struct {
	cfg  Config
	a, b net.Conn
	used atomic.Bool  // a byte has been delivered
	last atomic.Int64 // the instant at which a byte last arrived, in nanoseconds since start
	from time.Time

	mu   sync.Mutex
	done bool // the end has been decided
	end  End
	err  error
}

// Run carries bytes between a and b until the tunnel ends. It uses the goroutine of its caller and one more.
func Run(cfg Config, a, b net.Conn) Result {
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	t := &tunnel{cfg: cfg, a: a, b: b, from: cfg.Clock.Now()}
	var sockA, sockB socket.Conn
	sockA.Init(a)
	sockB.Init(b)
	there := &way{src: &sockA, dst: &sockB, srcEnd: EndA, dstEnd: EndB, count: cfg.AToB}
	back := &way{src: &sockB, dst: &sockA, srcEnd: EndB, dstEnd: EndA, count: cfg.BToA}
	backEnds := make(chan int64, 1)
	launch(cfg.Clock, func() { backEnds <- t.copy(back, cfg.FromB) })
	res := Result{AToB: t.copy(there, cfg.FromA)}
	res.BToA = <-backEnds
	res.End, res.Err = t.end, t.err
	if res.AToB == 0 {
		res.Unsent = there.unsent
	}
	return res
}

// way is one direction of a tunnel. It belongs to its goroutine.
type way struct {
	dst, src       *socket.Conn
	dstEnd, srcEnd End            // the verdicts for a failure to write and to read
	count          *atomic.Uint64 // nil: nobody counts along
	sent           int64
	readBy         time.Time // the deadlines that are set; zero: none
	writeBy        time.Time
	held           chunk
	unsent         []byte // what was read and of which nothing could be delivered, at the first try
}

// chunk is a buffer that is borrowed while there are bytes in it.
type chunk struct {
	buf *[bufferSize]byte
	n   int
}

// Room implements socket.Buffer.
func (c *chunk) Room() []byte {
	if c.buf == nil {
		c.buf = buffers.Get().(*[bufferSize]byte)
	}
	return c.buf[c.n:]
}

// Filled implements socket.Buffer.
func (c *chunk) Filled(n int) { c.n += n }

// ReleaseBuffer implements socket.Buffer.
func (c *chunk) ReleaseBuffer() bool {
	if c.n > 0 {
		return false
	}
	if c.buf != nil {
		buffers.Put(c.buf)
		c.buf = nil
	}
	return true
}

// copy carries one direction and returns the number of bytes delivered.
func (t *tunnel) copy(w *way, first []byte) int64 {
	if len(first) > 0 && !t.deliver(w, first) {
		return w.sent
	}
	for {
		var n int64
		var srcErr, dstErr error
		if w.sent >= spliceAfter && socket.CanSplice(w.dst, w.src) {
			n, srcErr, dstErr = t.splice(w)
		} else {
			srcErr, dstErr = t.pass(w)
		}
		t.add(w, n)
		switch {
		case dstErr != nil:
			t.fail(w.dstEnd, dstErr)
			return w.sent
		case srcErr == nil:
		case srcErr == io.EOF:
			if t.cfg.Trial && w.srcEnd == EndB && !t.used.Load() {
				t.fail(EndB, io.EOF)
				return w.sent
			}
			t.closeWrite(w.dst.NetConn())
			return w.sent
		case errors.Is(srcErr, errIdle):
			t.fail(EndIdle, nil)
			return w.sent
		default:
			t.fail(w.srcEnd, srcErr)
			return w.sent
		}
	}
}

// add counts bytes that were delivered.
func (t *tunnel) add(w *way, n int64) {
	if w.sent == 0 && n > 0 {
		t.used.Store(true)
		if w.srcEnd == EndB && t.cfg.Answered != nil {
			t.cfg.Answered()
		}
	}
	w.sent += n
	if w.count != nil && n > 0 {
		w.count.Add(uint64(n))
	}
}

// keep notes what could not be delivered, if nothing has been.
func (w *way) keep(p []byte) {
	if w.sent == 0 {
		w.unsent = bytes.Clone(p)
	}
}

// deliver writes bytes that are here already.
func (t *tunnel) deliver(w *way, p []byte) bool {
	n, err := w.dst.Write(p)
	t.add(w, int64(n))
	if err != nil {
		w.keep(p)
		t.fail(w.dstEnd, err)
	}
	return err == nil
}

var errIdle = errors.New("tunnel: idle")

// pass carries what comes next through a buffer, which it holds only while there is something in it.
func (t *tunnel) pass(w *way) (srcErr, dstErr error) {
	for {
		if srcErr = t.armRead(w); srcErr != nil {
			return srcErr, nil
		}
		srcErr = w.src.Await(&w.held)
		if srcErr == nil && w.held.n == 0 { // it could only wait
			var n int
			n, srcErr = w.src.Read(w.held.Room())
			w.held.Filled(n)
		}
		if w.held.n > 0 {
			break
		}
		w.held.ReleaseBuffer()
		if srcErr = t.quiet(w, srcErr); srcErr != nil {
			return srcErr, nil
		}
	}
	t.last.Store(int64(t.cfg.Clock.Since(t.from)))
	dstErr = t.write(w, w.held.buf[:w.held.n])
	w.held.n = 0
	w.held.ReleaseBuffer()
	return srcErr, dstErr
}

// write delivers bytes that have just come. A peer that takes some of them all the time has the time it needs.
func (t *tunnel) write(w *way, p []byte) error {
	now := t.from.Add(time.Duration(t.last.Load()))
	for {
		err := t.armWrite(w, now)
		n := 0
		if err == nil {
			n, err = w.dst.Write(p)
		}
		t.add(w, int64(n))
		p = p[n:]
		if err == nil {
			return nil
		}
		if now = t.cfg.Clock.Now(); !t.late(err) || !t.stirs(w.dst) {
			w.keep(p)
			return err
		}
		w.writeBy = time.Time{}
	}
}

// splice carries what comes next past our memory. A quiet direction holds no pipe.
func (t *tunnel) splice(w *way) (n int64, srcErr, dstErr error) {
	for {
		if srcErr = t.armRead(w); srcErr != nil {
			return 0, srcErr, nil
		}
		// The bytes are taken and delivered in one call: the time to deliver them counts from the latest instant at which
		// they may come.
		if dstErr = t.armWrite(w, w.readBy); dstErr != nil {
			return 0, nil, dstErr
		}
		n, srcErr, dstErr = socket.Splice(w.dst, w.src, socket.SpliceMax)
		if n > 0 {
			t.last.Store(int64(t.cfg.Clock.Since(t.from)))
		}
		if srcErr != nil {
			if srcErr = t.quiet(w, srcErr); srcErr == nil {
				continue
			}
		}
		return n, srcErr, dstErr
	}
}

// armRead sees to it that a read deadline is set that is not later than the idle time allows. An earlier one will do:
// setting one costs, and whoever meets it looks at the time that has really passed.
func (t *tunnel) armRead(w *way) error {
	if t.over() {
		return errIdle
	}
	if t.cfg.Idle <= 0 {
		return nil
	}
	limit := t.from.Add(time.Duration(t.last.Load()) + t.cfg.Idle)
	if !w.readBy.IsZero() && !w.readBy.After(limit) {
		return nil
	}
	w.readBy = limit
	if err := w.src.NetConn().SetReadDeadline(limit); err != nil {
		return err
	}
	return t.ended()
}

// ended is asked after a deadline has been set, which may have covered the one that ends the tunnel.
func (t *tunnel) ended() error {
	switch {
	case t.over():
		return errIdle
	case t.stopped():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// quiet judges a read that gave no byte: nil when it is to go on, because the deadline was an early one or the other
// direction was busy.
func (t *tunnel) quiet(w *way, err error) error {
	if !t.late(err) {
		return err
	}
	if t.cfg.Clock.Since(t.from)-time.Duration(t.last.Load()) >= t.cfg.Idle && !t.stirs(w.src) && !t.stirs(w.dst) {
		return errIdle
	}
	w.readBy = time.Time{}
	return nil
}

// late says whether an error is a deadline of the tunnel's own, and nobody wants it to end for another reason.
func (t *tunnel) late(err error) bool {
	return t.cfg.Idle > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !t.over() && !t.stopped()
}

// stirs asks the kernel whether data has moved on a connection within the idle time, which we may not have noticed: a
// buffer of ours, or a pipe, is on its way to a peer that takes it slowly. If so, the tunnel counts as busy then.
func (t *tunnel) stirs(c *socket.Conn) bool {
	ago, known := c.Moved()
	if !known || ago >= t.cfg.Idle {
		return false
	}
	t.last.Store(max(t.last.Load(), int64(t.cfg.Clock.Since(t.from)-ago)))
	return true
}

// armWrite gives the peer at least the idle time, from now on, to take bytes, and at most twice that.
func (t *tunnel) armWrite(w *way, now time.Time) error {
	if t.cfg.Idle <= 0 || !w.writeBy.Before(now.Add(t.cfg.Idle)) {
		return nil
	}
	w.writeBy = now.Add(2 * t.cfg.Idle)
	if err := w.dst.NetConn().SetWriteDeadline(w.writeBy); err != nil {
		return err
	}
	return t.ended()
}

// closeWrite passes the end of one stream on.
func (t *tunnel) closeWrite(dst net.Conn) {
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // an error shows in the other direction
		return
	}
	t.fail(EndBothClosed, nil) // no half-close here: the end of one stream is the end of both
}

// over says whether the end has been decided.
func (t *tunnel) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// stopped says whether the tunnel is to end by a word from outside.
func (t *tunnel) stopped() bool { return t.cfg.Stop != nil && t.cfg.Stop() }

// fail decides the end, the first time, and wakes the other direction.
func (t *tunnel) fail(end End, err error) {
	t.mu.Lock()
	first := !t.done
	if first {
		t.done, t.end, t.err = true, end, err
	}
	t.mu.Unlock()
	if first {
		past := t.from.Add(-time.Hour)
		_ = t.a.SetDeadline(past)
		_ = t.b.SetDeadline(past)
	}
}
