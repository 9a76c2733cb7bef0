package pool

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionPoolNothingIsToldAfterACloseThatCameInBetween(t *testing.T) {
	for _, fail := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(10 * time.Millisecond)
			f.fail = fail
			var closed, late atomic.Bool
			tell := func() {
				time.Sleep(time.Millisecond) // stands for a goroutine that is not scheduled for a moment
				if closed.Load() {
					late.Store(true)
				}
			}
			p, err := New(Config{Address: "a:1", Dialer: f, Observer: func(Event) { tell() }, Judge: func(error) { tell() }, OnReady: tell})
			require.NoError(t, err)
			p.Want(1)
			time.Sleep(11*time.Millisecond + 500*time.Microsecond)
			p.Close()
			closed.Store(true)
			time.Sleep(time.Second)
			require.False(t, late.Load(), "a goroutine of the pool calls back after Close has returned (dial fails: %v)", fail)
		})
	}
}

func TestConnectionPoolOuterQueueHearsOfTheRoomOnAFreshSession(t *testing.T) {
	ss := &sessions{n: 3}
	var ready atomic.Int32
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		fresh := make(chan Conn, 1)
		go func() {
			c, _ := p.Fresh(context.Background(), 0)
			fresh <- c
		}()
		synctest.Wait()
		require.Zero(t, p.Cover(1), "an outer queue is refused a dial, and waits for OnReady")
		ready.Store(0)
		time.Sleep(time.Second)
		heard := ready.Load()
		c, ok := p.TryLend(now(p), 0)
		require.True(t, ok)
		c.Release()
		(<-fresh).Release()
		require.NotZero(t, heard)
	})
}

func TestConnectionPoolLifetimeShorterThanSetUpIsNotDialledForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		setUp := func(context.Context, net.Conn) (Session, error) { time.Sleep(30 * time.Millisecond); return nil, nil }
		p, err := New(Config{Address: "a:1", Dialer: f, Setup: setUp, MaxLifetime: 20 * time.Millisecond})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := p.Lend(ctx)
		if err == nil {
			c.Release()
		}
		p.Close()
		require.NoError(t, err, "dials: %d", f.soFar())
	})
}
