package pool_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
)

// turn is one loan of a caller at saturation.
type turn struct {
	caller        int
	asked, served time.Duration
}

func (t turn) wait() time.Duration { return t.served - t.asked }

const (
	fairCallers = 64
	fairConns   = 8
	fairRounds  = 100
	fairSeeds   = 8
)

// saturate lets equal callers, many more than there are connections, borrow, hold and come again at once, and returns
// their turns in the order in which they were served, without the first of each caller: from then on the line stands.
func saturate(t *testing.T, seed uint64, hold func(*rand.Rand) time.Duration) []turn {
	var turns []turn
	netsim.Test(t, netsim.Config{Seed: seed, Latency: time.Millisecond}, func(s *netsim.Sim) {
		clk := s.Clock()
		p := simPool(t, s, pool.Config{MaxConnections: fairConns})
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range fairCallers {
			wg.Add(1)
			rng := s.Rand("caller/" + strconv.Itoa(i))
			clk.AfterFunc(0, func() {
				defer wg.Done()
				for done := false; !done; {
					one := turn{caller: i, asked: s.Elapsed()}
					release := loanOf(t, p)
					one.served = s.Elapsed()
					mu.Lock()
					turns = append(turns, one)
					done = len(turns) >= fairCallers*fairRounds
					mu.Unlock()
					clk.Sleep(hold(rng))
					release()
				}
			})
		}
		wg.Wait()
		p.Close()
	})
	seen := map[int]bool{}
	return slices.DeleteFunc(turns[:fairCallers*fairRounds], func(one turn) bool {
		first := !seen[one.caller]
		seen[one.caller] = true
		return first
	})
}

// waits are the worst and the mean wait, and the worst and least of the callers' means.
func waits(turns []turn) (worst, mean, worstMean, leastMean time.Duration) {
	var sum time.Duration
	var by [fairCallers]time.Duration
	n := loans(turns)
	for _, one := range turns {
		sum += one.wait()
		worst = max(worst, one.wait())
		by[one.caller] += one.wait()
	}
	leastMean = time.Hour
	for i := range by {
		own := by[i] / time.Duration(n[i])
		worstMean, leastMean = max(worstMean, own), min(leastMean, own)
	}
	return worst, sum / time.Duration(len(turns)), worstMean, leastMean
}

// loans counts the turns of each caller.
func loans(turns []turn) []int {
	n := make([]int, fairCallers)
	for _, one := range turns {
		n[one.caller]++
	}
	return n
}

// holds are the lengths of loans, and what must hold with them: the worst wait in means (0: nothing is said), the worst
// caller's mean in those of the best, and by how many loans of a hundred the callers may differ. They differ because who
// holds for longer comes back later.
var holds = []struct {
	name          string
	worst, spread float64
	loans         int
	of            func(*rand.Rand) time.Duration
}{
	{"constant", 1.001, 1.001, 0, func(*rand.Rand) time.Duration { return 10 * time.Millisecond }},
	{"uniform", 2, 1.05, 10, func(r *rand.Rand) time.Duration {
		return time.Duration(r.Int64N(int64(20 * time.Millisecond)))
	}},
	{"exponential", 2, 1.08, 15, func(r *rand.Rand) time.Duration {
		return time.Duration(r.ExpFloat64() * float64(10*time.Millisecond))
	}},
	{"two kinds", 0, 1.2, 30, func(r *rand.Rand) time.Duration {
		if r.IntN(20) == 0 {
			return 100 * time.Millisecond
		}
		return 2 * time.Millisecond
	}},
}

// A caller that comes back goes behind those who wait already: so nobody is served twice while another one waits once,
// whatever the loans' lengths.
func TestConnectionPoolServesNobodyTwiceWhileAnotherWaitsOnce(t *testing.T) {
	for _, hold := range holds {
		for seed := range uint64(fairSeeds) {
			turns := saturate(t, seed, hold.of)
			for i, one := range turns {
				var times [fairCallers]int
				for j := i - 1; j >= 0 && turns[j].served > one.asked; j-- {
					times[turns[j].caller]++
				}
				require.LessOrEqual(t, slices.Max(times[:]), 1, "%s, seed %d, turn %d", hold.name, seed, i)
			}
		}
	}
}

// The worst of all waits against their mean. Where one loan in twenty is fifty times as long as the others, the line
// itself stands still at times, for everybody in it; then it is the callers' own means that are equal.
func TestConnectionPoolWorstWaitAtSaturationIsWithinTwiceTheMean(t *testing.T) {
	for _, hold := range holds {
		var most float64
		for seed := range uint64(fairSeeds) {
			turns := saturate(t, seed, hold.of)
			worst, mean, worstMean, leastMean := waits(turns)
			ratio := float64(worst) / float64(mean)
			most = max(most, ratio)
			if hold.worst > 0 {
				require.LessOrEqual(t, ratio, hold.worst, "%s, seed %d", hold.name, seed)
			}
			require.LessOrEqual(t, float64(worstMean), float64(leastMean)*hold.spread, "%s, seed %d", hold.name, seed)
			n := loans(turns)
			require.LessOrEqual(t, slices.Max(n)-slices.Min(n), hold.loans, "%s, seed %d", hold.name, seed)
		}
		t.Logf("%-12s worst wait at most %.2f times the mean", hold.name, most)
	}
}
