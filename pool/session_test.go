package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeSession carries as many loans as it is told to.
type fakeSession struct {
	nc     net.Conn
	room   atomic.Int32
	broken atomic.Bool
	closed atomic.Int32
}

func (s *fakeSession) Available() int { return int(s.room.Load()) }

func (s *fakeSession) Err() error {
	if s.broken.Load() {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *fakeSession) Close() error {
	s.closed.Add(1)
	return s.nc.Close()
}

// sessions is a Setup that makes sessions with room for n loans each.
type sessions struct {
	mu  sync.Mutex
	n   int32
	all []*fakeSession
}

func (ss *sessions) setUp(_ context.Context, nc net.Conn) (Session, error) {
	s := &fakeSession{nc: nc}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.room.Store(ss.n)
	ss.all = append(ss.all, s)
	return s, nil
}

func lendAll(t *testing.T, p *Pool, n int) []Conn {
	conns := make([]Conn, n)
	for i := range conns {
		conns[i] = lend(t, p)
	}
	return conns
}

func TestConnectionPoolSessionCarriesSeveralLoansOnOneConnection(t *testing.T) {
	ss := &sessions{n: 3}
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		three := lendAll(t, p, 3)
		for _, c := range three {
			require.EqualValues(t, 1, c.ID())
			require.Same(t, ss.all[0], c.Session())
		}
		s := p.Stats()
		require.Equal(t, []int{1, 3, 0}, []int{s.Lent, s.Loans, s.Idle})
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Waiting, "the fourth waits")
		three[1].Release()
		fourth := <-got
		require.False(t, three[1].Lent())
		require.Panics(t, three[1].Release, "though its place is lent again")
		require.Panics(t, func() { fourth.Take() })
		ReleaseAll([]Conn{three[0], three[2], fourth})
		s = p.Stats()
		require.Equal(t, []int{0, 0, 1}, []int{s.Lent, s.Loans, s.Idle})
		require.EqualValues(t, 4, s.Lends)
		requireConserved(t, s)
	})
	require.EqualValues(t, 1, ss.all[0].closed.Load(), "closed once, with the pool")
}

func TestConnectionPoolColdCallersWaitForTheFirstSessionToShowHowManyItCarries(t *testing.T) {
	for _, c := range []struct{ streams, callers, dials int }{{100, 50, 1}, {10, 50, 5}, {1, 5, 5}} {
		ss := &sessions{n: int32(c.streams)}
		inBubble(t, Config{MaxConnections: 20, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
			var wg sync.WaitGroup
			for range c.callers {
				wg.Go(func() {
					c := lend(t, p)
					p.clk.Sleep(time.Second)
					c.Release()
				})
			}
			wg.Wait()
			require.Equal(t, c.dials, f.dials, "%+v", c)
		})
	}
}

func TestConnectionPoolSessionThatTakesNoMoreServesItsLoansToTheirEnd(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{MaxConnections: 2, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		a := lend(t, p)
		ss.all[0].room.Store(0) // GOAWAY
		b := lend(t, p)
		require.EqualValues(t, 2, b.ID(), "a new loan goes to a new connection")
		require.False(t, raw(a).isClosed())
		require.NotNil(t, a.NetConn())
		a.Release()
		require.True(t, raw(a).isClosed())
		require.EqualValues(t, 1, p.Stats().Retired[ReasonSessionEnded])
		ss.all[1].broken.Store(true)
		b.Release()
		require.EqualValues(t, 2, p.Stats().Retired[ReasonSessionEnded])
		requireConserved(t, p.Stats())
	})
}

func TestConnectionPoolIdleSessionThatEndedIsNotLent(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		ss.all[0].broken.Store(true)
		require.False(t, tryLend(p, now(p), 0).Lent())
		require.EqualValues(t, 1, p.Stats().Retired[ReasonSessionEnded])
		c := lend(t, p)
		require.EqualValues(t, 2, c.ID())
		c.Release()
		ss.all[1].room.Store(0)
		p.SessionChanged()
		synctest.Wait()
		require.EqualValues(t, 2, p.Stats().Retired[ReasonSessionEnded], "and goes at once when the pool is told")
		lend(t, p).Release()
		p.clk.Sleep(defaultIdleTimeout + time.Second)
		require.EqualValues(t, 1, p.Stats().Retired[ReasonIdleTimeout])
	})
}

func TestConnectionPoolSessionThatGrowsServesTheLine(t *testing.T) {
	ss := &sessions{n: 1}
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		first := lend(t, p)
		got := make(chan Conn, 2)
		for range 2 {
			go func() { got <- lend(t, p) }()
		}
		synctest.Wait()
		require.Equal(t, 2, p.Stats().Waiting)
		ss.all[0].room.Store(3) // SETTINGS
		p.SessionChanged()
		p.SessionChanged()
		synctest.Wait()
		require.Zero(t, p.Stats().Waiting)
		ReleaseAll([]Conn{first, <-got, <-got})
	})
}

func TestConnectionPoolDiscardOfOneLoanLeavesTheOthersOfItsSession(t *testing.T) {
	ss := &sessions{n: 3}
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		a.Discard(ReasonProtocol)
		require.False(t, raw(b).isClosed())
		require.False(t, tryLend(p, now(p), 0).Lent(), "but it takes no more")
		b.Release()
		require.True(t, raw(b).isClosed())
		require.EqualValues(t, 1, p.Stats().Retired[ReasonProtocol])
	})
}

func TestConnectionPoolBatchMayBeServedByOneSession(t *testing.T) {
	ss := &sessions{n: 5}
	inBubble(t, Config{MaxConnections: 8, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := getN(t, p, 7)
		require.Equal(t, 2, f.dials, "five on the first, two on another")
		require.Equal(t, 7, p.Stats().Loans)
		p.Retire()
		ReleaseAll(conns)
		require.EqualValues(t, 2, p.Stats().Retired[ReasonOutdated])
	})
}

func TestConnectionPoolSetupThatFailsIsTheWaitersErrorAndKeepsNoSlot(t *testing.T) {
	errAuth := errors.New("password is wrong")
	for name, c := range map[string]struct {
		setUp func(context.Context, net.Conn) (Session, error)
		want  string
		is    error
	}{
		"fails":  {func(context.Context, net.Conn) (Session, error) { return nil, errAuth }, "password is wrong", errAuth},
		"panics": {func(context.Context, net.Conn) (Session, error) { panic("oh") }, "panic in Setup: oh", nil},
		"hangs": {func(ctx context.Context, _ net.Conn) (Session, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "context deadline exceeded", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{MaxConnections: 1, Setup: c.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
				for range 2 {
					p.Retry()
					_, err := p.Lend(t.Context())
					var failed *DialError
					require.ErrorAs(t, err, &failed)
					require.True(t, failed.Setup)
					require.EqualError(t, err, "pool 10.0.0.1:80: set-up of 10.0.0.1:80: "+c.want)
					if c.is != nil {
						require.ErrorIs(t, err, c.is)
					}
				}
				require.Zero(t, f.open(), "closed")
				s := p.Stats()
				require.EqualValues(t, 2, s.Retired[ReasonSetupFailed])
				require.Zero(t, s.Lent+s.Idle+s.Dialling)
				requireConserved(t, s)
			})
		})
	}
}

func TestConnectionPoolConnectionInSetupCountsAsLentAndEndsWithThePool(t *testing.T) {
	hang := func(ctx context.Context, _ net.Conn) (Session, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inBubble(t, Config{MaxConnections: 3, Setup: hang}, func(t *testing.T, p *Pool, f *fakeNet) {
		failed := make(chan error)
		go func() {
			_, err := p.Lend(t.Context())
			failed <- err
		}()
		p.clk.Sleep(time.Second)
		s := p.Stats()
		require.Equal(t, []int{1, 0, 0, 1}, []int{s.Lent, s.Loans, s.Dialling, s.Waiting})
		require.Equal(t, 1, f.dials, "what is in set-up counts as under way")
		begun := now(p)
		go p.Close()
		require.ErrorIs(t, <-failed, ErrClosed)
		p.Close()
		require.Equal(t, begun, now(p), "without waiting for the timeout")
	})
}

// sealed stands for a *tls.Conn: a connection over the dialled one, which it closes.
type sealed struct{ *fakeConn }

func TestConnectionPoolExclusiveSetupPutsItsConnectionInPlaceOfTheDialledOne(t *testing.T) {
	setUp := func(_ context.Context, nc net.Conn) (Session, error) {
		return Exclusive(&sealed{nc.(*fakeConn)}), nil
	}
	inBubble(t, Config{MaxConnections: 2, Setup: setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		require.NoError(t, p.WarmUp(t.Context(), 1))
		f.dialled[0].peerSends(3) // a session ticket: no reason to part
		p.clk.Sleep(time.Second)
		c := lend(t, p)
		require.EqualValues(t, 1, c.ID())
		require.IsType(t, &sealed{}, c.NetConn())
		require.Nil(t, c.Session())
		f.dialled[0].peerSends(0) // read with the first answer
		c.Release()
		p.clk.Sleep(time.Second)
		c = lend(t, p)
		require.EqualValues(t, 1, c.ID())
		c.Release()
		f.dialled[0].peerSends(3)
		p.clk.Sleep(time.Second)
		c = lend(t, p)
		require.EqualValues(t, 2, c.ID(), "after the first loan it may be an answer to nothing")
		c.Release()
		f.dialled[1].peerCloses()
		p.clk.Sleep(time.Second)
		c = lend(t, p)
		require.EqualValues(t, 3, c.ID(), "the end of the connection below is seen")
		c.Release()
	})
}

func TestConnectionPoolFreshMayGetASessionOfItsOwn(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{MaxConnections: 2, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		a := lend(t, p)
		b, err := p.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.NotEqual(t, a.ID(), b.ID())
		c, d := lend(t, p), lend(t, p)
		require.Equal(t, []uint64{a.ID(), b.ID()}, []uint64{c.ID(), d.ID()}, "the oldest with room first")
		require.Len(t, p.Holders(), 4)
		ReleaseAll([]Conn{a, b, c, d})
	})
}

// hooked is a session that calls a hook while it is being closed.
type hooked struct {
	*fakeSession
	closing func()
}

func (s *hooked) Close() error {
	s.closing()
	return s.fakeSession.Close()
}

func TestConnectionPoolSessionThatIsBeingClosedIsNobodyElsesToRetire(t *testing.T) {
	var p *Pool
	var once sync.Once
	setUp := func(_ context.Context, nc net.Conn) (Session, error) {
		s := &hooked{&fakeSession{nc: nc}, func() { once.Do(p.Retire) }}
		s.room.Store(2)
		return s, nil
	}
	inBubble(t, Config{Setup: setUp, MaxLifetime: time.Second}, func(t *testing.T, made *Pool, f *fakeNet) {
		p = made
		c := lend(t, p)
		p.clk.Sleep(time.Minute)
		c.Release() // past its lifetime; meanwhile all idle ones are retired
		s := p.Stats()
		require.EqualValues(t, 1, s.RetiredTotal())
		require.EqualValues(t, 1, s.Retired[ReasonMaxLifetime])
		requireConserved(t, s)
	})
}

// The line counts on a session's place, and finds that the session has ended, when nothing else is under way.
func TestConnectionPoolLineDialsWhenTheSessionThatItCountedOnHasEnded(t *testing.T) {
	ss := &sessions{n: 2}
	cfg := Config{MaxConnections: 2, Setup: ss.setUp, MaxLifetime: 100 * time.Millisecond, LifetimeSpread: -1, Judge: func(error) {}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p) // its session ends 100 ms from now
		f.setFail(true)
		p.clk.Sleep(95 * time.Millisecond)
		failed := make(chan error)
		go func() {
			_, err := p.GetN(t.Context(), 0, 2) // one place is there, for the other there is a dial
			failed <- err
		}()
		synctest.Wait()
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		p.clk.Sleep(6 * time.Millisecond)
		f.setFail(false)
		begun := now(p)
		require.ErrorIs(t, <-failed, errRefused)
		c := <-got
		require.Equal(t, 14*time.Millisecond, now(p).Sub(begun), "by a dial that began when that one had failed")
		c.Release()
		held.Release()
	})
}
