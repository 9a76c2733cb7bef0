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
	if src.take == nil {
		src.take = &half{c: src}
		src.take.do = src.take.fill
	}
	if dst.put == nil {
		dst.put = &half{c: dst}
		dst.put.do = dst.put.empty
	}
	take, put := src.take, dst.put
	take.left = int(min(limit, SpliceMax))
	err := src.raw.Read(take.do)
	p := take.pipe
	take.pipe = nil
	got, srcErr := src.got(err)
	if srcErr != nil {
		p.giveBack()
		return 0, srcErr, nil
	}
	put.pipe, put.left, dst.outN, dst.outErr = p, got, 0, 0
	err = dst.raw.Write(put.do)
	put.pipe = nil
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

// half is what one side of a splice is about: the side that fills a pipe, or the one that empties it.
type half struct {
	c    *Conn
	pipe *pipe
	left int // bytes that may be taken, or are still to be put
	do   func(fd uintptr) bool
}

// fill moves bytes from the socket into a pipe, which it holds only if there were any.
func (h *half) fill(fd uintptr) bool {
	c := h.c
	if h.pipe == nil {
		if h.pipe, c.inErr = borrowPipe(); c.inErr != 0 {
			return true
		}
	}
	for {
		c.inN, c.inErr = splice(fd, h.pipe.w, h.left)
		switch c.inErr {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			h.pipe.giveBack()
			h.pipe = nil
			return false
		}
		return true
	}
}

// empty moves bytes from the pipe into the socket.
func (h *half) empty(fd uintptr) bool {
	for h.left > 0 {
		n, errno := splice(h.pipe.r, fd, h.left)
		switch errno {
		case 0:
			h.c.outN, h.left = h.c.outN+n, h.left-n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			h.c.outErr = errno
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
