package netsim

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAClientThatResetsInItsFirstInstantIsStillAcceptedAndLeavesNoPlaceTaken(t *testing.T) {
	inLab(t, Config{Backlog: 1}, func(x *lab) {
		for range 5 {
			c, err := x.dial()
			require.NoError(t, err)
			require.NoError(t, c.(*Conn).SetLinger(0))
			require.NoError(t, c.Close()) // the end of the handshake is under way
			d, err := x.l.Accept()
			require.NoError(t, err)
			x.readError(d, syscall.ECONNRESET)
		}
	})
}

func TestAHandshakeWhoseEndNeverArrivesLeavesNoPlaceTaken(t *testing.T) {
	halfOpen := func(x *lab) int {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.l.(*Listener).halfOpen
	}
	for name, end := range map[string]func(x *lab, c *Conn){
		"reset":   func(x *lab, c *Conn) { _ = c.SetLinger(0); _ = c.Close() },
		"crash":   func(x *lab, c *Conn) { x.client.Crash() },
		"timeout": func(x *lab, c *Conn) { x.readError(c, syscall.ETIMEDOUT) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Config{UserTimeout: 5 * time.Second}, func(x *lab) {
				x.AddRule("lose the end of handshakes", func(p Packet) Verdict {
					if p.Kind == PacketOpen {
						return Verdict{Action: Drop}
					}
					return Verdict{}
				})
				c, err := x.dial()
				require.NoError(t, err)
				require.Equal(t, 1, halfOpen(x))
				end(x, c.(*Conn))
				x.sleep(10 * ms)
				require.Zero(t, halfOpen(x))
			})
		})
	}
	inLab(t, Config{}, func(x *lab) {
		c, err := x.dial()
		require.NoError(t, err)
		require.NoError(t, c.(*Conn).SetLinger(0))
		require.NoError(t, c.Close())
		x.server.Crash() // before it arrives
		x.sleep(10 * ms)
		require.Zero(t, halfOpen(x))
	})
}

func TestConnectionsMayBeClosedAfterTheirSimulation(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.NoError(t, x.a.SetDeadline(x.Clock().Now().Add(time.Hour)))
		require.NoError(t, x.a.SetKeepAlive(true))
		x.ResetConns("client", "server")
		x.sleep(ms)
		x.Close()
		require.NoError(t, x.a.Close(), "it was dead, but nobody had closed it")
		require.Error(t, x.a.SetUserTimeout(1))
	})
}

// TestBytesArriveInOrderOverAnyLink holds what the plain property test holds, over links that lose segments at
// their queues and draw their delays from anything.
func TestBytesArriveInOrderOverAnyLink(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		p.link.Bandwidth = rapid.Int64Range(5_000, megabyte).Draw(rt, "bandwidth")
		p.link.Sharing = Sharing(rapid.IntRange(0, 2).Draw(rt, "sharing"))
		p.link.Queue = rapid.Int64Range(0, 4000).Draw(rt, "queue")
		if rapid.Bool().Draw(rt, "another delay") {
			p.link.Jitter, p.link.Delay = 0, LognormalDelay(ms, 50*ms)
		}
		var up, down stream
		res := Run(p.cfg, func(s *Sim) { up, down = p.run(s) })
		require.NoError(rt, res.Err)
		up.check(rt, &down)
		down.check(rt, &up)
		again := Run(p.cfg, func(s *Sim) { p.run(s) })
		require.NoError(rt, again.Err)
		require.Empty(rt, Diff(res.Trace, again.Trace))
	})
}
