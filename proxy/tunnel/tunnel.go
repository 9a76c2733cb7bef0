package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// bufferSize is what one direction reads at most at a time.
const bufferSize = 32 << 10

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
	// FromA and FromB are bytes that were read from the connections before the tunnel began and are still to be
	// delivered to the other side. They are not kept beyond Run.
	FromA, FromB []byte
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
}

// tunnel is one run.
type tunnel struct {
	cfg  Config
	a, b net.Conn
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
	back := make(chan int64, 1)
	// AfterFunc and not a go statement: the order of start is fixed, in a simulation as well.
	cfg.Clock.AfterFunc(0, func() { back <- t.copy(a, b, cfg.FromB, EndA, EndB) })
	res := Result{AToB: t.copy(b, a, cfg.FromA, EndB, EndA)}
	res.BToA = <-back
	res.End, res.Err = t.end, t.err
	return res
}

// copy carries one direction and returns the number of bytes delivered. The ends are the verdicts for a failure to
// write to dst and to read from src.
func (t *tunnel) copy(dst, src net.Conn, first []byte, dstEnd, srcEnd End) (sent int64) {
	if len(first) > 0 {
		n, err := dst.Write(first)
		sent += int64(n)
		if err != nil {
			t.fail(dstEnd, err)
			return sent
		}
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, err := t.read(src, buf[:])
		if n > 0 {
			w, werr := t.write(dst, buf[:n])
			sent += int64(w)
			if werr != nil {
				t.fail(dstEnd, werr)
				return sent
			}
		}
		switch {
		case err == nil:
		case err == io.EOF:
			t.closeWrite(dst)
			return sent
		case errors.Is(err, errIdle):
			t.fail(EndIdle, nil)
			return sent
		default:
			t.fail(srcEnd, err)
			return sent
		}
	}
}

var errIdle = errors.New("tunnel: idle")

// read waits for bytes, as long as either direction is alive.
func (t *tunnel) read(src net.Conn, p []byte) (int, error) {
	for {
		if t.over() {
			return 0, errIdle
		}
		if t.cfg.Idle > 0 {
			quiet := time.Duration(t.last.Load())
			if err := src.SetReadDeadline(t.from.Add(quiet + t.cfg.Idle)); err != nil {
				return 0, err
			}
			// The deadline just set may have covered the one that ends the tunnel.
			switch {
			case t.over():
				return 0, errIdle
			case t.stopped():
				return 0, os.ErrDeadlineExceeded
			}
		}
		n, err := src.Read(p)
		if n > 0 {
			t.last.Store(int64(t.cfg.Clock.Since(t.from)))
			return n, err
		}
		if t.cfg.Idle > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !t.over() && !t.stopped() {
			if t.cfg.Clock.Since(t.from)-time.Duration(t.last.Load()) >= t.cfg.Idle {
				return 0, errIdle
			}
			continue // the other direction was busy: this one may be quiet for longer
		}
		return n, err
	}
}

// write delivers bytes; a peer that takes none for the idle time ends the tunnel too.
func (t *tunnel) write(dst net.Conn, p []byte) (int, error) {
	if t.cfg.Idle > 0 {
		if err := dst.SetWriteDeadline(t.cfg.Clock.Now().Add(t.cfg.Idle)); err != nil {
			return 0, err
		}
		switch {
		case t.over():
			return 0, errIdle
		case t.stopped():
			return 0, os.ErrDeadlineExceeded
		}
	}
	return dst.Write(p)
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
