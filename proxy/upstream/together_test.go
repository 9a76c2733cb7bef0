package upstream

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// byName gives each entity a stream of its own: checks on the same one would be made at the same time.
func byName(entity string) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, entity)
	return rand.New(rand.NewPCG(h.Sum64(), 7))
}

// Three backends are down and come back at once. Their checks are five seconds apart, a tenth more or less, and two must pass.
func TestAGroupThatWasDownComesBackTogether(t *testing.T) {
	board := &switchboard{}
	cfg := Config{Check: Check{Prober: board, Interval: 5 * time.Second}}
	inBubble(t, 3, cfg, func(t *testing.T, u *Upstream, _ *fakeNet) {
		for i := range 3 {
			board.set(addr(i), true)
		}
		u.cfg.Rand = byName
		u.Start()
		u.clk.Sleep(32 * time.Second)
		require.Zero(t, u.Stats().Available)
		for i := range 3 {
			board.set(addr(i), false)
		}
		const step = 10 * time.Millisecond
		var first, all int
		for n := 1; all == 0 && n < 2000; n++ {
			u.clk.Sleep(step)
			if up := u.Stats().Available; up == 3 {
				all = n
			} else if up > 0 && first == 0 {
				first = n
			}
		}
		require.NotZero(t, all)
		require.Zero(t, first, "one was back alone for %s", time.Duration(all-first)*step)
	})
}
