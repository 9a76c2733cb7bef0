package netsim

// mix is a 64-bit finaliser: every bit of x changes about half of the bits of the result. All chance of the
// simulator is made of it, because a draw that is a function of its place needs no state that another draw
// could shift.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return x
}

// hashString turns a name into a key. It is the 64-bit FNV-1a sum, finalised so that its low bits are good
// too.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// nudgeMask bounds the seeded nudge of a wake-up: 0 to 255 ns, far below any latency that a scenario cares
// about.
const nudgeMask = 255

// nudge gives the seeded shift, and the tie-break, of a wake-up wished for at the instant target by the
// entity key.
func nudge(seed, key uint64, target int64) (shift int64, tie uint64) {
	h := mix(seed ^ mix(key+0x9e3779b97f4a7c15) ^ uint64(target)*0xbf58476d1ce4e5b9)
	return int64(h & nudgeMask), h
}

// instants is the table of virtual nanoseconds that one-shot timers of the simulated clock have claimed.
// The network's own events need no entry each: only the next one to fire can collide, and the pump looks
// here before it arms itself.
//
// The zero value is empty. It is guarded by Sim.mu.
type instants struct {
	taken map[int64]struct{}
	sweep int // the size at which past claims are thrown out
}

const minSweep = 1024

// free tells whether nobody has claimed x.
func (c *instants) free(x int64) bool {
	if len(c.taken) == 0 {
		return true
	}
	_, used := c.taken[x]
	return !used
}

// claim hands out a free instant at or a little after target, and always after now. Ties are ordered by the
// seed: the first few candidates are drawn from it, and only when all of those are taken the next free
// nanosecond is used. Where the pump has set its timer does not matter: the pump gives way.
func (c *instants) claim(seed uint64, target, now int64) int64 {
	if target <= now {
		target = now + 1
	}
	if c.taken == nil {
		c.taken = make(map[int64]struct{})
		c.sweep = minSweep
	}
	if len(c.taken) >= c.sweep {
		c.dropPast(now)
	}
	x := target
	for n := uint64(0); n < 4; n++ {
		shift, _ := nudge(seed, n, target)
		if x = target + shift; c.free(x) {
			c.taken[x] = struct{}{}
			return x
		}
	}
	for x = target + nudgeMask + 1; !c.free(x); x++ {
	}
	c.taken[x] = struct{}{}
	return x
}

// release gives a claim back that will not be used: its timer was stopped.
func (c *instants) release(x int64) { delete(c.taken, x) }

// dropPast forgets the claims that time has passed by, and sets the next size to do so at. The order of the
// walk is not visible: which entries go depends on now alone.
func (c *instants) dropPast(now int64) {
	for x := range c.taken {
		if x < now {
			delete(c.taken, x)
		}
	}
	c.sweep = max(minSweep, 2*len(c.taken))
}
