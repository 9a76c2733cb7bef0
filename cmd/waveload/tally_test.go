package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestNothingIsLostOrCountedTwiceBetweenRecordersAndTheSum compares recorders that are drained now and then with plain
// counters.
func TestNothingIsLostOrCountedTwiceBetweenRecordersAndTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := []*recorder{newRecorder(time.Second), newRecorder(time.Second)}
		sum := newTally(time.Second)
		status, backends, failures := map[int]uint64{}, map[string]uint64{}, map[reason]uint64{}
		var body, untold, unfinished, succeeded uint64
		var total, longest time.Duration
		now := time.Unix(0, 0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now = now.Add(time.Millisecond)
			r := records[rapid.IntRange(0, 1).Draw(t, "recorder")]
			switch rapid.SampledFrom([]string{"answer", "answer", "fail", "cut", "drain"}).Draw(t, "step") {
			case "answer":
				a := answer{status: rapid.SampledFrom([]int{200, 302, 404, 503}).Draw(t, "status"), body: 7}
				took := time.Duration(rapid.IntRange(1, 1e9).Draw(t, "took"))
				if name := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "backend"); name != "" {
					a.backend = []byte(name)
					backends[name]++
				} else {
					untold++
				}
				r.answer(&a, took, now)
				status[a.status]++
				body += 7
				switch a.status {
				case 404:
					failures[reasonStatus4xx]++
				case 503:
					failures[reasonStatus5xx]++
				default:
					succeeded++
					total += took
					longest = max(longest, took)
				}
			case "fail":
				why := reason(rapid.IntRange(0, numReasons-1).Draw(t, "reason"))
				r.fail(why, errors.New("x"), now)
				failures[why]++
			case "cut":
				r.cutOff()
				unfinished++
			case "drain":
				r.drain(sum)
			}
		}
		for _, r := range records {
			r.drain(sum)
			r.drain(sum) // the second time there is nothing
		}
		for code, n := range sum.status {
			require.Equal(t, status[code], n)
		}
		for why, n := range sum.errors {
			require.Equal(t, failures[reason(why)], n)
		}
		for name, n := range backends {
			require.Equal(t, n, *sum.backends[name])
		}
		require.Equal(t, []uint64{body, untold, unfinished, succeeded, succeeded},
			[]uint64{sum.body, sum.untold, sum.unfinished, sum.succeeded, sum.latency.count()})
		require.Equal(t, total, sum.latency.sum)
		require.Equal(t, longest, sum.latency.max)
	})
}

func TestPercentilesAreExactToAThousandthAndNeverAboveTheMaximum(t *testing.T) {
	tm := newTiming(time.Second)
	for i := 1; i <= 1000; i++ {
		tm.add(time.Duration(i) * time.Millisecond)
	}
	require.InEpsilon(t, float64(500*time.Millisecond), float64(tm.at(50)), 0.001)
	require.InEpsilon(t, float64(999*time.Millisecond), float64(tm.at(99.9)), 0.001)
	require.Equal(t, time.Second, tm.at(100))
	require.Equal(t, 500500*time.Microsecond, tm.mean())
	tm.add(time.Hour) // beyond the histogram's end
	require.EqualValues(t, 1001, tm.count())
	require.Equal(t, time.Hour, tm.max)
	require.Zero(t, newTiming(time.Second).at(99))
	require.Zero(t, newTiming(time.Second).mean())
}

func TestAServerCannotGrowTheListOfBackendsWithoutEnd(t *testing.T) {
	tl, sum := newTally(time.Second), newTally(time.Second)
	for i := range 3 * maxBackends {
		tl.answer(&answer{status: 200, backend: fmt.Appendf(nil, "backend-%d-%0200d", i, 0)}, time.Millisecond)
	}
	sum.merge(tl)
	require.LessOrEqual(t, len(sum.backends), maxBackends+1)
	var total uint64
	for name, n := range sum.backends {
		require.LessOrEqual(t, len(name), maxBackendName)
		total += *n
	}
	require.EqualValues(t, 3*maxBackends, total)
	require.EqualValues(t, 2*maxBackends, *sum.backends[otherBackends])
}

func TestTheSteadyLoopAllocatesNothing(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Backend: b1\r\n\r\nhello")
	c, begin := steadyClient(t, rawServer(t, func(nc *net.TCPConn, next func() bool) {
		for next() {
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	}))
	now := c.one(begin, false)
	allocs := testing.AllocsPerRun(300, func() { now = c.one(now, false) })
	require.Less(t, allocs, 0.5)
	c.g.collect()
	require.EqualValues(t, 302, c.g.parts[0].succeeded)
}

func TestADialThatOutlivesTheLastRequestIsCountedEverywhere(t *testing.T) {
	c, _ := steadyClient(t, rawServer(t, func(_ *net.TCPConn, next func() bool) { next() }))
	before := c.g.pool.Stats()
	require.Equal(t, 1, c.g.pool.Want(1))
	require.Eventually(t, func() bool { return c.g.pool.Stats().Dialled == 1 }, 20*time.Second, time.Millisecond)
	r := c.g.result(before)
	require.EqualValues(t, 1, r.Connect.Count)
	require.EqualValues(t, 1, r.Connections.Dialled)
}

// BenchmarkRequest is one request with its answer over one kept connection of the loopback.
func BenchmarkRequest(b *testing.B) {
	c, now := steadyClient(b, rawServer(b, func(nc *net.TCPConn, next func() bool) {
		for next() {
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		}
	}))
	b.ReportAllocs()
	for b.Loop() {
		now = c.one(now, false)
	}
}

// steadyClient is one client of a generator that has not been started.
func steadyClient(t testing.TB, address string) (*client, time.Time) {
	o, err := parseFlags([]string{"-server", address, "-clients", "1", "-reuse"}, nil)
	require.NoError(t, err)
	d, err := newDialer(t.Context(), o.target, time.Second)
	require.NoError(t, err)
	g, err := newGenerator(o, d)
	require.NoError(t, err)
	t.Cleanup(func() {
		g.cancel()
		g.pool.Close()
	})
	return &client{g: g, rec: g.records[0]}, time.Now()
}
