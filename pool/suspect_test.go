package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolSuspicionOfNobodyAtFirst(t *testing.T) {
	var s suspicion
	require.Equal(t, trusted, s.of(0))
}

func TestConnectionPoolSuspicionFallsOnThoseThatWereIdleAtLeastAsLongAsAResetOne(t *testing.T) {
	var s suspicion
	s.foundReset(20*time.Second, 10*time.Second)
	require.Equal(t, suspect, s.of(5*time.Second))
	require.Equal(t, suspect, s.of(10*time.Second))
	require.Equal(t, doubted, s.of(10*time.Second+1))
	require.Equal(t, doubted, s.of(20*time.Second))
	require.Equal(t, trusted, s.of(20*time.Second+1), "it came back since")
}

func TestConnectionPoolSuspicionMatchesAListOfAllFindings(t *testing.T) {
	type finding struct {
		now, since time.Duration
		reset      bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var s suspicion
		var all []finding
		now := time.Duration(0)
		for range rapid.IntRange(0, 20).Draw(t, "findings") {
			now += time.Duration(rapid.IntRange(0, 5).Draw(t, "pause"))
			f := finding{now, time.Duration(rapid.IntRange(0, int(now)).Draw(t, "since")), rapid.Bool().Draw(t, "reset")}
			all = append(all, f)
			if f.reset {
				s.foundReset(f.now, f.since)
			} else {
				s.foundClosed(f.now)
			}
		}
		for since := range now + 3 {
			want := trusted
			for _, f := range all {
				switch {
				case f.reset && since <= f.since:
					want = suspect
				case since <= f.now:
					want = max(want, doubted)
				}
			}
			require.Equal(t, want, s.of(since), "idle since %d of %+v", since, all)
		}
	})
}
