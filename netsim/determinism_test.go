package netsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// httpLoad is an ordinary net/http program: a server, a pooling client, random think times, and timeouts.
// Requests are told to the trace by their worker.
func httpLoad(s *Sim, workers, requests int) {
	clk := s.Clock()
	server := s.Host("server", "10.0.0.1")
	l, err := server.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	service := s.Rand("service")
	var mu sync.Mutex
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		d := time.Duration(service.Int64N(int64(20 * time.Millisecond)))
		mu.Unlock()
		clk.Sleep(d)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100+int(d%5000)))
	})}
	var serving, wg sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	client := s.Host("client", "10.0.0.2")
	tr := &http.Transport{DialContext: client.DialContext, MaxIdleConnsPerHost: 3}
	for i := range workers {
		clk.Sleep(0)
		wg.Go(func() {
			name := fmt.Sprintf("worker%d", i)
			rnd := s.Rand(name)
			for range requests {
				clk.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Millisecond))))
				ctx, cancel := clk.WithTimeout(context.Background(), 18*time.Millisecond)
				s.Note(name, "answer", oneRequest(ctx, tr))
				cancel()
			}
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	_ = srv.Close()
	serving.Wait()
	clk.Sleep(time.Second)
}

func oneRequest(ctx context.Context, tr *http.Transport) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server:80/", nil)
	if err != nil {
		panic(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	return fmt.Sprint(res.StatusCode, " ", n, " ", err)
}

var httpConfig = Config{Latency: 500 * time.Microsecond, Jitter: 500 * time.Microsecond, KeepTrace: true}

func TestANetHTTPProgramRepeatsExactlyForEverySeed(t *testing.T) {
	hashes := map[uint64]bool{}
	for seed := range uint64(20) {
		cfg := httpConfig
		cfg.Seed = seed
		first := Run(cfg, func(s *Sim) { httpLoad(s, 8, 20) })
		require.NoError(t, first.Err)
		again := Run(cfg, func(s *Sim) { httpLoad(s, 8, 20) })
		require.NoError(t, again.Err)
		require.Empty(t, Diff(first.Trace, again.Trace), "seed %d", seed)
		require.False(t, hashes[first.Hash], "seed %d repeats another seed's trace", seed)
		hashes[first.Hash] = true
		if seed == 0 {
			var text strings.Builder
			require.NoError(t, first.Trace.WriteText(&text))
			require.Contains(t, text.String(), "answer 200")
			require.Contains(t, text.String(), "answer context deadline exceeded", "the load must have timeouts too")
		}
	}
}

func TestTheTraceDoesNotDependOnTheNumberOfProcessors(t *testing.T) {
	want := Result{}
	for _, procs := range []int{1, 2, 4, 1, 2, 4} {
		before := runtime.GOMAXPROCS(procs)
		got := Run(httpConfig, func(s *Sim) { httpLoad(s, 16, 20) })
		runtime.GOMAXPROCS(before)
		require.NoError(t, got.Err)
		if want.Trace != nil {
			require.Empty(t, Diff(want.Trace, got.Trace), "GOMAXPROCS %d", procs)
		}
		want = got
	}
}

// burst sends from many connections within one instant over links without jitter: the worst case for ties.
func burst(s *Sim) {
	const n = 40
	var servers, wg sync.WaitGroup
	l := echoServer(s.Host("server", "10.0.0.1"), &servers)
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := s.Host(fmt.Sprint("c", i), "").DialContext(context.Background(), "tcp", "server:80")
		if err != nil {
			panic(err)
		}
		conns[i] = c
	}
	start := make(chan struct{})
	for _, c := range conns {
		wg.Go(func() {
			defer c.Close()
			<-start // all in one instant, against the rule, to see what the network makes of it
			b := make([]byte, 10)
			for range 5 {
				_, _ = c.Write(b)
				_, _ = io.ReadFull(c, b)
			}
		})
	}
	s.Clock().Sleep(time.Second)
	close(start)
	wg.Wait()
	_ = l.Close()
	servers.Wait()
}

func TestSendsOfOneInstantAreOrderedByTheSeedAndNotByTheScheduler(t *testing.T) {
	orders := map[uint64]bool{}
	for seed := range uint64(5) {
		cfg := Config{Seed: seed, Latency: time.Millisecond, KeepTrace: true}
		first := Run(cfg, burst)
		require.NoError(t, first.Err)
		for range 10 {
			again := Run(cfg, burst)
			require.NoError(t, again.Err)
			require.Empty(t, Diff(first.Trace, again.Trace), "seed %d", seed)
		}
		orders[first.Hash] = true
	}
	require.Len(t, orders, 5)
}

func TestRemovingAFaultDoesNotShiftTheDrawsOfOtherConnections(t *testing.T) {
	arrivals := func(fault bool) []Event {
		cfg := Config{Seed: 3, Latency: time.Millisecond, Jitter: time.Millisecond, KeepTrace: true}
		res := Run(cfg, func(s *Sim) {
			if fault {
				s.SlowLink("client1", "server", Link{Jitter: 3 * time.Millisecond, Loss: 0.1})
			}
			echoLoad(t, s, 2, 20, 10)
			s.Clock().Sleep(time.Second) // let the last FINs arrive
		})
		require.NoError(t, res.Err)
		var of0 []Event
		for _, e := range res.Trace.Events {
			if strings.HasPrefix(e.Actor, "client0:") {
				of0 = append(of0, e)
			}
		}
		return of0
	}
	with, without := arrivals(true), arrivals(false)
	require.Greater(t, len(with), 40)
	require.True(t, slices.Equal(without, with), "the other connection's events differ")
}
