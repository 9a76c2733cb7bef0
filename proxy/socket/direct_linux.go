//go:build linux && (amd64 || arm64)

package socket

import (
	"syscall"
	"unsafe"
)

// direct says that this build makes its own system calls, and splices that it can splice.
const (
	direct  = true
	splices = true
)

// receive and send are one system call each that never blocks. RawSyscall6 keeps the scheduler out of it.

func receive(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func send(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// The flags of splice(2): move pages where possible, and never wait.
const (
	spliceMove     = 1
	spliceNonblock = 2
)

func splice(from, to uintptr, n int) (int, syscall.Errno) {
	moved, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, from, 0, to, 0, uintptr(n), spliceMove|spliceNonblock)
	if errno != 0 {
		return 0, errno
	}
	return int(moved), 0
}

func newPipe() (*pipe, syscall.Errno) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, err.(syscall.Errno)
	}
	return &pipe{r: uintptr(fds[0]), w: uintptr(fds[1])}, 0
}

func (p *pipe) destroy() {
	_ = syscall.Close(int(p.r))
	_ = syscall.Close(int(p.w))
}
