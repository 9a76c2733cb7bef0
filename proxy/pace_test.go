package proxy

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/socket"
)

// paceOf is a listener's pace of so many bytes a second, and an instant to begin with.
func paceOf(rate int, got int64, polite bool) (pace, time.Time) {
	l := config.DefaultListener("")
	l.MinBodyRate = rate
	return newPace(&l, got, polite), time.Unix(1000, 0)
}

func TestTheTimeForABodyIsItsGraceAndWhatItsBytesPayFor(t *testing.T) {
	p, now := paceOf(100, 50, false)
	require.Equal(t, 10500*time.Millisecond, p.begin(now).Sub(now), "the bytes that came with the head count")
	now = now.Add(4 * time.Second)
	p.end(now, 100)
	require.Equal(t, 7500*time.Millisecond, p.begin(now).Sub(now), "ten and a half, and one, less four")
	now = now.Add(7500 * time.Millisecond)
	p.end(now, 1)
	require.Equal(t, 10*time.Millisecond, p.begin(now).Sub(now))
	p.end(now.Add(time.Hour), 0)
	require.Zero(t, p.begin(now).Sub(now), "who is late has no time, and not less than none")
}

func TestTheTimeInWhichTheBackendIsWaitedForIsNotTheClients(t *testing.T) {
	p, now := paceOf(100, 0, false)
	for range 100 {
		p.begin(now)
		p.end(now.Add(time.Second), 100)
		now = now.Add(time.Minute) // the backend takes it
	}
	require.Equal(t, config.BodyGrace, p.begin(now).Sub(now))
}

func TestAWaitForABodyIsNeverLongerThanTheBodyTimeout(t *testing.T) {
	for _, got := range []int64{60 * 240, 1 << 30, math.MaxInt64 / 2} {
		p, now := paceOf(240, got, false)
		require.Equal(t, time.Minute, p.begin(now).Sub(now))
	}
	p, now := paceOf(config.Off, 0, false)
	require.Equal(t, time.Minute, p.begin(now).Sub(now))
	p, now = paceOf(1<<30, 1<<30-1, false)
	require.InDelta(t, 11*time.Second, p.begin(now).Sub(now), float64(time.Microsecond))
}

func TestAClientThatExpectsThe100IsNotLateBeforeItComes(t *testing.T) {
	p, now := paceOf(100, 0, true)
	require.Equal(t, time.Minute, p.begin(now).Sub(now))
	now = now.Add(50 * time.Second)
	p.end(now, 100)
	require.Equal(t, 11*time.Second, p.begin(now).Sub(now))
	p, now = paceOf(100, 1, true)
	require.Equal(t, 10*time.Second+10*time.Millisecond, p.begin(now).Sub(now), "who has begun does not wait for it")
}

func TestASpliceThatMovesMuchHasNotWaitedForTheClient(t *testing.T) {
	p, now := paceOf(1<<20, 0, false)
	p.begin(now)
	p.spliced(now.Add(time.Hour), socket.SpliceMax/4)
	require.Zero(t, p.waited)
	p.begin(now)
	p.spliced(now.Add(time.Second), socket.SpliceMax/4-1)
	require.Equal(t, time.Second, p.waited)
	require.EqualValues(t, socket.SpliceMax/2-1, p.got)
}

func TestAConversationHasTheBodyTimeoutAlone(t *testing.T) {
	p, now := paceOf(100, 0, false)
	require.Equal(t, 10*time.Second, p.begin(now).Sub(now))
	p.excuse()
	require.Equal(t, time.Minute, p.begin(now).Sub(now))
}
