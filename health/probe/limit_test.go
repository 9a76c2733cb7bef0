package probe

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

func TestNoMoreChecksAreUnderWayThanTheLimitAllowsAndNoneIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, most = 20, 3
		var mu sync.Mutex
		running, peak, reports := 0, 0, 0
		p := proberFunc(func(ctx context.Context) error {
			mu.Lock()
			running++
			peak = max(peak, running)
			mu.Unlock()
			defer func() {
				mu.Lock()
				running--
				mu.Unlock()
			}()
			time.Sleep(900 * time.Millisecond)
			return ctx.Err()
		})
		s := Schedule{Interval: time.Second, Timeout: time.Second, Spread: -1, Limit: NewLimit(most)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				require.NoError(t, Run(ctx, s, p, address, func(_ time.Time, err error) {
					require.NoError(t, err, "the time in line is none of the check's")
					mu.Lock()
					reports++
					mu.Unlock()
				}))
			})
		}
		all.Wait()
		require.Equal(t, most, peak)
		require.InDelta(t, 60/0.9*most, reports, 2*most, "places were left empty")
		require.Equal(t, most, s.Limit.free)
		require.Empty(t, s.Limit.line)
	})
}

func TestAScheduleThatEndsInLineLeavesItsPlaceToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(1)
		clk := clock.New()
		require.True(t, l.enter(t.Context(), clk))
		ended, end := context.WithCancel(t.Context())
		got := make(chan bool, 2)
		go func() { got <- l.enter(ended, clk) }()
		synctest.Wait()
		go func() { got <- l.enter(t.Context(), clk) }()
		synctest.Wait()
		end()
		require.False(t, <-got)
		l.leave(clk)
		require.True(t, <-got)
		l.leave(clk)
		require.Equal(t, 1, l.free)
	})
}

// In the moment in which a place is given to it, a schedule may end: the place is not lost.
func TestAPlaceGivenToNobodyIsNotLost(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimit(1)
			clk := clock.New()
			require.True(t, l.enter(t.Context(), clk))
			ctx, end := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if l.enter(ctx, clk) {
					l.leave(clk)
				}
			}()
			synctest.Wait()
			go end()
			l.leave(clk)
			<-done
			synctest.Wait()
			require.Equal(t, 1, l.free)
		})
	}
}

func TestALimitOfNothingIsAMistakeAndNoLimitIsNone(t *testing.T) {
	require.Panics(t, func() { NewLimit(0) })
	var none *Limit
	require.True(t, none.enter(t.Context(), nil))
	none.leave(nil)
}
