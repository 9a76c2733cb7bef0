package netsim

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

var benchSim = flag.Bool("bench-sim", false, "measure the simulator and print a table")

// TestTheSimulatorKeepsItsPace measures on one processor what the simulator promises; make bench-sim runs it. Absolute
// times depend on the machine, so its bounds are the promises only, far from what is seen.
func TestTheSimulatorKeepsItsPace(t *testing.T) {
	if !*benchSim || raceEnabled {
		t.Skip("measures; run it by make bench-sim")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	row := func(what, value, promise string) { fmt.Fprintf(out, "%s\t%s\t%s\n", what, value, promise) }
	row("on one processor", "measured", "promised")

	events, took := measured(t, func(s *Sim) { echoLoad(t, s, 10, 50_000, 100) })
	perSecond := float64(events) / took.Seconds()
	row("trace events per second", fmt.Sprintf("%.0f", perSecond), ">= 200000")
	require.Greater(t, perSecond, 200_000.0)

	const requests = 20_000
	_, took = measured(t, func(s *Sim) { plainHTTP(s, 10, requests/10) })
	row("net/http requests per second", fmt.Sprintf("%.0f", requests/took.Seconds()), "")

	bare, waiting := memoryPerConn(t, 1000, 10_000)
	row("bytes for a connection, both ends", fmt.Sprint(bare), "< 32768")
	row("and with a goroutine in Read at each", fmt.Sprint(waiting), "< 32768")
	require.Less(t, waiting, 32<<10)

	measured(t, func(s *Sim) { crowd(s, 63, 625, 8) }) // warm up
	var first float64
	for _, scale := range []int{1, 4, 16} {
		hosts, conns := (1000*scale+15)/16, 10_000*scale/16
		best := 0.0
		for range 3 {
			events, took := measured(t, func(s *Sim) { crowd(s, hosts, conns, 8) })
			if ns := float64(took.Nanoseconds()) / float64(events); best == 0 || ns < best {
				best = ns
			}
		}
		if scale == 1 {
			first = best
		}
		row(fmt.Sprintf("ns per event, %d hosts, %d connections", hosts, conns),
			fmt.Sprintf("%.0f", best), fmt.Sprintf("x%.2f", best/first))
		require.Less(t, best, 4*first, "the cost of an event must not grow with the world")
	}
	for _, scale := range []int{1, 4, 16} {
		events, took := measured(t, func(s *Sim) { crowd(s, 63, 625, 8*scale) })
		ns := float64(took.Nanoseconds()) / float64(events)
		if scale == 1 {
			first = ns
		}
		row(fmt.Sprintf("ns per event, %d events", events), fmt.Sprintf("%.0f", ns), fmt.Sprintf("x%.2f", ns/first))
		require.Less(t, ns, 2*first, "the cost of an event must not grow with the run")
	}
}

func measured(t *testing.T, body func(s *Sim)) (events uint64, took time.Duration) {
	t.Helper()
	runtime.GC()
	start := time.Now()
	res := Run(Config{Seed: 1, Latency: time.Millisecond, Jitter: time.Millisecond}, body)
	require.NoError(t, res.Err)
	return res.Events, time.Since(start)
}

// crowd has connections of many hosts, to a server for every 20 of them, talk at random times.
func crowd(s *Sim, hosts, conns, rounds int) {
	clk := s.Clock()
	var servers, wg sync.WaitGroup
	var listeners []net.Listener
	names := make([]string, hosts/20+1)
	for i := range names {
		names[i] = fmt.Sprint("server", i)
		listeners = append(listeners, echoServer(s.Host(names[i], ""), &servers))
	}
	clients := make([]*Host, hosts-len(names))
	for i := range clients {
		clients[i] = s.Host(fmt.Sprint("client", i), "")
	}
	for i := range conns {
		wg.Add(1)
		clk.AfterFunc(time.Duration(i)*10*time.Microsecond, func() {
			defer wg.Done()
			rnd := s.Rand(fmt.Sprint("conn", i))
			c, err := clients[i%len(clients)].DialContext(context.Background(), "tcp", names[rnd.IntN(len(names))]+":80")
			if err != nil {
				panic(err)
			}
			b := make([]byte, 100)
			for range rounds {
				clk.Sleep(time.Duration(rnd.Int64N(int64(100 * time.Millisecond))))
				_, _ = c.Write(b)
				_, _ = io.ReadFull(c, b)
			}
			_ = c.Close()
		})
	}
	wg.Wait()
	for _, l := range listeners {
		_ = l.Close()
	}
	servers.Wait()
}

// plainHTTP is net/http's client and server without deadlines or thinking.
func plainHTTP(s *Sim, workers, requests int) {
	l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}
	var serving, wg sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	tr := &http.Transport{DialContext: s.Host("client", "").DialContext, MaxIdleConnsPerHost: workers}
	for range workers {
		s.Clock().Sleep(0)
		wg.Go(func() {
			for range requests {
				req, _ := http.NewRequest(http.MethodGet, "http://server/", nil)
				answerOf(tr.RoundTrip(req))
			}
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	_ = srv.Close()
	serving.Wait()
}

// memoryPerConn tells how many bytes of heap and stacks an idle connection takes, first by itself and then with a
// goroutine that waits in Read at each end.
func memoryPerConn(t *testing.T, hosts, conns int) (bare, waiting int) {
	res := Run(Config{Backlog: conns}, func(s *Sim) {
		l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
		require.NoError(t, err)
		clients := make([]*Host, hosts)
		for i := range clients {
			clients[i] = s.Host(fmt.Sprint("client", i), "")
		}
		all := make([]net.Conn, 0, 2*conns)
		before := memoryInUse()
		for i := range conns {
			c, err := clients[i%hosts].DialContext(context.Background(), "tcp", "server:80")
			require.NoError(t, err)
			_, err = c.Write([]byte("hello"))
			require.NoError(t, err)
			d, err := l.Accept()
			require.NoError(t, err)
			_, err = d.Read(make([]byte, 5))
			require.NoError(t, err)
			all = append(all, c, d)
		}
		bare = (memoryInUse() - before) / conns
		var wg sync.WaitGroup
		for _, c := range all {
			wg.Go(func() { _, _ = c.Read(make([]byte, 1)) })
		}
		s.Clock().Sleep(time.Second)
		waiting = (memoryInUse() - before) / conns
		s.Close()
		wg.Wait()
	})
	require.NoError(t, res.Err)
	return bare, waiting
}

func memoryInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
