package netsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// http2Load has a net/http client send bodies over several streams of one connection. The library writes
// under a mutex, so its connections must take every Write at once.
func http2Load(s *Sim) {
	server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
	l, err := server.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	srv := &http.Server{Protocols: &h2, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(w, r.Body)
		s.Note("server "+r.URL.Path, fmt.Sprint(n, " bytes"), r.Proto)
	})}
	var serving, wg sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(EagerListener(l, 0)) })
	tr := &http.Transport{Protocols: &h2, DialContext: EagerDial(client.DialContext, 0)}
	for i := range 5 {
		s.Clock().Sleep(100 * time.Millisecond)
		wg.Go(func() {
			body := bytes.Repeat([]byte("x"), 200_000)
			req, _ := http.NewRequest(http.MethodPost, fmt.Sprint("http://server/", i), bytes.NewReader(body))
			res, err := tr.RoundTrip(req)
			if err != nil {
				panic(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			s.Note(fmt.Sprint("client ", i), fmt.Sprint(len(got), " bytes"), fmt.Sprint(err))
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	_ = srv.Close()
	serving.Wait()
	s.Clock().Sleep(10 * time.Second)
}

func TestHTTP2OfTheStandardLibraryRunsOverEagerWrites(t *testing.T) {
	res := Run(Config{Seed: 1, Latency: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, KeepTrace: true}, http2Load)
	require.NoError(t, res.Err)
	notes := 0
	for _, e := range res.Trace.Events {
		if e.Kind == "200000 bytes" {
			notes++
			require.Contains(t, []string{"HTTP/2.0", "<nil>"}, e.Detail)
		}
	}
	require.Equal(t, 10, notes)
	for range 5 {
		again := Run(Config{Seed: 1, Latency: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, KeepTrace: true}, http2Load)
		require.NoError(t, again.Err)
		require.Empty(t, Diff(res.Trace, again.Trace), "bodies of 200,000 bytes repeat too")
	}
}
