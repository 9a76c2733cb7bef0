package http2

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/proxy/http1"
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
	worn    func()

	in      frames // of the goroutine that reads, like what follows
	opened  int    // bytes to come of what a client begins with
	heads   *unpacked
	padding int    // of the frame that is under way
	made    int64  // bytes of heads, unpacked, and what each costs beside
	leaves  bool   // no further stream is to be served
	put     []byte // a frame of our own that is read next
	later   []byte // what has come behind that
	over    bool   // nothing that comes is read any more

	came    atomic.Int64 // bytes that have come
	carried atomic.Int64 // bytes of heads and trailers that went on, and what each costs beside

	out frames // of whoever writes: one at a time
	why atomic.Pointer[string]

	warns atomic.Bool // the client is to be warned
	told  bool        // it was, or told to go: of whoever writes

	cutting sync.Mutex   // never held over a wait
	cut     *clock.Timer // of cutAfter
	closed  bool
	work    sync.WaitGroup // of its function
}

// The frames that net/http is made to read. No connection survives a PING on a stream (RFC 9113 section 6.7). To a GOAWAY without an
// error net/http answers with one of its own: what is under way is served, and streams that come behind are as if they had never been
// sent, so that a client may send them elsewhere whatever they ask for (section 6.8).
var (
	fault   = []byte{0, 0, 8, framePing, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	goodbye = []byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

// warning is what a client is sent before that: a GOAWAY for streams that have no number yet. Who heeds it opens its next ones elsewhere, and
// nothing that it has sent in the meantime is lost, as section 6.8 has it.
var warning = []byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// By HPACK's table (RFC 7541) a field of kilobytes, once sent, costs a byte each time. That is what the table is for: a token or a
// cookie that fills it, 4 KiB (section 4.2), comes with each request of a lawful client, a hundred of them at once. But to a backend
// that speaks HTTP/1.1 it goes as it is, two hundred times what the client has sent. So what heads unpack to, with what each costs
// beside, may come to expansion times all the bytes of a connection, then that connection ends in order. A client whose heads take
// 20 bytes and stand for a token of 4 KiB opens a new one after some seventy requests; whose heads take 65, as with another path each
// time, never.
const (
	expansion = 80
	// warned is at how many times a client is told before; what lies between is for what is on its way then.
	warned = 66
	// besideHead is about what the proxy adds to a head, with the least of an answer.
	besideHead = 200
	// mostCarried is what may go on, by all the bytes of a connection. A head that repeats one field, and the trailers of streams that are
	// open when the connection begins to end, can make much more of it than what came before them: these go no further. Lawful heads have
	// a field of the table once, and stay below.
	mostCarried = 90
)

// carries notes a head that is about to go on, and says whether it may.
func (g *guarded) carries(head int) bool {
	one := int64(head) + besideHead
	if g.carried.Add(one) <= mostCarried*g.came.Load() {
		return true
	}
	g.carried.Add(-one)
	return false
}

// carriesTrailers does so for trailers.
func (g *guarded) carriesTrailers(fields []http1.Field) bool {
	size := 0
	for _, f := range fields {
		size += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	return size == 0 || g.carries(size)
}

func newGuarded(nc net.Conn, clk clock.Clock, flooded func(why string), worn func()) *guarded {
	g := &guarded{Conn: nc, clk: clk, calm: newCalm(clk), flooded: flooded, worn: worn, opened: len(preface), heads: newUnpacked()}
	g.in.part = g.unpack
	g.in.ended = func([]byte) {
		g.judge(g.calm.heard(&g.in))
		if g.in.stop = g.why.Load() != nil; g.in.stop {
			g.over, g.put = true, fault
			return
		}
		if k := g.in.kind(); (k == frameHeaders || k == frameContinuation) && g.in.flags()&flagEndHeaders != 0 && g.stretched() {
			g.leaves, g.in.stop, g.put = true, true, goodbye
		}
	}
	g.out.started = func() {
		g.calm.sent(&g.out)
		g.told = g.told || g.out.kind() == frameGoAway
	}
	g.out.ended = func(payload []byte) {
		if g.out.kind() == frameReset && len(payload) == 4 {
			g.judge(g.calm.hasReset(g.out.id(), binary.BigEndian.Uint32(payload)))
		}
	}
	return g
}

// unpack follows a head by a part of a frame.
func (g *guarded) unpack(p []byte) {
	at := g.in.size - g.in.left // where in the payload it begins
	if g.in.kind() == frameContinuation {
		g.heads.feed(p)
		return
	}
	lead := 0 // what stands before the head (RFC 9113 section 6.2)
	if g.in.flags()&flagPriority != 0 {
		lead = 5
	}
	if at == 0 {
		g.padding = 0
	}
	if g.in.flags()&flagPadded != 0 {
		if lead++; at == 0 {
			g.padding = int(p[0])
		}
	}
	end := g.in.size - g.padding - at
	if begin := max(lead-at, 0); begin < min(end, len(p)) {
		g.heads.feed(p[begin:min(end, len(p))])
	}
}

// stretched notes a head that is whole, and says whether another like it would be too much.
func (g *guarded) stretched() bool {
	one := g.heads.size + besideHead
	g.heads.size = 0
	g.made += one
	came := g.came.Load()
	if g.made+one > warned*came && !g.warns.Swap(true) && g.worn != nil {
		g.worn()
	}
	return !g.leaves && g.made+one > expansion*came
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
		if len(g.put) > 0 {
			n := copy(p, g.put)
			g.put = g.put[n:]
			return n, nil
		}
		n, err := g.next(p)
		if n == 0 || err != nil && g.over {
			return 0, err
		}
		if g.over {
			continue
		}
		skip := min(g.opened, n)
		g.opened -= skip
		g.in.stop = false
		used := skip + g.in.scan(p[skip:n])
		if used < n && !g.over {
			g.later = append(append([]byte(nil), p[used:n]...), g.later...)
		}
		if used < n || g.over {
			return used, nil // an error comes again
		}
		return n, err
	}
}

// next reads what has come.
func (g *guarded) next(p []byte) (int, error) {
	if len(g.later) > 0 {
		n := copy(p, g.later)
		g.later = g.later[n:]
		return n, nil
	}
	n, err := g.Conn.Read(p)
	g.came.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (g *guarded) Write(p []byte) (int, error) {
	g.out.scan(p)
	yield(g.calm.clk)
	n, err := g.Conn.Write(p)
	if err == nil && g.warns.Load() && !g.told && g.out.have == 0 && g.out.left == 0 {
		g.told = true
		_, err = g.Conn.Write(warning)
	}
	return n, err
}
