package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/wavepool/wavepool/proxy"
)

// waitBounds are the buckets of waits that /metrics shows. The histogram behind them is finer: eight buckets to each power
// of two, of which one that holds a bound counts above it.
var waitBounds = []time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	30 * time.Second,
}

// writeMetrics writes the text format of Prometheus, version 0.0.4. Names of upstreams need no escapes: the settings take
// letters, digits, hyphens, underscores and dots.
func writeMetrics(w http.ResponseWriter, s *proxy.Server) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	const name = "wavepool_queue_wait_seconds"
	fmt.Fprintf(w, "# HELP %s How long requests were in the queue of an upstream that found no idle connection.\n# TYPE %s histogram\n",
		name, name)
	st := s.Stats()
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		for _, bound := range waitBounds {
			le := strconv.FormatFloat(bound.Seconds(), 'g', -1, 64)
			fmt.Fprintf(w, "%s_bucket{upstream=%q,le=%q} %d\n", name, u.Name, le, u.Wait.AtMost(bound))
		}
		fmt.Fprintf(w, "%s_bucket{upstream=%q,le=\"+Inf\"} %d\n", name, u.Name, u.Wait.Count)
		fmt.Fprintf(w, "%s_sum{upstream=%q} %g\n%s_count{upstream=%q} %d\n", name, u.Name, u.Wait.Sum.Seconds(), name, u.Name,
			u.Wait.Count)
	}
}
