package netsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestACrashIsSilentUntilTheHostIsBackAndThenOldConnectionsAreReset(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.server.Crash()
		x.server.Crash()
		x.write(x.a, "into silence")
		x.sleep(10 * time.Second)
		n, err := x.a.Peek(make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		ctx, cancel := x.Clock().WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = x.client.DialContext(ctx, "tcp", "server:80")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		x.server.Restart()
		x.readError(x.a, syscall.ECONNRESET) // at the next retransmission
		_, err = x.dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "nobody listens yet")
		x.l = x.listen()
		c, d := x.connect()
		x.write(c, "again")
		x.read(d, "again")
	})
}

func TestACrashLetsTheHostsOwnGoroutinesGoOneByOneAndThenItsContext(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		const n = 5
		var wg sync.WaitGroup
		told := func(name string, err error) {
			require.ErrorIs(t, err, net.ErrClosed)
			x.Note(name, "ended", "")
		}
		for i := range n {
			_, d := x.connect()
			wg.Go(func() {
				_, err := d.Read(make([]byte, 1))
				told(fmt.Sprint("reader", i), err)
			})
			wg.Go(func() {
				var err error
				for err == nil {
					_, err = d.Write(make([]byte, 1<<16))
				}
				told(fmt.Sprint("writer", i), err)
			})
			x.sleep(0)
		}
		for i := range n {
			wg.Go(func() {
				_, err := x.l.Accept()
				told(fmt.Sprint("accepter", i), err)
			})
		}
		x.Host("nowhere", "10.0.0.3").Crash()
		wg.Go(func() {
			_, err := x.server.DialContext(context.Background(), "tcp", "nowhere:1")
			told("dialer", err)
		})
		wg.Go(func() {
			<-x.server.Context().Done()
			x.Note("context", "ended", "")
		})
		x.sleep(time.Second)
		x.server.Crash()
		wg.Wait()
		at, last := map[int64]bool{}, ""
		for _, e := range x.Trace().Events {
			if e.Kind == "ended" {
				require.False(t, at[e.At], "two goroutines at %d", e.At)
				at[e.At] = true
				last = e.Actor
			}
		}
		require.Len(t, at, 3*n+2)
		require.Equal(t, "context", last)

		_, err := x.server.DialContext(context.Background(), "tcp", "client:1")
		require.ErrorIs(t, err, ErrHostDown)
		_, err = x.server.Listen(context.Background(), "tcp", ":80")
		require.ErrorIs(t, err, ErrHostDown)
		require.ErrorIs(t, x.b.Close(), net.ErrClosed)
		x.server.Restart()
		require.NoError(t, x.server.Context().Err())
	})
}

func TestAKilledProcessSendsFINsAndResetsAndItsMachineRefuses(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, _ := x.connect()
		x.write(c, "never read")
		x.sleep(10 * ms)
		x.server.Kill()
		x.server.Kill()
		x.took(ms, func() { x.readError(x.a, io.EOF) })
		require.Error(t, x.server.Context().Err())
		x.readError(c, syscall.ECONNRESET)
		_, err := x.dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		x.readError(x.b, net.ErrClosed)
		x.server.Restart()
		x.l = x.listen()
		x.connect()
	})
}

func TestABacklogThatIsFullDropsSYNsUntilSomebodyAccepts(t *testing.T) {
	inLab(t, Config{Backlog: 2}, func(x *lab) {
		for range 2 {
			_, err := x.dial()
			require.NoError(t, err)
		}
		x.sleep(10 * ms)
		x.Clock().AfterFunc(1500*ms, func() { _, _ = x.l.Accept() })
		x.took(3*time.Second+2*ms, func() { // SYNs at 0, 1 and 3 s
			_, err := x.dial()
			require.NoError(t, err)
		})
	})
}

func TestADialThatIsGivenUpLeavesNoPlaceTakenInTheBacklog(t *testing.T) {
	inLab(t, Config{Backlog: 1}, func(x *lab) {
		for range 5 {
			ctx, cancel := x.Clock().WithTimeout(context.Background(), 1500*time.Microsecond) // the SYN-ACK is under way
			_, err := x.client.DialContext(ctx, "tcp", "server:80")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			x.sleep(10 * ms)
		}
		x.connect()
	})
}

func TestNamesOfConnectionsAreUniqueAndTellBothEnds(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		require.Equal(t, "client:32768>server:80", x.a.Name())
		require.Equal(t, "server:80<client:32768", x.b.Name())
		require.Equal(t, "10.0.0.1:32768", x.b.RemoteAddr().String())
		require.Equal(t, "10.0.0.2:80", x.b.LocalAddr().String())
		require.IsType(t, (*net.TCPAddr)(nil), x.a.LocalAddr())
		seen := map[string]bool{}
		for range 60000 {
			_, name := x.client.localPort("server:80")
			require.False(t, seen[name])
			seen[name] = true
		}
		l, err := x.client.Listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		require.Equal(t, "10.0.0.1:20001", l.Addr().String())
		c, err := x.client.DialContext(context.Background(), "tcp", "localhost:20001")
		require.NoError(t, err)
		require.Equal(t, "10.0.0.1:20001", c.RemoteAddr().String())
	})
}

func TestNamesResolveToHostsAndUnknownOnesAreDNSErrors(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		_, err := x.client.DialContext(context.Background(), "tcp", "unknown:80")
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)
		require.True(t, dns.IsNotFound)
		_, err = x.client.Listen(context.Background(), "tcp", "server:80")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		for _, port := range []string{"x", "-1", "65536"} {
			_, err = x.client.DialContext(context.Background(), "tcp", "server:"+port)
			require.ErrorAs(t, err, new(*net.AddrError))
		}
	})
}

func TestHostsHaveOneNameAndOneAddress(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	h := s.Host("a", "10.0.0.1")
	require.Same(t, h, s.Host("a", "10.0.0.1"))
	require.Same(t, h, s.Host("a", ""))
	require.Equal(t, "a", h.Name())
	require.Equal(t, "10.0.0.1", h.Addr())
	for _, bad := range [][2]string{{"a", "10.0.0.2"}, {"b", "10.0.0.1"}, {"b", "nonsense"}, {"", "10.0.0.3"},
		{"*", "10.0.0.3"}, {"10.0.0.1", "10.0.0.4"}} {
		require.Panics(t, func() { s.Host(bad[0], bad[1]) }, bad)
	}
}

func TestPeekAndWaitReadableTakeNothingAndKnowDeadlines(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		b := make([]byte, 10)
		n, err := x.b.Peek(b)
		require.True(t, n == 0 && err == nil)
		x.write(x.a, "abc")
		x.took(ms, func() { require.NoError(t, x.b.WaitReadable()) })
		x.write(x.a, "def")
		x.sleep(2 * ms)
		require.NoError(t, x.b.SetReadDeadline(time.Unix(1, 0)))
		n, err = x.b.Peek(b)
		require.NoError(t, err, "Peek ignores deadlines")
		require.Equal(t, "abcdef", string(b[:n]))
		wantOp(t, x.b.WaitReadable(), "read", os.ErrDeadlineExceeded)
		require.NoError(t, x.b.SetReadDeadline(x.Clock().Now().Add(ms)))
		x.read(x.b, "abcdef")
		x.took(ms, func() { wantOp(t, x.b.WaitReadable(), "read", os.ErrDeadlineExceeded) })
		require.NoError(t, x.b.SetReadDeadline(time.Time{}))

		require.NoError(t, x.a.CloseWrite())
		require.NoError(t, x.b.WaitReadable())
		_, err = x.b.Peek(b)
		require.Equal(t, io.EOF, err)
		require.NoError(t, x.b.SetLinger(0))
		require.NoError(t, x.b.Close())
		require.ErrorIs(t, x.b.WaitReadable(), net.ErrClosed)
		_, err = x.b.Peek(b)
		wantOp(t, err, "read", net.ErrClosed)
		require.NoError(t, x.a.WaitReadable())
		_, err = x.a.Peek(b)
		wantOp(t, err, "read", syscall.ECONNRESET)
	})
}

func TestASlowReaderBlocksItsWriterAtBothBuffers(t *testing.T) {
	inLab(t, Config{SendBuffer: 1000, RecvBuffer: 500}, func(x *lab) {
		require.NoError(t, x.a.SetWriteDeadline(x.Clock().Now().Add(time.Minute)))
		n, err := x.a.Write(make([]byte, 5000))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 1500, n, "what both buffers hold together")
		require.NoError(t, x.a.SetWriteDeadline(time.Time{}))
		done := make(chan error, 1)
		go func() {
			_, err := x.a.Write(make([]byte, 3500))
			done <- err
		}()
		_, err = io.ReadFull(x.b, make([]byte, 5000))
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.NoError(t, x.a.SetWriteBuffer(1<<30))
		x.took(0, func() {
			_, err = x.a.Write(make([]byte, 10<<20)) // never waits
			require.NoError(t, err)
		})
	})
}

func TestConcurrentWritesDoNotInterleave(t *testing.T) {
	inLab(t, Config{SendBuffer: 64, RecvBuffer: 64}, func(x *lab) {
		const writers, size = 5, 1000
		var wg sync.WaitGroup
		for i := range writers {
			x.sleep(0)
			wg.Go(func() {
				p := make([]byte, size)
				for j := range p {
					p[j] = byte(i)
				}
				_, err := x.a.Write(p)
				require.NoError(t, err)
			})
		}
		got := make([]byte, writers*size)
		_, err := io.ReadFull(x.b, got)
		require.NoError(t, err)
		wg.Wait()
		for i := range got {
			require.Equal(t, byte(i/size), got[i])
		}
	})
}

func TestSeveralReadersAreServedOneByOne(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		const n = 6
		var wg sync.WaitGroup
		for i := range n {
			x.sleep(0)
			wg.Go(func() {
				_, err := x.b.Read(make([]byte, 1))
				require.NoError(t, err)
				x.Note(fmt.Sprint("reader", i), "read", "")
			})
		}
		x.sleep(ms)
		x.write(x.a, "012345")
		wg.Wait()
		var order []string
		at := map[int64]bool{}
		for _, e := range x.Trace().Events {
			if e.Kind == "read" {
				order = append(order, e.Actor)
				require.False(t, at[e.At])
				at[e.At] = true
			}
		}
		require.Equal(t, []string{"reader0", "reader1", "reader2", "reader3", "reader4", "reader5"}, order)
	})
}

func TestCloseOfTheSimulationEndsEverythingAndLaterCallsFail(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		errs := make(chan error, 3)
		go func() { _, err := x.a.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := x.l.Accept(); errs <- err }()
		go func() {
			_, err := x.client.DialContext(context.Background(), "tcp", "192.0.2.1:1")
			errs <- err
		}()
		x.sleep(ms)
		x.Close()
		x.Close()
		for range 3 {
			require.ErrorIs(t, <-errs, net.ErrClosed)
		}
		_, err := x.dial()
		require.True(t, errors.Is(err, ErrHostDown))
		_, err = x.Host("late", "").DialContext(context.Background(), "tcp", "server:80")
		require.ErrorIs(t, err, ErrHostDown)
		x.client.Restart()
		require.Error(t, x.client.Context().Err())
		x.sleep(time.Hour) // nothing is left that could happen
	})
}
