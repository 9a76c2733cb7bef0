package probe

import "context"

// TCP returns a prober that is content with a connection: it connects and closes. A nil dialer is the real
// network.
func TCP(d Dialer) Prober { return tcp{orReal(d)} }

type tcp struct{ dialer Dialer }

// Probe implements Prober.
func (p tcp) Probe(ctx context.Context, address string) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, Connect, err)
	}
	// The connection is all that was asked for; an error of its end says nothing about the backend's health.
	_ = conn.Close()
	return nil
}
