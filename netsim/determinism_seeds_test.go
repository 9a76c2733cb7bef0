package netsim

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the golden trace hashes of the workloads anew")
	repeat  = flag.Int("repeat", 1, "how often each workload runs for each seed and number of processors")
)

const seedsFile = "testdata/determinism.txt"

// workloads are what must give one trace for each seed, whatever runs them.
var workloads = []struct {
	name string
	body func(s *Sim)
}{
	{"releases", massReleases},
	{"http", func(s *Sim) { httpLoad(s, 8, 12); httpDrain(s) }},
	{"http2-tls", tlsLoad},
}

const workloadSeeds = 20

// Every mode of running - with and without -race, on one processor and on two - must give the hashes of the one file:
// go test ./netsim -run EverySeed. After a change that is meant: the same with -rewrite.
func TestEveryWorkloadGivesItsGoldenTraceForEverySeed(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var b strings.Builder
	hashes := map[uint64]string{}
	seeds := uint64(workloadSeeds)
	if raceEnabled && *repeat == 1 {
		seeds = 5 // the others take long; .ci/determinism runs all
	}
	for _, w := range workloads {
		for seed := range seeds {
			var first Result
			for n := range 2 * *repeat {
				runtime.GOMAXPROCS(1 + n%2)
				cfg := Config{Seed: seed, Latency: 500 * time.Microsecond, Jitter: 500 * time.Microsecond, KeepTrace: true}
				res := Run(cfg, w.body)
				require.NoError(t, res.Err)
				if n == 0 {
					first = res
				}
				require.Empty(t, Diff(first.Trace, res.Trace), "%s, seed %d, run %d", w.name, seed, n+1)
			}
			line := fmt.Sprintf("%s %d %016x %d events\n", w.name, seed, first.Hash, first.Events)
			require.Empty(t, hashes[first.Hash], "another seed's trace: %s", line)
			hashes[first.Hash] = line
			b.WriteString(line)
		}
	}
	if *rewrite && seeds == workloadSeeds {
		require.NoError(t, os.WriteFile(seedsFile, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(seedsFile)
	require.NoError(t, err)
	var lines strings.Builder
	for i, line := range strings.SplitAfter(string(want), "\n") {
		if uint64(i)%workloadSeeds < seeds {
			lines.WriteString(line)
		}
	}
	require.Equal(t, lines.String(), b.String(), "if the change is meant: go test ./netsim -run EverySeed -rewrite")
}

// massReleases crashes a host on which 100 goroutines wait in reads, 20 in writes, 10 in dials and 10 in Accept, then
// kills the one at the other end, and each goroutine goes on with something random.
func massReleases(s *Sim) {
	clk := s.Clock()
	server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
	var wg sync.WaitGroup
	start := func(name string, f func() error) {
		wg.Add(1)
		clk.AfterFunc(0, func() {
			defer wg.Done()
			err := f()
			clk.Sleep(time.Duration(s.Rand(name).Int64N(int64(time.Millisecond))))
			s.Note(name, "let go", fmt.Sprint(err))
		})
	}
	listen := func(h *Host) func() error {
		l, err := h.Listen(context.Background(), "tcp", ":80")
		if err != nil {
			panic(err)
		}
		return func() error {
			c, err := l.Accept()
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			return err
		}
	}
	accept, none := listen(server), listen(client)
	for i := range 130 {
		start(fmt.Sprint("server", i), accept)
		start(fmt.Sprint("client", i), func() error {
			if i >= 120 {
				return none()
			}
			c, err := client.DialContext(context.Background(), "tcp", "server:80")
			if err == nil && i >= 100 {
				_, err = c.Write(make([]byte, 1<<20))
			} else if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			return err
		})
	}
	for i := range 10 {
		start(fmt.Sprint("dial", i), func() error {
			_, err := client.DialContext(context.Background(), "tcp", "10.0.0.99:80")
			return err
		})
	}
	clk.Sleep(100 * time.Millisecond)
	client.Crash()
	clk.Sleep(100 * time.Millisecond)
	client.Restart()
	s.ResetConns("server", "*")
	clk.Sleep(100 * time.Millisecond)
	server.Kill()
	wg.Wait()
	clk.Sleep(time.Second)
}

// httpDrain drains a server while 10 of its requests are under way and 20 of its connections are idle.
func httpDrain(s *Sim) {
	clk := s.Clock()
	l, err := s.Host("server", "").Listen(context.Background(), "tcp", ":8080")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clk.Sleep(time.Duration(s.Rand(r.URL.Path).Int64N(int64(20 * time.Millisecond))))
		_, _ = io.WriteString(w, r.URL.Path)
	})}
	tr := &http.Transport{DialContext: s.Host("client", "").DialContext, MaxIdleConnsPerHost: 40}
	var serving, wg sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	for i := range 40 {
		wg.Add(1)
		clk.AfterFunc(0, func() {
			defer wg.Done()
			if i >= 30 {
				clk.Sleep(40 * time.Millisecond)
			}
			name := fmt.Sprint("drained", i)
			req, _ := http.NewRequest(http.MethodGet, "http://server:8080/"+name, nil)
			s.Note(name, "answer", answerOf(tr.RoundTrip(req)))
		})
	}
	clk.Sleep(45 * time.Millisecond)
	drain(srv)
	wg.Wait()
	clk.Sleep(time.Second)
	tr.CloseIdleConnections()
	clk.Sleep(time.Second)
	serving.Wait()
	_ = srv.Close()
}
