package proxy

import (
	"net"
	"syscall"
)

// readableWaiter is what a connection offers on which one can wait for bytes without holding a buffer: it returns when
// a read would not block, or with the error of a read deadline. Simulated connections implement it; for TCP and Unix
// sockets the proxy has its own.
type readableWaiter interface {
	WaitReadable() error
}

// waiter waits on one connection. It is made once, so that a wait allocates nothing.
type waiter struct {
	own readableWaiter
	raw syscall.RawConn
	ask func(fd uintptr) bool
	buf [1]byte
}

func (w *waiter) init(nc net.Conn) {
	if own, ok := nc.(readableWaiter); ok {
		w.own = own
		return
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw, w.ask = raw, w.readable
		}
	}
}

// wait returns nil when a read would not block, whether it would give bytes or an error, and where it cannot be told.
func (w *waiter) wait() error {
	switch {
	case w.own != nil:
		return w.own.WaitReadable()
	case w.raw != nil:
		return w.raw.Read(w.ask)
	}
	return nil
}

// readable peeks at the socket; false makes RawConn.Read wait for the poller.
func (w *waiter) readable(fd uintptr) bool {
	for {
		_, _, err := syscall.Recvfrom(int(fd), w.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		return err != syscall.EAGAIN
	}
}
