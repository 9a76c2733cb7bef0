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
	build     func(f fleet, rnd *rand.Rand) Picker
}

// strategies holds the closed list, in the order in which it is shown to people.
var strategies = [...]strategy{
	{
		name: "round-robin",
		help: "Each backend in its turn, in proportion to the weights and spread as evenly as they allow. " +
			"Right when requests cost about the same.",
		build: func(f fleet, _ *rand.Rand) Picker { return &roundRobin{f} },
	},
	{
		name: "least-connections",
		help: "The backend with the fewest requests in flight for its weight; equals take turns. " +
			"Right when requests differ in cost: a slow backend gets fewer.",
		build: func(f fleet, _ *rand.Rand) Picker { return &leastConnections{f} },
	},
	{
		name: "random",
		help: "Any backend, by chance, in proportion to the weights. " +
			"Right when many proxies share the backends and must not move in step.",
		needsRand: true,
		build:     func(f fleet, rnd *rand.Rand) Picker { return &random{f, rnd} },
	},
	{
		name: "p2c",
		help: "Of two drawn by chance the one with fewer requests in flight for its weight. " +
			"Right when there are many backends, or many proxies that share them.",
		needsRand: true,
		build:     func(f fleet, rnd *rand.Rand) Picker { return &p2c{newChosenByLot(f, rnd)} },
	},
	{
		name: "peak-ewma",
		help: "Of two drawn by chance the one that is expected to answer first, by its latency, its failures and its requests in flight. " +
			"Right when backends may become slow or fail quickly.",
		needsRand: true,
		build:     newPeakEWMA,
	},
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
