package netsim

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheWayThereAndTheWayBackMayDifferInLatency(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetLinkOneWay("client", "server", Link{Latency: 7 * ms})
		x.write(x.a, "x")
		x.took(7*ms, func() { x.read(x.b, "x") })
		x.write(x.b, "x")
		x.took(ms, func() { x.read(x.a, "x") })
		x.SetLinkOneWay("10.0.0.2", "*", Link{Latency: 30 * ms})
		x.write(x.b, "x")
		x.took(30*ms, func() { x.read(x.a, "x") })
		x.took(37*ms, func() {
			_, err := x.dial()
			require.NoError(t, err)
		})
	})
}

func TestTheWayThereAndTheWayBackMayDifferInBandwidth(t *testing.T) {
	inLab(t, Config{RecvBuffer: 1 << 20, SendBuffer: 1 << 20}, func(x *lab) {
		x.SetLink("client", "server", Link{Bandwidth: 1_000_000}) // down
		x.SetLinkOneWay("client", "server", Link{Bandwidth: 100_000})
		transfer := func(from, to *Conn) {
			_, err := from.Write(make([]byte, 200_000))
			require.NoError(t, err)
			_, err = io.ReadFull(to, make([]byte, 200_000))
			require.NoError(t, err)
		}
		x.took(2*time.Second, func() { transfer(x.a, x.b) })
		x.took(200*ms, func() { transfer(x.b, x.a) })
	})
}

func TestTheWayThereAndTheWayBackMayDifferInLoss(t *testing.T) {
	inLab(t, Config{Seed: 4}, func(x *lab) {
		x.SetLinkOneWay("client", "server", Link{Latency: ms, Loss: 0.5})
		slow := func(from, to *Conn) (n int) {
			for range 100 {
				start := x.Elapsed()
				x.write(from, "x")
				x.read(to, "x")
				if x.Elapsed()-start > 100*ms {
					n++
				}
			}
			return n
		}
		require.InDelta(t, 50, slow(x.a, x.b), 15)
		require.Zero(t, slow(x.b, x.a), "nothing is lost on the way back")
	})
}

func TestTheLastDescriptionOfALinkHoldsInWhicheverWayItWasSet(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		latencies := func() (there, back time.Duration) {
			x.mu.Lock()
			defer x.mu.Unlock()
			l, _ := x.linkOf(x.client, x.server)
			r, _ := x.linkOf(x.server, x.client)
			return l.Latency, r.Latency
		}
		want := func(there, back time.Duration) {
			t.Helper()
			l, r := latencies()
			require.Equal(t, [2]time.Duration{there, back}, [2]time.Duration{l, r})
		}
		want(ms, ms)
		x.SetLinkOneWay("client", "server", Link{Latency: 2})
		want(2, ms)
		x.SetLinkOneWay("server", "client", Link{Latency: 3})
		want(2, 3)
		x.SetLink("server", "client", Link{Latency: 4})
		want(4, 4)
		x.SetLinkOneWay("*", "client", Link{Latency: 5})
		want(4, 5)
		x.SetLink("client", "*", Link{Latency: 6})
		want(6, 6)
		for range 100 {
			x.SetLink("client", "server", Link{Latency: 7})
			x.SetLinkOneWay("server", "client", Link{Latency: 8})
			x.SetLinkOneWay("client", "server", Link{Latency: 9})
		}
		want(9, 8)
		x.mu.Lock()
		defer x.mu.Unlock()
		require.Len(t, x.links, 4, "what is hidden for good is forgotten")
	})
}

func TestLinksRefuseNonsense(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	for _, good := range []Link{{}, {Loss: 1}, {Bandwidth: 1, Queue: 1}, {Bandwidth: 1, Sharing: ShareByLink},
		{Jitter: 1}, {Delay: ConstantDelay(1)}} {
		require.NotPanics(t, func() { s.SetLink("a", "b", good) })
		require.NotPanics(t, func() { s.SetLinkOneWay("a", "b", good) })
	}
	for _, bad := range []Link{{Latency: -1}, {Jitter: -1}, {Bandwidth: -1}, {Loss: -0.1}, {Loss: 1.1},
		{Bandwidth: 1, Queue: -1}, {Queue: 1}, {Sharing: ShareByHosts}, {Bandwidth: 1, Sharing: ShareByLink + 1},
		{Jitter: 1, Delay: ConstantDelay(1)}} {
		require.Panics(t, func() { s.SetLink("a", "b", bad) }, bad)
		require.Panics(t, func() { s.SetLinkOneWay("a", "b", bad) }, bad)
	}
}
