package netsim

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ms is the one-way latency in these tests, and the unit in which they count.
const ms = time.Millisecond

// lab is a client and a server with one connection between them.
type lab struct {
	*Sim
	t              *testing.T
	client, server *Host
	l              net.Listener
	a, b           *Conn // the client's end and the server's
}

// inLab runs body in a bubble with 1 ms of latency.
func inLab(t *testing.T, cfg Config, body func(x *lab)) {
	t.Helper()
	if cfg.Latency == 0 {
		cfg.Latency = ms
	}
	Test(t, cfg, func(s *Sim) {
		x := &lab{Sim: s, t: t, client: s.Host("client", "10.0.0.1"), server: s.Host("server", "10.0.0.2")}
		x.l = x.listen()
		x.a, x.b = x.connect()
		body(x)
	})
}

func (x *lab) listen() net.Listener {
	l, err := x.server.Listen(context.Background(), "tcp", ":80")
	require.NoError(x.t, err)
	return l
}

func (x *lab) dial() (net.Conn, error) {
	return x.client.DialContext(context.Background(), "tcp", "server:80")
}

func (x *lab) connect() (a, b *Conn) {
	c, err := x.dial()
	require.NoError(x.t, err)
	d, err := x.l.Accept()
	require.NoError(x.t, err)
	return c.(*Conn), d.(*Conn)
}

func (x *lab) sleep(d time.Duration) { x.Clock().Sleep(d) }

func (x *lab) write(c net.Conn, s string) {
	x.t.Helper()
	_, err := c.Write([]byte(s))
	require.NoError(x.t, err)
}

func (x *lab) read(c net.Conn, want string) {
	x.t.Helper()
	b := make([]byte, len(want))
	_, err := io.ReadFull(c, b)
	require.NoError(x.t, err)
	require.Equal(x.t, want, string(b))
}

func (x *lab) readError(c net.Conn, want error) {
	x.t.Helper()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(x.t, err, want)
}

// took asks how long f took, to about a microsecond of nudges.
func (x *lab) took(want time.Duration, f func()) {
	x.t.Helper()
	start := x.Elapsed()
	f()
	require.InDelta(x.t, want, x.Elapsed()-start, float64(10*time.Microsecond))
}

func TestADialCostsOneRoundTripAndARefusalToo(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.took(2*ms, func() {
			_, err := x.dial()
			require.NoError(t, err)
		})
		x.took(2*ms, func() {
			_, err := x.client.DialContext(context.Background(), "tcp", "10.0.0.2:81")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		})
		fault := x.Refuse("server", 80)
		x.took(2*ms, func() {
			_, err := x.dial()
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		})
		x.write(x.a, "open connections do not mind")
		x.read(x.b, "open connections do not mind")
		fault.Stop()
		_, err := x.dial()
		require.NoError(t, err)
	})
}

func TestADialIntoSilenceEndsWithETIMEDOUTAfterAllItsSYNs(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Partition("client", "10.0.0.2")
		x.took(127*time.Second, func() {
			_, err := x.dial()
			wantOp(t, err, "dial", syscall.ETIMEDOUT)
		})
		x.took(127*time.Second, func() {
			_, err := x.client.DialContext(context.Background(), "tcp", "192.0.2.1:80")
			wantOp(t, err, "dial", syscall.ETIMEDOUT)
		})
	})
}

func TestADialSucceedsAtTheSYNAfterThePartition(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Partition("*", "server")
		x.Clock().AfterFunc(5*time.Second, fault.Stop)
		x.took(7*time.Second+2*ms, func() { // SYNs at 0, 1, 3 and 7 s
			_, err := x.dial()
			require.NoError(t, err)
		})
	})
}

func TestADialHonoursItsContext(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SilentDrop("client", "server")
		ctx, cancel := x.Clock().WithTimeout(context.Background(), 300*ms)
		defer cancel()
		x.took(300*ms, func() {
			_, err := x.client.DialContext(ctx, "tcp", "server:80")
			wantOpTimeout(t, err, context.DeadlineExceeded)
		})
		ctx, stop := context.WithCancel(context.Background())
		x.Clock().AfterFunc(ms, stop)
		_, err := x.client.DialContext(ctx, "tcp", "server:80")
		wantOp(t, err, "dial", context.Canceled)
		require.Equal(t, "dial tcp 10.0.0.2:80: operation was canceled", err.Error())
	})
}

func wantOpTimeout(t *testing.T, err, target error) {
	t.Helper()
	require.ErrorIs(t, err, target)
	oe, ok := err.(*net.OpError)
	require.True(t, ok)
	require.True(t, oe.Timeout())
	require.Equal(t, "i/o timeout", oe.Err.Error())
}

func TestUnreachableFailsDialsAtOnceAndOpenConnectionsWithEHOSTUNREACH(t *testing.T) {
	inLab(t, Config{UserTimeout: time.Second}, func(x *lab) {
		x.Unreachable("client", "server")
		x.took(2*ms, func() {
			_, err := x.dial()
			wantOp(t, err, "dial", syscall.EHOSTUNREACH)
		})
		x.write(x.a, "lost")
		x.readError(x.a, syscall.EHOSTUNREACH)
	})
}

func TestAPartitionIsUnnoticedByIdleConnectionsAndDelaysBytesToTheNextRetransmission(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.Partition("client", "server")
		x.sleep(time.Hour)
		n, err := x.a.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		x.write(x.a, "first ")
		x.write(x.a, "second")
		x.Clock().AfterFunc(time.Second, fault.Stop)
		// Sent at 0, again at 200, 600, 1400 ms.
		x.took(1401*ms, func() { x.read(x.b, "first second") })
		x.write(x.b, "back")
		x.took(ms, func() { x.read(x.a, "back") })
	})
}

func TestAPartitionThatLastsGivesETIMEDOUTToTheSenderAndNothingToTheReceiver(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.SilentDrop("client", "server")
		start := x.Elapsed()
		x.write(x.a, "lost")
		_, err := x.a.Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ETIMEDOUT)
		require.InDelta(t, 924.6, (x.Elapsed() - start).Seconds(), 1, "Linux: tcp_retries2 = 15 gives 924.6 s")
		x.readError(x.a, io.EOF)
		_, err = x.a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		fault.Stop()
		x.write(x.b, "anybody there?")
		x.readError(x.b, syscall.ECONNRESET)
	})
}

func TestAOneWayPartitionDeliversAndStillTimesTheSenderOut(t *testing.T) {
	inLab(t, Config{UserTimeout: 10 * time.Second}, func(x *lab) {
		x.PartitionOneWay("server", "client")
		x.write(x.a, "arrives")
		x.took(ms, func() { x.read(x.b, "arrives") })
		x.readError(x.a, syscall.ETIMEDOUT)
		require.NoError(t, x.b.SetReadDeadline(x.Clock().Now().Add(20*time.Second)))
		x.readError(x.b, os.ErrDeadlineExceeded)
	})
}

func TestAcknowledgementsThatWereLostAreAskedForAgain(t *testing.T) {
	inLab(t, Config{SendBuffer: 10}, func(x *lab) {
		fault := x.PartitionOneWay("server", "client")
		x.write(x.a, "0123456789")
		x.read(x.b, "0123456789")
		x.Clock().AfterFunc(time.Second, fault.Stop)
		x.took(1402*ms, func() { x.write(x.a, "more") }) // its buffer is full until the probe of 1400 ms comes back
		x.read(x.b, "more")
	})
}

func TestALostWindowUpdateIsProbedFor(t *testing.T) {
	inLab(t, Config{RecvBuffer: 10}, func(x *lab) {
		x.write(x.a, "0123456789")
		x.sleep(10 * ms)
		fault := x.PartitionOneWay("server", "client")
		x.read(x.b, "0123456789")
		x.write(x.a, "more") // the send buffer takes it; the window is shut
		x.Clock().AfterFunc(time.Second, fault.Stop)
		x.read(x.b, "more")
	})
}

func TestResetConnsHitsBothEndsEachAtItsOwnInstant(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		require.Zero(t, x.ResetConns("client", "client"))
		require.Equal(t, 2, x.ResetConns("server", "client"))
		x.sleep(ms)
		for _, conn := range []*Conn{x.a, x.b, c, d} {
			x.readError(conn, syscall.ECONNRESET)
		}
		require.Zero(t, x.ResetConns("*", "*"), "they are gone")
		at := map[int64]bool{}
		for _, e := range x.Trace().Events {
			if e.Kind == "reset" {
				require.False(t, at[e.At])
				at[e.At] = true
			}
		}
		require.Len(t, at, 4)
	})
}

func TestSlowLinkAddsToTheLinkUntilItStops(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetLink("client", "server", Link{Latency: 2 * ms})
		fault := x.SlowLink("server", "*", Link{Latency: 30 * ms})
		x.write(x.a, "x")
		x.took(32*ms, func() { x.read(x.b, "x") })
		fault.Stop()
		fault.Stop()
		x.write(x.a, "x")
		x.took(2*ms, func() { x.read(x.b, "x") })
		x.SetLink("*", "*", Link{Latency: 5 * ms})
		x.write(x.a, "x")
		x.took(5*ms, func() { x.read(x.b, "x") })
		x.SetLink("client", "server", Link{Bandwidth: 1000})
		x.write(x.a, "0123456789")
		x.write(x.a, "0123456789")
		x.took(20*ms, func() { x.read(x.b, "01234567890123456789") })
	})
}

func TestLossIsDelayAndNeverMissingBytes(t *testing.T) {
	inLab(t, Config{Seed: 5}, func(x *lab) {
		x.SetLink("client", "server", Link{Latency: ms, Loss: 0.3})
		for i := range 200 {
			x.write(x.a, string(rune('a'+i%26)))
		}
		require.NoError(t, x.a.Close())
		all, err := io.ReadAll(x.b)
		require.NoError(t, err)
		require.Len(t, all, 200)
		for i, c := range all {
			require.Equal(t, byte('a'+i%26), c)
		}
		require.Greater(t, x.Elapsed(), 200*ms, "losses cost timeouts")
	})
}

func TestIdleForgetSwallowsWhatComesAfterTheIdleTime(t *testing.T) {
	inLab(t, Config{UserTimeout: 5 * time.Second}, func(x *lab) {
		x.IdleForget("client", "server", time.Minute, false)
		for range 3 {
			x.sleep(59 * time.Second)
			x.write(x.a, "x")
			x.read(x.b, "x")
		}
		x.sleep(61 * time.Second)
		x.write(x.a, "lost")
		x.readError(x.a, syscall.ETIMEDOUT)
		c, d := x.connect() // a new connection is unknown to the box and goes through
		x.write(c, "new")
		x.read(d, "new")
	})
}

func TestIdleForgetWithResetAnswersTheOneWhoSendsAndTellsNobodyElse(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.IdleForget("client", "*", time.Minute, true)
		x.sleep(2 * time.Minute)
		x.write(x.a, "x")
		x.readError(x.a, syscall.ECONNRESET)
		n, err := x.b.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		fault.Stop()
		x.write(x.b, "x")
		x.readError(x.b, syscall.ECONNRESET)
	})
}

func TestARuleOfTheCallersOwnDecidesFirst(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		var sizes []int
		fault := x.AddRule("hold data", func(p Packet) Verdict {
			if p.Kind != PacketData || p.From != "client" || p.ToAddr != "10.0.0.2" || p.ToPort != 80 {
				return Verdict{}
			}
			sizes = append(sizes, p.Size)
			return Verdict{Action: Deliver, Delay: 77 * ms}
		})
		x.Partition("client", "server")
		x.write(x.a, "abc")
		x.took(77*ms, func() { x.read(x.b, "abc") })
		require.Equal(t, []int{3}, sizes)
		require.Contains(t, fault.Name(), "hold data")
	})
}

// A misspelt name would make a test pass for nothing. A host may be made after the fault that names it, and an address may
// be nobody's.
func TestAFaultThatNamesNoHostFailsTheRun(t *testing.T) {
	res := Run(Config{}, func(s *Sim) {
		s.Host("server", "")
		s.Partition("client", "server")
		s.Partition("*", "10.9.9.9")
		s.Host("client", "")
		require.Zero(t, s.ResetConns("client", "server"))
	})
	require.NoError(t, res.Err)
	for what, fault := range map[string]func(s *Sim){
		`partition(client,sever) names "sever"`:   func(s *Sim) { s.Partition("client", "sever") },
		`pause() names ""`:                        func(s *Sim) { s.Pause("") },
		`reset-conns(clint,server) names "clint"`: func(s *Sim) { s.ResetConns("clint", "server") },
		`jump-clock(x,1s) names "x"`:              func(s *Sim) { s.JumpClock("x", time.Second) },
		`refuse(y:80) names "y"`:                  func(s *Sim) { s.Refuse("y", 80) },
	} {
		res := Run(Config{}, func(s *Sim) {
			s.Host("client", "")
			s.Host("server", "")
			fault(s)
		})
		require.ErrorIs(t, res.Err, ErrNoSuchHost, what)
		require.ErrorContains(t, res.Err, what+"; there were: client, server")
	}
}
