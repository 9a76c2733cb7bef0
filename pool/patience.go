package pool

import (
	"math"
	"time"
)

const (
	// holdMemory is the weight of one loan in the mean of the recent ones.
	holdMemory = 1.0 / 8
	// growth is the part of the lent connections by which a lasting shortage lets the pool grow in the time of a dial.
	growth = 8
)

// patience decides which waiters are worth a dial. One whom returning connections will probably serve before a dial
// could is left without: the dial would come too late for it and leave the pool fat. As that is a guess, nobody is left
// without for longer than a share of a usual dial, so that a wrong guess costs no more than that. And a shortage that has
// lasted for longer than a dial is no burst: then the pool grows, step by step, or callers would wait a little for ever.
// It is a plain machine.
type patience struct {
	share float64 // of a usual dial; not above 0: no patience
	hold  float64 // ns: how long a loan lasts of late; not above 0: unknown
	ended uint64  // the loans that hold takes account of
	sum   time.Duration

	shortage          bool          // there has been one
	short, shortSince time.Duration // the last time that somebody lacked a dial, and the first time of that shortage
}

// learn takes account of the loans that have ended since it was last called: how many there have been since the
// beginning, and how long they lasted together. It stands for a moving mean over all of them, and costs a loan nothing.
func (c *patience) learn(ended uint64, sum time.Duration) {
	n := ended - c.ended
	if n == 0 {
		return
	}
	mean := float64(sum-c.sum) / float64(n)
	if c.ended == 0 {
		c.hold = mean
	} else {
		old := math.Pow(1-holdMemory, float64(n))
		c.hold = old*c.hold + (1-old)*mean
	}
	c.ended, c.sum = ended, sum
}

// wait is for how long a waiter may be left without a dial, where a dial usually takes so long and so many connections
// are in the hands of borrowers; 0: not at all.
func (c *patience) wait(usual time.Duration, lent int) time.Duration {
	if lent == 0 || c.share <= 0 {
		return 0
	}
	return time.Duration(c.share * float64(usual))
}

// hopeless says how many of those that lack a dial get it at once, because returns would not serve them in time. The
// r-th of them is served by returns after about r*hold/lent.
func (c *patience) hopeless(wait time.Duration, lacking, lent int) int {
	if wait <= 0 {
		return lacking
	}
	if c.hold <= 0 {
		return 0
	}
	served := float64(wait) * float64(lent) / c.hold
	if served >= float64(lacking) {
		return 0
	}
	return lacking - int(served)
}

// grow is told that somebody lacks a dial, and says how many dials may be under way because that has been so for longer
// than a usual dial takes, with no pause of that length.
func (c *patience) grow(now, usual time.Duration, lent int) int {
	if !c.shortage || now-c.short > usual {
		c.shortSince = now
	}
	c.shortage, c.short = true, now
	if now-c.shortSince < usual {
		return 0
	}
	return 1 + lent/growth
}
