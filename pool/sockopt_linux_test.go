package pool

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// option reads an option back from the kernel.
func option(t *testing.T, nc net.Conn, level, name int) (value int) {
	t.Helper()
	raw, err := nc.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var got error
	require.NoError(t, raw.Control(func(fd uintptr) { value, got = syscall.GetsockoptInt(int(fd), level, name) }))
	require.NoError(t, got)
	return value
}

func TestConnectionPoolTCPSettingsReachTheKernel(t *testing.T) {
	c, _ := tcpPair(t)
	keep := net.KeepAliveConfig{Enable: true, Idle: 40 * time.Second, Interval: 7 * time.Second, Count: 3}
	require.NoError(t, tune(c, keep, 12345*time.Millisecond))
	require.Equal(t, 1, option(t, c, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	require.Equal(t, 40, option(t, c, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
	require.Equal(t, 7, option(t, c, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL))
	require.Equal(t, 3, option(t, c, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT))
	require.Equal(t, 12345, option(t, c, syscall.IPPROTO_TCP, tcpUserTimeout))
	require.NoError(t, tune(c, net.KeepAliveConfig{}, time.Nanosecond))
	require.Equal(t, 1, option(t, c, syscall.IPPROTO_TCP, tcpUserTimeout), "never rounded down to the system's own")
	require.Equal(t, 40, option(t, c, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE), "left as it was")
}

func TestConnectionPoolUserTimeoutLeavesWhatIsNoTCPSocketAlone(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, tune(c, net.KeepAliveConfig{Enable: true}, time.Second))
}

func TestConnectionPoolTCPSettingOnAClosedSocketIsRefused(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.Close())
	require.ErrorIs(t, tune(c, net.KeepAliveConfig{}, time.Second), net.ErrClosed)
}
