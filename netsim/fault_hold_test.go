package netsim

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClogHoldsEverythingAndLetsItGoInOrder(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		c, d := x.connect()
		fault := x.Clog("client", "server")
		for _, word := range []string{"one ", "two ", "three"} {
			x.write(x.a, word)
			x.sleep(10 * ms)
		}
		x.write(x.b, "the other way")
		require.NoError(t, x.a.CloseWrite())
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		dialled := x.later(func() {
			_, err := x.dial()
			require.NoError(t, err)
		})
		x.sleep(10*time.Second + 300*ms) // between two retransmissions
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		at := x.Elapsed()
		fault.Stop()
		x.took(ms, func() { x.read(x.b, "one two three") })
		x.readError(x.b, io.EOF)
		x.readError(d, syscall.ECONNRESET)
		x.read(x.a, "the other way")
		require.InDelta(t, at+2*ms, dialled(), float64(10*time.Microsecond))
		require.True(t, slices.ContainsFunc(x.Trace().Events, func(e Event) bool { return e.Kind == "hold" }))
	})
}

func TestAClogThatBeginsUnderWayHoldsTheAcknowledgement(t *testing.T) {
	inLab(t, Config{SendBuffer: 10}, func(x *lab) {
		x.write(x.a, "0123456789")
		fault := x.Clog("client", "server") // the bytes are under way, their acknowledgement will not be
		x.sleep(5 * ms)
		x.read(x.b, "0123456789")
		x.Clock().AfterFunc(700*ms, fault.Stop)
		x.took(701*ms, func() { x.write(x.a, "x") })
	})
}

func TestAClogThatStaysIsTheEndOfConnectionsAndDials(t *testing.T) {
	inLab(t, Config{UserTimeout: 30 * time.Second, SYNRetries: 3}, func(x *lab) {
		fault := x.Clog("*", "server")
		x.write(x.a, "x")
		_, err := x.dial()
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		x.readError(x.a, syscall.ETIMEDOUT)
		fault.Stop()
		x.connect()
	})
}

func TestTwoClogsLetGoOnlyTogether(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		one, two := x.Clog("client", "*"), x.Clog("*", "server")
		x.write(x.a, "x")
		one.Stop()
		x.sleep(50 * ms)
		n, _ := x.b.Peek(make([]byte, 1))
		require.Zero(t, n)
		two.Stop()
		x.took(ms, func() { x.read(x.b, "x") })
	})
}

func TestARuleOfTheCallersOwnCanHold(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		rule := x.AddRule("hold", func(p Packet) Verdict {
			if p.Kind == PacketData && p.Age > 0 {
				return Verdict{Action: Hold}
			}
			return Verdict{}
		})
		x.write(x.a, "x")
		x.Clock().AfterFunc(100*ms, rule.Stop)
		x.took(101*ms, func() { x.read(x.b, "x") })
	})
}

// swizzled gives the steps of a swizzle of three hosts: when and what.
func swizzled(t *testing.T, seed uint64) (steps []string) {
	res := Run(Config{Seed: seed, KeepTrace: true}, func(s *Sim) {
		for i := range 3 {
			s.Host(fmt.Sprint("h", i), "")
		}
		s.Swizzle([]string{"h0", "h1", "h2"}, time.Second, time.Minute)
		s.Clock().Sleep(time.Hour)
	})
	require.NoError(t, res.Err)
	at := []time.Duration{0, time.Second, 2 * time.Second, 62 * time.Second, 63 * time.Second, 64 * time.Second}
	for _, e := range res.Trace.Events {
		if e.Kind == "clogs" || e.Kind == "restores" {
			require.InDelta(t, at[len(steps)], e.At, 2000)
			steps = append(steps, e.Kind+" "+e.Detail)
		}
	}
	require.Equal(t, "fault-ends", res.Trace.Events[len(res.Trace.Events)-1].Kind)
	require.Len(t, steps, 6)
	return steps
}

func TestASwizzleClogsInOneOrderAndRestoresInAnother(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(20) {
		steps := swizzled(t, seed)
		require.Equal(t, steps, swizzled(t, seed))
		var out, back []string
		for _, s := range steps[:3] {
			out = append(out, strings.TrimPrefix(s, "clogs "))
		}
		for _, s := range steps[3:] {
			back = append(back, strings.TrimPrefix(s, "restores "))
		}
		require.ElementsMatch(t, []string{"h0", "h1", "h2"}, out)
		require.ElementsMatch(t, out, back)
		require.NotEqual(t, out, back)
		orders[strings.Join(steps, ",")] = true
	}
	require.Greater(t, len(orders), 8, "the seed decides")
}

func TestASwizzleLosesNothing(t *testing.T) {
	run := func(stop time.Duration) func(s *Sim) {
		return func(s *Sim) {
			var wg, servers sync.WaitGroup
			l := echoServer(s.Host("server", "10.0.0.1"), &servers)
			hosts := []string{"server"}
			for i := range 4 {
				h := s.Host(fmt.Sprint("c", i), "")
				hosts = append(hosts, h.Name())
				start(s.Clock(), &wg, func() {
					c, err := h.DialContext(context.Background(), "tcp", "server:80")
					if err != nil {
						panic(err)
					}
					defer c.Close()
					b := make([]byte, 1)
					for n := range byte(200) {
						_, err := c.Write([]byte{n})
						if err == nil {
							_, err = io.ReadFull(c, b)
						}
						if err != nil || b[0] != n {
							panic(fmt.Sprint(h.Name(), n, b, err))
						}
					}
				})
			}
			s.Clock().Sleep(20 * ms)
			fault := s.Swizzle(hosts, 50*ms, 200*ms)
			if stop > 0 {
				s.Clock().Sleep(stop)
				fault.Stop()
			}
			wg.Wait()
			_ = l.Close()
			servers.Wait()
		}
	}
	for seed := range uint64(10) {
		whole := Run(Config{Seed: seed, Latency: ms}, run(0))
		require.NoError(t, whole.Err)
		require.Greater(t, whole.Virtual, 600*ms)
		require.Equal(t, whole.Hash, Run(Config{Seed: seed, Latency: ms}, run(0)).Hash)
		cut := Run(Config{Seed: seed, Latency: ms}, run(60*ms))
		require.NoError(t, cut.Err)
		require.Less(t, cut.Virtual, 600*ms)
	}
}

func TestSwizzleRefusesArgumentsThatMeanNothing(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		s.Host("a", "")
		require.Panics(t, func() { s.Swizzle(nil, 1, 0) })
		require.Panics(t, func() { s.Swizzle([]string{"a", "b", "a"}, 1, 0) })
		require.Panics(t, func() { s.Swizzle([]string{"a"}, 0, 0) })
		require.Panics(t, func() { s.Swizzle([]string{"a"}, 1, -1) })
		s.Swizzle([]string{"a"}, 1, 0)
		s.Clock().Sleep(ms)
		s.locked(func() { require.Empty(t, s.rules, "it has ended by itself") })
	})
}

func TestAClogOfASwizzleLeavesTheHostsOwnConnectionsAlone(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		own, err := x.server.DialContext(context.Background(), "tcp", "localhost:80")
		require.NoError(t, err)
		served, err := x.l.Accept()
		require.NoError(t, err)
		fault := x.Swizzle([]string{"server"}, time.Hour, time.Hour)
		x.write(own, "to itself")
		x.took(0, func() { x.read(served, "to itself") })
		x.write(x.a, "held")
		x.sleep(time.Second)
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		fault.Stop()
		x.read(x.b, "held")
	})
}
