package scenario

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// chaos writes a scenario with much going wrong at once, drawn from a seed: too few connections, short queues,
// impatient clients that try again, backends that err, stall and hang up, and faults of every kind on top of each other.
func chaos(seed uint64) string {
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
	number := func(from, to int) int { return from + rnd.IntN(to-from+1) }
	backend := func() string { return fmt.Sprintf("10.0.0.%d", number(1, 3)) }
	var backends, faults []string
	for i := range 3 {
		backends = append(backends, fmt.Sprintf("{address: '10.0.0.%d:80', service: %s, concurrency: %d, body_bytes: %d, "+
			"error_rate: %s, close_after_requests: %s, close_idle_after: %s%s}", i+1,
			pick("5ms", "{uniform: {min: 0s, max: 20ms}}", "{exponential: {mean: 10ms}}", "{lognormal: {median: 5ms, p99: 90ms}}"),
			number(1, 8), number(0, 40_000), pick("0", "5%", "30%"), pick("off", "1", "7"), pick("off", "30ms", "500ms"),
			pick("", "", ", stall_rate: 1%", ", error_service: 0s", ", cold: {for: 2s, factor: 9}",
				", paths: [{prefix: /b, service: 40ms, error_rate: 0, body_bytes: 90000}]")))
	}
	for range number(1, 10) {
		between := fmt.Sprintf("{between: [%s, %s]", pick("proxy", "proxy", "web", "'*'"), pick(backend(), "proxy", "users"))
		kind := pick("silent_drop: "+between+"}", "partition: "+between+"}", "reset: "+between+"}",
			"slow: "+between+", latency: 30ms, jitter: 20ms, loss: 20%}", "idle_forget: "+between+", idle: 200ms, reset: true}",
			"idle_forget: "+between+", idle: 100ms}", "crash: {host: "+backend()+"}", "kill: {host: "+backend()+"}",
			"refuse: {host: "+backend()+"}")
		lasts := fmt.Sprintf("for: %dms, ", number(1, 3000))
		if strings.HasPrefix(kind, "reset") {
			lasts = ""
		}
		faults = append(faults, fmt.Sprintf("{at: %dms, %s%s}", number(0, 4500), lasts, kind))
	}
	upstream := fmt.Sprintf("{backends: [{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}], "+
		"strategy: %s, response_timeout: %s, pool: {max_connections: %d, min_idle: %d, idle_timeout: %s, max_lifetime: %s, "+
		"connect_timeout: 300ms, validate_after: %s}, queue: {max_waiting: %d, timeout: %s}, retry: {attempts: %d%s}, "+
		"health: {active: {interval: 300ms, timeout: 200ms, rise: 1, fall: 2, http: {path: /h}}, "+
		"passive: {consecutive_failures: 3, base_ejection_time: 500ms, max_ejection_percent: %s}}}",
		pick("round-robin", "least-connections", "random"), pick("50ms", "400ms"), number(2, 9), number(0, 2),
		pick("40ms", "10s"), pick("200ms", "1h"), pick("off", "1ms", "100ms"), number(1, 60), pick("60ms", "1s"), number(1, 3),
		pick("", ", per_try_timeout: 20ms", ", on: [reset, per_try_timeout, response_timeout, backend_down, 500, 503]",
			", on: off", ", on: [backend_down, per_try_timeout], per_try_timeout: 150ms"),
		pick("34", "100"))
	clients := fmt.Sprintf("[{name: web, arrivals: {poisson: %d/s}, timeout: %s, connections: %d}, "+
		"{name: users, arrivals: {users: %d, think: {uniform: {min: 0s, max: 30ms}}}, keep_alive: %s, method: %s, body_bytes: %d, "+
		"timeout: %s%s}, {name: mixed, arrivals: {poisson: 20/s}, timeout: 1s%s, requests: [{path: /a}, {weight: 2, path: /b}, "+
		"{method: POST, path: '/b/c?d', body_bytes: {uniform: {min: 0, max: 40KiB}}}]}]", number(50, 400), pick("30ms", "300ms", "3s"),
		number(1, 30), number(1, 40), pick("true", "false"), pick("GET", "POST"), number(0, 60_000), pick("80ms", "2s"),
		pick("", ", retries: 2", ", retries: 3, backoff: {uniform: {min: 0s, max: 50ms}}, retry_budget: 30%"),
		pick("", ", read_rate: 50KiB/s", ", retries: 1, backoff: 5ms"))
	return smallText("duration", "8s", "upstream", upstream, "backends", "["+strings.Join(backends, ", ")+"]", "clients", clients,
		"faults", "["+strings.Join(faults, ", ")+"]", "network", pick("{default: {latency: 500us, jitter: 100us}}",
			"{default: {latency: 0s, jitter: 0s}}", "{default: {latency: 1ms, loss: 1%}}")) +
		pick("", "random_faults: {rate: 1/s, kinds: [reset, silent_drop, partition, partition_one_way, unreachable, clog, "+
			"conntrack_loss, crash, kill, pause, no_accept, refuse], lasting: {exponential: {mean: 1s}}}\n")
}

func TestChaosRepeatsExactlyAndBreaksNoConservationLaw(t *testing.T) {
	first, last := uint64(1), uint64(4)
	if underRace {
		last = 1
	}
	if text := os.Getenv("CHAOS"); text != "" { // CHAOS=100-400 for a long hunt
		from, to, _ := strings.Cut(text, "-")
		first, _ = strconv.ParseUint(from, 10, 32)
		last, _ = strconv.ParseUint(to, 10, 32)
	}
	for seed := first; seed <= last; seed++ {
		sc, err := Parse("chaos.yaml", []byte(chaos(seed)))
		require.NoError(t, err)
		sc.Seed = seed
		a, err := Execute(sc, Options{KeepTrace: true})
		require.NoError(t, err, "seed %d", seed)
		require.True(t, a.OK(), "seed %d: %s%v", seed, a.Text(), a.Timeline)
		before := runtime.GOMAXPROCS(1)
		b, err := Execute(sc, Options{KeepTrace: true})
		runtime.GOMAXPROCS(before)
		require.NoError(t, err)
		demandEqualRuns(t, a, b, fmt.Sprintf("seed %d", seed))
	}
}
