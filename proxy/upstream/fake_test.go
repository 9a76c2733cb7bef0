package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

var errRefused = errors.New("refused")

// dialTime is what a dial takes, unless a test says otherwise.
const dialTime = 10 * time.Millisecond

// fakeNet is a dialer of connections that can be looked at and closed, and no more. What a dial does is said for each
// address: how long it takes, and whether it fails.
type fakeNet struct {
	mu      sync.Mutex
	clk     clock.Clock
	delay   map[string]time.Duration
	fail    map[string]bool
	dials   map[string]int
	dialled []*fakeConn
}

func newFakeNet() *fakeNet {
	return &fakeNet{
		clk: clock.New(), delay: map[string]time.Duration{}, fail: map[string]bool{}, dials: map[string]int{},
	}
}

func (f *fakeNet) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	delay, ok := f.delay[address]
	if !ok {
		delay = dialTime
	}
	f.dials[address]++
	f.mu.Unlock()
	if delay > 0 {
		t := f.clk.Timer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail[address] {
		return nil, errRefused
	}
	c := &fakeConn{address: address}
	f.dialled = append(f.dialled, c)
	return c, nil
}

func (f *fakeNet) setFail(address string, v bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[address] = v
}

func (f *fakeNet) setDelay(address string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay[address] = d
}

func (f *fakeNet) dialsTo(address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials[address]
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

// peerClosesAll makes every connection to the address look closed by its peer.
func (f *fakeNet) peerClosesAll(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.dialled {
		if c.address == address {
			c.peerCloses()
		}
	}
}

type fakeConn struct {
	net.Conn
	address string
	mu      sync.Mutex
	closed  bool
	peer    error
	readBy  time.Time
}

func (c *fakeConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = at
	return nil
}

// cutShort says whether whoever reads from the connection has been woken.
func (c *fakeConn) cutShort() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.readBy.IsZero() && c.readBy.Before(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC))
}

func (c *fakeConn) Peek([]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 0, c.peer
}

func (c *fakeConn) peerCloses() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = io.EOF
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

// addr is the address of backend i in every test.
func addr(i int) string { return fmt.Sprintf("b%d:80", i) }

func group(n int) []Backend {
	all := make([]Backend, n)
	for i := range all {
		all[i] = Backend{Address: addr(i)}
	}
	return all
}

func seeded(entity string) *rand.Rand { return rand.New(rand.NewPCG(uint64(len(entity)), 7)) }

// inBubble runs body in virtual time with an upstream of n backends over a fake network; then it closes the upstream
// and checks that everything has come to rest.
func inBubble(t *testing.T, n int, cfg Config, body func(t *testing.T, u *Upstream, f *fakeNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		cfg.Name, cfg.Dialer, cfg.Rand = "web", f, seeded
		if cfg.Backends == nil {
			cfg.Backends = group(n)
		}
		u, err := New(cfg)
		require.NoError(t, err)
		body(t, u, f)
		u.Close()
		requireRest(t, u, f)
	})
}

// requireRest checks that nothing is left of anything.
func requireRest(t require.TestingT, u *Upstream, f *fakeNet) {
	s := u.Stats()
	requireConserved(t, u, s)
	require.Zero(t, s.InFlight+s.Waiting)
	for i := range s.Backends {
		b := &s.Backends[i]
		require.False(t, b.Leaving, "%s is not gone", b.Address)
		require.Zero(t, b.InFlight, "picks left at %s", b.Address)
		require.Zero(t, b.Pool.Idle+b.Pool.Lent+b.Pool.Dialling, "%s: %+v", b.Address, b.Pool)
	}
	require.Zero(t, f.open(), "connections left open")
	require.Zero(t, u.retries, "places in the retry budget left taken")
}

// requireConserved checks the laws that hold in every snapshot.
func requireConserved(t require.TestingT, u *Upstream, s Stats) {
	ended := uint64(0)
	for i := range s.Backends {
		b := &s.Backends[i]
		ended += b.Ended()
		p := &b.Pool
		require.Equal(t, p.Begun, uint64(p.Dialling)+p.Dialled+p.DialFailed, "%s: %+v", b.Address, *p)
		require.Equal(t, p.Dialled, uint64(p.Idle)+uint64(p.Lent)+p.RetiredTotal(), "%s: %+v", b.Address, *p)
		require.LessOrEqual(t, p.Idle+p.Lent+p.Dialling, p.Ceiling, "%s: %+v", b.Address, *p)
	}
	for _, n := range s.Removed.Outcomes {
		ended += n
	}
	p := &s.Removed.Pool
	require.Equal(t, p.Begun, p.Dialled+p.DialFailed, "removed: %+v", *p)
	require.Equal(t, p.Dialled, p.RetiredTotal(), "removed: %+v", *p)
	require.Equal(t, s.Begun, uint64(s.InFlight)+ended, "begun = in flight + ended: %+v", s)
}

// begin begins an attempt that must succeed.
func begin(t *testing.T, u *Upstream) *Attempt {
	t.Helper()
	a := &Attempt{}
	require.NoError(t, u.Begin(t.Context(), a))
	synctest.Wait() // whoever served it looks for more to serve: it must not find what comes next
	return a
}

func answered(u *Upstream, a *Attempt) { u.Finish(a, u.clk.Now(), OutcomeAnswered, true, 0) }

func failed(u *Upstream, a *Attempt, o Outcome) {
	u.Finish(a, u.clk.Now(), o, false, pool.ReasonBroken)
}

// call is a Begin on a goroutine of its own.
type call struct {
	*Attempt
	err    error
	at     time.Time // when it returned
	cancel context.CancelFunc
	done   chan struct{}
}

// start begins an attempt on its own goroutine and returns when it waits or has ended.
func start(t *testing.T, u *Upstream, a *Attempt) *call {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &call{Attempt: a, cancel: cancel, done: make(chan struct{})}
	go func() {
		c.err = u.Begin(ctx, a)
		c.at = u.clk.Now()
		close(c.done)
	}()
	synctest.Wait()
	return c
}

// returned says whether the Begin has returned, once all is quiet.
func (c *call) returned() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// end waits for the Begin and returns its error.
func (c *call) end() error {
	<-c.done
	c.cancel()
	return c.err
}
