package scenario

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// drawn is a run of ten seconds whose plot is known.
func drawn() *Verdict {
	nan := math.NaN()
	return &Verdict{duration: 10 * time.Second, Series: &Series{Step: time.Second,
		Answered: []int{80, 80, 40, 0, 0, 10, 80, 80, 80, 80},
		Failed:   map[string][]int{"backend_timeout": {0, 0, 40, 80, 80, 1, 0, 0, 0, 0}},
		P50:      make([]float64, 10), P99: []float64{0.01, 0.01, 0.5, nan, nan, 1, 0.1, 0.01, 0.01, 0.01},
	}, faults: []Fault{{At: 2 * time.Second, For: 4 * time.Second, Kind: SilentDrop}}}
}

func TestAPlotDrawsWhatWasAnsweredWhatFailedAndWhen(t *testing.T) {
	require.Equal(t, `
  answered          ██████████▄▄▄▄▄          ▁▁▁▁▁████████████████████  up to 80/s
  ✗ backend_timeout           ▄▄▄▄▄██████████▁▁▁▁▁                      up to 80/s
  p99               ▁▁▁▁▁▁▁▁▁▁▄▄▄▄▄          █████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  up to 1.00 s
  faults                      ━━━━━━━━━━━━━━━━━━━━                      1 fault
                    0s                      5s                     10s
`, "\n"+drawn().Plot(86))
	dead := drawn()
	dead.Series.P99 = []float64{math.NaN()}
	require.Contains(t, dead.Plot(80), "p99")
	require.Contains(t, dead.Plot(80), "  none\n")
	require.Empty(t, Broken("x", 1, "died").Plot(80))
	require.Empty(t, (&Verdict{Series: &Series{}}).Plot(80))
}

func TestAPlotFitsTheTerminal(t *testing.T) {
	long := failing(t)
	many := drawn()
	for _, reason := range []string{"b", "c", "d", "e", "f"} {
		many.Series.Failed[reason] = make([]int, 10)
		many.Series.Failed[reason][7] = 3
	}
	for _, v := range []*Verdict{long, drawn(), many} {
		for _, width := range []int{0, MinPlotWidth, 80, 81, 133, 500} {
			for _, line := range strings.Split(v.Plot(width), "\n") {
				require.LessOrEqual(t, utf8.RuneCountInString(line), max(width, MinPlotWidth))
			}
		}
	}
	delete(many.Series.Failed, "f")
	delete(many.Series.Failed, "e")
	require.NotContains(t, many.Plot(80), "others", "just as many as there is room for")
	many.Series.Failed["e"], many.Series.Failed["f"] = many.Series.Failed["d"], many.Series.Failed["d"]
	text := many.Plot(80)
	require.Equal(t, maxReasons, strings.Count(text, "✗"))
	require.Contains(t, text, "✗ 3 others")
	require.Contains(t, text, "up to 9/s", "three of each of the three others")
}

func TestAPlotOfARunShowsItsFault(t *testing.T) {
	v := runSmall(t, "faults", "[{at: 5s, for: 5s, crash: {host: 10.0.0.1}}, {at: 15s, reset: {between: [proxy, 10.0.0.2]}}]")
	text := v.Plot(80)
	require.Contains(t, text, "2 faults")
	require.Contains(t, text, "✗ backend_timeout")
	row := text[strings.Index(text, "  faults"):]
	row, _, _ = strings.Cut(row, "\n")
	wide := strings.Count(strings.Split(text, "\n")[0], "█") + strings.Count(strings.Split(text, "\n")[0], "▇")
	require.Positive(t, wide)
	on := strings.Count(row, "━")
	require.Positive(t, on)
	require.Zero(t, on%6, "six seconds of twenty, each equally wide: %s", row)
}
