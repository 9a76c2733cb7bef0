package lb

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// instant is what tests pass for now: no strategy of today looks at it.
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

// each runs the test once for every strategy.
func each(t *testing.T, test func(t *testing.T, strategy string)) {
	for _, s := range Strategies() {
		t.Run(s, func(t *testing.T) { test(t, s) })
	}
}
