package probe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// seconds are the times of the reports, in whole seconds.
func seconds(notes []note) []int {
	var out []int
	for _, n := range notes {
		out = append(out, int(n.at/time.Second))
	}
	return out
}

func TestChecksAreFasterInDoubtAndAtTheirOwnPaceWhileABackendIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Well at first; sick from 9 s to 40 s. Fall 3, rise 2.
		begun := time.Now()
		down, streak := false, 0
		p := proberFunc(func(context.Context) error {
			at := time.Since(begun)
			sick := at >= 9*time.Second && at < 40*time.Second
			if sick != down {
				streak++
			} else {
				streak = 0
			}
			if need := 3; streak == need || down && streak == 2 {
				down, streak = !down, 0
			}
			if sick {
				return errors.New("sick")
			}
			return nil
		})
		s := Schedule{Spread: -1, Interval: 5 * time.Second, Fast: time.Second, Down: 10 * time.Second}
		s.Standing = func() Standing {
			switch {
			case streak > 0:
				return Doubtful
			case down:
				return Failing
			}
			return Settled
		}
		notes := runFor(t, 60*time.Second, s, p)
		require.Equal(t, []int{0, 5, 10, 11, 12, 22, 32, 42, 43, 48, 53, 58}, seconds(notes))
	})
}

func TestWithoutTheirOwnTimesDoubtAndFailureChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, standing := range []Standing{Settled, Doubtful, Failing} {
			s := Schedule{Spread: -1, Standing: func() Standing { return standing }}
			require.Equal(t, []int{0, 5, 10, 15}, seconds(runFor(t, 16*time.Second, s, proberFunc(well))))
		}
	})
}

func TestRequestsTakeThePlaceOfChecksForALimitedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := Schedule{Spread: -1, Interval: 5 * time.Second, Vouched: func() bool { asked++; return true }}
		for slow, want := range map[time.Duration][]int{
			0:                {0, 5, 10, 15, 20, 25, 30},
			9 * time.Second:  {0, 5, 10, 15, 20, 25, 30},
			10 * time.Second: {0, 10, 20, 30},
			14 * time.Second: {0, 10, 20, 30},
			15 * time.Second: {0, 15, 30},
			time.Hour:        {0},
		} {
			asked, s.Slow = 0, slow
			require.Equal(t, want, seconds(runFor(t, 31*time.Second, s, proberFunc(well))), "%v", slow)
			if slow > 5*time.Second {
				require.Equal(t, 7, asked, "what it says is about the time since it was last asked")
			}
		}
	})
}

func TestACheckIsMadeAtTheNextIntervalWhenNobodyVouchesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := Schedule{Spread: -1, Interval: 5 * time.Second, Slow: time.Hour,
			Vouched: func() bool { return time.Since(begun) < 22*time.Second }}
		require.Equal(t, []int{0, 25, 30}, seconds(runFor(t, 31*time.Second, s, proberFunc(well))))
	})
}

// What a chance draws is no business of a backend's state: the checks of a simulation stay where they are.
func TestTheSpreadIsDrawnOnceForEachWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := runFor(t, time.Minute, Schedule{Rand: stream(7)}, proberFunc(well))
		full := Schedule{Rand: stream(7), Fast: time.Second, Down: time.Minute, Slow: 5 * time.Second,
			Standing: func() Standing { return Settled }, Vouched: func() bool { return true }}
		require.Equal(t, plain, runFor(t, time.Minute, full, proberFunc(well)))
	})
}

func TestRunRefusesPacesOutOfRange(t *testing.T) {
	for _, s := range []Schedule{{Fast: -1}, {Down: -1}, {Slow: -1}, {Fast: 1 << 62}, {Down: 1 << 62}} {
		s.Spread = -1
		require.Error(t, Run(t.Context(), s, proberFunc(well), address, nil))
	}
}

// What requests vouch for is that a backend answers them. A check that has failed knows more, such as that it is about to
// go away, and is not to wait for Slow until it is believed.
func TestWhileABackendIsNotSettledNoCheckIsLeftOut(t *testing.T) {
	for standing, want := range map[Standing][]int{Doubtful: {0, 30, 31, 32}, Failing: {0, 30, 40, 50}} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			sick := func() bool { return time.Since(begun) >= 30*time.Second }
			p := proberFunc(func(context.Context) error {
				if sick() {
					return errors.New("going away")
				}
				return nil
			})
			s := Schedule{Spread: -1, Interval: 5 * time.Second, Fast: time.Second, Down: 10 * time.Second, Slow: 30 * time.Second,
				Vouched: func() bool { return true }}
			s.Standing = func() Standing {
				if sick() {
					return standing
				}
				return Settled
			}
			require.Equal(t, want, seconds(runFor(t, 51*time.Second, s, p))[:4])
		})
	}
}
