package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is two ends of one connection of the kernel's.
func pair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	require.NoError(t, err)
	defer ln.Close()
	near, err = net.Dial(network, ln.Addr().String())
	require.NoError(t, err)
	far, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// plain is a connection that is no socket of the kernel's.
type plain struct{ net.Conn }

// bothWays runs a body over the system calls of our own and over a connection's own methods: nobody may see a difference.
func bothWays(t *testing.T, body func(t *testing.T, c *Conn, far net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			var c Conn
			c.Init(near)
			require.Equal(t, direct, c.raw != nil, "a socket of the kernel's is read directly where the build can")
			body(t, &c, far)
		})
	}
	t.Run("plain", func(t *testing.T) {
		near, far := pair(t, "tcp")
		var c Conn
		c.Init(plain{near})
		require.Nil(t, c.raw)
		body(t, &c, far)
	})
}

func TestReadAndWriteCarryBytesOfEverySize(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Conn, far net.Conn) {
		for _, n := range []int{1, 100, maxDirect - 1, maxDirect, maxDirect + 1, 1 << 20} {
			want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
			got := make(chan []byte, 1)
			go func() {
				p := make([]byte, n)
				_, _ = io.ReadFull(far, p)
				got <- p
			}()
			written, err := c.Write(want)
			require.NoError(t, err)
			require.Equal(t, n, written)
			require.True(t, bytes.Equal(want, <-got))

			go func() { _, _ = far.Write(want) }()
			p := make([]byte, n)
			_, err = io.ReadFull(c, p)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, p))
		}
		n, err := c.Write(nil)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = c.Read(nil)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestAWriteWaitsForAPeerThatDoesNotReadAndGoesOnWhereItStood(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Conn, far net.Conn) {
		chunk := bytes.Repeat([]byte{'x'}, maxDirect)
		sum := 0
		require.NoError(t, c.NetConn().SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		for {
			n, err := c.Write(chunk)
			sum += n
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
			require.Equal(t, len(chunk), n)
		}
		require.NoError(t, c.NetConn().SetWriteDeadline(time.Time{}))
		done := make(chan error, 1)
		go func() {
			_, err := c.Write(chunk)
			done <- err
		}()
		n, err := io.CopyN(io.Discard, far, int64(sum+len(chunk)))
		require.NoError(t, err, "what was reported as written has been written, and no more: %d", n)
		require.NoError(t, <-done)
	})
}

func TestErrorsAreThoseOfTheConnectionItself(t *testing.T) {
	reset := func(t *testing.T, far net.Conn) {
		if tcp, ok := far.(*net.TCPConn); ok {
			require.NoError(t, tcp.SetLinger(0))
		}
		require.NoError(t, far.Close())
	}
	var opErr *net.OpError
	bothWays(t, func(t *testing.T, c *Conn, far net.Conn) {
		p := make([]byte, 8)
		require.NoError(t, c.NetConn().SetReadDeadline(time.Now().Add(-time.Second)))
		_, err := c.Read(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.ErrorAs(t, err, &opErr)
		require.Equal(t, "read", opErr.Op)
		require.True(t, opErr.Timeout())
		require.NoError(t, c.NetConn().SetReadDeadline(time.Time{}))
		if half, ok := far.(interface{ CloseWrite() error }); ok {
			require.NoError(t, half.CloseWrite())
			_, err = c.Read(p)
			require.Equal(t, io.EOF, err)
		}
		reset(t, far)
		require.NoError(t, c.NetConn().SetWriteDeadline(time.Now().Add(5*time.Second)))
		for err = nil; err == nil; { // the peer's reset may take a moment
			_, err = c.Write(p)
		}
		require.ErrorAs(t, err, &opErr)
		require.Equal(t, "write", opErr.Op)
		require.True(t, errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET), "%v", err)
		require.NoError(t, c.NetConn().Close())
		_, err = c.Read(p)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = c.Write(p)
		require.ErrorIs(t, err, net.ErrClosed)
	})
	near, far := pair(t, "tcp")
	var c Conn
	c.Init(near)
	reset(t, far)
	_, err := c.Read(make([]byte, 8))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Contains(t, err.Error(), "read tcp 127.0.0.1:")
}

func TestClosingTheConnectionEndsAReadAndAWriteThatWait(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Conn, _ net.Conn) {
		done := make(chan error, 2)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		go func() {
			for {
				if _, err := c.Write(make([]byte, maxDirect)); err != nil {
					done <- err
					return
				}
			}
		}()
		require.NoError(t, c.NetConn().SetReadDeadline(time.Time{}))
		require.NoError(t, c.NetConn().Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

// shelf is a Buffer that knows whether it is lent.
type shelf struct {
	room     []byte
	borrowed int
	holds    int
}

func (s *shelf) Room() []byte {
	if s.room == nil {
		s.room, s.borrowed = make([]byte, 64), s.borrowed+1
	}
	return s.room[s.holds:]
}

func (s *shelf) Filled(n int) { s.holds += n }

func (s *shelf) ReleaseBuffer() bool {
	if s.holds > 0 {
		return false
	}
	s.room = nil
	return true
}

func TestAwaitHoldsNoBufferWhileItWaitsAndReadsWhatHasCome(t *testing.T) {
	if !direct {
		t.Skip("this build leaves waiting to the net package")
	}
	near, far := pair(t, "tcp")
	var c Conn
	c.Init(near)
	var s shelf
	held := make(chan bool, 1)
	done := make(chan error, 1)
	require.NoError(t, near.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	require.ErrorIs(t, c.Await(&s), os.ErrDeadlineExceeded)
	require.Nil(t, s.room, "nothing came, so nothing is held")
	require.NoError(t, near.SetReadDeadline(time.Time{}))

	go func() { done <- c.Await(&s) }()
	go func() { _, _ = far.Write([]byte("hello")); held <- true }()
	<-held
	require.NoError(t, <-done)
	require.Equal(t, "hello", string(s.room[:s.holds]))

	s = shelf{}
	require.NoError(t, far.Close())
	require.Equal(t, io.EOF, c.Await(&s))
	require.Nil(t, s.room)
}

// waits is a connection that says itself when it can be read.
type waits struct {
	net.Conn
	asked int
}

func (w *waits) WaitReadable() error { w.asked++; return nil }

func TestAConnectionThatCanWaitByItselfIsAskedTo(t *testing.T) {
	near, far := pair(t, "tcp")
	w := &waits{Conn: near}
	var c Conn
	var s shelf
	c.Init(w)
	require.NoError(t, c.Await(&s))
	require.Equal(t, 1, w.asked)
	require.Zero(t, s.borrowed, "the read is left to whoever reads next")
	c.Init(plain{near})
	_, err := far.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, c.Await(&s))
	require.Equal(t, "hello", string(s.room[:s.holds]), "it can only be read")
	s = shelf{}
	require.NoError(t, far.Close())
	require.Equal(t, io.EOF, c.Await(&s))
	require.Nil(t, s.room)
}

func TestACallAllocatesNothing(t *testing.T) {
	near, far := pair(t, "tcp")
	var c, d Conn
	c.Init(near)
	d.Init(far)
	p, q := make([]byte, 100), make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(q); err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, way := range []string{"socket", "net"} {
		b.Run(way, func(b *testing.B) {
			near, far := pair(b, "tcp")
			var c, d Conn
			if way == "socket" {
				c.Init(near)
				d.Init(far)
			} else {
				c.Init(plain{near})
				d.Init(plain{far})
			}
			p, q := make([]byte, 200), make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := d.Read(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
