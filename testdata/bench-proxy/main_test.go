package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatWrkSaysIsReadWhole(t *testing.T) {
	text := `Running 2s test @ http://127.0.0.1:1/small
  Latency Distribution
     50%  226.00us
     75%    1.10ms
     90%    2.00ms
     99%    2.76ms
  57007 requests in 2.00s, 1.42GB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  28245.11
`
	r, n, size, err := readWrk(text)
	require.NoError(t, err)
	require.Equal(t, int64(57007), n)
	require.InDelta(t, 1.42*(1<<30), size, 1)
	require.Equal(t, result{rate: 28245.11, p50: 226, p99: 2760, errorCount: 10}, r)
	for _, bad := range []string{"", "unable to connect", strings.Replace(text, "57007", "0", 1)} {
		_, _, _, err := readWrk(bad)
		require.ErrorContains(t, err, "wrk says")
	}
}

func TestARatioIsTheMedianOfTheRounds(t *testing.T) {
	a := []result{{cpu: 10}, {cpu: 20}, {cpu: 90}}
	b := []result{{cpu: 10}, {cpu: 10}, {cpu: 10}}
	require.InDelta(t, 2, ratio(a, b, cpuOf), 1e-9)
	require.Zero(t, ratio(a, nil, cpuOf))
}

func TestPromisesAreJudgedOnBothSidesOfTheirLimits(t *testing.T) {
	w := workload{about: "x", cpu: 1, speed: 1, p99: 1}
	all := []peer{{name: ours}, {name: haproxy}}
	at := func(cpu, rate, p99 float64) string {
		var out strings.Builder
		writeTable(&out, w, all, [][]result{{{cpu: cpu, rate: rate, p99: p99}}, {{cpu: 10, rate: 100, p99: 5}}})
		return out.String()
	}
	require.NotContains(t, at(10, 100, 5), "MISS")
	require.Equal(t, 3, strings.Count(at(10.1, 99, 5.1), "MISS"))
	var out strings.Builder
	writeTable(&out, workload{kind: idleMemory}, all[:1], [][]result{{{bytes: idleLimit + 1}}})
	require.Contains(t, out.String(), "MISS")
}

func TestUnknownNamesAreRefused(t *testing.T) {
	_, err := choose(settings{only: "small8,nothing"})
	require.ErrorContains(t, err, `"nothing" is none of: small8`)
	_, err = choose(settings{peers: "squid"})
	require.ErrorContains(t, err, `"squid" is none of: wavepool`)
	c, err := choose(settings{only: "idle", peers: "relay"})
	require.NoError(t, err)
	require.Empty(t, c.workloads, "no idle connections are asked for")
}

// The Go proxies among the peers pass requests on; a peer that answers itself would be a fast one.
func TestTheGoPeersPassRequestsOn(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", r.URL.Path+" "+r.Header.Get("X-Forwarded-For"))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write([]byte(body))
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(backend) }()
	defer func() { s.Close(); <-ended }()
	near, far := net.Pipe()
	go relayOne(far, backend.Addr().String())
	require.NoError(t, near.SetDeadline(time.Now().Add(5*time.Second)))
	br := bufio.NewReader(near)
	for range 2 {
		_, err = near.Write([]byte("GET /here HTTP/1.1\r\nHost: a\r\n\r\n"))
		require.NoError(t, err)
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, "/here", resp.Header.Get("X-Saw"))
		n := 0
		for buf := make([]byte, 4096); n < len(body); {
			k, err := resp.Body.Read(buf)
			n += k
			if err != nil {
				break
			}
		}
		require.Equal(t, len(body), n)
	}
	near.Close()
	port := backend.Addr().(*net.TCPAddr).Port
	r, err := evenRate(context.Background(), port, "/", 200, 100*time.Millisecond)
	require.NoError(t, err)
	require.InDelta(t, 200, r.rate, 1)
	require.Positive(t, r.p50)
}
