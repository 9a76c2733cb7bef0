package pool

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

func TestConnectionPoolDialTimeoutFollowsTheDialsAndABackendThatBecameSlowerIsReachedAgain(t *testing.T) {
	cfg := Config{Judge: func(error) {}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		require.Equal(t, 5*time.Second, p.DialTimeout())
		p.Want(10)
		p.clk.Sleep(time.Second)
		require.Equal(t, 1500*time.Millisecond, p.Stats().DialTimeout)
		p.Retire()
		f.setDelay(4 * time.Second)
		begun := now(p)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1500*time.Millisecond, now(p).Sub(begun))
		require.Equal(t, 5*time.Second, p.DialTimeout())
		lend(t, p).Release()
		require.Equal(t, 5500*time.Millisecond, now(p).Sub(begun))
	})
	inBubble(t, Config{MinDialTimeout: -1, DialTimeout: time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Want(10)
		p.clk.Sleep(time.Second)
		require.Equal(t, time.Second, p.DialTimeout(), "switched off")
	})
	inBubble(t, Config{DialTimeout: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Want(10)
		p.clk.Sleep(time.Second)
		require.Zero(t, p.DialTimeout(), "no limit")
	})
}

func TestConnectionPoolGivesUpADialerThatDoesNotReturn(t *testing.T) {
	var reported error
	cfg := Config{
		DialTimeout: 2 * time.Second, Judge: func(error) {},
		Observer: func(e Event) { reported = e.Err },
	}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		f.deaf = true
		f.setDelay(time.Minute)
		begun := now(p)
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errNotReturned)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "did not return within 1s")
		require.ErrorIs(t, reported, errNotReturned)
		require.Equal(t, 3*time.Second, now(p).Sub(begun))
		s := p.Stats()
		require.Equal(t, []int{0, 1, 50}, []int{s.Dialling, s.Abandoned, 50 - s.Lent - s.Idle})
		requireConserved(t, s)
		p.clk.Sleep(time.Minute)
		require.Zero(t, p.Stats().Abandoned)
		require.Len(t, f.dialled, 1)
		require.True(t, f.dialled[0].isClosed(), "too late")
		f.deaf = false
		f.setDelay(time.Millisecond)
		lend(t, p).Release()
	})
}

func TestConnectionPoolNeverHasMoreDialersThatDoNotReturnThanMaxDials(t *testing.T) {
	cfg := Config{DialTimeout: time.Second, MaxDials: 3, Judge: func(error) {}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		f.deaf = true
		f.setDelay(time.Hour)
		for range 100 {
			ctx, cancel := p.clk.WithTimeout(t.Context(), 5*time.Second)
			_, err := p.Lend(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		s := p.Stats()
		require.Equal(t, []int{0, 3}, []int{s.Dialling, s.Abandoned})
		require.Zero(t, p.Free())
		_, most := f.count()
		require.Equal(t, 3, most)
		got := make(chan Conn)
		f.deaf = false
		f.setDelay(10 * time.Millisecond)
		go func() { got <- lend(t, p) }()
		p.clk.Sleep(10 * time.Minute)
		require.Equal(t, 1, p.Stats().Waiting)
		c := <-got // when the first of them has returned
		require.Less(t, now(p).Sub(p.epoch), 61*time.Minute)
		c.Release()
		p.clk.Sleep(time.Hour)
		require.Zero(t, p.Stats().Abandoned)
	})
}

func TestConnectionPoolFreshEndsThoughTheDialerDoesNotReturn(t *testing.T) {
	inBubble(t, Config{DialTimeout: time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.deaf = true
		f.setDelay(time.Minute)
		begun := now(p)
		_, err := p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, errNotReturned)
		require.Equal(t, 2*time.Second, now(p).Sub(begun))
		require.True(t, p.Stats().Down)
		p.clk.Sleep(time.Minute)
	})
}

func TestConnectionPoolCloseWaitsForADialerOnlyUntilItIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(time.Hour)
		f.deaf = true
		p, err := New(Config{Address: "a:1", Dialer: f, DialTimeout: time.Second})
		require.NoError(t, err)
		require.Equal(t, 2, p.Want(2))
		failed := make(chan error)
		go func() {
			_, err := p.Fresh(t.Context(), 0)
			failed <- err
		}()
		p.clk.Sleep(500 * time.Millisecond)
		begun := now(p)
		closed := make(chan struct{})
		go func() {
			p.Close()
			close(closed)
		}()
		require.ErrorIs(t, <-failed, ErrClosed)
		<-closed
		require.Equal(t, 1500*time.Millisecond, now(p).Sub(begun))
		s := p.Stats()
		requireConserved(t, s)
		require.Equal(t, 3, s.Abandoned)
		p.clk.Sleep(time.Hour)
		require.Zero(t, p.Stats().Abandoned)
		require.Zero(t, f.open())
	})
}

func TestConnectionPoolWithoutADialTimeoutNeverGivesADialerUp(t *testing.T) {
	inBubble(t, Config{DialTimeout: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.deaf = true
		f.setDelay(24 * time.Hour)
		begun := now(p)
		lend(t, p).Release()
		require.Equal(t, 24*time.Hour, now(p).Sub(begun))
	})
}

// pipes is a dialer of connections that have deadlines.
type pipes struct{ far []net.Conn }

func (d *pipes) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	d.far = append(d.far, far)
	return near, nil
}

func TestConnectionPoolGivesUpASetupThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs, closedLate atomic.Bool
		hangs.Store(true)
		var p *Pool
		setup := func(context.Context, net.Conn) (Session, error) {
			if !hangs.Load() {
				return nil, nil
			}
			p.clk.Sleep(time.Minute)
			return lateSession{&closedLate}, nil
		}
		d := new(pipes)
		var err error
		p, err = New(Config{Address: "a:1", Dialer: d, DialTimeout: 2 * time.Second, Judge: func(error) {}, Setup: setup})
		require.NoError(t, err)
		begun := now(p)
		_, err = p.Lend(t.Context())
		var dial *DialError
		require.ErrorAs(t, err, &dial)
		require.True(t, dial.Setup)
		require.ErrorIs(t, err, errNotReturned)
		require.Equal(t, 3*time.Second, now(p).Sub(begun))
		_, err = d.far[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "its connection is closed")
		s := p.Stats()
		require.Equal(t, []int{0, 0, 1}, []int{s.Lent, s.Dialling, s.Abandoned})
		require.EqualValues(t, 1, s.Retired[ReasonSetupFailed])
		requireConserved(t, s)
		hangs.Store(false)
		lend(t, p).Release()
		p.clk.Sleep(time.Minute)
		require.Zero(t, p.Stats().Abandoned)
		require.True(t, closedLate.Load(), "what came too late")
		p.Close()
	})
}

type lateSession struct{ closed *atomic.Bool }

func (lateSession) Available() int { return 1 }
func (lateSession) Err() error     { return nil }
func (s lateSession) Close() error { s.closed.Store(true); return nil }

// sleepy is a dialer that takes no notice of its context.
type sleepy struct {
	clk  clock.Clock
	nap  time.Duration
	made []*fakeConn
}

func (s *sleepy) DialContext(context.Context, string, string) (net.Conn, error) {
	s.clk.Sleep(s.nap)
	c := &fakeConn{}
	s.made = append(s.made, c)
	return c, nil
}

func TestConnectionPoolFreshEndsWithItsContextAndLeavesItsConnectionToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialer := &sleepy{clk: clock.New(), nap: 3 * time.Second}
		p, err := New(Config{Address: "a:1", Dialer: dialer})
		require.NoError(t, err)
		ctx, cancel := p.clk.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := now(p)
		_, err = p.Fresh(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, now(p).Sub(begun))
		require.Equal(t, 1, p.Stats().Dialling)
		p.clk.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Idle)
		c := lend(t, p)
		require.Same(t, dialer.made[0], raw(c))
		require.EqualValues(t, 1, c.Uses())
		c.Release()
		p.Close()
	})
}
