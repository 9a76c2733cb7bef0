package pool

import (
	"math"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall does not have.
const tcpUserTimeout = 18

// setUserTimeout sets TCP_USER_TIMEOUT (RFC 5482), in whole milliseconds and never zero, which would mean the system's
// own. What is no TCP socket is left alone.
func setUserTimeout(nc net.Conn, d time.Duration) error {
	sc, ok := nc.(syscall.Conn)
	if !ok || nc.LocalAddr() == nil || !strings.HasPrefix(nc.LocalAddr().Network(), "tcp") {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	ms := min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
	var set error
	err = raw.Control(func(fd uintptr) {
		set = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(ms)))
	})
	if err != nil {
		return err
	}
	return set
}
