package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
)

// SpliceMax is how many bytes one call of Splice moves at most: what a pipe holds that nobody has enlarged.
const SpliceMax = 64 << 10

// errNotSpliced is why Splice refuses: whoever calls it has asked CanSplice.
var errNotSpliced = errors.New("socket: Splice between connections that are not both TCP sockets")

// CanSplice says whether bytes can be moved from src to dst without passing through our memory.
func CanSplice(dst, src *Conn) bool {
	return splices && dst.raw != nil && src.raw != nil && dst.isTCP() && src.isTCP()
}

func (c *Conn) isTCP() bool {
	_, ok := c.nc.(*net.TCPConn)
	return ok
}

// Splice waits until src has bytes and moves at most limit of them to dst, all that it has taken. It may return earlier
// with fewer than dst would take. While it waits for src it holds no pipe; while dst takes nothing it must. The errors are
// those of src (io.EOF at the end of its stream) and of dst; the deadlines of both connections hold. Bytes that dst did not
// take after an error are lost. The connections must satisfy CanSplice; SpliceMax bounds the limit.
func Splice(dst, src *Conn, limit int64) (n int64, srcErr, dstErr error) {
	if !CanSplice(dst, src) {
		return 0, errNotSpliced, nil
	}
	src.limit = int(min(limit, SpliceMax))
	err := src.raw.Read(src.doTake)
	p := src.pipe
	src.pipe = nil
	got, srcErr := src.got(err)
	if srcErr != nil {
		p.giveBack()
		return 0, srcErr, nil
	}
	dst.pipe2, dst.outN, dst.left, dst.outErr = p, 0, got, 0
	err = dst.raw.Write(dst.doPut)
	dst.pipe2 = nil
	switch {
	case err != nil:
		p.destroy() // it is not empty
		return int64(dst.outN), nil, dst.failure("write", err)
	case dst.outErr != 0:
		p.destroy()
		return int64(dst.outN), nil, dst.failure("write", os.NewSyscallError("splice", dst.outErr))
	}
	p.giveBack()
	return int64(got), nil, nil
}

// take moves bytes from the socket into a pipe, which it holds only if there were any.
func (c *Conn) take(fd uintptr) bool {
	if c.pipe == nil {
		if c.pipe, c.inErr = borrowPipe(); c.inErr != 0 {
			return true
		}
	}
	for {
		c.inN, c.inErr = splice(fd, c.pipe.w, c.limit)
		switch c.inErr {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			c.pipe.giveBack()
			c.pipe = nil
			return false
		}
		return true
	}
}

// put moves bytes from the pipe into the socket.
func (c *Conn) put(fd uintptr) bool {
	for c.left > 0 {
		n, errno := splice(c.pipe2.r, fd, c.left)
		switch errno {
		case 0:
			c.outN, c.left = c.outN+n, c.left-n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			c.outErr = errno
			return true
		}
	}
	return true
}

// pipe is a pipe of the kernel's, empty whenever it is not in use.
type pipe struct{ r, w uintptr }

// pipes keeps a few pipes for the next call. What it holds influences nothing but the number of system calls. It is no
// sync.Pool, which would drop them without closing.
var pipes = struct {
	sync.Mutex
	free []*pipe
}{}

// maxFreePipes is how many unused pipes are kept.
const maxFreePipes = 64

func borrowPipe() (*pipe, syscall.Errno) {
	pipes.Lock()
	if n := len(pipes.free); n > 0 {
		p := pipes.free[n-1]
		pipes.free = pipes.free[:n-1]
		pipes.Unlock()
		return p, 0
	}
	pipes.Unlock()
	return newPipe()
}

// giveBack keeps an empty pipe; nil is none.
func (p *pipe) giveBack() {
	if p == nil {
		return
	}
	pipes.Lock()
	keep := len(pipes.free) < maxFreePipes
	if keep {
		pipes.free = append(pipes.free, p)
	}
	pipes.Unlock()
	if !keep {
		p.destroy()
	}
}
