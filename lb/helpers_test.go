package lb

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// instant is what tests pass for now where time does not matter.
var instant = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func weights(ws ...int) []Backend {
	backends := make([]Backend, len(ws))
	for i, w := range ws {
		backends[i].Weight = w
	}
	return backends
}

func build(t require.TestingT, strategy string, ws ...int) Picker {
	p, err := New(strategy, weights(ws...), stream(1))
	require.NoError(t, err)
	return p
}

// letters picks n times, ends each pick at once, and returns the choices as letters, a for backend 0.
func letters(p Picker, n int, q *Query) string {
	out := make([]byte, n)
	for i := range out {
		chosen := p.Pick(instant, q)
		if chosen < 0 {
			out[i] = '-'
			continue
		}
		out[i] = 'a' + byte(chosen)
		p.Done(chosen, Success, time.Millisecond)
	}
	return string(out)
}

// core is the strategy inside a picker whose backends are all of one tier.
func core[T inner](p Picker) T { return p.(*tiered).order[0].(T) }

// slack is how far the picks of a backend may be from its share of n, which has that weight among all: 5 %, as
// promised, or, for shares too small for that, a few picks. Chance gets five standard deviations, that of the points
// on a ring included.
func slack(strategy string, n, weight, weights, backends int) float64 {
	share := float64(weight) / float64(weights)
	most := max(0.05*share*float64(n), 4)
	if s := lookUp(strategy); s.needsRand || s.byKey {
		most = max(most, 5*math.Sqrt(float64(n)*share*(1-share)))
	}
	if strategy == "ring-hash" {
		points := pointsPerBackend * float64(backends) * share
		most += 5 * share * float64(n) / math.Sqrt(max(points, 1))
	}
	return most
}

// eachFair is each without the strategy that gives all it can to the first.
func eachFair(t *testing.T, test func(t *testing.T, strategy string)) {
	each(t, func(t *testing.T, strategy string) {
		if strategy == "first" {
			t.Skip("it knows no shares")
		}
		test(t, strategy)
	})
}

// each runs the test once for every strategy.
func each(t *testing.T, test func(t *testing.T, strategy string)) {
	for _, s := range Strategies() {
		t.Run(s, func(t *testing.T) { test(t, s) })
	}
}
