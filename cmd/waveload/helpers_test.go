package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// origin is a server of net/http that counts what reaches it.
type origin struct {
	*httptest.Server
	requests, connections atomic.Int64
	open, mostOpen        atomic.Int64
}

func newOrigin(t *testing.T, h http.HandlerFunc) *origin {
	o := &origin{}
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		h(w, r)
	}))
	o.Config.ErrorLog = nil
	o.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			o.connections.Add(1)
			open := o.open.Add(1)
			for most := o.mostOpen.Load(); open > most && !o.mostOpen.CompareAndSwap(most, open); most = o.mostOpen.Load() {
			}
		case http.StateClosed:
			o.open.Add(-1)
		}
	}
	o.Start()
	t.Cleanup(o.Close)
	return o
}

// connected waits until the server has seen as many connections, which may be a moment after they were dialled.
func (o *origin) connected(t *testing.T, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return o.connections.Load() >= int64(n) }, 20*time.Second, time.Millisecond)
	require.EqualValues(t, n, o.connections.Load())
}

// hello answers with five bytes.
func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// rawServer serves every connection with serve, which reads one request at a time with next; next is false at its end.
func rawServer(t testing.TB, serve func(nc *net.TCPConn, next func() bool)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				serve(nc.(*net.TCPConn), nextRequest(nc))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// nextRequest reads up to the blank line, without allocating for each request.
func nextRequest(nc net.Conn) func() bool {
	buf, n := make([]byte, 4096), 0
	return func() bool {
		for {
			if i := bytes.Index(buf[:n], []byte("\r\n\r\n")); i >= 0 {
				n = copy(buf, buf[i+4:n])
				return true
			}
			m, err := nc.Read(buf[n:])
			if err != nil {
				return false
			}
			n += m
		}
	}
}

// loaded runs the program with -json and returns its result and exit code.
func loaded(t *testing.T, signals <-chan os.Signal, args ...string) (*result, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"-json"}, args...), &stdout, &stderr, signals)
	r := &result{}
	require.NoError(t, json.Unmarshal(stdout.Bytes(), r), "stderr: %s", stderr.String())
	requireSums(t, r)
	return r, code
}

// requireSums checks what must hold for every result.
func requireSums(t *testing.T, r *result) {
	t.Helper()
	var failed, answers, backends, phased, lent uint64
	for _, n := range r.Errors {
		failed += n
	}
	for _, n := range r.Status {
		answers += n
	}
	for _, b := range r.Backends {
		backends += b.Answers
	}
	for _, p := range r.Phases {
		phased += p.Requests
	}
	lent = r.Requests + r.Unfinished - r.Errors["connect"] - r.Errors["connect_timeout"] - r.Errors["local"]
	require.Equal(t, failed, r.Failed, "failures without a reason")
	require.Equal(t, r.Requests, r.Succeeded+r.Failed)
	require.Equal(t, answers, r.Succeeded+r.Errors["status_4xx"]+r.Errors["status_5xx"])
	require.Equal(t, answers, backends+r.BackendUntold)
	require.Equal(t, r.Requests, phased)
	require.Equal(t, r.Succeeded, r.Latency.Count)
	require.Equal(t, r.Connections.Dialled, r.Connect.Count)
	require.LessOrEqual(t, r.Connections.Lent, lent, "more loans than requests")
	require.Len(t, r.Errors, numReasons)
	l := r.Latency
	require.True(t, l.P50 <= l.P90 && l.P90 <= l.P95 && l.P95 <= l.P99 && l.P99 <= l.P999 && l.P999 <= l.Max, "%+v", l)
	require.True(t, l.Mean <= l.Max)
}
