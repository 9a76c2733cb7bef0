package pool

import "time"

const (
	defaultMinDialTimeout = 1500 * time.Millisecond
	// dialsRemembered is how many dials the timeout looks back on, dialsNeeded how many it wants to see first.
	dialsRemembered = 64
	dialsNeeded     = 8
	// dialMargin is how much longer than the slowest of the usual dials one may take.
	dialMargin = 3
)

// dialTimes remembers how long the last dials took, and says how long the next one may: three times the 99th percentile
// of those that are remembered, within bounds. Of so few that percentile is the longest. It is a plain machine.
type dialTimes struct {
	lower, upper time.Duration // bounds of the timeout; upper <= 0: no timeout at all
	took         [dialsRemembered]time.Duration
	late         [dialsRemembered]bool // it timed out, and what it took is a guess
	n, next      int
	made         int           // of those remembered, how many gave a connection
	sum          time.Duration // what these took
}

// succeeded remembers a dial that gave a connection.
func (d *dialTimes) succeeded(took time.Duration) { d.remember(max(took, 0), false) }

// timedOut remembers a dial that was given up after the limit it had. How long it would have taken is unknown; counted
// as twice the limit it makes room, so that a backend that became slower is reached again.
func (d *dialTimes) timedOut(limit time.Duration) { d.remember(2*limit, true) }

func (d *dialTimes) remember(took time.Duration, late bool) {
	i := d.next
	if d.n == dialsRemembered {
		if !d.late[i] {
			d.made--
			d.sum -= d.took[i]
		}
	} else {
		d.n++
	}
	d.took[i], d.late[i] = took, late
	if !late {
		d.made++
		d.sum += took
	}
	d.next = (i + 1) % dialsRemembered
}

// timeout is how long the next dial may take; 0: for as long as it likes.
func (d *dialTimes) timeout() time.Duration {
	switch {
	case d.upper <= 0:
		return 0
	case d.n < dialsNeeded || d.lower >= d.upper:
		return d.upper
	}
	longest := time.Duration(0)
	for _, t := range d.took[:d.n] {
		longest = max(longest, t)
	}
	if longest >= d.upper { // and no product of it overflows
		return d.upper
	}
	return min(max(dialMargin*longest, d.lower), d.upper)
}

// usual is the mean of the dials that gave a connection; 0: none is remembered.
func (d *dialTimes) usual() time.Duration {
	if d.made == 0 {
		return 0
	}
	return d.sum / time.Duration(d.made)
}
