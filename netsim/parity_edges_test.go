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

// These bodies, too, run over the kernel and over netsim: what happens at the edges of a connection's life.

// keepAliver is what both kinds of connection offer.
type keepAliver interface {
	net.Conn
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

var (
	_ keepAliver = (*net.TCPConn)(nil)
	_ keepAliver = (*Conn)(nil)
)

// port gives the port of a listener as an address to dial.
func port(t *testing.T, l net.Listener) string {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return "127.0.0.1:" + port
}

func TestParityOfKeepAliveSettings(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		c := a.(keepAliver)
		for _, good := range []net.KeepAliveConfig{
			{}, {Enable: true}, {Idle: time.Second}, {Enable: true, Idle: -1, Interval: -1, Count: -1},
			keepAliveOf(1, 1, 1), keepAliveOf(maxKeepAlive, maxKeepAlive, maxKeepAliveCount), // the kernel's limits
		} {
			require.NoError(t, c.SetKeepAliveConfig(good), "%+v", good)
		}
		for _, bad := range []net.KeepAliveConfig{
			keepAliveOf(maxKeepAlive+1, 0, 0), keepAliveOf(0, maxKeepAlive+1, 0), keepAliveOf(0, 0, maxKeepAliveCount+1),
			{Idle: maxKeepAlive + 1},
		} {
			err := c.SetKeepAliveConfig(bad)
			wantOp(t, err, "set", syscall.EINVAL)
			require.Equal(t, "setsockopt: invalid argument", errors.Unwrap(err).Error())
			require.Equal(t, a.LocalAddr(), err.(*net.OpError).Source)
			require.Equal(t, a.RemoteAddr(), err.(*net.OpError).Addr)
		}
		require.NoError(t, c.SetKeepAlive(true))
		require.NoError(t, c.SetKeepAlivePeriod(-1))
		require.NoError(t, c.SetKeepAlivePeriod(time.Minute))
		wantOp(t, c.SetKeepAlivePeriod(maxKeepAlive+1), "set", syscall.EINVAL)
		require.NoError(t, c.SetKeepAlive(false))

		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		require.NoError(t, c.SetKeepAlive(true), "a socket that was reset still takes options")
		require.NoError(t, a.Close())
		wantOp(t, c.SetKeepAlive(true), "set", net.ErrClosed)
		wantOp(t, c.SetKeepAlivePeriod(time.Second), "set", net.ErrClosed)
		wantOp(t, c.SetKeepAliveConfig(net.KeepAliveConfig{}), "set", net.ErrClosed)
	})
}

func TestParityOfALingeringClose(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		t.Log("SO_LINGER 0 resets although nothing is unread and nothing unsent, and EOF is never seen")
		a, b := w.pair(t)
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		_, err := a.Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ECONNRESET)

		t.Log("a negative value restores the usual close")
		a, b = w.pair(t)
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.SetLinger(-1))
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)

		t.Log("after the other end's FIN the RST is told as EPIPE to writers and not at all to readers")
		a, b = w.pair(t)
		require.NoError(t, b.CloseWrite())
		w.settle()
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		_, err = a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
	})
}

func TestParityOfUnreadBytesAtAClose(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		t.Log("bytes that the closing end sent before still arrive ahead of its RST")
		a, b := w.pair(t)
		_, err := a.Write([]byte("question"))
		require.NoError(t, err)
		_, err = b.Write([]byte("answer"))
		require.NoError(t, err)
		w.settle()
		require.NoError(t, b.Close())
		w.settle()
		got := make([]byte, 6)
		_, err = io.ReadFull(a, got)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		_, err = a.Read(got)
		wantOp(t, err, "read", syscall.ECONNRESET)

		t.Log("one byte that is left of many is enough")
		a, b = w.pair(t)
		_, err = a.Write([]byte("question"))
		require.NoError(t, err)
		_, err = io.ReadFull(b, make([]byte, 7))
		require.NoError(t, err)
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(got)
		wantOp(t, err, "read", syscall.ECONNRESET)
		a, b = w.pair(t)
		_, err = a.Write([]byte("question"))
		require.NoError(t, err)
		_, err = io.ReadFull(b, make([]byte, 8))
		require.NoError(t, err)
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(got)
		require.Equal(t, io.EOF, err)

		t.Log("an unread FIN is not enough")
		a, b = w.pair(t)
		require.NoError(t, a.CloseWrite())
		w.settle()
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(got)
		require.Equal(t, io.EOF, err)
	})
}

func TestParityOfWritingAfterThePeersHalfClose(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		require.NoError(t, a.CloseWrite())
		for range 3 {
			n, err := b.Read(make([]byte, 10))
			require.Equal(t, io.EOF, err)
			require.Zero(t, n)
			_, err = b.Write([]byte("still here "))
			require.NoError(t, err)
			w.settle()
		}
		require.NoError(t, b.CloseWrite())
		_, err := b.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
		all, err := io.ReadAll(a)
		require.NoError(t, err)
		require.Equal(t, "still here still here still here ", string(all))
		w.settle()
		require.NoError(t, a.Close())
		require.NoError(t, b.Close(), "both directions are over, and it was not reset")
	})
}

// blocked runs op in a goroutine and returns where its error will be, when it has had time to block.
func blocked(w *world, op func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- op() }()
	w.settle()
	return done
}

func TestParityOfDeadlinesThatAreMovedWhileAnOperationIsBlocked(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		reading := blocked(w, func() error { _, err := a.Read(make([]byte, 1)); return err })
		require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)), "long past")
		wantOp(t, <-reading, "read", os.ErrDeadlineExceeded)
		_, err := a.Write([]byte("x"))
		require.NoError(t, err, "the other direction has its own")

		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Hour)))
		reading = blocked(w, func() error { _, err := a.Read(make([]byte, 1)); return err })
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		_, err = b.Write([]byte("y"))
		require.NoError(t, err)
		require.NoError(t, <-reading, "a deadline that is taken away wakes nobody")

		written := 0
		writing := blocked(w, func() error {
			for {
				n, err := a.Write(make([]byte, 1<<20))
				written += n
				if err != nil {
					return err
				}
			}
		})
		require.NoError(t, a.SetDeadline(time.Now().Add(-time.Second)))
		wantOp(t, <-writing, "write", os.ErrDeadlineExceeded)
		require.NoError(t, a.SetDeadline(time.Time{}))
		_, err = io.ReadFull(b, make([]byte, 1+written))
		require.NoError(t, err, "what was counted arrives")

		l, err := w.listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		defer l.Close()
		accepting := blocked(w, func() error { _, err := l.Accept(); return err })
		require.NoError(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0)))
		wantOp(t, <-accepting, "accept", os.ErrDeadlineExceeded)
	})
}

func TestParityOfAResetWhileOperationsAreBlocked(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		reading := blocked(w, func() error { _, err := a.Read(make([]byte, 1)); return err })
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		wantOp(t, <-reading, "read", syscall.ECONNRESET)

		a, b = w.pair(t)
		writing := blocked(w, func() error {
			for {
				if _, err := a.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		})
		require.NoError(t, b.Close(), "with unread bytes")
		wantOp(t, <-writing, "write", syscall.ECONNRESET)
		_, err := a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)

		a, _ = w.pair(t)
		reading = blocked(w, func() error { _, err := a.Read(make([]byte, 1)); return err })
		require.NoError(t, a.CloseRead())
		require.Equal(t, io.EOF, <-reading)
		writing = blocked(w, func() error {
			for {
				if _, err := a.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		})
		require.NoError(t, a.CloseWrite())
		wantOp(t, <-writing, "write", syscall.EPIPE)
	})
}

func TestParityOfEmptyIOOnConnectionsThatHaveEnded(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		t.Log("an empty read sees neither the FIN nor the RST")
		a, b := w.pair(t)
		require.NoError(t, b.CloseWrite())
		w.settle()
		n, err := a.Read(nil)
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = a.Write(nil)
		require.NoError(t, err)
		require.NoError(t, b.SetLinger(0))
		require.NoError(t, b.Close())
		w.settle()
		_, err = a.Read(nil)
		require.NoError(t, err)

		t.Log("an empty write sends nothing that wakes a reader")
		a, b = w.pair(t)
		_, err = a.Write(nil)
		require.NoError(t, err)
		require.NoError(t, b.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		_, err = b.Read(make([]byte, 1))
		wantOp(t, err, "read", os.ErrDeadlineExceeded)
	})
}

// setUserTimeout sets TCP_USER_TIMEOUT in either world.
func setUserTimeout(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	if c, ok := c.(interface{ SetUserTimeout(time.Duration) error }); ok {
		require.NoError(t, c.SetUserTimeout(d))
		return
	}
	const tcpUserTimeout = 18 // of linux/tcp.h
	raw, err := c.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var set error
	require.NoError(t, raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	}))
	require.NoError(t, set)
}

func TestParityOfAUserTimeoutBeforeAShutWindow(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		a, b := w.pair(t)
		setUserTimeout(t, a, 250*time.Millisecond)
		start := time.Now()
		var err error
		for err == nil { // nobody reads
			_, err = a.Write(make([]byte, 1<<20))
		}
		wantOp(t, err, "write", syscall.ETIMEDOUT)
		require.GreaterOrEqual(t, time.Since(start), 250*time.Millisecond)
		_, err = a.Write([]byte("x"))
		wantOp(t, err, "write", syscall.EPIPE)
		_, err = a.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)

		t.Log("the reader is told when its news of an open window finds nobody")
		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Minute)))
		n, err := io.Copy(io.Discard, struct{ io.Reader }{b})
		require.Positive(t, n)
		wantOp(t, err, "read", syscall.ECONNRESET)
	})
}
