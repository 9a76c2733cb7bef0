package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryRequestIsSentOnceAndCountedOnce(t *testing.T) {
	t.Parallel()
	for _, reuse := range []bool{true, false} {
		o := newOrigin(t, hello)
		r, code := loaded(t, nil, "-server", o.URL, "-clients", "4", "-requests", "25", fmt.Sprintf("-reuse=%v", reuse))
		require.Equal(t, exitOK, code)
		require.Equal(t, endedRequests, r.Ended)
		require.EqualValues(t, 100, r.Succeeded)
		require.EqualValues(t, 100, o.requests.Load())
		require.Equal(t, map[string]uint64{"200": 100}, r.Status)
		require.EqualValues(t, 500, r.BodyBytes)
		require.Positive(t, r.PerSecond)
		o.connected(t, r.Connections.Dialled)
	}
}

func TestReuseKeepsConnectionsAndItsAbsenceDoesNot(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, hello)
	r, _ := loaded(t, nil, "-server", o.URL, "-clients", "3", "-requests", "20", "-reuse")
	require.LessOrEqual(t, o.connections.Load(), int64(3), "more connections than clients")
	require.GreaterOrEqual(t, r.Connections.ReuseRate, 57.0/60)

	o = newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			http.Error(w, "no Connection: close", http.StatusBadRequest)
		}
	})
	r, code := loaded(t, nil, "-server", o.URL, "-clients", "3", "-requests", "20")
	require.Equal(t, exitOK, code)
	o.connected(t, 60)
	require.Zero(t, r.Connections.ReuseRate)
}

func TestAServerThatEndsConnectionsIsObeyed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		hello(w, r)
	})
	r, code := loaded(t, nil, "-server", o.URL, "-clients", "2", "-requests", "10", "-reuse")
	require.Equal(t, exitOK, code)
	require.EqualValues(t, 20, r.Connections.Dialled)
}

func TestTheDurationEndsTheRun(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, hello)
	begin := time.Now()
	r, code := loaded(t, nil, "-server", o.URL, "-clients", "2", "-duration", "200ms", "-reuse")
	took := time.Since(begin)
	require.Equal(t, exitOK, code)
	require.Equal(t, endedDuration, r.Ended)
	require.InDelta(t, 0.2, r.Duration, 5)
	require.GreaterOrEqual(t, r.Duration, 0.2)
	require.GreaterOrEqual(t, took, 200*time.Millisecond)
	require.Less(t, took, 10*time.Second)
	seen := uint64(o.requests.Load()) // one that was cut off may not have come so far
	require.True(t, r.Requests <= seen && seen <= r.Requests+r.Unfinished, "%d seen, %d + %d", seen, r.Requests, r.Unfinished)
}

func TestOfRequestsAndDurationTheFirstEndsTheRun(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, hello)
	r, _ := loaded(t, nil, "-server", o.URL, "-clients", "2", "-requests", "5", "-duration", "1h", "-reuse")
	require.Equal(t, endedRequests, r.Ended)
	require.EqualValues(t, 10, r.Requests)
	r, _ = loaded(t, nil, "-server", o.URL, "-clients", "2", "-requests", "1000000000", "-duration", "50ms", "-reuse")
	require.Equal(t, endedDuration, r.Ended)
}

func TestTheEndOfTheRunCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	stall := rawServer(t, func(_ *net.TCPConn, next func() bool) {
		for next() { // never an answer, until the client closes
		}
	})
	begin := time.Now()
	r, code := loaded(t, nil, "-server", stall, "-clients", "3", "-duration", "300ms", "-timeout", "1m")
	require.Equal(t, exitFailed, code, "nothing was answered")
	require.EqualValues(t, 3, r.Unfinished)
	require.Zero(t, r.Requests)
	require.Less(t, time.Since(begin), 20*time.Second)
	require.InDelta(t, 0.3, r.Duration, 0.9, "the grace does not count")
}

func TestALoadTestGrowsHoldsAndShrinks(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, hello)
	r, code := loaded(t, nil, "-server", o.URL, "-load-test", "-max-clients", "6", "-ramp-up", "400ms", "-test", "400ms",
		"-ramp-down", "400ms", "-reuse")
	require.Equal(t, exitOK, code)
	require.Equal(t, endedDuration, r.Ended)
	require.LessOrEqual(t, o.mostOpen.Load(), int64(6))
	require.Greater(t, o.mostOpen.Load(), int64(1))
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name)
		require.Positive(t, p.Requests, p.Name)
		require.InDelta(t, 0.4, p.Duration, 2)
	}
	require.Equal(t, []string{"ramp-up", "test", "ramp-down"}, names)
}

func TestASignalEndsTheRunEarlyWithAReport(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 2)
	var n atomic.Int64
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 50 {
			signals <- os.Interrupt
		}
		hello(w, r)
	})
	r, code := loaded(t, signals, "-server", o.URL, "-clients", "2", "-requests", "1000000000", "-reuse")
	require.Equal(t, exitOK, code)
	require.Equal(t, endedSignal, r.Ended)
	require.GreaterOrEqual(t, r.Requests, uint64(49))
	require.Zero(t, r.Unfinished, "requests under way may end")
	require.EqualValues(t, o.requests.Load(), r.Requests)
}

func TestASecondSignalDoesNotWait(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 2)
	var n atomic.Int64
	var sent time.Time
	stall := rawServer(t, func(_ *net.TCPConn, next func() bool) {
		for next() {
			if n.Add(1) == 2 {
				sent = time.Now()
				signals <- os.Interrupt
				signals <- os.Interrupt
			}
		}
	})
	r, code := loaded(t, signals, "-server", stall, "-clients", "2", "-timeout", "1h", "-reuse")
	require.Equal(t, exitFailed, code)
	require.EqualValues(t, 2, r.Unfinished)
	require.Less(t, time.Since(sent), maxGrace)
}

func TestAServerThatIsNotThereIsGivenUp(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:1" // a port that was free a moment ago might be another program's by now
	r, code := loaded(t, nil, "-server", address, "-clients", "20", "-duration", "1h")
	require.Equal(t, exitFailed, code)
	require.Equal(t, endedUnreachable, r.Ended)
	require.Equal(t, r.Requests, r.Errors["connect"])
	require.Positive(t, r.Failed)
	require.Contains(t, r.FirstErrors["connect"], "refused")

	var stdout, stderr bytes.Buffer
	require.Equal(t, exitFailed, run([]string{"-server", address, "-clients", "1"}, &stdout, &stderr, nil))
	require.Contains(t, stderr.String(), "could not be reached: dial tcp")
	require.Contains(t, stdout.String(), "no request succeeded")
}

func TestBackendsAreToldByTheirHeader(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		if i := n.Add(1) % 4; i != 3 {
			w.Header().Set("X-Backend", "b"+strconv.FormatInt(i/2, 10))
		}
	})
	r, _ := loaded(t, nil, "-server", o.URL, "-clients", "2", "-requests", "20", "-reuse")
	require.Equal(t, []backendShare{{"b0", 20, 2.0 / 3}, {"b1", 10, 1.0 / 3}}, r.Backends)
	require.EqualValues(t, 10, r.BackendUntold)
}

func TestMethodPathAndFramingReachTheServer(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			want := r.Method == method && r.RequestURI == "/a/b?c=d" && "http://"+r.Host == "http://"+r.Context().Value(
				http.LocalAddrContextKey).(net.Addr).String()
			if body, _ := io.ReadAll(r.Body); !want || len(body) > 0 {
				w.WriteHeader(http.StatusTeapot)
			}
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "chunked")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, " body")
			w.Header().Set("X-Sum", "1")
		})
		r, code := loaded(t, nil, "-server", o.URL+"/a/b?c=d", "-method", method, "-clients", "1", "-requests", "3", "-reuse")
		require.Equal(t, exitOK, code, r.Status)
		require.LessOrEqual(t, o.connections.Load(), int64(1))
		if method != "HEAD" {
			require.EqualValues(t, 3*len("chunked body"), r.BodyBytes)
		} else {
			require.Zero(t, r.BodyBytes)
		}
	}
}
