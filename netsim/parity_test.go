package netsim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tcpConn is what both *net.TCPConn and *Conn offer.
type tcpConn interface {
	net.Conn
	CloseWrite() error
	CloseRead() error
	SetLinger(sec int) error
	SetNoDelay(bool) error
}

var (
	_ tcpConn = (*net.TCPConn)(nil)
	_ tcpConn = (*Conn)(nil)
)

// world is where a parity body runs: the kernel's loopback, or a simulation.
type world struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	listen func(ctx context.Context, network, address string) (net.Listener, error)
	settle func() // until everything under way has arrived
	refuse string // an address where nobody listens
}

func (w *world) pair(t *testing.T) (a, b tcpConn) {
	l, err := w.listen(context.Background(), "tcp", ":0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	c, err := w.dial(context.Background(), "tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	d, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); d.Close() })
	return c.(tcpConn), d.(tcpConn)
}

// inBothWorlds runs the same body over the kernel and over netsim in virtual time.
func inBothWorlds(t *testing.T, body func(t *testing.T, w *world)) {
	t.Run("loopback", func(t *testing.T) {
		var d net.Dialer
		var lc net.ListenConfig
		body(t, &world{
			dial: d.DialContext,
			listen: func(ctx context.Context, network, address string) (net.Listener, error) {
				return lc.Listen(ctx, network, "127.0.0.1"+address)
			},
			settle: func() { time.Sleep(50 * time.Millisecond) }, // real: the kernel has no virtual time
			refuse: "127.0.0.1:1",
		})
	})
	t.Run("netsim", func(t *testing.T) {
		Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
			h := s.Host("h", "10.0.0.1")
			body(t, &world{
				dial: h.DialContext, listen: h.Listen,
				settle: func() { s.Clock().Sleep(20 * time.Millisecond) }, refuse: "127.0.0.1:1",
			})
		})
	})
}

// wantOp asks for an error that is directly a *net.OpError of that operation around the target.
func wantOp(t *testing.T, err error, op string, target error) {
	t.Helper()
	var oe *net.OpError
	ok := errors.As(err, &oe)
	require.True(t, ok && error(oe) == err, "want a bare *net.OpError, got %T %v", err, err)
	require.Equal(t, op, oe.Op)
	require.Equal(t, "tcp", oe.Net)
	require.ErrorIs(t, err, target)
	if errno, is := target.(syscall.Errno); is {
		var se *os.SyscallError
		require.ErrorAs(t, err, &se)
		require.Equal(t, errno, se.Err)
	}
	require.Equal(t, target == os.ErrDeadlineExceeded || target == syscall.ETIMEDOUT, oe.Timeout())
}

func TestParityAfterAReset(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		buf := make([]byte, 100)
		t.Log("bytes that arrived before the RST can be read, then ECONNRESET once, then EOF; writes give EPIPE")
		a, b := w.pair(t)
		_, err := b.Write([]byte("hello"))
		require.NoError(t, err)
		w.settle()
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		n, err := a.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf[:n]))
		_, err = a.Read(buf)
		wantOp(t, err, "read", syscall.ECONNRESET)
		require.Equal(t, "read: connection reset by peer", errors.Unwrap(err).Error())
		_, err = a.Read(buf)
		require.Equal(t, io.EOF, err)
		_, err = a.Write(buf)
		wantOp(t, err, "write", syscall.EPIPE)
		wantOp(t, a.CloseWrite(), "close", syscall.ENOTCONN)

		t.Log("a write that comes first gets ECONNRESET, the next one EPIPE, and a read EOF")
		a, b = w.pair(t)
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Write(buf)
		wantOp(t, err, "write", syscall.ECONNRESET)
		_, err = a.Write(buf)
		wantOp(t, err, "write", syscall.EPIPE)
		_, err = a.Read(buf)
		require.Equal(t, io.EOF, err)
	})
}

func TestParityWhenTheReaderClosesWithUnreadBytes(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		_, err := a.Write(make([]byte, 100))
		require.NoError(t, err)
		w.settle()
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ECONNRESET)
		_, err = a.Write(make([]byte, 1))
		wantOp(t, err, "write", syscall.EPIPE)
	})
}

func TestParityWhenBytesMeetAClosedSocket(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		for _, readFirst := range []bool{true, false} {
			a, b := w.pair(t)
			require.NoError(t, b.Close())
			w.settle()
			n, err := a.Write(make([]byte, 100))
			require.NoError(t, err, "the first write meets a FIN only")
			require.Equal(t, 100, n)
			w.settle()
			if readFirst {
				_, err = a.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err, "the FIN came before the RST")
			}
			_, err = a.Write(make([]byte, 1))
			wantOp(t, err, "write", syscall.EPIPE)
			_, err = a.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
		}
	})
}

func TestParityOfHalfClose(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		_, err := a.Write([]byte("ping"))
		require.NoError(t, err)
		require.NoError(t, a.CloseWrite())
		all, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, "ping", string(all))
		_, err = a.Write(nil)
		wantOp(t, err, "write", syscall.EPIPE)
		_, err = a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
		require.NoError(t, a.CloseWrite(), "a second one is allowed while the connection lives")
		_, err = b.Write([]byte("pong"))
		require.NoError(t, err)
		require.NoError(t, b.Close())
		all, err = io.ReadAll(a)
		require.NoError(t, err)
		require.Equal(t, "pong", string(all))
		w.settle()
		wantOp(t, a.CloseWrite(), "close", syscall.ENOTCONN)
	})
}

func TestParityOfCloseRead(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		require.NoError(t, a.CloseRead())
		_, err := a.Read(make([]byte, 10))
		require.Equal(t, io.EOF, err)
		_, err = b.Write([]byte("xx"))
		require.NoError(t, err)
		w.settle()
		n, err := a.Read(make([]byte, 10))
		require.NoError(t, err, "bytes that arrive later can be read")
		require.Equal(t, 2, n)
		_, err = b.Write([]byte("xx"))
		require.NoError(t, err, "and their sender is not told")
	})
}

func TestParityOfEmptyReadsAndWrites(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, _ := w.pair(t)
		for range 2 {
			n, err := a.Read(nil)
			require.NoError(t, err)
			require.Zero(t, n)
			require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
		}
		n, err := a.Write(nil)
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, a.SetWriteDeadline(time.Unix(1, 0)))
		_, err = a.Write(nil)
		wantOp(t, err, "write", os.ErrDeadlineExceeded)
		require.NoError(t, a.Close())
		_, err = a.Read(nil)
		wantOp(t, err, "read", net.ErrClosed)
		_, err = a.Write(nil)
		wantOp(t, err, "write", net.ErrClosed)
	})
}

func TestParityOfOperationsOnAClosedConnection(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, _ := w.pair(t)
		require.NoError(t, a.Close())
		wantOp(t, a.Close(), "close", net.ErrClosed)
		wantOp(t, a.CloseWrite(), "close", net.ErrClosed)
		wantOp(t, a.CloseRead(), "close", net.ErrClosed)
		wantOp(t, a.SetLinger(0), "set", net.ErrClosed)
		wantOp(t, a.SetNoDelay(true), "set", net.ErrClosed)
		now := time.Now()
		for _, err := range []error{a.SetDeadline(now), a.SetReadDeadline(now), a.SetWriteDeadline(now)} {
			wantOp(t, err, "set", net.ErrClosed)
			require.Nil(t, err.(*net.OpError).Source)
			require.Equal(t, a.LocalAddr(), err.(*net.OpError).Addr)
		}
		_, err := a.Read(make([]byte, 1))
		wantOp(t, err, "read", net.ErrClosed)
		require.Equal(t, a.LocalAddr(), err.(*net.OpError).Source)
		require.Equal(t, a.RemoteAddr(), err.(*net.OpError).Addr)
		_, err = a.Write(make([]byte, 1))
		wantOp(t, err, "write", net.ErrClosed)
	})
}

func TestParityOfDeadlines(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		_, err := b.Write([]byte("x"))
		require.NoError(t, err)
		w.settle()
		require.NoError(t, a.SetReadDeadline(time.Now()))
		_, err = a.Read(make([]byte, 1))
		wantOp(t, err, "read", os.ErrDeadlineExceeded) // although a byte is there
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		_, err = a.Read(make([]byte, 1))
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(5*time.Millisecond)))
		_, err = a.Read(make([]byte, 1))
		wantOp(t, err, "read", os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, time.Since(start), 5*time.Millisecond)

		require.NoError(t, a.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
		total, chunk := 0, make([]byte, 1<<20)
		for err = nil; err == nil && total < 256<<20; {
			var n int
			n, err = a.Write(chunk)
			total += n
		}
		wantOp(t, err, "write", os.ErrDeadlineExceeded)
		require.Positive(t, total, "the bytes that the buffers took are counted")
		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Minute)))
		got, err := io.ReadFull(b, make([]byte, total))
		require.NoError(t, err)
		require.Equal(t, total, got, "what Write counted arrives, and no byte less")
	})
}

func TestParityOfCloseWhileBlocked(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, _ := w.pair(t)
		errs := make(chan error, 2)
		go func() {
			_, err := a.Read(make([]byte, 1))
			errs <- err
		}()
		go func() {
			var err error
			for err == nil {
				_, err = a.Write(make([]byte, 1<<20))
			}
			errs <- err
		}()
		w.settle()
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-errs, net.ErrClosed)
		require.ErrorIs(t, <-errs, net.ErrClosed)
	})
}

func TestParityOfDialAndListen(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		_, err := w.dial(context.Background(), "tcp", w.refuse)
		wantOp(t, err, "dial", syscall.ECONNREFUSED)
		require.Nil(t, err.(*net.OpError).Source)
		require.Equal(t, "dial tcp 127.0.0.1:1: connect: connection refused", withoutHost(err))

		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = w.dial(ctx, "tcp", w.refuse)
		wantOp(t, err, "dial", context.Canceled)
		_, err = w.dial(context.Background(), "udpx", w.refuse)
		require.ErrorAs(t, err, new(net.UnknownNetworkError))
		_, err = w.dial(context.Background(), "tcp", "no-port")
		require.ErrorAs(t, err, new(*net.AddrError))

		l, err := w.listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		_, err = w.listen(context.Background(), "tcp", ":"+port)
		var oe *net.OpError
		require.ErrorAs(t, err, &oe)
		require.Equal(t, "listen", oe.Op)
		require.ErrorIs(t, err, syscall.EADDRINUSE)

		require.NoError(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(time.Millisecond)))
		_, err = l.Accept()
		wantOp(t, err, "accept", os.ErrDeadlineExceeded)
		require.NoError(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{}))
		accepted := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := l.Accept()
				accepted <- err
			}()
		}
		w.settle()
		require.NoError(t, l.Close())
		for range 3 {
			wantOp(t, <-accepted, "accept", net.ErrClosed)
		}
		_, err = l.Accept()
		wantOp(t, err, "accept", net.ErrClosed)
		wantOp(t, l.Close(), "close", net.ErrClosed)
	})
}

// withoutHost replaces the simulated host's address by the loopback's, for comparing texts.
func withoutHost(err error) string {
	oe := *err.(*net.OpError)
	oe.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: oe.Addr.(*net.TCPAddr).Port}
	return oe.Error()
}

func TestParityOfConnectionsThatNobodyAccepted(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		l, err := w.listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		c, err := w.dial(context.Background(), "tcp", "127.0.0.1:"+port)
		require.NoError(t, err, "the handshake needs no Accept")
		defer c.Close()
		w.settle()
		require.NoError(t, l.Close())
		w.settle()
		_, err = c.Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ECONNRESET)
	})
}
