package pool

import (
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

var soakSeeds = flag.Int("soak", 2, "seeds of the soak test, of one virtual hour each")

// One hour of virtual time for each seed: callers come and go, hold, leave and misbehave; the network fails in every way
// that the pool knows; the pool is resized, retired and asked for more. Every law is looked at every second and at the end.
func TestConnectionPoolSoakHoldsEveryLaw(t *testing.T) {
	for seed := range *soakSeeds {
		synctest.Test(t, func(t *testing.T) { newSoak(t, uint64(seed)).run(time.Hour) })
	}
}

// soak is one hour of one seed.
type soak struct {
	t    *testing.T
	p    *Pool
	clk  clock.Clock
	rnd  *rand.Rand
	cfg  Config
	net  *roughNet
	wg   sync.WaitGroup
	ctx  context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	held    map[*link]int // how many loans of ours there are on it
	room    int           // the most that one connection carries
	over    int           // connections that there may be beyond the limit, after a Resize
	arrived time.Duration // when the caller arrived who was served last
	served  time.Duration // when that was
	counts  struct{ lends, failures, gaveUp int }
}

func newSoak(t *testing.T, seed uint64) *soak {
	rnd := rand.New(rand.NewPCG(seed, 7))
	s := &soak{t: t, clk: clock.New(), rnd: rnd, held: map[*link]int{}, room: 1}
	s.net = &roughNet{rnd: rand.New(rand.NewPCG(seed, 8)), clk: s.clk}
	s.cfg = Config{
		Address: "a:1", Dialer: s.net, Clock: s.clk,
		Rand:           func(string) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) },
		MaxConnections: 1 + rnd.IntN(20), Shards: 1 + rnd.IntN(4), Order: Order(rnd.IntN(2)),
		IdleTimeout: time.Duration(1+rnd.IntN(60)) * time.Second, MaxLifetime: time.Duration(1+rnd.IntN(20)) * time.Minute,
		MaxUses: rnd.IntN(2) * rnd.IntN(500), MaxWaiters: 1 + rnd.IntN(60), DialTimeout: time.Second,
		ValidateAfter: time.Duration(1 + rnd.IntN(int(200*time.Millisecond))),
	}
	s.cfg.MinIdle = rnd.IntN(s.cfg.MaxConnections + 1)
	s.cfg.MaxDials, s.cfg.Predict = 1+rnd.IntN(8), Predict(rnd.IntN(numPredicts))
	s.cfg.TrimEvery = []time.Duration{-1, time.Second, 0}[rnd.IntN(3)]
	s.cfg.Patience = []float64{-1, 0, 1}[rnd.IntN(3)]
	if rnd.IntN(2) == 0 {
		s.cfg.Judge = func(error) {}
	}
	if rnd.IntN(3) == 0 {
		s.cfg.LeakAfter = 20 * time.Second
	}
	if rnd.IntN(3) == 0 {
		s.room = 2 + rnd.IntN(7) // at least what hurt gives it
		s.cfg.Setup = func(_ context.Context, nc net.Conn) (Session, error) {
			if s.net.chance(50) {
				return nil, errors.New("set-up refused")
			}
			one := &fakeSession{nc: nc}
			one.room.Store(int32(1 + s.net.intN(s.room)))
			nc.(*roughConn).session = one
			return one, nil
		}
	}
	if rnd.IntN(2) == 0 {
		s.cfg.Ping, s.cfg.PingTimeout = s.net.ping, 500*time.Millisecond
		s.cfg.PingAfter = time.Duration(1 + rnd.IntN(int(5*time.Second)))
	}
	p, err := New(s.cfg)
	require.NoError(t, err)
	s.p = p
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *soak) run(span time.Duration) {
	s.p.Warm()
	for i := range 6 + s.rnd.IntN(30) {
		rnd := rand.New(rand.NewPCG(s.rnd.Uint64(), uint64(i)))
		s.wg.Go(func() { s.caller(rnd) })
	}
	s.wg.Go(s.trouble)
	for range int(span / time.Second) {
		s.clk.Sleep(time.Second)
		synctest.Wait()
		s.check()
	}
	s.net.calm()
	s.stop()
	s.p.Retry()
	s.wg.Wait()
	ctx, cancel := s.clk.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(s.t, s.p.Drain(ctx))
	s.clk.Sleep(time.Minute) // dialers that were given up return at last
	st := s.p.Stats()
	requireConserved(s.t, st)
	require.Zero(s.t, st.Idle+st.Lent+st.Dialling+st.Waiting+st.Loans, "%+v", st)
	require.Zero(s.t, s.net.open(), "sockets left open")
	require.EqualValues(s.t, s.counts.lends, st.Lends)
	require.EqualValues(s.t, st.Waits, s.p.Histograms().Wait.Count)
	require.Greater(s.t, s.counts.lends, int(span/time.Second), "the hour was worth something: %+v", st)
}

// caller lends and returns for the whole time.
func (s *soak) caller(rnd *rand.Rand) {
	for s.ctx.Err() == nil {
		s.clk.Sleep(time.Duration(rnd.ExpFloat64() * float64(2*time.Second)))
		patience := time.Duration(1 + rnd.IntN(int(5*time.Second)))
		ctx, cancel := s.clk.WithTimeout(s.ctx, patience)
		arrived := s.p.now()
		conns, err := s.borrow(ctx, rnd)
		cancel()
		if err != nil {
			s.failed(err, arrived, patience)
			continue
		}
		for _, c := range conns {
			s.hold(c, 1)
		}
		hold := rnd.ExpFloat64() * float64(100*time.Millisecond)
		if rnd.IntN(200) == 0 {
			hold *= 100
		}
		s.clk.Sleep(time.Duration(hold))
		for _, c := range conns {
			s.giveBack(c, rnd)
		}
	}
}

// borrow lends in one of the ways that there are.
func (s *soak) borrow(ctx context.Context, rnd *rand.Rand) ([]Conn, error) {
	shard, begun := rnd.IntN(s.cfg.Shards), s.p.now()
	switch n := rnd.IntN(20); {
	case n == 0:
		conns, err := s.p.GetN(ctx, shard, 1+rnd.IntN(3))
		s.inTurn(err, begun)
		return conns, err
	case n == 1:
		c, err := s.p.Fresh(ctx, shard)
		return []Conn{c}, err
	case n < 5:
		if c, ok := s.p.TryLend(s.clk.Now(), shard); ok {
			s.inTurn(nil, begun)
			return []Conn{c}, nil
		}
		return nil, errNothingIdle
	}
	c, err := s.p.LendAt(ctx, s.clk.Now(), shard)
	s.inTurn(err, begun)
	return []Conn{c}, err
}

var errNothingIdle = errors.New("nothing idle")

// inTurn holds that nobody is served before somebody who came earlier. Those who are served at one instant may learn of
// it in any order.
func (s *soak) inTurn(err error, arrived time.Duration) {
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.p.now()
	if now > s.served {
		require.GreaterOrEqual(s.t, arrived, s.arrived, "served at %v, after one who came later, served at %v", now, s.served)
		s.served, s.arrived = now, arrived
		return
	}
	s.arrived = min(s.arrived, arrived)
}

func (s *soak) hold(c Conn, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := c.loan.link
	if n > 0 {
		s.counts.lends++
		require.False(s.t, k.nc.(*roughConn).isClosed(), "a closed connection was lent")
	}
	s.held[k] += n
	require.LessOrEqual(s.t, s.held[k], s.room, "one connection in too many hands")
}

func (s *soak) giveBack(c Conn, rnd *rand.Rand) {
	s.hold(c, -1)
	if rnd.IntN(2000) == 0 {
		c.PeerIdleTimeout(time.Duration(rnd.IntN(90)) * time.Second)
	}
	switch nc := c.NetConn().(*roughConn); {
	case rnd.IntN(50) == 0:
		c.Discard(ReasonNotReusable)
	case nc.isDead():
		c.Discard(ReasonBroken)
	case rnd.IntN(300) == 0 && c.Session() == nil:
		_ = c.Take().Close()
	default:
		c.Release()
	}
}

// failed holds that an error comes for a reason, and at its time.
func (s *soak) failed(err error, arrived, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.failures++
	if errors.Is(err, context.DeadlineExceeded) && s.ctx.Err() == nil {
		var dial *DialError
		if !errors.As(err, &dial) {
			s.counts.gaveUp++
			require.Equal(s.t, patience, s.p.now()-arrived, "the deadline is exact")
		}
	}
}

// trouble changes the network, the pool and its connections at random.
func (s *soak) trouble() {
	rnd := rand.New(rand.NewPCG(s.rnd.Uint64(), 1))
	for s.ctx.Err() == nil {
		s.clk.Sleep(time.Duration(rnd.ExpFloat64() * float64(10*time.Second)))
		switch rnd.IntN(12) {
		case 0, 1, 2:
			s.net.disturb()
		case 3, 4:
			s.net.calm()
		case 5:
			n := 1 + rnd.IntN(20)
			st := s.p.Stats()
			s.mu.Lock()
			s.over = max(s.over, st.Idle+st.Lent+st.Dialling)
			s.mu.Unlock()
			require.NoError(s.t, s.p.Resize(n))
		case 6:
			s.p.Retire()
		case 7:
			s.p.Want(rnd.IntN(5))
		case 8:
			s.p.Retry()
		case 9:
			s.p.SessionChanged()
		default:
			s.net.hurt(1 + rnd.IntN(4))
		}
	}
}

// check looks at the laws that hold at every instant.
func (s *soak) check() {
	st := s.p.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := st.Idle + st.Lent + st.Dialling; open > st.Limit {
		require.LessOrEqual(s.t, open, s.over, "more than the limit, and growing: %+v", st)
		s.over = open
	} else {
		s.over = 0
	}
	within := st
	within.Limit = max(st.Limit, s.over)
	requireConserved(s.t, within)
	require.LessOrEqual(s.t, st.Waiting, s.cfg.MaxWaiters)
	loans := 0
	for _, n := range s.held {
		loans += n
	}
	require.Equal(s.t, loans, st.Loans, "%+v", st)
	require.EqualValues(s.t, s.counts.lends, st.Lends)
	require.GreaterOrEqual(s.t, s.net.open(), st.Idle+st.Lent, "an open connection is closed: %+v", st)
}

// roughNet is a dialer that misbehaves as it is told to.
type roughNet struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	clk   clock.Clock
	fails int // in thousand dials
	odd   int // likewise: panics, hangs, gives nil
	delay time.Duration
	conns []*roughConn
}

func (n *roughNet) intN(max int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rnd.IntN(max)
}

// chance is true so many times in a thousand.
func (n *roughNet) chance(perMille int) bool { return n.intN(1000) < perMille }

func (n *roughNet) disturb() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fails, n.odd = []int{0, 100, 1000}[n.rnd.IntN(3)], []int{0, 50, 500}[n.rnd.IntN(3)]
	n.delay = time.Duration(n.rnd.IntN(int(1500 * time.Millisecond)))
}

func (n *roughNet) calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fails, n.odd, n.delay = 0, 0, time.Millisecond
}

// hurt ends some connections from the peer's side.
func (n *roughNet) hurt(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range min(count, len(n.conns)) {
		c := n.conns[n.rnd.IntN(len(n.conns))]
		c.mu.Lock()
		switch n.rnd.IntN(4) {
		case 0:
			c.peer = net.ErrClosed
		case 1:
			c.unread = 1
		case 2:
			if c.session != nil {
				c.session.room.Store(int32(n.rnd.IntN(3)))
			}
		default:
			c.peer = io.EOF
		}
		if c.session != nil && c.peer != nil {
			c.session.broken.Store(true)
		}
		c.mu.Unlock()
	}
}

func (n *roughNet) open() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.conns[:0]
	for _, c := range n.conns {
		if !c.isClosed() {
			kept = append(kept, c)
		}
	}
	clear(n.conns[len(kept):])
	n.conns = kept
	return len(kept)
}

func (n *roughNet) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	delay, fails, odd := n.delay, n.rnd.IntN(1000) < n.fails, n.rnd.IntN(1000) < n.odd
	how := n.rnd.IntN(3)
	n.mu.Unlock()
	if odd && how == 0 {
		<-ctx.Done()
		n.clk.Sleep(delay) // and may be given up meanwhile: delay is up to a second and a half
		return nil, ctx.Err()
	}
	select {
	case <-n.clk.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case odd && how == 1:
		panic("the dialer lost its mind")
	case odd:
		return nil, nil
	case fails:
		return nil, errRefused
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &roughConn{}
	n.conns = append(n.conns, c)
	return c, nil
}

// ping misbehaves as dials do.
func (n *roughNet) ping(ctx context.Context, nc net.Conn) error {
	n.mu.Lock()
	delay, odd, how := n.delay, n.rnd.IntN(1000) < n.odd, n.rnd.IntN(3)
	n.mu.Unlock()
	switch {
	case odd && how == 0:
		panic("the pinger lost its mind")
	case odd && how == 1:
		n.clk.Sleep(2 * time.Second) // it looks at nothing
	}
	select {
	case <-n.clk.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	if nc.(*roughConn).isDead() {
		return errRefused
	}
	return nil
}

// roughConn is a fakeConn with a session, perhaps.
type roughConn struct {
	fakeConn
	session *fakeSession
}

func (c *roughConn) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer != nil
}
