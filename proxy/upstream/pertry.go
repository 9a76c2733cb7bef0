package upstream

import (
	"math/bits"
	"time"
)

// The adaptive per-try timeout: how long a backend may take to begin an answer before another one is asked, learned from
// how long answers have taken lately.
//
// It is wrong in two cases, and must do no harm in them. Where the whole group has become slow, every request would be
// sent twice; where a request is slow by its nature, the second backend takes as long as the first. In both, the second
// attempt takes longer than the first was given, and in the case that the timeout is for, it does not. So each retry is
// scored by that: while most were in vain the timeout rests, and a backend is blamed only when another one has answered
// the very request in the time that it had itself.
const (
	// perTryFactor times the 99th percentile is the timeout, within perTryFloor and perTryCap.
	perTryFactor = 3
	perTryFloor  = 250 * time.Millisecond
	perTryCap    = 5 * time.Second
	// perTrySamples is how many answers must have been seen. Two of them are slower than the 99th percentile, so that it
	// is not the one that happened to be the slowest.
	perTrySamples = 200
	// perTryWindow is the number of answers after which the older half of the window is forgotten. Of a group that has
	// become slow, one to two hundredths of it must have been seen before the timeout follows; of one that has become
	// fast, up to all of it: too patient is the safe side.
	perTryWindow = 1000
	// perTryEvery is how many answers come between two estimates.
	perTryEvery = 32
	// perTryDoubt is by how many the retries in vain may exceed the others.
	perTryDoubt = 4
	// headBuckets are eight for each power of two of headUnit and a last one for what is beyond the cap.
	headBuckets = 48
	headUnit    = perTryFloor / perTryFactor / 8
)

// perTry learns the timeout. It is guarded by Upstream.mu.
//
// Times matter only where the timeout is between its floor and its cap, so the histogram is coarse below and ends there.
type perTry struct {
	young, old   [headBuckets]uint32
	nYoung, nOld int
	limit        time.Duration // the present timeout; 0: too little has been seen
	useful, vain int           // retries by their use; of earlier windows half, a quarter and so on
}

// observe counts the time in which an answer began.
func (p *perTry) observe(took time.Duration) {
	p.young[headBucket(took)]++
	p.nYoung++
	if p.nYoung%perTryEvery == 0 {
		p.estimate()
	}
	if p.nYoung == perTryWindow {
		p.old, p.nOld = p.young, p.nYoung
		p.young, p.nYoung = [headBuckets]uint32{}, 0
		p.useful, p.vain = p.useful/2, p.vain/2
	}
}

// estimate finds the 99th percentile of the window.
func (p *perTry) estimate() {
	n := p.nYoung + p.nOld
	if n < perTrySamples {
		return
	}
	above := uint32(n / 100) // answers that may be slower
	i := headBuckets - 1
	for slower := p.young[i] + p.old[i]; i > 0 && slower <= above; slower += p.young[i] + p.old[i] {
		i--
	}
	p.limit = min(max(perTryFactor*headBound(i), perTryFloor), perTryCap)
}

// score notes whether leaving a backend was of use.
func (p *perTry) score(useful bool) {
	if useful {
		p.useful++
	} else {
		p.vain++
	}
}

// now is the timeout as it may be used; 0 for none.
func (p *perTry) now() time.Duration {
	if p.vain > p.useful+perTryDoubt {
		return 0
	}
	return p.limit
}

// headBucket is the bucket of a duration.
func headBucket(d time.Duration) int {
	u := uint64(max(d, 0) / headUnit)
	if u < 8 {
		return int(u)
	}
	e := bits.Len64(u) - 4
	return min(e<<3+int(u>>e), headBuckets-1)
}

// headBound is the least duration above those of a bucket.
func headBound(i int) time.Duration {
	if i < 16 {
		return time.Duration(i+1) * headUnit
	}
	return time.Duration(i&7+9) << (i>>3 - 1) * headUnit
}
