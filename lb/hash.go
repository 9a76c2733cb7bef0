package lb

import "math/bits"

// What is hashed, and how. Both never change: proxies of different versions that share backends agree on who serves a key
// only as long as they compute the same. A test holds the values.

const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
	// golden is 2^64 divided by the golden ratio, to the nearest odd number: its multiples spread over all 64-bit
	// numbers as evenly as the multiples of any number do (Knuth, volume 3, section 6.4).
	golden = 0x9e3779b97f4a7c15
)

// Hash returns the 64-bit hash of what a request sticks to, for [Query.Key]: FNV-1a, whose bits are then mixed,
// because those of short keys that differ in their last byte only differ little otherwise. It is the same for ever,
// on every machine, and never 0. It is no secret: a client that chooses its key can choose its backend too, and the
// bound on the load of each ([Options.BalanceFactor]) is what keeps many of them from choosing the same.
func Hash[T string | []byte](key T) uint64 {
	h := uint64(fnvOffset)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * fnvPrime
	}
	if h = mix(h); h == 0 { // which means no key
		return 1
	}
	return h
}

// mix turns a number into another one of which every bit depends on every bit: the finaliser of SplitMix64 (Steele,
// Lea and Flood, 2014), in the constants of Stafford's variant 13. No two numbers become the same.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// part is the place of a 64-bit number among n equal parts of all of them.
func part(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}
