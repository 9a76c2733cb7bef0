package netsim

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A service that hangs is seen from outside as its kernel lets it be seen. Over loopback nobody accepts, or
// nobody reads; in netsim somebody would, and the fault is in the way.

// whereNobody runs body in both worlds, with a connection to a service that accepts only if asked to, and
// never reads.
func whereNobody(t *testing.T, accepts bool, fault func(s *Sim) *Fault, body func(t *testing.T, c tcpConn, settle func())) {
	connect := func(t *testing.T, d net.Conn, err error) tcpConn {
		require.NoError(t, err, "the kernel completes the handshake")
		return d.(tcpConn)
	}
	t.Run("loopback", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		d, err := net.Dial("tcp", l.Addr().String())
		c := connect(t, d, err)
		defer c.Close()
		if accepts {
			served, err := l.Accept()
			require.NoError(t, err)
			defer served.Close()
		}
		body(t, c, func() { time.Sleep(20 * time.Millisecond) }) // real: the kernel has no virtual time
	})
	t.Run("netsim", func(t *testing.T) {
		inLab(t, Config{}, func(x *lab) {
			_ = x.l.Close()
			servers := newServers(x.server)
			defer servers()
			f := fault(x.Sim)
			d, err := x.dial()
			c := connect(t, d, err)
			defer c.Close()
			body(t, c, func() { x.sleep(20 * ms) })
			f.Stop()
		})
	})
}

// newServers has an echo server run on the host until the returned function is called.
func newServers(h *Host) (stop func()) {
	var l net.Listener
	h.Go("echo", func(ctx context.Context) {
		l, _ = h.Listen(ctx, "tcp", ":80")
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.Go("served", func(context.Context) { echo(h, c) })
		}
	})
	h.Clock().Sleep(ms)
	return func() { _ = l.Close() }
}

func TestAServiceThatDoesNotAcceptLooksTheSameInBothWorlds(t *testing.T) {
	for _, fault := range []func(s *Sim) *Fault{
		func(s *Sim) *Fault { return s.AcceptWithoutService("server") },
		func(s *Sim) *Fault { return s.Stall("server") },
		func(s *Sim) *Fault { return s.Pause("server") },
	} {
		whereNobody(t, false, fault, func(t *testing.T, c tcpConn, settle func()) {
			n, err := c.Write([]byte("a request"))
			require.NoError(t, err)
			require.Equal(t, 9, n)
			settle()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			wantOp(t, err, "read", os.ErrDeadlineExceeded)
			require.NoError(t, c.CloseWrite())
			settle()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			wantOp(t, err, "read", os.ErrDeadlineExceeded)
		})
	}
}

func TestAServiceThatDoesNotReadLooksTheSameInBothWorlds(t *testing.T) {
	whereNobody(t, true, func(s *Sim) *Fault { return s.Stall("server") },
		func(t *testing.T, c tcpConn, settle func()) {
			sent, err := 0, error(nil)
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
			for err == nil {
				var n int
				n, err = c.Write(make([]byte, 1<<20))
				sent += n
			}
			wantOp(t, err, "write", os.ErrDeadlineExceeded)
			require.Positive(t, sent, "the window takes some, and no more")
			settle()
			require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			wantOp(t, err, "read", os.ErrDeadlineExceeded)
		})
}
