//go:build linux && (amd64 || arm64)

package socket

import (
	"syscall"
	"time"
	"unsafe"
)

// Moved says how long ago the kernel last received data on the connection, or sent some for the first time; known is false
// where that cannot be told, as on anything but a TCP socket of Linux. It sees what no call of ours has returned from yet.
// What is sent again, and probes of a shut window, are no movement.
func (c *Conn) Moved() (ago time.Duration, known bool) {
	if c.raw == nil || !c.isTCP() {
		return 0, false
	}
	var info syscall.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err := c.raw.Control(func(fd uintptr) {
		_, _, errno = syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 {
		return 0, false
	}
	ms := info.Last_data_recv
	if info.Retransmits == 0 && info.Probes == 0 {
		ms = min(ms, info.Last_data_sent)
	}
	return time.Duration(ms) * time.Millisecond, true
}
