package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/benbjohnson/clock"
)

var errRefused = errors.New("refused")

// fakeNet is a dialer whose connections are only as much of a net.Conn as the pool uses: they can be looked at and
// closed. It must be used inside a bubble.
type fakeNet struct {
	mu      sync.Mutex
	clk     clock.Clock
	delay   time.Duration
	fail    bool
	nilConn bool
	panics  bool
	deaf    bool // takes no notice of contexts
	dialled []*fakeConn
	dials   int
	under   int             // dials under way
	most    int             // of them at a time
	begun   []time.Time     // when each dial began
	lasted  []time.Duration // and how long it took; 0: it has not ended
}

func newFakeNet(delay time.Duration) *fakeNet { return &fakeNet{clk: clock.New(), delay: delay} }

func (f *fakeNet) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	delay, fail, isNil, panics, deaf := f.delay, f.fail, f.nilConn, f.panics, f.deaf
	defer f.begin()()
	f.mu.Unlock()
	switch {
	case deaf:
		f.clk.Sleep(delay)
	case delay > 0:
		select {
		case <-f.clk.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch {
	case panics:
		panic("the dialer lost its mind")
	case isNil:
		return nil, nil
	case fail:
		return nil, errRefused
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &fakeConn{}
	f.dialled = append(f.dialled, c)
	return c, nil
}

// begin counts a dial, with the lock, and returns what counts it out, without.
func (f *fakeNet) begin() (end func()) {
	n, begun := f.dials, f.clk.Now()
	f.dials++
	f.under++
	f.most = max(f.most, f.under)
	f.begun, f.lasted = append(f.begun, begun), append(f.lasted, 0)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.under--
		f.lasted[n] = f.clk.Since(begun)
	}
}

// count is the number of dials so far, and of those at a time since the last call.
func (f *fakeNet) count() (dials, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	most, f.most = f.most, f.under
	return f.dials, most
}

// soFar is the number of dials so far.
func (f *fakeNet) soFar() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials
}

func (f *fakeNet) setDelay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

func (f *fakeNet) setFail(v bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = v
}

// open counts the connections that have not been closed.
func (f *fakeNet) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.dialled {
		if !c.isClosed() {
			n++
		}
	}
	return n
}

// fakeConn answers Peek as it is told to and remembers being closed.
type fakeConn struct {
	net.Conn
	mu     sync.Mutex
	closed bool
	unread int
	peer   error
	// deadline is the last one that was set.
	deadline time.Time
}

func (c *fakeConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *fakeConn) peerResets() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = syscall.ECONNRESET
}

func (c *fakeConn) Peek([]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unread, c.peer
}

func (c *fakeConn) peerCloses() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = io.EOF
}

func (c *fakeConn) peerSends(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread = n
}

func (c *fakeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	return nil
}

func (c *fakeConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// tryLend is TryLend with the zero Conn for none.
func tryLend(p *Pool, at time.Time, shard int) Conn {
	c, _ := p.TryLend(at, shard)
	return c
}

// raw is the fake connection behind a handle, which may be void by now.
func raw(c Conn) *fakeConn { return c.loan.link.nc.(*fakeConn) }

// giveBack ends the present loan of the connection that an old handle was for.
func giveBack(old Conn) { old.loan.handle().Release() }

// popLive takes the first waiter whose context still runs.
func (l *waiterList) popLive() *waiter {
	w := l.firstLive()
	if w != nil {
		l.remove(w)
	}
	return w
}
