package pool

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Peeker is what a connection offers that can be looked at without reading from it and without waiting: n > 0 when
// bytes are there, 0 and nil when there are none now, io.EOF after the peer's FIN, another error when it is broken.
// Simulated connections implement it; for TCP and Unix sockets the pool has its own.
type Peeker interface {
	Peek(p []byte) (n int, err error)
}

// EndTeller is what a connection may offer beside Peek: PeerEnded says whether the peer has ended its stream, or the
// connection is broken, also while bytes that came before are still unread. Simulated connections implement it; for TCP
// sockets on Linux the pool has its own.
type EndTeller interface {
	PeerEnded() bool
}

// ErrUnexpectedData is what Peek answers for a connection that holds bytes nobody asked for.
var ErrUnexpectedData = errors.New("pool: unexpected data on an idle connection")

// Peek looks at an idle connection without reading and without waiting. Nil means that nothing speaks against its
// use; io.EOF that the peer has closed it; ErrUnexpectedData that bytes wait on it; any other error that it is
// broken. A connection that cannot be looked at is taken to be good.
func Peek(nc net.Conn) error {
	var l looker
	l.init(nc)
	return l.look()
}

// PeekHeld looks at what a connection that lies over another one, such as a *tls.Conn, has itself read already and holds: a
// record that came in one segment with the one before it is there, where [Peek] on the connection below cannot see it. A read whose time
// is over takes what is there, into p, which has room for a byte at least, and asks the connection below for nothing. Its results are
// those of Peek. It leaves the read deadline in the past: the caller, who knows which one holds, sets it.
func PeekHeld(nc net.Conn, p []byte) error {
	if err := nc.SetReadDeadline(longAgo); err != nil {
		return err
	}
	n, err := nc.Read(p[:1])
	switch {
	case n > 0:
		return ErrUnexpectedData
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	return nil
}

// longAgo is a deadline that has passed on every clock.
var longAgo = time.Unix(1, 0)

// looker is the means to look at one connection, made once so that a look allocates nothing.
type looker struct {
	peeker Peeker
	raw    syscall.RawConn
	ask    func(fd uintptr)
	buf    [1]byte
	n      int
	err    error
	// through says that bytes on the connection are not unexpected: the peer speaks first, or another protocol lies between the
	// connection and its user (layered), and sends something of its own after its handshake, until the first loan has read that.
	through, layered bool
}

// can says whether looks tell anything.
func (l *looker) can() bool { return l.peeker != nil || l.raw != nil }

func (l *looker) init(nc net.Conn) {
	if pk, ok := nc.(Peeker); ok {
		l.peeker = pk
		return
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			l.raw = raw
			l.ask = l.recv
		}
	}
}

// look asks once.
func (l *looker) look() error {
	switch {
	case l.peeker != nil:
		l.n, l.err = l.peeker.Peek(l.buf[:])
	case l.raw != nil:
		// Control and not Read: an old read deadline of the borrower's would keep Read from asking at all, and make a
		// healthy connection look dead.
		if err := l.raw.Control(l.ask); err != nil {
			return err
		}
	default:
		return nil
	}
	if l.err != nil || l.n == 0 {
		return l.err
	}
	if !l.through {
		return ErrUnexpectedData
	}
	if l.ended() { // the bytes hide it from a peek
		return io.EOF
	}
	return nil
}

// ended says whether the peer's end is known to stand behind bytes that are unread.
func (l *looker) ended() bool {
	if l.raw != nil {
		return endedBehindData(l.raw)
	}
	e, ok := l.peeker.(EndTeller)
	return ok && e.PeerEnded()
}

// recv peeks at the socket.
func (l *looker) recv(fd uintptr) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), l.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			l.n, l.err = 0, nil
		case err != nil:
			l.n, l.err = 0, err
		case n == 0:
			l.n, l.err = 0, io.EOF
		default:
			l.n, l.err = n, nil
		}
		return
	}
}
