package scenario

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// arrivalsOf reads the clients of toShrink with those arrivals.
func arrivalsOf(t *testing.T, text string) (*Arrivals, error) {
	t.Helper()
	head, _, _ := strings.Cut(toShrink, "clients:")
	sc, err := Parse("x.yaml", []byte(head+"clients: [{name: a, arrivals: "+text+"}]\n"))
	if err != nil {
		return nil, err
	}
	return &sc.Clients[0].Arrivals, nil
}

// counts counts the arrivals in windows of ten minutes, in parts of a minute each.
func counts(a *Arrivals) []int {
	rnd, out := rand.New(rand.NewPCG(1, 2)), make([]int, 10)
	total := 10 * time.Minute
	for at := a.next(rnd, 0, total); at < total; at = a.next(rnd, at, total) {
		out[at/time.Minute]++
	}
	return out
}

func TestRatesFollowTheirShape(t *testing.T) {
	for text, want := range map[string][]float64{
		"{poisson: 100/s}":                                        {6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000},
		"{constant: 10/s}":                                        {600, 600, 600, 600, 600, 600, 600, 600, 600, 600},
		"{ramp: {from: 1/s, to: 101/s}}":                          {360, 960, 1560, 2160, 2760, 3360, 3960, 4560, 5160, 5760},
		"{ramp: {from: 100/s, to: 100/s}}":                        {6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000},
		"{spike: {base: 50/s, peak: 1000/s, at: 2m, for: 1m}}":    {3000, 3000, 60000, 3000, 3000, 3000, 3000, 3000, 3000, 3000},
		"{spike: {base: 50/s, peak: 100/s, at: 9m30s, for: 10m}}": {3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 4500},
		"{diurnal: {low: 20/s, high: 120/s, period: 2m}}":         {4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200},
		"{diurnal: {low: 20/s, high: 120/s, period: 4m}}":         {2290, 6110, 6110, 2290, 2290, 6110, 6110, 2290, 2290, 6110},
	} {
		a, err := arrivalsOf(t, text)
		require.NoError(t, err, text)
		for i, n := range counts(a) {
			require.InEpsilon(t, want[i], n, 0.12, "%s: minute %d", text, i)
		}
	}
}

func TestChangingRatesAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"{ramp: {from: 1/s}}":                                    "clients[0].arrivals.ramp.to: is required: a rate such as 100/s",
		"{spike: {base: 50/s, peak: 10/s, at: 1m, for: 1s}}":     "spike.peak: is less than base (10/s < 50/s)",
		"{spike: {base: 50/s, peak: 100/s, at: 10m, for: 1s}}":   "spike.at: 10m0s is not within the scenario's 10m0s",
		"{spike: {base: 50/s, peak: 100/s, at: 1m}}":             "spike.for",
		"{diurnal: {low: 5/s, high: 1/s, period: 1m}}":           "diurnal.high: is less than low",
		"{diurnal: {low: 1/s, high: 5/s, period: 1ms}}":          "diurnal.period",
		"{ramp: {from: 1/s, to: 2/s}, poisson: 3/s}":             "give one of them",
		"{spike: {base: 1/s, peek: 2/s, at: 1s, for: 1s}}":       "did you mean peak?",
		"{ramp: {from: 1/s, to: 2/s}, think: 1s}":                "means nothing without users",
		"{spike: {base: 50/s, peak: 100001/s, at: 1m, for: 1s}}": "at most 100000/s",
	} {
		_, err := arrivalsOf(t, text)
		require.ErrorContains(t, err, want, text)
	}
	_, err := arrivalsOf(t, "{spike: {base: 50/s, peak: 50/s, at: 9m59s, for: 1ms}}")
	require.NoError(t, err, "each just within its limit")
}
