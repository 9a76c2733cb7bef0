package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

const (
	// helloTimeout is the time that a client has to say whom it wants, where a TCP listener has routes. One who says nothing
	// may be waiting for the server to speak first: it goes to the listener's upstream then.
	helloTimeout = 10 * time.Second
	// maxHello bounds the bytes in which that is looked for. A hello with a large post-quantum key share, a session ticket and
	// many extensions stays well below it.
	maxHello = 32 << 10
)

// errHello ends a handshake that is only listened to.
var errHello = errors.New("the hello has been read")

// overhear reads the TLS hello of a client that is not ours to answer (RFC 8446 section 4.1.2), in however many records it
// comes, and returns the server name in it and all that has been read, for whoever will answer. The name is empty when there
// is none, and when what comes is not TLS. The error is that of reading.
func (c *client) overhear() (name string, said []byte, err error) {
	if err := c.nc.SetReadDeadline(c.s.now().Add(helloTimeout)); err != nil {
		return "", nil, err
	}
	if c.cutOff() {
		return "", nil, os.ErrDeadlineExceeded
	}
	ear := &eavesdropper{Conn: c.nc, from: c.sock.Read}
	_ = tls.Server(ear, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, errHello
	}}).Handshake() // it fails, one way or another
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return "", nil, err
	}
	if c.cutOff() {
		return "", nil, os.ErrDeadlineExceeded
	}
	if errors.Is(ear.err, os.ErrDeadlineExceeded) && len(ear.said) == 0 {
		return "", nil, nil // it waits for the server
	}
	return name, ear.said, ear.err
}

// eavesdropper lets a server of crypto/tls read what a client sends, and keeps it; what the server says goes nowhere.
type eavesdropper struct {
	net.Conn
	from func([]byte) (int, error)
	said []byte
	err  error // of reading
}

// Read implements net.Conn.
func (e *eavesdropper) Read(p []byte) (int, error) {
	if len(e.said) >= maxHello {
		return 0, errHello
	}
	n, err := e.from(p[:min(len(p), maxHello-len(e.said))])
	e.said = append(e.said, p[:n]...)
	if n == 0 {
		e.err = err
	}
	return n, err
}

// Write implements net.Conn.
func (*eavesdropper) Write(p []byte) (int, error) { return len(p), nil }

// SetWriteDeadline implements net.Conn: the handshake sets one for its alert.
func (*eavesdropper) SetWriteDeadline(time.Time) error { return nil }
