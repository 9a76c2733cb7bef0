package http2

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServeConnReturnsWhenTheStreamsHaveEnded(t *testing.T) {
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f := NewFront(FrontConfig{Serve: func(stream net.Conn, _ any) {
		close(began)
		<-release
		_ = stream.Close()
		close(ended)
	}})
	defer f.Close()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	over := make(chan bool)
	go func() {
		nc, err := ln.Accept()
		require.NoError(t, err)
		f.ServeConn(nc, nil)
		select {
		case <-ended:
			over <- true
		default:
			over <- false
		}
	}()
	var nc net.Conn
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		var err error
		nc, err = d.DialContext(ctx, network, ln.Addr().String())
		return nc, err
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() {
		req, _ := http.NewRequest("GET", "http://a.test/", nil)
		_, err := tr.RoundTrip(req)
		failed <- err
	}()
	<-began
	require.NoError(t, nc.Close())
	require.Error(t, <-failed)
	select {
	case got := <-over:
		close(release)
		require.True(t, got, "a stream outlives its connection")
	case <-time.After(50 * time.Millisecond):
		close(release)
		require.True(t, <-over)
	}
}
