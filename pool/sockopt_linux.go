package pool

import (
	"encoding/binary"
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

// tcpEstablished is TCP_ESTABLISHED of linux/tcp_states.h, the state of a connection that neither side has ended.
const tcpEstablished = 1

// endedBehindData asks the kernel for the state of a connection on which bytes are unread: those hide the peer's FIN, and
// its RST, from MSG_PEEK. What is no TCP socket is taken to go on.
func endedBehindData(raw syscall.RawConn) bool {
	ended := false
	_ = raw.Control(func(fd uintptr) {
		// The first four bytes of struct tcp_info are enough, and the first of these is tcpi_state.
		info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
		if err != nil {
			return
		}
		var head [4]byte
		binary.NativeEndian.PutUint32(head[:], uint32(info))
		ended = head[0] != tcpEstablished
	})
	return ended
}
