package probe

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/wavepool/wavepool/pool"
)

// idleLook says whether anything speaks against another check on a connection that has lain idle: nil when nothing does, io.EOF after
// the backend's end, pool.ErrUnexpectedData where bytes wait that nobody has asked for, and which would be taken for the answer to
// the next check, or what has broken it. It neither waits nor reads; one that cannot be looked at passes.
//
// It is the look that the pool has for its own idle connections, but that bytes below TLS count, too. They may be no more than a
// ticket of TLS 1.3, and then a check costs a handshake that it could have spared.
func idleLook(conn net.Conn) error {
	over, ok := conn.(*tls.Conn)
	if !ok {
		return pool.Peek(conn)
	}
	if err := pool.Peek(over.NetConn()); err != nil {
		return err
	}
	var b [1]byte
	if err := pool.PeekHeld(over, b[:]); err != nil {
		return err
	}
	return over.SetReadDeadline(time.Time{})
}
