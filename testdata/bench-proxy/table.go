package main

import (
	"fmt"
	"io"
	"slices"
)

// median of values, 0 for none; the lower one of two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[(len(v)-1)/2]
}

// column picks one number of each result.
func column(all []result, pick func(result) float64) []float64 {
	out := make([]float64, len(all))
	for i, r := range all {
		out[i] = pick(r)
	}
	return out
}

// ratio is the median over the rounds of a number of a by that of b in the same round; 0 where there is none.
func ratio(a, b []result, pick func(result) float64) float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		if by := pick(b[i]); by > 0 {
			out = append(out, pick(a[i])/by)
		}
	}
	return median(out)
}

func cpuOf(r result) float64  { return r.cpu }
func rateOf(r result) float64 { return r.rate }
func p50Of(r result) float64  { return r.p50 }
func p99Of(r result) float64  { return r.p99 }
func sizeOf(r result) float64 { return r.bytes }

// writeTable writes the results of one workload, and how its promises were met.
// The peers are those that took part.
func writeTable(out io.Writer, w workload, peers []peer, results [][]result) {
	find := func(name string) []result {
		i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil
		}
		return results[i]
	}
	by := find(haproxy)
	fmt.Fprintf(out, "\n%s\n\n", w.about)
	switch w.kind {
	case idleMemory:
		fmt.Fprint(out, "| proxy | bytes each |\n|---|---|\n")
	case latency:
		fmt.Fprint(out, "| proxy | p50 us | p99 us | over direct: p50, p99 us |\n|---|---|---|---|\n")
	case gigabytes:
		fmt.Fprint(out, "| proxy | CPU ms/GB | by haproxy | least to most | GB/s | by haproxy |\n|---|---|---|---|---|---|\n")
	default:
		fmt.Fprint(out, "| proxy | CPU us | by haproxy | least to most | requests/s | by haproxy | p50 us | p99 us | "+
			"p99 by haproxy | errors |\n|---|---|---|---|---|---|---|---|---|---|\n")
	}
	for i, p := range peers {
		r := results[i]
		cpu := column(r, cpuOf)
		errs := 0
		for _, one := range r {
			errs += one.errorCount
		}
		switch w.kind {
		case idleMemory:
			fmt.Fprintf(out, "| %s | %.0f |\n", p.name, median(column(r, sizeOf)))
		case latency:
			d := find("direct")
			fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f, %.0f |\n", p.name, median(column(r, p50Of)), median(column(r, p99Of)),
				median(column(r, p50Of))-median(column(d, p50Of)), median(column(r, p99Of))-median(column(d, p99Of)))
		case gigabytes:
			fmt.Fprintf(out, "| %s | %.0f | %.2f | %.0f to %.0f | %.2f | %.2f |\n", p.name, median(cpu), ratio(r, by, cpuOf),
				slices.Min(cpu), slices.Max(cpu), median(column(r, rateOf)), ratio(r, by, rateOf))
		default:
			fmt.Fprintf(out, "| %s | %.1f | %.2f | %.1f to %.1f | %.0f | %.2f | %.0f | %.0f | %.2f | %d |\n", p.name,
				median(cpu), ratio(r, by, cpuOf), slices.Min(cpu), slices.Max(cpu), median(column(r, rateOf)),
				ratio(r, by, rateOf), median(column(r, p50Of)), median(column(r, p99Of)), ratio(r, by, p99Of), errs)
		}
	}
	writeVerdicts(out, w, find(ours), by)
}

// idleLimit is what an idle client connection may take.
const idleLimit = 5 << 10

// writeVerdicts says of every promise of the workload whether it was kept in this run.
func writeVerdicts(out io.Writer, w workload, our, by []result) {
	fmt.Fprintln(out)
	say := func(ok bool, format string, args ...any) {
		word := "MISS"
		if ok {
			word = "ok  "
		}
		fmt.Fprintf(out, word+" "+format+"\n", args...)
	}
	if w.kind == idleMemory && our != nil {
		got := median(column(our, sizeOf))
		say(got <= idleLimit, "an idle client connection takes at most %d bytes: %.0f", idleLimit, got)
	}
	if our == nil || by == nil {
		return
	}
	if w.cpu > 0 {
		got := ratio(our, by, cpuOf)
		say(got <= w.cpu, "processor time at most %.1fx haproxy's: %.2fx", w.cpu, got)
	}
	if w.speed > 0 {
		got := ratio(our, by, rateOf)
		say(got >= w.speed, "throughput at least %.1fx haproxy's: %.2fx", w.speed, got)
	}
	if w.p99 > 0 {
		got := ratio(our, by, p99Of)
		say(got <= w.p99, "99th percentile at most %.1fx haproxy's: %.2fx", w.p99, got)
	}
}
