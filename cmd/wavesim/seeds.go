package main

import (
	"fmt"
	"strconv"
	"strings"
)

// maxSeeds bounds a sweep.
const maxSeeds = 10_000_000

// seedRange is a run of seeds, both ends included.
type seedRange struct{ from, to uint64 }

// parseSeeds reads 1-1000, or a single seed.
func parseSeeds(text string) (seedRange, error) {
	bad := func() (seedRange, error) {
		return seedRange{}, fmt.Errorf("-seeds %s: want a range such as 1-1000, of at most %d seeds", text, maxSeeds)
	}
	first, last, ranged := strings.Cut(text, "-")
	from, err := strconv.ParseUint(strings.TrimSpace(first), 10, 63)
	if err != nil {
		return bad()
	}
	to := from
	if ranged {
		if to, err = strconv.ParseUint(strings.TrimSpace(last), 10, 63); err != nil {
			return bad()
		}
	}
	if to < from || to-from >= maxSeeds {
		return bad()
	}
	return seedRange{from, to}, nil
}

func (r seedRange) String() string {
	if r.from == r.to {
		return strconv.FormatUint(r.from, 10)
	}
	return fmt.Sprintf("%d-%d", r.from, r.to)
}

// shard is one of several machines that share a sweep: number i of n, from 1.
type shard struct{ i, n int }

// parseShard reads 2/8; the empty text is the whole.
func parseShard(text string) (shard, error) {
	if text == "" {
		return shard{1, 1}, nil
	}
	var s shard
	a, b, ok := strings.Cut(text, "/")
	var errA, errB error
	s.i, errA = strconv.Atoi(a)
	s.n, errB = strconv.Atoi(b)
	if !ok || errA != nil || errB != nil || s.n < 1 || s.i < 1 || s.i > s.n {
		return s, fmt.Errorf("-shard %s: want i/n with i from 1 to n, such as 2/8", text)
	}
	return s, nil
}

// seeds lists the seeds of the range that are the shard's: every n-th, so that all shards are done at about the same time.
func (r seedRange) seeds(s shard) []uint64 {
	var out []uint64
	for seed := r.from + uint64(s.i-1); seed <= r.to && seed >= r.from; seed += uint64(s.n) {
		out = append(out, seed)
	}
	return out
}
