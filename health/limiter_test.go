package health

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// places is a backend that works on so many requests at a time, the others wait inside.
type places struct {
	n       int
	service func() time.Duration
}

// carry runs requests through the backend under the limiter's limit, at most so many at a time, and returns the limit at the end, the
// least and the greatest of the last half, how long answers took there in the mean, and which part of the places was in use.
func carry(l *Limiter, p *places, demand, requests int) (end, least, most int, mean time.Duration, used float64) {
	type request struct{ sent, done time.Time }
	free := make([]time.Time, p.n)
	var open []request
	now := instant
	least = math.MaxInt
	var sum, work time.Duration
	var half time.Time
	for i := range requests {
		for len(open) < min(l.Limit(), demand) || len(open) == 0 {
			at := 0
			for j := range free {
				if free[j].Before(free[at]) {
					at = j
				}
			}
			begins := free[at]
			if begins.Before(now) {
				begins = now
			}
			service := p.service()
			if free[at] = begins.Add(service); i >= requests/2 {
				work += service
			}
			open = append(open, request{now, free[at]})
		}
		first := 0
		for j := range open {
			if open[j].done.Before(open[first].done) {
				first = j
			}
		}
		r := open[first]
		now = r.done
		l.Observe(now, r.sent, now.Sub(r.sent), len(open), false)
		open = append(open[:first], open[first+1:]...)
		if i == requests/2 {
			half = now
		}
		if i >= requests/2 {
			least, most = min(least, l.Limit()), max(most, l.Limit())
			sum += now.Sub(r.sent)
		}
	}
	return l.Limit(), least, most, sum / time.Duration(requests-requests/2), work.Seconds() / now.Sub(half).Seconds() / float64(p.n)
}

func lognormal(median time.Duration, sigma float64) func() time.Duration {
	rnd := rand.New(rand.NewPCG(1, 2))
	return func() time.Duration { return time.Duration(float64(median) * math.Exp(sigma*rnd.NormFloat64())) }
}

func TestTheLimitSettlesNearWhatABackendCarries(t *testing.T) {
	for _, c := range []int{1, 2, 5, 20, 100, 400} {
		for name, service := range map[string]func() time.Duration{
			"even": lognormal(50*time.Millisecond, 0), "uneven": lognormal(50*time.Millisecond, 0.5), "quick": lognormal(5*time.Millisecond, 0.5),
		} {
			requests := max(30_000, c*1000)
			if name == "quick" {
				if requests = c * 8000; c > 20 { // forty seconds
					continue
				}
			}
			l := NewLimiter(Concurrency{Min: 1, Max: 10_000})
			end, least, most, mean, used := carry(l, &places{c, service}, 10_000, requests)
			t.Logf("%d places, %s: limit %d, %d to %d, mean %v, %.0f %% used", c, name, end, least, most, mean, 100*used)
			require.LessOrEqual(t, most, max(12, c*3/2+4))
			require.Greater(t, used, 0.9)
			require.GreaterOrEqual(t, least, min(c, end)*3/8, "and half of them when it learns anew")
		}
	}
}

func TestTheLimitFollowsABackendThatChangesForGood(t *testing.T) {
	l := NewLimiter(Concurrency{Min: 3, Max: 1000})
	p := &places{20, lognormal(50*time.Millisecond, 0.3)}
	carry(l, p, 1000, 20_000)
	p.n = 5
	end, _, _, _, _ := carry(l, p, 1000, 20_000)
	require.InDelta(t, 8, end, 5)
	p.n = 40
	end, _, _, _, _ = carry(l, p, 1000, 80_000)
	require.InDelta(t, 47, end, 15)
	p.service = lognormal(200*time.Millisecond, 0.3)
	end, _, _, _, _ = carry(l, p, 1000, 80_000)
	require.InDelta(t, 47, end, 15, "that answers take longer is not that it carries less")
}

func TestTheLimitDoesNotGrowBeyondWhatIsUsed(t *testing.T) {
	l := NewLimiter(Concurrency{Min: 3, Max: 1000})
	_, _, most, mean, _ := carry(l, &places{400, lognormal(50*time.Millisecond, 0.3)}, 10, 60_000)
	require.LessOrEqual(t, most, 20, "ten are in flight: a wave that comes later finds a limit that was tried")
	require.GreaterOrEqual(t, most, 10)
	require.Less(t, mean, 60*time.Millisecond)
}

func TestAQuickFailureSaysNothingAboutLoadAndASlowOneDoes(t *testing.T) {
	settled := func() *Limiter {
		l := NewLimiter(Concurrency{Min: 3, Max: 1000})
		carry(l, &places{20, lognormal(50*time.Millisecond, 0)}, 1000, 20_000)
		return l
	}
	l := settled()
	was, now := l.Limit(), l.began
	for range 1000 {
		now = now.Add(time.Millisecond)
		l.Observe(now, now.Add(-time.Millisecond), time.Millisecond, was, true)
	}
	require.Equal(t, was, l.Limit(), "an error in a millisecond makes nobody think that there is room")
	for range 96 {
		now = now.Add(200 * time.Millisecond)
		l.Observe(now, now.Add(-200*time.Millisecond), 200*time.Millisecond, l.Limit(), true)
	}
	require.Less(t, l.Limit(), was)
}

func TestALimiterHoldsItsBoundsWhateverItIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() Concurrency {
			most := rapid.SampledFrom([]int{1, 2, 10, maxConcurrency}).Draw(t, "max")
			c, err := Concurrency{Min: rapid.IntRange(0, min(most, 20)).Draw(t, "min"), Max: most}.Fill()
			require.NoError(t, err)
			return c
		}
		cfg := draw()
		l := NewLimiter(cfg)
		now := instant
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{-1e12, 0, 1, 1e6, 1e8, 40e9, 1e15}).Draw(t, "later")))
			took := time.Duration(rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 2, 1e6, 1e9, math.MaxInt64}).Draw(t, "took"))
			sent := now.Add(-min(max(took, 0), time.Hour))
			for range rapid.SampledFrom([]int{1, 31, 32, 33}).Draw(t, "times") {
				l.Observe(now, sent, took, rapid.SampledFrom([]int{-5, 0, 1, cfg.Max, math.MaxInt}).Draw(t, "in flight"), rapid.Bool().Draw(t, "failed"))
			}
			if rapid.IntRange(0, 20).Draw(t, "reload") == 0 {
				cfg = draw()
				l.Reconfigure(cfg)
			}
			require.False(t, math.IsNaN(l.limit) || math.IsNaN(l.noload) || math.IsInf(l.noload, 0))
			require.True(t, l.Limit() >= cfg.Min && l.Limit() <= cfg.Max, "%d", l.Limit())
			require.True(t, l.saved == 0 || int(l.saved) >= cfg.Min && int(l.saved) <= cfg.Max, "%v", l.saved)
		}
	})
}

func TestTheBoundsOfALimitAreChecked(t *testing.T) {
	for c, want := range map[Concurrency]Concurrency{
		{}: {}, {Max: 1}: {1, 1}, {Max: 2}: {2, 2}, {Max: 1_000_000}: {3, 1_000_000}, {5, 5}: {5, 5},
	} {
		got, err := c.Fill()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, want.Max > 0, got.On())
	}
	for _, c := range []Concurrency{{Min: 1}, {Max: -1}, {Max: 1_000_001}, {6, 5}, {-1, 5}} {
		_, err := c.Fill()
		require.Error(t, err, "%+v", c)
	}
}

// Who finishes reads the clock before it is his turn: of those that come close together a later one may have the earlier instant.
func TestWindowsGetNoLongerFromInstantsOutOfOrder(t *testing.T) {
	l := NewLimiter(Concurrency{Min: 1, Max: 100})
	at, longest := instant, time.Duration(0)
	for range 10_000 {
		at = at.Add(time.Millisecond)
		for _, early := range []time.Duration{0, time.Microsecond, 2 * time.Microsecond, 3 * time.Microsecond} {
			now := at.Add(-early)
			l.Observe(now, now.Add(-5*time.Millisecond), 5*time.Millisecond, 20, false)
			longest = max(longest, l.until.Sub(l.began)+l.tail)
		}
	}
	require.Less(t, longest, 2*limitWindow)
	back := at.Add(-time.Hour)
	for range 40 {
		back = back.Add(-time.Hour)
		l.Observe(back, back.Add(-5*time.Millisecond), 5*time.Millisecond, 20, false)
	}
	require.Equal(t, back, l.began, "a clock that is set back does not stop it")
	require.Less(t, l.until.Sub(l.began)+l.tail, 2*limitWindow)
}
