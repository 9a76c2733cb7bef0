package form

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// printable are the letters that YAML text can hold without an escape of its own, and a few that it must quote.
var printable = []*unicode.RangeTable{unicode.Letter, unicode.Digit, unicode.Punct}

func TestNearestForgivesSlipsAndGuessesNothingFar(t *testing.T) {
	keys := []string{"max_connections", "min_idle", "idle_timeout", "max_lifetime", "validate_after", "connect_timeout"}
	for word, want := range map[string]string{
		"max_connections":  "max_connections",
		"maxConnections":   "max_connections",
		"max-conections":   "max_connections",
		"max_conenctions":  "max_connections", // two neighbours swapped
		"max_connection":   "max_connections",
		"MIN_IDLE":         "min_idle",
		"connect_time":     "connect_timeout",
		"connection_timeo": "connect_timeout",
		"idle":             "idle_timeout", // a beginning that only one word has
		"val":              "validate_after",
		"max":              "", // a beginning that two words have
		"colour":           "",
		"":                 "",
		"_":                "",
		"x":                "",
	} {
		require.Equal(t, want, Nearest(word, keys), word)
	}
	require.Empty(t, Nearest("x", nil))
	require.Equal(t, "cart", Nearest("carp", []string{"cart", "card"}), "among equals the first wins")
}

// A plain definition, without rows to recycle, for the clever one to agree with.
func dumbDistance(a, b string) int {
	switch {
	case a == "" || b == "":
		return len(a) + len(b)
	case a[len(a)-1] == b[len(b)-1]:
		return dumbDistance(a[:len(a)-1], b[:len(b)-1])
	}
	x, y := a[:len(a)-1], b[:len(b)-1]
	cost := 1 + min(dumbDistance(x, b), dumbDistance(a, y), dumbDistance(x, y))
	if len(a) > 1 && len(b) > 1 && a[len(a)-1] == b[len(b)-2] && a[len(a)-2] == b[len(b)-1] {
		cost = min(cost, 1+dumbDistance(a[:len(a)-2], b[:len(b)-2]))
	}
	return cost
}

func TestDistanceAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abc]{0,6}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		require.Equal(t, dumbDistance(a, b), distance(a, b), "%q %q", a, b)
		require.Equal(t, distance(a, b), distance(b, a))
	})
}
