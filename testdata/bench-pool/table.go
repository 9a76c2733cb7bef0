package main

import (
	"fmt"
	"io"
	"slices"
)

// median of values, whose order it leaves alone; the lower one of two in the middle, 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[(len(v)-1)/2]
}

// column picks one number of each sample.
func column(samples []sample, pick func(sample) float64) []float64 {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = pick(s)
	}
	return out
}

func wall(s sample) float64 { return s.ns }

func processor(s sample) float64 { return s.cpu }

// ratio is the median over the rounds of a number of a by that of b in the same round.
func ratio(a, b []sample, pick func(sample) float64) float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		if by := pick(b[i]); by > 0 {
			out = append(out, pick(a[i])/by)
		}
	}
	return median(out)
}

// indexOf finds a peer, or a workload, that the program itself names.
func indexOf[T any](all []T, is func(T) bool) int {
	i := slices.IndexFunc(all, is)
	if i < 0 {
		panic("bench-pool: a name that is in no table")
	}
	return i
}

func peerIndex(name string) int { return indexOf(peers, func(p peer) bool { return p.name == name }) }

func workloadIndex(name string) int {
	return indexOf(workloads, func(w workload) bool { return w.name == name })
}

// writeTimes writes the table of lends and returns.
func writeTimes(out io.Writer, times [][][]sample) {
	fmt.Fprintf(out, "| on %d connections | pool | ns | least to most | CPU ns | B | allocs | "+
		"by puddle: ns, CPU | by channel: ns, CPU |\n", connections)
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|")
	puddle, channel := peerIndex(puddleV2), peerIndex(bareChan)
	for i, wl := range workloads {
		for j, p := range peers {
			s := times[i][j]
			ns := column(s, wall)
			fmt.Fprintf(out, "| %s | %s | %.0f | %.0f to %.0f | %.0f | %.0f | %.2f | %.2f, %.2f | %.2f, %.2f |\n",
				wl.name, p.name, median(ns), slices.Min(ns), slices.Max(ns),
				median(column(s, processor)),
				median(column(s, func(s sample) float64 { return s.bytes })),
				median(column(s, func(s sample) float64 { return s.allocs })),
				ratio(s, times[i][puddle], wall), ratio(s, times[i][puddle], processor),
				ratio(s, times[i][channel], wall), ratio(s, times[i][channel], processor))
		}
	}
}

// writeSizes writes the table of idle connections.
func writeSizes(out io.Writer, sizes []size) {
	fmt.Fprintln(out, "| pool | heap B each | stack B each | goroutines in all |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, s := range sizes {
		fmt.Fprintf(out, "| %s | %.0f | %.1f | %d |\n", s.name, s.heap, s.stack, s.goroutines)
	}
}

// promise is a ratio that our pool is to keep.
type promise struct {
	workload, ours, other string
	limit                 float64
	inclusive             bool // the limit itself will do
}

var promises = []promise{
	{oneCaller, oursGiven, puddleV2, 0.5, false},
	{oneCaller, oursPlain, puddleV2, 0.9, false},
	{callers32, oursPlain, bareChan, 1.2, true},
	{callers512, oursPlain, bareChan, 1.2, true},
	{yielding32, oursBound, bareChan, 1.2, true},
	{yielding512, oursBound, bareChan, 1.2, true},
	{yielding32, oursGiven, ctxChan, 1.2, true},
	{yielding512, oursGiven, ctxChan, 1.2, true},
}

// kept says whether the promise holds for a ratio, and how it reads.
func (p promise) kept(got float64) (ok bool, sign string) {
	if p.inclusive {
		return got <= p.limit, "<="
	}
	return got < p.limit, "<"
}

// maxIdleBytes is what an idle connection may weigh, heap and stacks together.
const maxIdleBytes = 4096

// writeVerdicts says of every promise whether it was kept in this run. Wall time decides; the ratio of processor times
// stands beside it, since on a busy machine it is the steadier one.
func writeVerdicts(out io.Writer, times [][][]sample, sizes []size) {
	word := map[bool]string{true: "ok  ", false: "MISS"}
	for _, p := range promises {
		of := times[workloadIndex(p.workload)]
		ours, other := of[peerIndex(p.ours)], of[peerIndex(p.other)]
		got := ratio(ours, other, wall)
		ok, sign := p.kept(got)
		fmt.Fprintf(out, "%s %s: %s %s %.1fx %s: %.2fx, of CPU %.2fx\n", word[ok], p.workload, p.ours, sign, p.limit,
			p.other, got, ratio(ours, other, processor))
	}
	one := times[workloadIndex(oneCaller)]
	for _, name := range []string{oursGiven, oursPlain} {
		got := median(column(one[peerIndex(name)], func(s sample) float64 { return s.allocs }))
		fmt.Fprintf(out, "%s %s: %s allocates nothing: %.2f\n", word[got < 0.01], oneCaller, name, got)
	}
	ours := sizes[indexOf(sizes, func(s size) bool { return s.name == oursPlain })]
	fmt.Fprintf(out, "%s an idle connection: < %d B and no goroutine: %.0f B, %d goroutines\n",
		word[ours.heap+ours.stack < maxIdleBytes && ours.goroutines == 0], maxIdleBytes, ours.heap+ours.stack, ours.goroutines)
}
