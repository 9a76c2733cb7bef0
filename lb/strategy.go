package lb

import (
	"math/rand/v2"
	"strings"
)

// strategy is one entry of the closed list of strategies.
type strategy struct {
	name      string
	help      string
	needsRand bool
	ramps     bool // a slow start means something to it
	byKey     bool // it looks at Query.Key
	build     func(f fleet, rnd *rand.Rand, o Options) inner
}

// strategies holds the closed list, in the order in which it is shown to people.
var strategies = [...]strategy{
	{
		name: "round-robin",
		help: "Each backend in its turn, in proportion to the weights and spread as evenly as they allow. " +
			"Right when requests cost about the same.",
		ramps: true,
		build: func(f fleet, _ *rand.Rand, _ Options) inner { return &roundRobin{fleet: f} },
	},
	{
		name: "least-connections",
		help: "The backend with the fewest requests in flight for its weight; equals take turns. " +
			"Right when requests differ in cost: a slow backend gets fewer.",
		ramps: true,
		build: func(f fleet, _ *rand.Rand, _ Options) inner { return &leastConnections{fleet: f} },
	},
	{
		name: "random",
		help: "Any backend, by chance, in proportion to the weights. " +
			"Right when many proxies share the backends and must not move in step.",
		needsRand: true,
		ramps:     true,
		build:     func(f fleet, rnd *rand.Rand, _ Options) inner { return &random{newChosenByLot(f, rnd)} },
	},
	{
		name: "p2c",
		help: "Of two drawn by chance the one with fewer requests in flight for its weight. " +
			"Right when there are many backends, or many proxies that share them.",
		needsRand: true,
		ramps:     true,
		build:     func(f fleet, rnd *rand.Rand, _ Options) inner { return &p2c{newChosenByLot(f, rnd)} },
	},
	{
		name: "peak-ewma",
		help: "Of two drawn by chance the one that is expected to answer first, by its latency, its failures and its requests in flight. " +
			"Right when backends may become slow or fail quickly.",
		needsRand: true,
		ramps:     true,
		build:     newPeakEWMA,
	},
	{
		name: "least-time",
		help: "Of all backends the one that is expected to answer first, by its mean latency, its failures and its requests in flight. " +
			"Right when there are few backends and one proxy: it looks at all of them for each pick.",
		ramps: true,
		build: newLeastTime,
	},
	{
		name: "ring-hash",
		help: "The backend of the request's key on a ring of hashes, within a bound on its load. " +
			"Right when other software finds keys by a ring too; maglev is more even and faster.",
		byKey: true,
		build: func(f fleet, _ *rand.Rand, o Options) inner { return newRingHash(f, o) },
	},
	{
		name: "maglev",
		help: "The backend of the request's key in a table of 65537 slots, within a bound on its load. " +
			"Right when a key should stay with its backend, for the sake of caches or sessions there.",
		byKey: true,
		build: func(f fleet, _ *rand.Rand, o Options) inner { return newMaglev(f, o) },
	},
	{
		name: "rendezvous",
		help: "The backend with the highest random weight for the request's key, within a bound on its load. " +
			"Right when backends come and go often and no key should move that need not, in groups of up to some dozens.",
		byKey: true,
		build: func(f fleet, _ *rand.Rand, o Options) inner { return newRendezvous(f, o) },
	},
	{
		name: "first",
		help: "The first backend in the list that has room. " +
			"Right when as few backends as possible should work, or one leads and the others stand by.",
		build: func(f fleet, _ *rand.Rand, _ Options) inner { return &first{fleet: f} },
	},
}

// ByKey says whether the strategy of that name looks at Query.Key.
func ByKey(name string) bool {
	s := lookUp(name)
	return s != nil && s.byKey
}

// SlowStarts says whether Picker.SlowStart means something to the strategy of that name.
func SlowStarts(name string) bool {
	s := lookUp(name)
	return s != nil && s.ramps
}

// Strategies returns the names that New knows, in the order in which they should be shown. The caller owns
// the slice.
func Strategies() []string {
	names := make([]string, len(strategies))
	for i := range strategies {
		names[i] = strategies[i].name
	}
	return names
}

// Describe returns one or two sentences for people about the strategy of that name: what it does and when it
// is right. It returns "" for a name that New does not know.
func Describe(name string) string {
	if s := lookUp(name); s != nil {
		return s.help
	}
	return ""
}

// UnknownStrategyError says that New does not know a name.
type UnknownStrategyError struct {
	// Name is the name that was asked for.
	Name string
	// Nearest is the known name that was probably meant, or "" when none is close.
	Nearest string
}

// Error lists the names that would have been right, and the one that was probably meant.
func (e *UnknownStrategyError) Error() string {
	msg := "lb: unknown strategy \"" + e.Name + "\""
	if e.Nearest != "" {
		msg += " (did you mean \"" + e.Nearest + "\"?)"
	}
	return msg + "; known: " + strings.Join(Strategies(), ", ")
}

func lookUp(name string) *strategy {
	for i := range strategies {
		if strategies[i].name == name {
			return &strategies[i]
		}
	}
	return nil
}

// nearest returns the known name that takes the fewest edits to reach, or "" when even that one shares less
// than half of its letters with the name given: a far-fetched guess would only mislead.
func nearest(name string) string {
	const longestWorthwhile = 64 // what a person might have typed; also bounds the work below
	if len(name) > longestWorthwhile {
		return ""
	}
	name = strings.ToLower(strings.NewReplacer("_", "-", " ", "-").Replace(name))
	for i := range strategies { // an abbreviation of the first that begins so
		known := strategies[i].name
		if part := strings.ReplaceAll(name, "-", ""); len(part) >= 4 && strings.HasPrefix(strings.ReplaceAll(known, "-", ""), part) {
			return known
		}
	}
	best, bestCost := "", 0
	for i := range strategies {
		known := strategies[i].name
		if cost := edits(name, known); cost <= len(known)/2 && (best == "" || cost < bestCost) {
			best, bestCost = known, cost
		}
	}
	return best
}

// edits counts the single-byte insertions, deletions and replacements that turn a into b. It fills the usual
// table row by row and keeps only the row above.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
