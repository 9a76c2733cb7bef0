package scenario

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
)

// The tables of `make show-health`: what health does by setting, in the whole proxy over a simulated network. Each figure that is
// promised is required as well.

var showHealth = flag.Bool("show-health", false, "fill the tables with all settings, and not only with those that promise something")

// setting is a line of a table: keys of an upstream.
type setting struct {
	name, keys string
	shown      bool // it promises nothing, and is there to be compared with
}

// shown are the settings of a table.
func shown(all ...setting) []setting {
	var out []setting
	for _, s := range all {
		if *showHealth || !s.shown {
			out = append(out, s)
		}
	}
	return out
}

// tableOf writes lines of cells, the first of which is the head.
func tableOf(t *testing.T, title string, lines [][]string) {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", title)
	for _, line := range lines {
		for i, cell := range line {
			if i == 0 {
				fmt.Fprintf(&out, "  %-44s", cell)
			} else {
				fmt.Fprintf(&out, " %14s", cell)
			}
		}
		out.WriteByte('\n')
	}
	t.Log(out.String())
}

// playedWith runs a scenario of n backends, each of which is checked by HTTP unless keys say otherwise.
func playedWith(t *testing.T, n int, keys, backend, rest string) *Verdict {
	if underRace {
		t.Skip("they race no differently than the stock scenarios")
	}
	var addresses, backends []string
	for i := range n {
		address := fmt.Sprintf("'10.0.0.%d:80'", i+1)
		addresses = append(addresses, "{address: "+address+"}")
		backends = append(backends, "{address: "+address+", concurrency: 200, "+backend+"}")
	}
	if !strings.Contains(keys, "health:") {
		keys += ", health: {" + byHTTP + "}"
	}
	text := "name: shown\nseed: 7\nproxy:\n  listeners: [{address: ':8080', upstream: web}]\n" +
		"  upstreams: {web: {backends: [" + strings.Join(addresses, ", ") + "]" + keys + "}}\n" +
		"backends: [" + strings.Join(backends, ", ") + "]\nnetwork: {default: {latency: 500us, jitter: 100us}}\nexpect: []\n" + rest
	sc, err := Parse("shown.yaml", []byte(text))
	require.NoError(t, err, "%s", text)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Zero(t, figure(v, metricConservation))
	require.Empty(t, v.BrokeOff)
	return v
}

const (
	usual  = "service: {lognormal: {median: 5ms, p99: 40ms}}"
	byHTTP = "active: {http: {path: /healthz}}"
	often  = "active: {interval: 1s, timeout: 500ms, http: {path: /healthz}}"
)

// admissions counts in each minute how often a backend was let in again, by a look in each second.
func admissions(b *BackendSeries, minutes int) (each []int, most int) {
	each = make([]int, minutes)
	for i := range minutes*60 - 1 {
		if b.Health[i] != health.Up && b.Health[i+1] == health.Up {
			each[i/60]++
		}
	}
	for _, n := range each {
		most = max(most, n)
	}
	return each, most
}

// What bounds the admissions of a backend that goes and comes all the time: it takes fall checks to be out and rise to be in, and
// traffic that ejects it does so for a time that grows, which as many checks in a row cut short as there were ejections lately, times rise.
// Checks at an interval i therefore let it in no more often than once in (rise - 1) times i, and seldom more than once in rise + fall.
func TestShowHealthAFlappingBackendIsAdmittedRarely(t *testing.T) {
	const minutes = 4
	lines := [][]string{{"one of three, up 6 s, down 2 s: setting", "1st minute", "last minute", "most", "failed"}}
	var faults []string
	for at := 10; at < minutes*60-4; at += 8 {
		faults = append(faults, fmt.Sprintf("{at: %ds, for: 2s, kill: {host: 10.0.0.1}}", at))
	}
	for _, s := range shown(
		setting{name: "defaults"},
		setting{name: "defaults, round-robin", keys: ", strategy: round-robin"},
		setting{name: "checks every second, round-robin", keys: ", strategy: round-robin, health: {" + often + "}", shown: true},
		setting{name: "the same, passive: off", keys: ", strategy: round-robin, health: {" + often + ", passive: off}"},
		setting{name: "the same, fall: 1, rise: 1", keys: ", strategy: round-robin, health: {active: {interval: 1s, rise: 1, fall: 1}, passive: off}", shown: true},
		setting{name: "active: off, round-robin", keys: ", strategy: round-robin, health: {active: off}", shown: true},
	) {
		v := playedWith(t, 3, s.keys, usual, fmt.Sprintf("duration: %dm\nclients: [{name: web, arrivals: {poisson: 100/s}, timeout: 2s}]\nfaults: [%s]\n",
			minutes, strings.Join(faults, ", ")))
		each, most := admissions(&v.Series.Backends[0], minutes)
		failed := int(figure(v, "failed"))
		lines = append(lines, []string{s.name, fmt.Sprint(each[0]), fmt.Sprint(each[minutes-1]), fmt.Sprint(most), fmt.Sprint(failed)})
		if !s.shown {
			require.LessOrEqual(t, most, 6, "%s: of seven or eight returns a minute", s.name)
			require.Zero(t, failed, "%s: it refuses, and the next one is asked", s.name)
		}
	}
	tableOf(t, "A flapping backend, admissions:", lines)
}

// shareOf is the highest number of requests that any backend got in a second of a span, as a multiple of its part of the load of that
// second, if all backends were there; and that second.
func shareOf(v *Verdict, from, to int) (worst float64, at int) {
	n := len(v.Series.Backends)
	for step := from; step < to; step++ {
		all, most := 0, 0
		for _, b := range v.Series.Backends {
			got := b.Begun[step+1] - b.Begun[step]
			all, most = all+got, max(most, got)
		}
		if x := float64(most*n) / float64(all); all > 0 && x > worst {
			worst, at = x, step
		}
	}
	return worst, at
}

// allUp is the first step from which all backends are up, seen from then on.
func allUp(v *Verdict, from, to int) int {
	for step := from; step < to; step++ {
		up := 0
		for _, b := range v.Series.Backends {
			if b.Health[step] == health.Up {
				up++
			}
		}
		if up == len(v.Series.Backends) {
			return step - from
		}
	}
	return -1
}

// While few of a fleet are back, all of the load is theirs. The only help is that they come back together: a check that passes at one of
// those that are out hurries those of the others.
func TestShowHealthACrashedFleetComesBackEvenly(t *testing.T) {
	lines := [][]string{{"ten of ten crash for 20 s: setting", "most of part", "at", "all up", "failed after"}}
	var faults []string
	for i := range 10 {
		faults = append(faults, fmt.Sprintf("{at: 15s, for: 20s, kill: {host: 10.0.0.%d}}", i+1))
	}
	soon := "active: {fast_interval: 250ms, down_interval: 250ms, timeout: 250ms, http: {path: /healthz}}"
	for _, s := range shown(
		setting{name: "defaults"},
		setting{name: "slow_start: 10s", keys: ", slow_start: 10s"},
		setting{name: "panic_threshold: 50%", keys: ", health: {" + byHTTP + ", panic_threshold: 50%}"},
		setting{name: "passive: off", keys: ", health: {" + byHTTP + ", passive: off}", shown: true},
		setting{name: "fast_interval, down_interval: 250ms", keys: ", health: {" + soon + "}"},
		setting{name: "the same, panic_threshold: 50%", keys: ", health: {" + soon + ", panic_threshold: 50%}"},
		setting{name: "the same, round-robin", keys: ", strategy: round-robin, health: {" + soon + "}"},
	) {
		v := playedWith(t, 10, s.keys, usual, "duration: 1m\nclients: [{name: web, arrivals: {poisson: 500/s}, timeout: 2s}]\nfaults: ["+strings.Join(faults, ", ")+"]\n")
		worst, at := shareOf(v, 35, 59)
		up, failed := allUp(v, 35, 60), 0
		for step := 35; step < 60; step++ {
			failed += v.Series.failedIn(step)
		}
		lines = append(lines, []string{s.name, fmt.Sprintf("%.2f", worst), fmt.Sprintf("+%d s", at-35), fmt.Sprintf("+%d s", up), fmt.Sprint(failed)})
		require.Less(t, worst, 2.0, s.name)
	}
	tableOf(t, "Recovery of a crashed fleet, the most that a backend gets in a second:", lines)
}

// The budget is 20 % of what is under way beside retries, however many attempts a request may have.
func TestShowHealthARetryStormIsBounded(t *testing.T) {
	lines := [][]string{{"3 of 10 answers are 503: setting", "attempts", "failed"}}
	for _, s := range shown(
		setting{name: "attempts: 2 (default)", keys: "attempts: 2"},
		setting{name: "attempts: 3", keys: "attempts: 3", shown: true},
		setting{name: "attempts: 10", keys: "attempts: 10"},
		setting{name: "attempts: 3, budget_percent: off", keys: "attempts: 3, budget_percent: off"},
		setting{name: "attempts: 10, budget_percent: off", keys: "attempts: 10, budget_percent: off", shown: true},
	) {
		v := playedWith(t, 12, ", retry: {on: [503], "+s.keys+"}, health: {passive: off}", "service: {lognormal: {median: 50ms, p99: 200ms}}, error_rate: 0.3",
			"duration: 30s\nclients: [{name: web, arrivals: {poisson: 500/s}, timeout: 5s}]\n")
		times := figure(v, "retry_amplification")
		lines = append(lines, []string{s.name, fmt.Sprintf("%.3f", times), fmt.Sprintf("%.1f %%", 100-100*figure(v, "success_rate"))})
		switch {
		case strings.Contains(s.name, "off"):
			require.Greater(t, times, 1.35, s.name)
		default:
			require.LessOrEqual(t, times, 1.2, s.name)
		}
	}
	tableOf(t, "A retry storm, attempts for each request:", lines)
}

// heldUp is the longest that a request took which was answered from a step on, and the seconds from there to the end of the last step
// with one that took more than 100 ms.
func heldUp(v *Verdict, from int) (longest float64, until int) {
	for step := from; step < len(v.Series.Longest); step++ {
		if x := v.Series.Longest[step]; x > 0.1 {
			longest, until = max(longest, x), step+1-from
		}
	}
	return longest, until
}

// Clients lose patience after two seconds, and with twenty idle connections to each backend there is something to be caught in. Out is
// when health has taken the silent backend out; held up, when a request has last taken more than 100 ms.
func TestShowHealthASilentBackendIsLeft(t *testing.T) {
	lines := [][]string{{"one of three falls silent: setting", "failed", "longest", "held up until", "out"}}
	const caught = 25 // twenty idle connections, and who was under way
	const off, alone = "retry: {per_try_timeout: off}", "retry: {per_try_timeout: off}, health: {%s, passive: off}"
	for _, s := range []struct {
		name, keys   string
		failed       int
		until, leave float64 // a time to fail over, and to be out; bounds where they are promised
	}{
		{"defaults", "", 0, 1, 1},
		{"per_try_timeout: 300ms", "retry: {per_try_timeout: 300ms}", 0, 1, 1},
		{"per_try_timeout: off", off, caught, 17.5, 17.5},
		{"checks alone", fmt.Sprintf(alone, byHTTP), -1, 0, 0},
		{"round-robin", "strategy: round-robin", 0, 1, 1},
		{"round-robin, per_try_timeout: 300ms", "strategy: round-robin, retry: {per_try_timeout: 300ms}", 0, 1, 1},
		{"round-robin, per_try_timeout: off", "strategy: round-robin, " + off, -1, 0, 0},
		{"round-robin, checks alone", "strategy: round-robin, " + fmt.Sprintf(alone, byHTTP), caught, 17.5, 17.5},
		{"round-robin, checks every second alone", "strategy: round-robin, " + fmt.Sprintf(alone, often), caught, 4, 3.8},
		{"round-robin, active: off", "strategy: round-robin, health: {active: off}", -1, 0, 0},
	} {
		if s.failed < 0 && !*showHealth {
			continue
		}
		keys := ", pool: {min_idle: 20}"
		if s.keys != "" {
			keys += ", " + s.keys
		}
		v := playedWith(t, 3, keys, "service: {uniform: {min: 2ms, max: 20ms}}", "duration: 80s\nclients: [{name: web, arrivals: {poisson: 300/s}, timeout: 2s}]\n"+
			"faults: [{at: 40s, for: 30s, silent_drop: {between: [proxy, 10.0.0.1]}}]\n")
		failed, out := int(figure(v, "failed")), says(t, v, "10.0.0.1:80 backend_down")-40
		longest, until := heldUp(v, 40)
		over := max(figure(v, "time_to_failover"), float64(until))
		lines = append(lines, []string{s.name, fmt.Sprint(failed), fmt.Sprintf("%.2f s", longest), fmt.Sprintf("%.1f s", over), fmt.Sprintf("%.2f s", out)})
		if s.failed >= 0 {
			require.LessOrEqual(t, failed, s.failed, s.name)
			require.LessOrEqual(t, over, s.until, s.name)
			require.Less(t, out, s.leave, s.name)
		}
	}
	tableOf(t, "A silent backend (fall * interval + timeout is 16 s, give or take a tenth; 3.5 s with checks every second):", lines)
}

func TestShowHealthABackendThatWasSlowGetsItsShareAgain(t *testing.T) {
	lines := [][]string{{"one of five is slow for 2 s: setting", "before", "slow", "+0..10 s", "+10..30 s"}}
	for _, s := range shown(
		setting{name: "p2c", keys: ", strategy: p2c"},
		setting{name: "peak-ewma", keys: ", strategy: peak-ewma"},
		setting{name: "p2c, passive: off", keys: ", strategy: p2c, health: {" + byHTTP + ", passive: off}", shown: true},
		setting{name: "peak-ewma, passive: off", keys: ", strategy: peak-ewma, health: {" + byHTTP + ", passive: off}", shown: true},
	) {
		v := playedWith(t, 5, s.keys, usual, "duration: 53s\nclients: [{name: web, arrivals: {poisson: 1000/s}, timeout: 5s}]\n"+
			"faults: [{at: 20s, for: 2s, slow: {between: [proxy, 10.0.0.1], latency: 250ms}}]\n")
		share := func(from, to int) float64 {
			all := 0
			for _, b := range v.Series.Backends {
				all += b.Begun[to] - b.Begun[from]
			}
			b := &v.Series.Backends[0]
			return 5 * float64(b.Begun[to]-b.Begun[from]) / float64(all)
		}
		cells := []string{s.name}
		for _, span := range [][2]int{{5, 20}, {20, 22}, {22, 32}, {32, 52}} {
			cells = append(cells, fmt.Sprintf("%.1f %%", 100*share(span[0], span[1])))
		}
		lines = append(lines, cells)
		require.InDelta(t, 1, share(32, 52), 0.05, s.name)
	}
	tableOf(t, "One of five slow for two seconds, what it gets of its fifth:", lines)
}
