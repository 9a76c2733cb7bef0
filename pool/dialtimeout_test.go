package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolDialTimeoutIsTheUpperBoundUntilEnoughIsKnown(t *testing.T) {
	d := dialTimes{lower: 1500 * time.Millisecond, upper: 5 * time.Second}
	for range dialsNeeded {
		require.Equal(t, 5*time.Second, d.timeout())
		d.succeeded(10 * time.Millisecond)
	}
	require.Equal(t, 1500*time.Millisecond, d.timeout())
	require.Equal(t, 10*time.Millisecond, d.usual())
	d.succeeded(700 * time.Millisecond)
	require.Equal(t, 2100*time.Millisecond, d.timeout(), "three times the longest")
	for range dialsRemembered {
		require.Equal(t, 2100*time.Millisecond, d.timeout(), "as long as it is remembered")
		d.succeeded(20 * time.Millisecond)
	}
	require.Equal(t, 1500*time.Millisecond, d.timeout())
	require.Equal(t, 20*time.Millisecond, d.usual())
}

func TestConnectionPoolDialTimeoutNeverLocksOutABackendThatBecameSlower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := dialTimes{upper: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "upper"))}
		d.lower = time.Duration(rapid.Int64Range(1, int64(d.upper)).Draw(t, "lower"))
		for range rapid.IntRange(0, 200).Draw(t, "dials") {
			d.succeeded(time.Duration(rapid.Int64Range(0, int64(d.upper)).Draw(t, "took")))
		}
		now := time.Duration(rapid.Int64Range(1, int64(d.upper)).Draw(t, "it takes now"))
		tries := 1
		for ; d.timeout() < now; tries++ {
			before := d.timeout()
			d.timedOut(before)
			require.Equal(t, min(6*before, d.upper), d.timeout())
		}
		longest := 1
		for limit := d.lower; limit < now; longest++ {
			limit = min(6*limit, d.upper)
		}
		require.LessOrEqual(t, tries, longest+dialsNeeded)
	})
}

// The machine against a model that keeps everything.
func TestConnectionPoolDialTimeoutIsThreeTimesTheLongestOfTheLastDialsWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := dialTimes{
			lower: time.Duration(rapid.IntRange(-1, 3000).Draw(t, "lower")),
			upper: time.Duration(rapid.IntRange(-1, 3000).Draw(t, "upper")),
		}
		type dial struct {
			took time.Duration
			late bool
		}
		var all []dial
		for range rapid.IntRange(0, 200).Draw(t, "dials") {
			took := time.Duration(rapid.IntRange(0, 1200).Draw(t, "took"))
			if late := rapid.IntRange(0, 9).Draw(t, "late") == 0; late {
				d.timedOut(took)
				all = append(all, dial{2 * took, true})
			} else {
				d.succeeded(took)
				all = append(all, dial{took, false})
			}
		}
		last := all[max(len(all)-dialsRemembered, 0):]
		var longest, sum time.Duration
		made := 0
		for _, x := range last {
			longest = max(longest, x.took)
			if !x.late {
				made++
				sum += x.took
			}
		}
		want := min(max(3*longest, d.lower), d.upper)
		if len(last) < dialsNeeded {
			want = d.upper
		}
		require.Equal(t, max(want, 0), d.timeout())
		require.Equal(t, sum/time.Duration(max(made, 1)), d.usual())
	})
}
