package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// TLS returns a prober that is content with a handshake of TLS: it connects, shakes hands, and closes. Client makes the TLS
// side of a connection to the backend at an address; whom it believes is its business, and a certificate that it does not
// believe, or that has expired, fails the check. Unlike a connection alone, a handshake needs the backend's process, not
// only its kernel.
//
// A nil dialer is the real network.
func TLS(d Dialer, client func(nc net.Conn, address string) *tls.Conn) Prober {
	return &tlsProber{orReal(d), client}
}

type tlsProber struct {
	dialer Dialer
	client func(nc net.Conn, address string) *tls.Conn
}

// Probe implements Prober.
func (p *tlsProber) Probe(ctx context.Context, address string) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, Connect, err)
	}
	defer guard(ctx, conn)()
	// The guard ends the handshake with ctx. HandshakeContext would close the connection by a goroutine of its own.
	if err := p.client(conn, address).Handshake(); err != nil {
		return failure(ctx, BadAnswer, fmt.Errorf("handshake: %w", err))
	}
	return nil
}
