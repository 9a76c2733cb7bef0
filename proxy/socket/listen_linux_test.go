package socket

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func options(t *testing.T, nc net.Conn) (got [4]int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		got[0], _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		got[1], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		got[2], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL)
		got[3], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT)
	}))
	return got
}

func accepted(t *testing.T, listen func(context.Context, string, string) (net.Listener, error)) net.Conn {
	t.Helper()
	ln, err := listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	far, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return far
}

func TestConnectionsOfOurListenerHaveTheKeepAliveOfTheNetPackage(t *testing.T) {
	want := options(t, accepted(t, (&net.ListenConfig{}).Listen))
	require.Equal(t, [4]int{1, 15, 15, 9}, want, "the net package's defaults have changed: ours should too")
	require.Equal(t, want, options(t, accepted(t, Listen)))
	ln, err := Listen(context.Background(), "unix", t.TempDir()+"/s")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	_, err = Listen(context.Background(), "tcp", "127.0.0.1:no-port")
	require.Error(t, err)
}
