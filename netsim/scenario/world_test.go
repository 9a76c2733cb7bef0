package scenario

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/http1"
)

func TestAQuietWorldAnswersEveryRequest(t *testing.T) {
	v := runSmall(t, "expect", "[success_rate == 100%, failed == 0, leaks == 0, retries == 0, repeated == 0, p99 <= 10ms, "+
		"p50 >= 7ms, reuse_rate >= 90%, requests > 900, answered > 900, conservation == 0, wrong_nonce == 0]")
	require.Empty(t, v.Failed)
	require.InDelta(t, 20, v.VirtualSeconds, 0.2)
}

func TestEachFaultDoesWhatItsNameSays(t *testing.T) {
	for name, tc := range map[string]struct {
		fault, expect string
		told          []string
	}{
		"silent_drop": {"{at: 5s, for: 5s, silent_drop: {between: [proxy, 10.0.0.1]}}",
			"[success_rate >= 98%, failed > 0, time_to_failover <= 4s, time_to_recovery <= 4s, leaks == 0]",
			[]string{"silent_drop proxy <-> 10.0.0.1 begins", "backend_down: check_failed", "ends", "backend_up"}},
		"partition from a client": {"{at: 5s, for: 2s, partition: {between: [web, proxy]}}",
			"[failed > 0, leaks == 0, time_to_recovery <= 1s]", []string{"partition web <-> proxy begins"}},
		"crash": {"{at: 5s, for: 5s, crash: {host: 10.0.0.2}}",
			"[success_rate >= 98%, failed > 0, time_to_failover <= 4s, time_to_recovery <= 4s, leaks == 0]",
			[]string{"crash 10.0.0.2 begins", "first dial_failed at web/10.0.0.2:80: connect_failed", "backend_up"}},
		"crash without return": {"{at: 5s, crash: {host: 10.0.0.2}}",
			"[success_rate >= 98%, time_to_failover <= 4s, leaks == 0]", []string{"backend_down"}},
		"kill": {"{at: 5s, for: 5s, kill: {host: 10.0.0.2}}", "[success_rate >= 99%, time_to_failover <= 1s, leaks == 0]",
			[]string{"kill 10.0.0.2 begins", "kill 10.0.0.2 ends", "backend_up"}},
		"refuse": {"{at: 5s, for: 5s, refuse: {host: 10.0.0.2}}", "[failed == 0, time_to_failover == 0s, leaks == 0]",
			[]string{"refuse 10.0.0.2 begins", "backend_down: check_failed"}},
		"refuse one port": {"{at: 5s, for: 5s, refuse: {host: 10.0.0.2, port: 81}}", "[failed == 0, time_to_recovery <= 1s]",
			[]string{"refuse 10.0.0.2:81 begins"}},
		"reset": {"{at: 5s, reset: {between: [proxy, 10.0.0.1]}}", "[failed <= 2, time_to_recovery <= 1s, leaks == 0]",
			[]string{"reset proxy <-> 10.0.0.1: "}},
		"slow": {"{at: 5s, for: 5s, slow: {between: [proxy, 10.0.0.1], latency: 100ms, jitter: 10ms}}",
			"[failed == 0, p90 <= 300ms, p99 >= 200ms, leaks == 0]", []string{"slow proxy <-> 10.0.0.1 by 100ms begins"}},
		"lossy": {"{at: 5s, for: 5s, slow: {between: [proxy, 10.0.0.1], loss: 20%}}",
			"[p50 <= 20ms, p99 >= 200ms, leaks == 0]", nil},
		"partition_one_way": {"{at: 5s, for: 5s, partition_one_way: {between: [10.0.0.1, proxy]}}",
			"[failed > 0, success_rate >= 98%, time_to_failover <= 4s, time_to_recovery <= 4s, leaks == 0]",
			[]string{"partition_one_way 10.0.0.1 -> proxy begins", "backend_down: check_failed", "backend_up"}},
		"unreachable": {"{at: 5s, for: 5s, unreachable: {between: [proxy, 10.0.0.1]}}",
			"[failed > 0, success_rate >= 98%, time_to_failover <= 4s, leaks == 0]", []string{"unreachable proxy <-> 10.0.0.1 begins"}},
		"pause": {"{at: 5s, for: 5s, pause: {host: 10.0.0.1}}",
			"[failed > 0, success_rate >= 98%, time_to_failover <= 4s, time_to_recovery <= 4s, leaks == 0]",
			[]string{"pause 10.0.0.1 begins", "backend_timeout", "backend_down: ", "backend_up"}},
		"no_accept": {"{at: 5s, for: 5s, no_accept: {host: 10.0.0.1}}", "[failed == 0, time_to_recovery <= 4s, leaks == 0]",
			[]string{"no_accept 10.0.0.1 begins", "backend_down: check_failed", "backend_up"}},
		"drip": {"{at: 5s, for: 5s, drip: {between: [proxy, 10.0.0.1], bytes_per_second: 2000}}",
			"[success_rate >= 98%, p50 <= 20ms, p99 >= 100ms, leaks == 0]", []string{"drip proxy <-> 10.0.0.1 at 2000 B/s begins"}},
		"clog": {"{at: 5s, for: 400ms, clog: {between: [proxy, 10.0.0.1]}}",
			"[failed == 0, p50 <= 20ms, p99.9 >= 40ms, leaks == 0]", []string{"clog proxy <-> 10.0.0.1 ends"}},
		"conntrack_loss with a reset": {"{at: 5s, for: 5s, conntrack_loss: {between: [proxy, 10.0.0.1], reset: true}}",
			"[failed <= 1, repeated > 0, time_to_recovery <= 1s]", []string{"conntrack_loss proxy <-> 10.0.0.1 begins"}},
		"idle_forget with a reset": {"{at: 1s, for: 10s, idle_forget: {between: [proxy, 10.0.0.1], idle: 100ms, reset: true}}",
			"[failed == 0, repeated > 0]", []string{"idle_forget proxy <-> 10.0.0.1 after 100ms ends"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := runSmall(t, "faults", "["+tc.fault+"]", "expect", tc.expect)
			for _, text := range tc.told {
				says(t, v, text)
			}
		})
	}
}

// A backend is never told that a middlebox has forgotten its connection. Only its own limit for idle ones helps,
// and the metric shows who has none.
func TestConnectionsThatNobodyWillUseAgainAreLeaks(t *testing.T) {
	const fault = "[{at: 1s, for: 10s, idle_forget: {between: [proxy, 10.0.0.1], idle: 100ms, reset: true}}]"
	runSmall(t, "faults", fault, "expect", "[leaks > 5]")
	runSmall(t, "faults", fault, "expect", "[leaks == 0]", "backends",
		"[{address: '10.0.0.1:80', close_idle_after: 30s}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}]")
}

func TestTheTimelineIsInOrderAndNamesTheFirstFailure(t *testing.T) {
	v := runSmall(t, "faults", "[{at: 5s, for: 5s, crash: {host: 10.0.0.2}}]")
	begins, down := says(t, v, "crash 10.0.0.2 begins"), says(t, v, "backend_down")
	failed, up := says(t, v, "first failed request: "), says(t, v, "backend_up")
	require.Less(t, begins, down)
	require.Less(t, begins, failed)
	require.Less(t, down, up)
	for i := 1; i < len(v.Timeline); i++ {
		require.LessOrEqual(t, v.Timeline[i-1].At, v.Timeline[i].At)
	}
}

func TestBackendsBehaveAsTheirKeysSay(t *testing.T) {
	three := func(more string) string {
		return "[{address: '10.0.0.1:80'" + more + "}, {address: '10.0.0.2:80'" + more + "}, {address: '10.0.0.3:80'" + more + "}]"
	}
	v := runSmall(t, "backends", three(", error_rate: 1%"), "expect", "[failed > 0, success_rate >= 97%]")
	require.Positive(t, v.Failed["status_503"])

	slow := runSmall(t, "backends", three(", service: 50ms, concurrency: 1"), "clients",
		"[{name: web, arrivals: {users: 9, think: 0s}}]", "expect", "[p50 >= 140ms, p99 <= 300ms]")
	require.InDelta(t, 20*3*20, slow.Requests, 60, "three backends of one place serve 20 requests a second each")

	runSmall(t, "backends", three(", close_after_requests: 5"), "expect", "[failed == 0, reuse_rate >= 70%, reuse_rate <= 82%]")

	v = runSmall(t, "backends", three(", close_idle_after: 60ms"), "expect", "[failed == 0, leaks == 0, reuse_rate <= 80%]")
	require.Positive(t, v.ReuseRate)

	big := runSmall(t, "backends", three(", body_bytes: 300KiB"), "clients", "[{name: web, arrivals: {constant: 5/s}}]",
		"expect", "[failed == 0, p50 >= 8ms]")
	require.InDelta(t, 100, big.Requests, 2)
}

func TestClientsOfAllKindsGetTheirAnswers(t *testing.T) {
	for name, clients := range map[string]string{
		"without keep-alive": "[{name: web, arrivals: {poisson: 20/s}, keep_alive: false}]",
		"few kept":           "[{name: web, arrivals: {poisson: 100/s}, connections: 1}]",
		"with a body":        "[{name: web, arrivals: {poisson: 20/s}, method: POST, path: /up, body_bytes: 100KiB}]",
		"users":              "[{name: web, arrivals: {users: 20, think: {exponential: {mean: 200ms}}}}]",
		"users who leave":    "[{name: web, arrivals: {users: 5, think: 500ms}, keep_alive: false}]",
		"two of them":        "[{name: a, arrivals: {poisson: 20/s}}, {name: b, arrivals: {users: 2}, to: ':8080'}]",
	} {
		t.Run(name, func(t *testing.T) {
			runSmall(t, "duration", "5s", "clients", clients, "expect", "[failed == 0, requests > 40, leaks == 0]")
		})
	}
}

func TestAProxyThatOnlyTunnelsIsSimulatedToo(t *testing.T) {
	runSmall(t, "listener", "{address: '192.0.2.7:5000', protocol: tcp, upstream: web}", "clients",
		"[{name: web, arrivals: {users: 8}}]", "expect", "[failed == 0, requests > 500, leaks == 0]")
}

func TestFailuresThatTheProxyNamesKeepTheirNames(t *testing.T) {
	v := runSmall(t, "faults", "[{at: 5s, for: 5s, partition: {between: [proxy, '*']}}]", "clients",
		"[{name: web, arrivals: {poisson: 50/s}, timeout: 400ms}]")
	require.Positive(t, v.Failed[FailTimeout], "%v", v.Failed)
	v = runSmall(t, "faults", "[{at: 5s, for: 5s, kill: {host: 10.0.0.1}}, {at: 5s, for: 5s, kill: {host: 10.0.0.2}}, "+
		"{at: 5s, for: 5s, kill: {host: 10.0.0.3}}]", "expect", "[time_to_recovery <= 3s]")
	require.Positive(t, v.Failed["no_backend"], "%v", v.Failed)
	v = runSmall(t, "faults", "[{at: 5s, refuse: {host: proxy}}]", "clients",
		"[{name: web, arrivals: {poisson: 20/s}, keep_alive: false}]")
	require.Positive(t, v.Failed[FailConnect], "%v", v.Failed)
	v = runSmall(t, "faults", "[{at: 5s, reset: {between: [web, proxy]}}, {at: 6s, reset: {between: [web, proxy]}}, "+
		"{at: 7s, reset: {between: [web, proxy]}}]", "clients", "[{name: web, arrivals: {poisson: 500/s}}]")
	require.Positive(t, v.Failed[FailReset], "%v", v.Failed)
}

// A server that answers with what it must not gives each client the failure that names it.
func TestAClientBelievesOnlyItsOwnAnswer(t *testing.T) {
	for reason, reply := range map[string]string{
		FailWrongNonce: "HTTP/1.1 200 OK\r\nX-Nonce: web-2\r\nContent-Length: 0\r\n\r\n",
		FailBadAnswer:  "HTTP/1.1 200 OK\nX-Nonce: web-1\n\n",
		FailReset:      "HTTP/1.1 200 OK\r\nX-Nonce: web-1\r\nContent-Length: 9\r\n\r\nshort",
		FailTimeout:    "",
		"status_404":   "HTTP/1.1 404 Not Found\r\nX-Nonce: web-1\r\nContent-Length: 0\r\n\r\n",
		"status_500":   "HTTP/1.1 500 Oh\r\nContent-Length: 12\r\n\r\nno: reason\r\n",
		"queue_full":   "HTTP/1.1 503 No\r\nContent-Length: 32\r\n\r\nService Unavailable: queue_full\n",
		"status_200":   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"":             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\nX-Nonce: web-1\r\n\r\n",
	} {
		res := netsim.Run(netsim.Config{}, func(sim *netsim.Sim) {
			ln, err := sim.Host("liar", "").Listen(context.Background(), "tcp", ":80")
			require.NoError(t, err)
			sim.Clock().AfterFunc(0, func() {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				var r http1.Reader
				var req http1.Request
				r.Reset(nc)
				_ = r.ReadRequest(&req, nil)
				_, _ = nc.Write([]byte(reply))
				if reply != "" {
					_ = nc.Close()
				}
				r.Reset(nil)
			})
			r := newRun(sim, &Scenario{Duration: time.Second})
			c := defaultClient()
			c.Name, c.Timeout = "web", 300*time.Millisecond
			g := newGenerator(r, &c, "liar:80")
			g.open()
			g.close()
			require.Equal(t, 1, r.out.requests)
			if reason == "" {
				require.Equal(t, 1, r.out.answered, "%v", r.out.failed)
			} else {
				require.Equal(t, map[string]int{reason: 1}, r.out.failed)
			}
			if reason == FailWrongNonce {
				v := r.verdict(0)
				require.False(t, v.OK())
				require.Equal(t, []Judged{{"wrong_nonce == 0", "1", false}}, v.Expectations)
			}
		})
		require.NoError(t, res.Err, reason)
	}
}

func TestAGateLetsNoMoreInThanItHasPlacesAndInTheirOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		places := rapid.IntRange(1, 4).Draw(rt, "places")
		stays := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 30).Draw(rt, "stays")
		rapid.SyncTest(rt, func(rt *rapid.T) { throughGate(rt, places, stays) })
	})
}

func throughGate(rt *rapid.T, places int, stays []int) {
	g := &gate{free: places}
	var mu sync.Mutex
	inside, most := 0, 0
	var order []int
	done := make(chan struct{}, len(stays))
	for i, stay := range stays {
		time.AfterFunc(time.Duration(i)*time.Microsecond, func() {
			g.enter()
			mu.Lock()
			order = append(order, i)
			inside++
			most = max(most, inside)
			mu.Unlock()
			time.Sleep(time.Duration(stay) * time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			if g.leave() {
				time.Sleep(time.Nanosecond)
			}
			done <- struct{}{}
		})
	}
	for range stays {
		<-done
	}
	require.LessOrEqual(rt, most, places)
	require.IsIncreasing(rt, append([]int{-1}, order...))
	require.Equal(rt, places, g.free)
}
