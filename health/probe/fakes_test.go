package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeNet is a network in which every dial gives one end of a pipe, and the other end to serve, on a
// goroutine of its own. It counts what is open, so that a test can hold a prober to closing what it opened.
type fakeNet struct {
	serve func(conn net.Conn)

	running sync.WaitGroup
	dialed  atomic.Int32
	open    atomic.Int32
}

func (n *fakeNet) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	n.dialed.Add(1)
	n.open.Add(1)
	n.running.Go(func() {
		defer theirs.Close()
		n.serve(theirs)
	})
	return &countedConn{Conn: ours, open: &n.open}, nil
}

// settle waits for the servers and requires that nothing was left open.
func (n *fakeNet) settle(t *testing.T) {
	n.running.Wait()
	require.Zero(t, n.open.Load(), "connections left open")
}

type countedConn struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// readRequest reads one request as a server would, by the eyes of net/http.
func readRequest(conn net.Conn) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(conn))
}

// answering serves one request with that text, in as many writes as there are texts.
func answering(texts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := readRequest(conn); err != nil {
			return
		}
		for _, text := range texts {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// silent serves by reading until the peer goes away.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// dialFunc is a dialer made of a function.
type dialFunc func(ctx context.Context) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }

// proberFunc is a prober made of a function.
type proberFunc func(ctx context.Context) error

func (f proberFunc) Probe(ctx context.Context, _ string) error { return f(ctx) }

func mustHTTP(t *testing.T, d Dialer, cfg HTTPConfig) Prober {
	p, err := HTTP(d, cfg)
	require.NoError(t, err)
	return p
}

// requireKind requires that err is an *Error of that kind with a cause.
func requireKind(t *testing.T, kind Reason, err error) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kind.String(), e.Kind.String(), "%v", err)
	require.Error(t, e.Unwrap())
	require.Equal(t, "probe: "+kind.String()+": "+e.Err.Error(), err.Error())
}
