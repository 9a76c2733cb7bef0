package pool

import (
	"math/rand/v2"
	"time"
)

const (
	defaultRetryMin = 100 * time.Millisecond
	defaultRetryMax = 10 * time.Second
	// Under a judge only the refill of MinIdle rests, and it is in no hurry: requests bring their own dials.
	judgedRetryMin = 500 * time.Millisecond
	judgedRetryMax = 30 * time.Second
)

// outage is what the pool knows of a backend that takes no connections. As long as the last dial that ended has failed,
// a pool used alone makes no other dials than its one probe: after a pause, which doubles from probe to probe, the first
// who wants a connection has it made. A pool under a judge holds nobody's dial back, and rests only the refill of
// MinIdle. It is a plain machine: instants are times since the pool's epoch.
type outage struct {
	min, max time.Duration // bounds of the pause
	judged   bool          // somebody else judges the backend

	failures int   // dials that failed in a row
	rounds   int   // pauses in a row: dials that were under way together count as one
	last     error // that of the last of them
	roundAt  time.Duration
	retryAt  time.Duration // the end of the pause
	probing  bool          // the one probe is under way
	asked    bool          // somebody was turned away since the last probe began
}

// holds says that nothing but the probe may be dialled.
func (o *outage) holds() bool { return o.failures > 0 && !o.judged }

// down says that the backend counts as down: nothing but the probe may be dialled, and of the pool's connections none is
// open that a caller could wait for.
func (o *outage) down(open int) bool { return open == 0 && o.holds() }

// failed counts a failed dial that began at the given instant, other than one that was cancelled. Pause says that a
// pause is to begin (see rest): dials that began before the last pause did are of the same round, and change nothing.
func (o *outage) failed(now, begun time.Duration, err error) (pause bool) {
	o.failures++
	o.last = err
	if !o.judged && o.rounds > 0 && begun < o.roundAt {
		return false
	}
	o.rounds++
	o.roundAt = now
	return true
}

// rest begins the pause of this round.
func (o *outage) rest(now time.Duration, rng *rand.Rand) { o.retryAt = now + o.pause(rng) }

// pause draws the length of the pause of this round: doubling, with half of it at random.
func (o *outage) pause(rng *rand.Rand) time.Duration {
	pause := o.min
	for r := 1; r < o.rounds && pause < o.max; r++ {
		pause = min(2*pause, o.max)
	}
	return pause/2 + time.Duration(rng.Int64N(max(int64(pause/2), 1)))
}

// over ends the outage, because a dial has succeeded. A probe that is under way goes on, and until it has ended there is
// no other. The pause of MinIdle under a judge is left to pass.
func (o *outage) over() {
	o.failures, o.rounds, o.last, o.asked = 0, 0, nil, false
}

// forget ends the outage and its pause, because somebody knows better.
func (o *outage) forget() {
	o.over()
	o.retryAt = 0
}

// claimProbe takes the one probe, if the pause is over and none is under way.
func (o *outage) claimProbe(now time.Duration) bool {
	if !o.probeDue(now) {
		return false
	}
	o.probing, o.asked = true, false
	return true
}

// probeDue says whether the one probe may begin.
func (o *outage) probeDue(now time.Duration) bool { return o.holds() && !o.probing && now >= o.retryAt }

// probeEnded is told when the probe has ended, before its result.
func (o *outage) probeEnded() { o.probing = false }

// refillAt is when MinIdle may be refilled: under a judge at the end of the pause, and otherwise when the outage ends.
func (o *outage) refillAt() time.Duration {
	if o.judged {
		return o.retryAt
	}
	return 0
}

// retryIn is how long the pause still lasts; 0 when it is over.
func (o *outage) retryIn(now time.Duration) time.Duration { return max(o.retryAt-now, 0) }
