package pool

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tcpPair is a real connection over loopback and its peer.
func tcpPair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server.(*net.TCPConn)
}

// eventually looks until the kernel has told what the peer did.
func eventually(t *testing.T, nc net.Conn) (err error) {
	t.Helper()
	require.Eventually(t, func() bool { err = Peek(nc); return err != nil }, time.Minute, time.Millisecond)
	return err
}

func TestConnectionPoolPeekOnARealSocket(t *testing.T) {
	t.Run("a quiet connection is good", func(t *testing.T) {
		c, _ := tcpPair(t)
		require.NoError(t, Peek(c))
	})
	t.Run("FIN is EOF", func(t *testing.T) {
		c, s := tcpPair(t)
		require.NoError(t, s.Close())
		require.ErrorIs(t, eventually(t, c), io.EOF)
	})
	t.Run("RST is an error", func(t *testing.T) {
		c, s := tcpPair(t)
		require.NoError(t, s.SetLinger(0))
		require.NoError(t, s.Close())
		require.ErrorContains(t, eventually(t, c), "connection reset by peer")
	})
	t.Run("unread bytes are unexpected and stay unread", func(t *testing.T) {
		c, s := tcpPair(t)
		_, err := s.Write([]byte("hello"))
		require.NoError(t, err)
		require.ErrorIs(t, eventually(t, c), ErrUnexpectedData)
		got := make([]byte, 5)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
}

func TestConnectionPoolALookAtARealSocketSeesTheEndBehindAGreeting(t *testing.T) {
	greeted := func(t *testing.T) (*looker, net.Conn, *net.TCPConn) {
		c, s := tcpPair(t)
		_, err := s.Write([]byte("220 hello\r\n"))
		require.NoError(t, err)
		require.ErrorIs(t, eventually(t, c), ErrUnexpectedData)
		l := &looker{through: true}
		l.init(c)
		require.NoError(t, l.look(), "a greeting is no reason to doubt")
		return l, c, s
	}
	t.Run("FIN", func(t *testing.T) {
		l, c, s := greeted(t)
		require.NoError(t, s.CloseWrite())
		require.Eventually(t, func() bool { return l.look() == io.EOF }, time.Minute, time.Millisecond)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "220 hello\r\n", string(got), "the looks took nothing")
	})
	t.Run("RST", func(t *testing.T) {
		l, _, s := greeted(t)
		require.NoError(t, s.SetLinger(0))
		require.NoError(t, s.Close())
		require.Eventually(t, func() bool { return l.look() != nil }, time.Minute, time.Millisecond)
	})
}

func TestConnectionPoolALookAtARealSocketAllocatesNothing(t *testing.T) {
	c, _ := tcpPair(t)
	var l looker
	l.init(c)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if l.look() != nil {
			t.Fatal("a quiet connection was found bad")
		}
	}))
}

func TestConnectionPoolCoverBeginsNoMoreDialsThanWereMissing(t *testing.T) {
	p, err := New(Config{Address: "a:1", Dialer: instant{}})
	require.NoError(t, err)
	defer p.Close()
	// These dials end at once, each perhaps before the next look: the real clock and its scheduler are what is tested.
	for range 200 {
		before := p.Stats().Begun
		require.GreaterOrEqual(t, p.Cover(2), 0)
		require.LessOrEqual(t, p.Stats().Begun, before+2)
	}
}

func TestConnectionPoolLendAndReleaseOfAnIdleConnectionAllocateNothing(t *testing.T) {
	p, err := New(Config{Address: "a:1", Dialer: instant{}, IdleTimeout: time.Hour})
	require.NoError(t, err)
	defer p.Close()
	c, err := p.Lend(context.Background())
	require.NoError(t, err)
	now := time.Now()
	c.Release()
	require.Zero(t, testing.AllocsPerRun(100, func() { tryLend(p, now, 0).Release() }))
}

// instant is a dialer that has a connection at once.
type instant struct{}

func (instant) DialContext(context.Context, string, string) (net.Conn, error) {
	return &fakeConn{}, nil
}
