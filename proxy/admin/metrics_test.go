package admin_test

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMetricsTellWaitsAsAHistogramOfPrometheus(t *testing.T) {
	s := newServer(t)
	ask(t, s) // it waits for a dial
	require.Eventually(t, func() bool { return s.Stats().Upstreams[0].Wait.Count == 1 }, 10*time.Second, time.Millisecond)
	w := fetch(s, "GET", "/metrics")
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", w.Header().Get("Content-Type"))
	lines := bufio.NewScanner(w.Body)
	var bounds []string
	last, total, sum := 0, 0, 0.0
	for lines.Scan() {
		line := lines.Text()
		name, value, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "# "):
			require.Contains(t, line, "wavepool_queue_wait_seconds")
		case strings.HasPrefix(name, `wavepool_queue_wait_seconds_bucket{upstream="web",le="`):
			n, err := strconv.Atoi(value)
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, last, "buckets are cumulative")
			last = n
			bounds = append(bounds, strings.TrimSuffix(strings.Split(name, `le="`)[1], `"}`))
		case name == `wavepool_queue_wait_seconds_sum{upstream="web"}`:
			var err error
			sum, err = strconv.ParseFloat(value, 64)
			require.NoError(t, err)
		case name == `wavepool_queue_wait_seconds_count{upstream="web"}`:
			var err error
			total, err = strconv.Atoi(value)
			require.NoError(t, err)
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	require.Equal(t, strings.Fields("0.001 0.005 0.01 0.05 0.1 0.25 0.5 1 2.5 5 10 30 +Inf"), bounds)
	require.Equal(t, 1, total)
	require.Equal(t, 1, last, "+Inf has all of them")
	require.InDelta(t, s.Stats().Upstreams[0].Wait.Sum.Seconds(), sum, 1e-9)
}
