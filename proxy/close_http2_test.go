package proxy_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/proxy"
)

// overtaken is a connection whose server is closed in the moment in which net/http clears its deadlines.
type overtaken struct {
	net.Conn
	cleared atomic.Int32
	close   func()
	aborted chan struct{}
}

func (c *overtaken) SetReadDeadline(t time.Time) error {
	if t.IsZero() && c.cleared.Add(1) == 2 {
		go c.close()
		<-c.aborted
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *overtaken) SetWriteDeadline(t time.Time) error {
	err := c.Conn.SetWriteDeadline(t)
	if t.Equal(time.Unix(1, 0)) {
		close(c.aborted)
	}
	return err
}

type overtakenListener struct {
	net.Listener
	close func()
}

func (l *overtakenListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &overtaken{Conn: nc, close: l.close, aborted: make(chan struct{})}, nil
}

func TestCloseEndsAnHTTP2ConnectionThatBeginsInThatMoment(t *testing.T) {
	var s *proxy.Server
	closed := make(chan struct{})
	var err error
	s, err = proxy.New(proxy.Config{
		Settings: talkSettings("127.0.0.1:0", []string{"127.0.0.1:1"}),
		Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
			ln, err := (&net.ListenConfig{}).Listen(ctx, network, address)
			return &overtakenListener{Listener: ln, close: func() { s.Close(); close(closed) }}, err
		},
	})
	require.NoError(t, err)
	require.NoError(t, s.Start(context.Background()))
	nc, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.Addrs()[0].String())
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	require.NoError(t, err)
	select {
	case <-closed:
	case <-time.After(3 * time.Second):
		_ = nc.Close()
		<-closed
		t.Fatal("Close waits for a client")
	}
}
