package http2

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// guarded is a client's connection in the hands of net/http, which does what frames ask for and counts few of them. Here the
// heads of frames are looked at, and a client that asks for too much is made to break the protocol: behind its last frame
// net/http finds one that is a fault, sends its GOAWAY, and ends the connection a second later. What the client sends until then
// goes nowhere.
type guarded struct {
	net.Conn
	clk     clock.Clock
	calm    *calm
	flooded func(why string)

	in     frames // of the goroutine that reads, like what follows
	opened int    // bytes to come of what a client begins with
	fault  []byte // of it, what has not been read
	over   bool

	out frames // of whoever writes: one at a time
	why atomic.Pointer[string]

	heads atomic.Int64 // bytes of heads that have come, as frames

	cutting sync.Mutex   // never held over a wait
	cut     *clock.Timer // of cutAfter
	closed  bool
	work    sync.WaitGroup // of its function
}

// fault is a frame that no connection survives: a PING on a stream (RFC 9113 section 6.7).
var fault = []byte{0, 0, 8, framePing, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}

func newGuarded(nc net.Conn, clk clock.Clock, flooded func(why string)) *guarded {
	g := &guarded{Conn: nc, clk: clk, calm: newCalm(clk), flooded: flooded, opened: len(preface)}
	g.in.ended = func([]byte) {
		if k := g.in.kind(); k == frameHeaders || k == frameContinuation {
			g.heads.Add(int64(frameHead + g.in.size))
		}
		g.judge(g.calm.heard(&g.in))
		g.in.stop = g.why.Load() != nil
	}
	g.out.started = func() { g.calm.sent(&g.out) }
	g.out.ended = func(payload []byte) {
		if g.out.kind() == frameReset && len(payload) == 4 {
			g.judge(g.calm.hasReset(g.out.id(), binary.BigEndian.Uint32(payload)))
		}
	}
	return g
}

// judge ends the connection, for a reason.
func (g *guarded) judge(why string) {
	if why == "" || !g.why.CompareAndSwap(nil, &why) {
		return
	}
	g.cutAfter(floodedTime)
	if g.flooded != nil {
		g.flooded(why)
	}
}

// How long a client has to take the last that we say: one that floods, the GOAWAY and whatever stands before it, which net/http
// ends a second after it is written; any other, the alert that ends TLS, for which crypto/tls would wait five seconds. Who does not
// read holds a connection no longer than that.
const (
	floodedTime = 3 * time.Second
	goodbyeTime = time.Second
)

// cutAfter arranges for the connection below everything to be closed. Close takes that back.
func (g *guarded) cutAfter(limit time.Duration) {
	g.cutting.Lock()
	defer g.cutting.Unlock()
	if g.cut != nil || g.closed {
		return
	}
	nc := g.Conn
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	g.work.Add(1)
	g.cut = g.clk.AfterFunc(limit, func() {
		defer g.work.Done()
		_ = nc.Close()
	})
}

// Close implements net.Conn.
func (g *guarded) Close() error {
	if _, ok := g.Conn.(*tls.Conn); ok {
		g.cutAfter(goodbyeTime)
	}
	err := g.Conn.Close()
	g.cutting.Lock()
	g.closed = true
	if g.cut != nil && g.cut.Stop() {
		g.work.Done()
	}
	g.cut = nil
	g.cutting.Unlock()
	return err
}

// Read implements net.Conn.
func (g *guarded) Read(p []byte) (int, error) {
	for {
		if len(g.fault) > 0 {
			n := copy(p, g.fault)
			g.fault = g.fault[n:]
			return n, nil
		}
		n, err := g.Conn.Read(p)
		switch {
		case n == 0 || err != nil && g.over:
			return 0, err
		case g.over:
			continue
		}
		skip := min(g.opened, n)
		g.opened -= skip
		used := skip + g.in.scan(p[skip:n])
		if g.in.stop {
			g.over, g.fault = true, fault
			return used, nil
		}
		return n, err
	}
}

// Write implements net.Conn.
func (g *guarded) Write(p []byte) (int, error) {
	g.out.scan(p)
	yield(g.calm.clk)
	return g.Conn.Write(p)
}
