package lb

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Sequential requests to two backends that are alike but for what is asked of Warm.
func TestOfEqualBackendsOneWithAConnectionIsPreferredButForOneTimeInEight(t *testing.T) {
	cases := []struct {
		name   string
		warm   []bool
		second float64 // the part that the second backend gets
	}{
		{"both are cold", []bool{false, false}, 0.5},
		{"both are warm", []bool{true, true}, 0.5},
		{"the first is warm", []bool{true, false}, 0.5 / explore},
		{"the second is warm", []bool{false, true}, 1 - 0.5/explore},
	}
	for _, strategy := range []string{"p2c", "peak-ewma"} {
		for _, c := range cases {
			p, now, n := build(t, strategy, 1, 1), time.Unix(0, 0), 0
			q := &Query{Warm: func(i int) bool { return c.warm[i] }}
			for range 20_000 {
				i := p.Pick(now, q)
				now = now.Add(time.Millisecond)
				p.Done(i, Success, time.Millisecond)
				n += i
			}
			require.InDelta(t, c.second, float64(n)/20_000, 0.015, "%s, %s", strategy, c.name)
		}
	}
}

func TestAConnectionThatIsReadyIsNoReasonForAGreaterLoad(t *testing.T) {
	for _, strategy := range []string{"p2c", "peak-ewma"} {
		p := build(t, strategy, 1, 1)
		q := &Query{Warm: func(i int) bool { return i == 0 }}
		p.Take(0)
		for range 100 {
			require.Equal(t, 1, p.Pick(time.Unix(0, 0), q), strategy)
			p.Done(1, Abandoned, 0)
		}
		require.Equal(t, 0, p.Pick(time.Unix(0, 0), &Query{Warm: q.Warm, Tried: []int{1}}))
	}
}
