package http2

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
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

// frontOver serves a Front on a real listener and returns how to reach it.
func frontOver(t *testing.T, f *Front) (address string) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go f.ServeConn(nc, nil)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// greeted opens a connection and returns the most streams that its SETTINGS allow.
func greeted(t *testing.T, address string) (net.Conn, *http2.Framer, uint32) {
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	fr := http2.NewFramer(nc, nc)
	_, err = io.WriteString(nc, http2.ClientPreface)
	require.NoError(t, err)
	require.NoError(t, fr.WriteSettings())
	first, err := fr.ReadFrame()
	require.NoError(t, err)
	most, _ := first.(*http2.SettingsFrame).Value(http2.SettingMaxConcurrentStreams)
	return nc, fr, most
}

func TestOtherLimitsHoldForTheConnectionsThatComeNext(t *testing.T) {
	f := NewFront(FrontConfig{Serve: func(stream net.Conn, _ any) { _ = stream.Close() }, FrontLimits: FrontLimits{MaxStreams: 7}})
	address := frontOver(t, f)
	first, fr, most := greeted(t, address)
	require.EqualValues(t, 7, most)
	f.Adjust(FrontLimits{MaxStreams: 9})
	f.Adjust(FrontLimits{MaxStreams: 9})
	_, _, most = greeted(t, address)
	require.EqualValues(t, 9, most)
	f.Adjust(FrontLimits{MaxStreams: 11}) // two older ones have connections
	_, _, most = greeted(t, address)
	require.EqualValues(t, 11, most)
	f.mu.Lock()
	require.Len(t, f.old, 2)
	f.mu.Unlock()

	require.NoError(t, fr.WritePing(false, [8]byte{5}))
	for answered := false; !answered; { // the first goes on
		frame, err := fr.ReadFrame()
		require.NoError(t, err)
		ping, ok := frame.(*http2.PingFrame)
		answered = ok && ping.IsAck()
	}
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.old) == 1
	}, 10*time.Second, time.Millisecond, "what has no connection any more is ended")
	f.GoAway()
	f.Adjust(FrontLimits{MaxStreams: 3}) // too late
	f.Close()
}
