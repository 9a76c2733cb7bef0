package pool

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// rest returns connections that have been idle since so long before each other: the first one for longest.
func rest(t *testing.T, p *Pool, n int, apart time.Duration) []Conn {
	t.Helper()
	conns := make([]Conn, n)
	for i := range conns {
		conns[i] = lend(t, p)
	}
	for _, c := range conns {
		c.Release()
		p.clk.Sleep(apart)
	}
	return conns
}

func TestConnectionPoolRetiresConnectionsBeforeThePeerDoesAsItWasTold(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		old, young := lend(t, p), lend(t, p)
		old.Release()
		p.clk.Sleep(time.Second)
		require.Zero(t, p.Stats().LearnedIdleTimeout)
		young.PeerIdleTimeout(5 * time.Second)
		require.Equal(t, 4*time.Second, p.Stats().LearnedIdleTimeout)
		young.Release()
		p.clk.Sleep(3*time.Second - 1)
		require.Equal(t, 2, p.Stats().Idle)
		p.clk.Sleep(1)
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Idle, "also one that was idle before the word came")
		p.clk.Sleep(time.Second)
		synctest.Wait()
		s := p.Stats()
		require.Zero(t, s.Idle)
		require.Equal(t, uint64(2), s.Retired[ReasonPeerIdleTimeout])
	})
}

func TestConnectionPoolHeedsTheNewestWordOnThePeersIdleTimeout(t *testing.T) {
	inBubble(t, Config{IdleTimeout: 10 * time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		c.PeerIdleTimeout(5 * time.Second)
		c.PeerIdleTimeout(75 * time.Second)
		require.Zero(t, p.Stats().LearnedIdleTimeout, "longer than the pool's own: it does not matter")
		c.PeerIdleTimeout(time.Second)
		c.PeerIdleTimeout(0)
		c.Release()
		p.clk.Sleep(10*time.Second - 1)
		require.Equal(t, 1, p.Stats().Idle)
		p.clk.Sleep(1)
		synctest.Wait()
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonIdleTimeout])
	})
}

// keepsIdle is a round of use of a peer that closes connections idle for so long: one loan, then a pause.
func keepsIdle(t *testing.T, p *Pool, timeout, pause time.Duration) {
	c := lend(t, p)
	p.clk.Sleep(10 * time.Millisecond)
	closes := raw(c).peerCloses
	c.Release()
	timer := p.clk.AfterFunc(timeout, closes)
	p.clk.Sleep(pause)
	timer.Stop()
}

func TestConnectionPoolLearnsAnUntoldIdleTimeoutAndIsNotSurprisedByItAnyMore(t *testing.T) {
	for _, timeout := range []time.Duration{5 * time.Second, 12 * time.Second, 20 * time.Second} {
		inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
			rounds := 0
			learned := func() time.Duration { return p.Stats().LearnedIdleTimeout }
			for ; learned() == 0 || learned() >= timeout; rounds++ {
				keepsIdle(t, p, timeout, 25*time.Second)
				require.Less(t, rounds, 25)
			}
			require.GreaterOrEqual(t, learned(), timeout*8/10)
			t.Logf("timeout %v: learned %v after %d rounds", timeout, learned(), rounds)
			found := p.Stats().Retired[ReasonPeerClosed]
			for range 20 {
				keepsIdle(t, p, timeout, 25*time.Second)
			}
			s := p.Stats()
			require.LessOrEqual(t, s.LearnedIdleTimeout, timeout*95/100)
			require.Equal(t, found, s.Retired[ReasonPeerClosed])
			require.GreaterOrEqual(t, s.Retired[ReasonPeerIdleTimeout], uint64(20))
		})
	}
}

func TestConnectionPoolForgetsALearnedIdleTimeoutSoThatAChangedPeerIsNoticed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		for range 12 {
			keepsIdle(t, p, 5*time.Second, 25*time.Second)
		}
		require.NotZero(t, p.Stats().LearnedIdleTimeout)
		for range 25 { // it keeps them for ever now
			keepsIdle(t, p, time.Hour, 25*time.Second)
		}
		require.Zero(t, p.Stats().LearnedIdleTimeout)
		c := lend(t, p)
		c.Release()
		p.clk.Sleep(29 * time.Second)
		require.Equal(t, c.loan.link.id, lend(t, p).ID(), "lent again after a rest that was too long before")
		giveBack(c)
	})
}

func TestConnectionPoolLearnsNothingFromARestartOfThePeer(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		rest(t, p, 20, 500*time.Millisecond)
		for _, c := range f.dialled {
			c.peerCloses()
		}
		for range 10 { // they are found one after the other, beneath those that are new
			p.clk.Sleep(time.Second)
			p.lock()
			k := p.popOldestLocked()
			p.unlock()
			p.lastLook(k, p.now(), ReasonIdleTimeout)
			p.drop(k, p.now(), ReasonIdleTimeout)
		}
		lend(t, p).Release()
		require.Zero(t, p.Stats().LearnedIdleTimeout)
	})
}

func TestConnectionPoolLearnsNothingFromHowThePeerTreatsConnectionsNeverUsed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		for range 10 {
			p.Want(1)
			p.clk.Sleep(20 * time.Second)
			synctest.Wait()
			f.dialled[len(f.dialled)-1].peerCloses()
			require.False(t, tryLend(p, now(p), 0).Lent())
		}
		require.Equal(t, uint64(10), p.Stats().Retired[ReasonPeerClosed])
		require.Zero(t, p.Stats().LearnedIdleTimeout)
	})
}

func TestConnectionPoolSuspectsThoseThatWereIdleLongerThanABrokenOne(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3, ValidateAfter: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 3, 10*time.Second/3)
		broken := lend(t, p)
		require.Equal(t, conns[2].loan, broken.loan)
		broken.Discard(ReasonBroken)
		fresh := lend(t, p)
		require.False(t, fresh.Reused())
		s := p.Stats()
		require.Equal(t, uint64(2), s.Retired[ReasonSuspect])
		require.Equal(t, uint64(1), s.Retired[ReasonBroken])
		fresh.Release()
		p.clk.Sleep(time.Second)
		require.Equal(t, fresh.loan, lend(t, p).loan, "it came later, and nobody suspects it")
		giveBack(fresh)
	})
}

func TestConnectionPoolLooksAtThoseThatWereIdleForLessThanABrokenOne(t *testing.T) {
	inBubble(t, Config{Order: OrderFIFO, ValidateAfter: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 4, time.Millisecond)
		lent := lend(t, p)
		require.Equal(t, conns[0].loan, lent.loan)
		broken := lend(t, p)
		raw(conns[2]).peerCloses()
		broken.Discard(ReasonBroken)
		lent.Release() // it has proved itself: nobody's suspect
		raw(lent).peerCloses()
		require.Equal(t, conns[3].loan, lend(t, p).loan, "the dead one is found, though looks are off")
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonPeerClosed])
		require.Equal(t, lent.loan, lend(t, p).loan, "and this one is not even looked at")
		require.Zero(t, p.Stats().Retired[ReasonSuspect])
		giveBack(lent)
		giveBack(conns[3])
	})
}

func TestConnectionPoolSuspectsNobodyForWhatSaysNothingAboutTheOthers(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		idle, fresh := lend(t, p), lend(t, p)
		idle.Release()
		p.clk.Sleep(50 * time.Millisecond)
		fresh.Discard(ReasonBroken) // straight from its dial
		for _, why := range []Reason{ReasonUnanswered, ReasonProtocol, ReasonAborted, ReasonNotReusable} {
			first := lend(t, p)
			lend(t, p).Release()
			p.clk.Sleep(5 * time.Millisecond)
			lend(t, p).Discard(why) // that one, after its rest
			first.Release()
		}
		p.Want(1)
		p.clk.Sleep(10*time.Millisecond + restAfter/2)
		lend(t, p).Discard(ReasonBroken) // nearly so
		handed := lend(t, p)
		require.NoError(t, p.Resize(1))
		go func() { p.clk.Sleep(time.Second); handed.Release() }()
		lend(t, p).Discard(ReasonBroken) // straight from another borrower
		require.Equal(t, suspicion{}, p.suspicion)
	})
}

func TestConnectionPoolAResetFoundByALookMakesTheOlderOnesSuspects(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 3, time.Second)
		raw(conns[2]).peerResets()
		fresh := lend(t, p)
		require.False(t, fresh.Reused())
		s := p.Stats()
		require.Equal(t, uint64(1), s.Retired[ReasonPeerClosed])
		require.Equal(t, uint64(2), s.Retired[ReasonSuspect])
		fresh.Release()
	})
}

func TestConnectionPoolACloseFoundByALookOnlyHasTheOthersLookedAt(t *testing.T) {
	var looked []net.Conn
	cfg := Config{Order: OrderFIFO, ValidateAfter: time.Second, Validate: func(nc net.Conn) error {
		looked = append(looked, nc)
		return nc.(*fakeConn).peer
	}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 3, 400*time.Millisecond)
		raw(conns[0]).peerCloses()
		one, two := lend(t, p), lend(t, p)
		require.Equal(t, conns[1].loan, one.loan)
		require.Equal(t, []net.Conn{raw(conns[0]), one.NetConn(), two.NetConn()}, looked)
		require.Zero(t, p.Stats().Retired[ReasonSuspect])
		one.Release()
		require.Equal(t, one.loan, lend(t, p).loan)
		require.Len(t, looked, 3, "one look for one finding")
		giveBack(one)
		two.Release()
	})
}

func TestConnectionPoolClosedDuringAValidationKeepsNothing(t *testing.T) {
	looks := 0
	var p *Pool
	var closed chan struct{}
	validate := func(net.Conn) error {
		if looks++; looks > 1 {
			return nil
		}
		go func() { p.Close(); close(closed) }()
		synctest.Wait()
		return io.EOF
	}
	inBubble(t, Config{ValidateAfter: 1, Validate: validate}, func(t *testing.T, pool *Pool, f *fakeNet) {
		p, closed = pool, make(chan struct{})
		rest(t, p, 2, time.Second)
		_, err := p.GetN(t.Context(), 0, 2)
		require.ErrorIs(t, err, ErrClosed)
		<-closed
	})
}

func TestConnectionPoolSaysWhichSettingsOfSoundnessAreWrong(t *testing.T) {
	_, err := New(Config{Address: "a:1", PingAfter: -1, PingTimeout: -1, UserTimeout: -1})
	for _, want := range []string{"PingAfter", "PingTimeout", "UserTimeout"} {
		require.ErrorContains(t, err, want)
	}
}

// dialsTo is a dialer that always has the same connection.
type dialsTo struct{ nc net.Conn }

func (d dialsTo) DialContext(context.Context, string, string) (net.Conn, error) { return d.nc, nil }

func TestConnectionPoolADialFailsWhenItsTCPSettingsAreRefused(t *testing.T) {
	inBubble(t, Config{KeepAlive: net.KeepAliveConfig{Enable: true}}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := &tunedConn{err: errRefused}
		p.cfg.Dialer = dialsTo{c}
		_, err := p.Lend(t.Context())
		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, "setting keep-alive")
		require.True(t, c.isClosed())
		require.Equal(t, uint64(1), p.Stats().DialFailed)
	})
}

func TestConnectionPoolTakesNoBlindLookForAGoodOne(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		now := 10 * time.Second
		k := &link{pool: p, nc: new(fakeConn), ends: never, uses: 1}
		require.NoError(t, p.lookAt(k, now))
		require.Zero(t, p.learn.longestGood(now), "it cannot be looked at")
		k.look.init(&fakeConn{unread: 3})
		k.look.through = true
		require.NoError(t, p.lookAt(k, now))
		require.Zero(t, p.learn.longestGood(now), "behind those bytes may be the end")
		k.look.init(new(fakeConn))
		require.NoError(t, p.lookAt(k, now))
		require.Equal(t, now, p.learn.longestGood(now))
	})
}
