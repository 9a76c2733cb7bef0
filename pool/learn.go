package pool

import (
	"slices"
	"time"
)

// A peer ends connections that were idle for some time of its own, and a request that crosses its FIN is lost. So the
// pool retires them a little earlier, once it knows that time: because it was told, or because it saw at which ages
// connections were found closed. Each such age is no more than an upper bound, for nobody looked just then; but when the
// pool acts on it, its next look comes earlier, and so the bounds close in on the truth from above, until a look finds a
// connection alive.

const (
	// learnFrom is how many acts of the peer it takes to believe that it has a timeout.
	learnFrom = 3
	// learnMemory is how long an observation counts.
	learnMemory = 10 * time.Minute
	// learnFloor is the shortest timeout that is learned, and the shortest idle time that says anything about it.
	learnFloor = time.Second
	// maxEpisodes is how many acts of the peer are remembered, the latest ones.
	maxEpisodes = 8
	// goodSlots is how many parts the memory of good looks has; each forgets as a whole.
	goodSlots = 10
)

// episode is what one act of the peer may explain: all connections that were idle at one instant and were found closed
// since. A restart, which closes them all, is one episode, however long it takes to find its traces.
type episode struct {
	at       time.Duration // the instant: all of them were idle before it, and were found closed then or later
	last     time.Duration // when the last of them was found
	shortest time.Duration // the shortest time for which one of them had been idle when it was found
}

// learner finds out the peer's idle timeout. It is a plain value without a lock; instants are durations since any epoch,
// and must not go back by more than a little.
type learner struct {
	told     time.Duration // what the user of the pool was told, less a margin; 0: nothing
	seen     time.Duration // what the closes say; 0: nothing
	episodes []episode     // oldest first
	good     [goodSlots]goodSlot
}

// goodSlot remembers the longest idle time at which a connection was found to be good, in one part of the memory.
type goodSlot struct {
	number  int64 // which part it is, counted from the epoch
	longest time.Duration
}

// tell notes what the peer said: connections that are idle for d are closed. The newest word counts, zero or less
// takes it back. The margin is a tenth, but at least a second, unless that is more than half.
func (l *learner) tell(d time.Duration) {
	l.told = 0
	if d > 0 {
		l.told = d - max(d/10, min(time.Second, d/2))
	}
}

// foundGood notes that a connection which had been idle for so long was good: the peer's timeout is longer.
func (l *learner) foundGood(now, idle time.Duration) {
	if idle < learnFloor {
		return
	}
	number := int64(now / (learnMemory / goodSlots))
	s := &l.good[number%goodSlots]
	if s.number != number {
		*s = goodSlot{number: number}
	}
	s.longest = max(s.longest, idle)
	before := len(l.episodes)
	l.episodes = slices.DeleteFunc(l.episodes, func(e episode) bool { return e.shortest <= idle })
	if len(l.episodes) < before {
		l.seen = 0
	}
	l.conclude(now)
}

// longestGood is the longest idle time in memory that the peer tolerated.
func (l *learner) longestGood(now time.Duration) (longest time.Duration) {
	number := int64(now / (learnMemory / goodSlots))
	for _, s := range l.good {
		if s.number > number-goodSlots {
			longest = max(longest, s.longest)
		}
	}
	return longest
}

// foundClosed notes that the peer had closed, in order, a connection that was found so after it had been idle for so long.
func (l *learner) foundClosed(now, idle time.Duration) {
	if idle < learnFloor || idle <= l.longestGood(now) {
		return
	}
	l.forget(now)
	i := slices.IndexFunc(l.episodes, func(e episode) bool { return now-idle < e.at })
	if i < 0 {
		if len(l.episodes) == maxEpisodes {
			l.episodes = slices.Delete(l.episodes, 0, 1)
		}
		l.episodes = append(l.episodes, episode{at: now, last: now, shortest: idle})
	} else {
		e := &l.episodes[i]
		e.last, e.shortest = now, min(e.shortest, idle)
	}
	l.conclude(now)
}

// forget drops what is too old to count. What was concluded holds as long as anything is left that speaks for it.
func (l *learner) forget(now time.Duration) {
	l.episodes = slices.DeleteFunc(l.episodes, func(e episode) bool { return now-e.last >= learnMemory })
	if len(l.episodes) == 0 {
		l.seen = 0
	}
}

// conclude draws the timeout from the episodes: nine tenths of the shortest time. One episode that is far shorter than
// the third shortest stands alone, a restart among true timeouts, and is not believed. Once a good look at nearly that age
// shows that the truth has been reached, a twentieth less than that is a margin for what is under way.
func (l *learner) conclude(now time.Duration) {
	if len(l.episodes) < learnFrom {
		return
	}
	var ages [maxEpisodes]time.Duration
	for i, e := range l.episodes {
		ages[i] = e.shortest
	}
	sorted := ages[:len(l.episodes)]
	slices.Sort(sorted)
	for _, age := range sorted {
		if age >= sorted[learnFrom-1]/10*6 {
			l.seen = age / 10 * 9
			if good := l.longestGood(now); good >= age/100*85 {
				l.seen = min(l.seen, good/100*95)
			}
			l.seen = max(l.seen, learnFloor)
			return
		}
	}
}

// timeout is for how long a connection may be idle and still be trusted, zero when nothing is known.
func (l *learner) timeout(now time.Duration) time.Duration {
	l.forget(now)
	if l.told > 0 && l.seen > 0 {
		return min(l.told, l.seen)
	}
	return max(l.told, l.seen)
}
