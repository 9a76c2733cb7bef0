package lb

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tables of `make show-lb`: what the strategies do, in the model of traffic_test.go, ten backends and no health.
// Each figure that is promised is required as well.

var showLB = flag.Bool("show-lb", false, "fill the tables with all strategies, and not only with those that promise something")

// shown are the strategies of a table.
func shown(promising ...string) []string {
	if *showLB {
		return Strategies()
	}
	return promising
}

// tableOf writes lines of cells, the first of which is the head.
func tableOf(t *testing.T, title string, lines [][]string) {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", title)
	for _, line := range lines {
		for i, cell := range line {
			if i == 0 {
				fmt.Fprintf(&out, "  %-18s", cell)
			} else {
				fmt.Fprintf(&out, " %16s", cell)
			}
		}
		out.WriteByte('\n')
	}
	t.Log(out.String())
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

// clients draws keys of a thousand clients, of which the first sends so many times as much as each of the others.
func clients(rnd *rand.Rand, hot int) func() uint64 {
	const others = 999
	return func() uint64 {
		return Hash(fmt.Sprintf("client-%d", max(0, rnd.IntN(others+hot)-hot+1)))
	}
}

// played plays five minutes of a thousand requests a second, after five seconds that do not count.
func played(t *testing.T, strategy string, hot int, serve func(rnd *rand.Rand, backend int) (time.Duration, Outcome)) *traffic {
	rnd := stream(5)
	tr := newTraffic(t, strategy, 10, 1000, func(i int, _ time.Duration) (time.Duration, Outcome) { return serve(rnd, i) })
	tr.key = clients(stream(6), hot)
	tr.until(5 * time.Second)
	tr.until(305 * time.Second)
	return tr
}

func healthy(rnd *rand.Rand, _ int) (time.Duration, Outcome) { return usual(rnd), Success }

func TestShowLBEvenLoad(t *testing.T) {
	lines := [][]string{{"", "all alike", "one sends 100x", "peak / mean"}}
	for _, strategy := range Strategies() {
		const n = 100_000
		even := func(hot int, rate float64) *traffic {
			rnd := stream(5)
			tr := newTraffic(t, strategy, 10, rate, func(int, time.Duration) (time.Duration, Outcome) { return usual(rnd), Success })
			tr.key = clients(stream(6), hot)
			tr.until(time.Duration(n / rate * float64(time.Second)))
			return tr
		}
		alike, hot := even(1, 1000), even(100, 1000)
		busy := even(100, 100_000) // some hundreds in flight, so that the bound on each is a number to speak of
		lines = append(lines, []string{strategy, percent(alike.unevenness()), percent(hot.unevenness()), fmt.Sprintf("%.2f", busy.peak)})
		switch {
		case strategy == "first":
		case ByKey(strategy):
			require.LessOrEqual(t, busy.peak, 1.25+0.02, "%s: the bound, rounded up", strategy)
		default:
			require.LessOrEqual(t, alike.unevenness(), slack(strategy, n, 1, 10, 10)/(n/10), strategy)
			require.LessOrEqual(t, hot.unevenness(), slack(strategy, n, 1, 10, 10)/(n/10), strategy)
		}
	}
	tableOf(t, "100,000 requests of a thousand clients at ten equal backends: how far the farthest backend is from its tenth;\n"+
		"and, at 100,000 requests a second, the most in flight at one beside the mean:", lines)
}

func TestShowLBOneSlowBackend(t *testing.T) {
	lines := [][]string{{"", "all healthy", "one 10x slower", "ratio", "its share"}}
	for _, strategy := range shown("peak-ewma", "least-time") {
		well := played(t, strategy, 1, healthy)
		slow := played(t, strategy, 1, func(rnd *rand.Rand, i int) (time.Duration, Outcome) {
			took := usual(rnd)
			if i == 3 {
				took *= 10
			}
			return took, Success
		})
		a, b := well.quantile(0.99), slow.quantile(0.99)
		ratio := float64(b) / float64(a)
		total := 0
		for _, n := range slow.counts {
			total += n
		}
		lines = append(lines, []string{strategy, a.Round(100 * time.Microsecond).String(), b.Round(100 * time.Microsecond).String(),
			fmt.Sprintf("%.2f", ratio), percent(float64(slow.counts[3]) / float64(total))})
		if strategy == "peak-ewma" || strategy == "least-time" {
			require.Less(t, ratio, 1.3, strategy)
		}
	}
	tableOf(t, "One of ten backends is ten times slower: the 99th percentile of latency.", lines)
}

func TestShowLBOneBackendThatFailsFast(t *testing.T) {
	lines := [][]string{{"", "failed requests"}}
	for _, strategy := range shown("peak-ewma", "least-time") {
		tr := played(t, strategy, 1, func(rnd *rand.Rand, i int) (time.Duration, Outcome) {
			if i == 3 {
				return time.Millisecond, Failure
			}
			return usual(rnd), Success
		})
		failed := float64(tr.failed) / float64(len(tr.took))
		lines = append(lines, []string{strategy, percent(failed)})
		if strategy == "peak-ewma" || strategy == "least-time" {
			require.Less(t, failed, 0.02, strategy)
		}
	}
	tableOf(t, "One of ten backends answers every request with an error after 1 ms, and health does not look.", lines)
}

func TestShowLBKeys(t *testing.T) {
	const n = 200_000
	lines := [][]string{{"", "peak / mean", "moved: removed", "moved: out"}}
	for _, strategy := range Strategies() {
		if !ByKey(strategy) {
			continue
		}
		for _, size := range []int{10, 100} {
			backends, keys := named(size), keysFor(n)
			p := keyPicker(t, strategy, backends)
			before := owners(p, backends, keys)
			counts := map[string]int{}
			most := 0
			for _, name := range before {
				counts[name]++
				most = max(most, counts[name])
			}
			part := func(k int) string { return percent(float64(k) / n) }
			p.SetAvailable(1, false)
			out := moved(before, owners(p, backends, keys), backends[1].Name)
			p.Remove(1)
			RebuildNow(p)
			removed := moved(before, owners(p, backends, keys), backends[1].Name)
			require.LessOrEqual(t, float64(removed)/n, 0.02)
			require.Zero(t, out)
			if strategy == "maglev" {
				table := make([]int, size)
				for _, i := range core[*maglev](keyPicker(t, strategy, backends)).table {
					table[i]++
				}
				require.LessOrEqual(t, float64(slices.Max(table)*size)/slots, 1.02)
			}
			lines = append(lines, []string{fmt.Sprintf("%s, %d", strategy, size), fmt.Sprintf("%.3f", float64(most*size)/n),
				part(removed), part(out)})
		}
	}
	tableOf(t, "200,000 keys: the most at one backend beside the mean, and the keys that move beyond those of a backend that is\n"+
		"removed from the list (or added: the same), or out for health's reasons:", lines)
}

func TestShowLBTheBound(t *testing.T) {
	lines := [][]string{{"", "7 in flight", "70 in flight", "700 in flight"}}
	for _, strategy := range shown("maglev") {
		if !ByKey(strategy) {
			continue
		}
		line := []string{strategy}
		for _, rate := range []float64{1000, 10_000, 100_000} {
			own, err := NewWith(strategy, make([]Backend, 10), nil, Options{BalanceFactor: -1})
			require.NoError(t, err)
			rnd, draw := stream(5), clients(stream(6), 1)
			var key uint64
			elsewhere, total := 0, 0
			tr := newTraffic(t, strategy, 10, rate, func(i int, _ time.Duration) (time.Duration, Outcome) {
				total++
				if owner(own, key) != i {
					elsewhere++
				}
				return usual(rnd), Success
			})
			tr.key = func() uint64 {
				key = draw()
				return key
			}
			tr.until(time.Duration(100_000 / rate * float64(time.Second)))
			line = append(line, percent(float64(elsewhere)/float64(total)))
		}
		lines = append(lines, line)
	}
	tableOf(t, "Requests of a thousand equal clients that the bound of 125 % has sent to another backend than their key's own, by how many\n"+
		"requests are in flight at ten backends:", lines)
}
