package http2

import (
	"net"
	"testing"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var somewhere = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}

func TestThePipeIsAConnectionAsTheNetPackageWantsIt(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := pipe(clock.New(), somewhere, somewhere)
		return a, b, func() { _ = a.Close(); _ = b.Close() }, nil
	})
}

func TestThePipeHoldsSomeBytesAndThenMakesTheWriterWait(t *testing.T) {
	a, b := pipe(clock.New(), somewhere, somewhere)
	done := make(chan error, 1)
	go func() {
		_, err := a.Write(make([]byte, pipeSize+1))
		done <- err
	}()
	got := 0
	for p := make([]byte, 1000); got < pipeSize+1; {
		n, err := b.Read(p)
		require.NoError(t, err)
		got += n
	}
	require.NoError(t, <-done)
	require.NoError(t, a.CloseWrite())
	require.NoError(t, b.WaitReadable())
	_, err := b.Read(make([]byte, 1))
	require.ErrorContains(t, err, "EOF")
	_, err = b.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, a.Close(), "with a byte unread")
	_, err = b.Write([]byte("x"))
	require.ErrorContains(t, err, "broken pipe")
}
