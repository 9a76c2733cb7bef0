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
	require.Equal(t, doubted, s.of(20*time.Second-1))
	require.Equal(t, trusted, s.of(20*time.Second), "it came back since")
	s.foundDumb(21*time.Second, 7*time.Second)
	require.Equal(t, condemned, s.of(7*time.Second))
	require.Equal(t, suspect, s.of(10*time.Second))
}

func TestConnectionPoolSuspicionMatchesAListOfAllFindings(t *testing.T) {
	type finding struct {
		now, since time.Duration
		kind       trust
	}
	rapid.Check(t, func(t *rapid.T) {
		var s suspicion
		var all []finding
		now := time.Duration(0)
		for range rapid.IntRange(0, 20).Draw(t, "findings") {
			now += time.Duration(rapid.IntRange(1, 5).Draw(t, "pause"))
			f := finding{now, time.Duration(rapid.IntRange(0, int(now)-1).Draw(t, "since")),
				trust(rapid.IntRange(int(doubted), int(condemned)).Draw(t, "kind"))}
			all = append(all, f)
			switch f.kind {
			case doubted:
				s.foundClosed(f.now)
			case suspect:
				s.foundReset(f.now, f.since)
			default:
				s.foundDumb(f.now, f.since)
			}
		}
		for since := range now + 3 {
			want := trusted
			for _, f := range all {
				switch {
				case since <= f.since:
					want = max(want, f.kind)
				case since < f.now:
					want = max(want, doubted)
				}
			}
			require.Equal(t, want, s.of(since), "idle since %d of %+v", since, all)
		}
	})
}
