package http2

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func agree(stream net.Conn, _ any) {
	_, _ = stream.Read(make([]byte, 1024))
	_, _ = io.WriteString(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	_ = stream.Close()
}

func TestLimitsMayChangeWhileConnectionsComeAndGo(t *testing.T) {
	for range 5 {
		f := NewFront(FrontConfig{Serve: agree})
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var serving, clients, adjusting sync.WaitGroup
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { f.ServeConn(nc, nil) })
			}
		}()
		stop := make(chan struct{})
		adjusting.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
					f.Adjust(FrontLimits{MaxStreams: 1 + n%50})
				}
			}
		})
		leave := make(chan struct{})
		for i := range 8 {
			clients.Go(func() {
				for n := range 50 {
					tr := &http.Transport{Protocols: new(http.Protocols)}
					tr.Protocols.SetUnencryptedHTTP2(true)
					req, _ := http.NewRequest("GET", "http://"+ln.Addr().String()+"/", nil)
					resp, err := tr.RoundTrip(req)
					if err == nil {
						_ = resp.Body.Close()
					} else {
						select {
						case <-leave: // nobody promises those that come later anything
						default:
							t.Error(err)
						}
					}
					tr.CloseIdleConnections()
					if i == 0 && n == 40 {
						close(leave)
						f.GoAway()
					}
				}
			})
		}
		clients.Wait()
		_ = ln.Close()
		<-accepted
		serving.Wait()
		close(stop)
		adjusting.Wait()
		f.mu.Lock()
		require.Empty(t, f.old)
		require.Empty(t, f.open)
		require.Zero(t, f.now.conns)
		f.mu.Unlock()
		f.Close()
	}
}
