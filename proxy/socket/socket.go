package socket

import (
	"io"
	"net"
	"os"
	"syscall"
)

// maxDirect is how many bytes one system call of ours may copy: while it runs, its goroutine cannot be moved away from
// its thread. More is left to the net package.
const maxDirect = 64 << 10

// ReadableWaiter is what a connection offers that can wait for bytes without a buffer: WaitReadable returns when a read
// would not block, or with the error of a read deadline. Simulated connections implement it.
type ReadableWaiter interface {
	WaitReadable() error
}

// Buffer is memory that is borrowed only while there is something to put into it; *http1.Reader is one.
type Buffer interface {
	// Room returns where to read to, at least one byte of it. It borrows what it needs.
	Room() []byte
	// Filled says that n bytes have been put there, n > 0.
	Filled(n int)
	// ReleaseBuffer gives back what was borrowed, if it holds nothing.
	ReleaseBuffer() bool
}

// Conn reads and writes one connection. The zero value is ready for Init.
type Conn struct {
	nc    net.Conn
	owner ReadableWaiter
	raw   syscall.RawConn // nil: not a socket of the kernel's that we know

	// The arguments and results of the calls under way, and the callbacks, made once so that no call allocates.
	in, out               []byte
	into                  Buffer
	inN, outN             int
	inErr, outErr         syscall.Errno
	asked                 bool // SendAwait has written
	doRead, doWrite, doIn func(fd uintptr) bool
	doAsk                 func(fd uintptr) bool

	one    [1]byte       // see AwaitLong
	isLate bool          // SendAwait met an error of reading, or with 0 the end: the next Read returns it
	late   syscall.Errno // that error

	take, put *half // of splices: made at the first one
}

// Init makes the Conn ready for a connection, which it does not take over: closing it is its owner's.
func (c *Conn) Init(nc net.Conn) {
	*c = Conn{nc: nc}
	if own, ok := nc.(ReadableWaiter); ok {
		c.owner = own
		return
	}
	var sc syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc = nc
	default:
		return
	}
	if raw, err := sc.SyscallConn(); err == nil && direct {
		c.raw, c.doRead, c.doWrite, c.doIn, c.doAsk = raw, c.read, c.write, c.fill, c.ask
	}
}

// NetConn is the connection itself.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Read reads as the connection's own Read does.
func (c *Conn) Read(p []byte) (int, error) {
	if c.isLate {
		return c.takeLate()
	}
	if c.raw == nil || len(p) == 0 || len(p) > maxDirect {
		return c.nc.Read(p)
	}
	c.in = p
	err := c.raw.Read(c.doRead)
	c.in = nil
	return c.got(err)
}

// takeLate returns what SendAwait met while it waited.
func (c *Conn) takeLate() (int, error) {
	c.isLate, c.inN, c.inErr = false, 0, c.late
	return c.got(nil)
}

// got turns what a read left into its results.
func (c *Conn) got(err error) (int, error) {
	switch {
	case err != nil:
		return 0, c.failure("read", err)
	case c.inErr != 0:
		return 0, c.failure("read", os.NewSyscallError("read", c.inErr))
	case c.inN == 0:
		return 0, io.EOF
	}
	return c.inN, nil
}

// Write writes all of p, as the connection's own Write does.
func (c *Conn) Write(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 || len(p) > maxDirect {
		return c.nc.Write(p)
	}
	c.out, c.outN, c.outErr = p, 0, 0
	err := c.raw.Write(c.doWrite)
	c.out = nil
	switch {
	case err != nil:
		return c.outN, c.failure("write", err)
	case c.outErr != 0:
		return c.outN, c.failure("write", os.NewSyscallError("write", c.outErr))
	}
	return c.outN, nil
}

// Await waits for bytes without holding memory for them, and reads what has come into the buffer. It returns nil when
// the buffer has got some; or, where the connection waits by itself, when a read would not block. A connection that can
// only be read is read, and holds the buffer meanwhile.
func (c *Conn) Await(into Buffer) error {
	switch {
	case c.owner != nil:
		return c.owner.WaitReadable()
	case c.raw == nil:
		return c.fillFrom(into)
	case c.isLate:
		_, err := c.takeLate()
		return err
	}
	c.into = into
	err := c.raw.Read(c.doIn)
	c.into = nil
	n, err := c.got(err)
	if err != nil {
		into.ReleaseBuffer()
		return err
	}
	into.Filled(n)
	return nil
}

// AwaitLong is Await for a wait that will probably be long: a connection that can only be read, such as one of TLS, is read by a single
// byte, and so holds no buffer either. It costs one read more.
func (c *Conn) AwaitLong(into Buffer) error {
	if c.owner != nil || c.raw != nil {
		return c.Await(into)
	}
	n, err := c.nc.Read(c.one[:])
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return err
	}
	into.Room()[0] = c.one[0]
	into.Filled(1)
	return nil // an error beside it comes again
}

// fillFrom is Await for a connection that can only be read: it holds the buffer while it waits.
func (c *Conn) fillFrom(into Buffer) error {
	n, err := c.nc.Read(into.Room())
	if n > 0 {
		into.Filled(n)
		return nil // an error beside it comes again
	}
	into.ReleaseBuffer()
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// failure is an error as the net package words it: RawConn's own, whose operation has another name, is put right.
func (c *Conn) failure(op string, err error) error {
	if raw, ok := err.(*net.OpError); ok {
		err = raw.Err
	}
	return &net.OpError{Op: op, Net: c.nc.LocalAddr().Network(), Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(), Err: err}
}

// read, fill and write are RawConn's callbacks: false makes it wait until the socket is ready again.

func (c *Conn) read(fd uintptr) bool { return c.receive(fd, c.in) }

func (c *Conn) fill(fd uintptr) bool {
	if c.receive(fd, c.into.Room()) {
		return true
	}
	c.into.ReleaseBuffer()
	return false
}

func (c *Conn) receive(fd uintptr, p []byte) bool {
	for {
		c.inN, c.inErr = receive(fd, p)
		if c.inErr != syscall.EINTR {
			return c.inErr != syscall.EAGAIN
		}
	}
}

func (c *Conn) write(fd uintptr) bool {
	for c.outN < len(c.out) {
		n, errno := send(fd, c.out[c.outN:])
		switch errno {
		case 0:
			c.outN += n
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

// SendAwait writes all of out and waits for the first bytes of what comes in return, which it reads into the buffer. The
// wait begins before the bytes leave, so that no read has to be tried in between that could find nothing yet: one system
// call less than Write and Await. It is for a connection on which nothing is to be read before, and on which nobody else
// writes: what came earlier, the peer's FIN included, is only seen once something more comes. (A peer that has closed
// resets.) The first error is that of writing, with the number of bytes that were written. An error of reading is kept
// for the next Read.
//
// A connection that is not a socket of the kernel only writes. So does any other when its write would block, or when its
// read deadline has expired: the answer is left to the next Read.
func (c *Conn) SendAwait(out []byte, into Buffer) (int, error) {
	if c.raw == nil || len(out) == 0 || len(out) > maxDirect {
		return c.Write(out)
	}
	c.out, c.outN, c.outErr, c.into, c.inN, c.asked = out, 0, 0, into, -1, false
	err := c.raw.Read(c.doAsk)
	out, c.out, c.into = c.out[c.outN:], nil, nil
	switch {
	case c.outErr != 0:
		return c.outN, c.failure("write", os.NewSyscallError("write", c.outErr))
	case len(out) > 0: // nothing was read either
		sent := c.outN
		n, err := c.Write(out)
		return sent + n, err
	case err != nil || c.inN < 0: // deadline or Close: the next Read meets it again
		return c.outN, nil
	case c.inN > 0:
		into.Filled(c.inN)
	default:
		c.late, c.isLate = c.inErr, true
	}
	return c.outN, nil
}

// ask is RawConn's callback of SendAwait: called at once, and again when there is something to be read.
func (c *Conn) ask(fd uintptr) bool {
	if !c.asked {
		c.asked = true
		return !c.write(fd) || c.outErr != 0
	}
	if c.receive(fd, c.into.Room()) {
		if c.inN <= 0 {
			c.into.ReleaseBuffer()
		}
		return true
	}
	c.into.ReleaseBuffer()
	return false
}
