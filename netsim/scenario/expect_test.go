package scenario

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpectationsAreParsedInTheUnitOfTheirMetric(t *testing.T) {
	for text, want := range map[string]Expectation{
		"success_rate >= 99.9%":  {Metric: "success_rate", Op: ">=", Value: 0.999},
		"p99<=100ms":             {Metric: "p99", Op: "<=", Value: 0.1},
		" p99.9  <  1s ":         {Metric: "p99.9", Op: "<", Value: 1},
		"leaks == 0":             {Metric: "leaks", Op: "==", Value: 0},
		"requests > 1000":        {Metric: "requests", Op: ">", Value: 1000},
		"time_to_failover <= 3s": {Metric: "time_to_failover", Op: "<=", Value: 3},
		"reuse_rate >= 99 %":     {Metric: "reuse_rate", Op: ">=", Value: 0.99},
	} {
		got, err := ParseExpectation(text)
		require.NoError(t, err, text)
		require.InDelta(t, want.Value, got.Value, 1e-12, text)
		require.Equal(t, want.Metric, got.Metric)
		require.Equal(t, want.Op, got.Op)
		again, err := ParseExpectation(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
}

func TestBadExpectationsAreRefusedWithAReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "METRIC OP VALUE",
		"p99":                    "METRIC OP VALUE",
		"p99 = 3ms":              "METRIC OP VALUE",
		"p98 <= 3ms":             "did you mean p9",
		"success_rate => 99%":    "unknown comparison \"=>\"; did you mean >=?",
		"p99 =< 3ms":             "unknown comparison \"=<\"; did you mean <=?",
		"speed <= 3ms":           "known metrics: success_rate",
		"p99 <= 3":               "want a duration",
		"p99 <= -3s":             "want a duration",
		"success_rate >= 99":     "want a share in percent",
		"success_rate >= 101%":   "want a share in percent",
		"failed <= 1.5":          "want a whole number",
		"failed <= -1":           "want a whole number",
		"failed <= 99999999e999": "want a whole number",
	} {
		_, err := ParseExpectation(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestComparisonsHoldAsWrittenAndNothingHoldsWithoutAValue(t *testing.T) {
	for _, tc := range []struct {
		op                   string
		below, equal, beyond bool
	}{
		{">=", false, true, true}, {"<=", true, true, false}, {"==", false, true, false}, {">", false, false, true}, {"<", true, false, false},
	} {
		e := Expectation{Op: tc.op, Value: 0.999}
		require.Equal(t, tc.below, e.holds(0.998), tc.op)
		require.Equal(t, tc.equal, e.holds(999.0/1000), tc.op)
		require.Equal(t, tc.beyond, e.holds(1), tc.op)
		require.False(t, e.holds(math.NaN()), tc.op)
	}
	require.False(t, Expectation{Op: "<=", Value: 1e9}.holds(math.Inf(1)))
}

func TestValuesAreWrittenForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"99.99 %":  share.format(0.999999),
		"100.00 %": share.format(1),
		"99.90 %":  share.format(0.999),
		"42.5 ms":  seconds.format(0.0425),
		"3.20 s":   seconds.format(3.2),
		"123 us":   seconds.format(0.000123),
		"0 s":      seconds.format(0),
		"never":    seconds.format(math.Inf(1)),
		"none":     seconds.format(math.NaN()),
		"18,012":   count.format(18012),
		"999":      thousands(999),
		"1,000":    thousands(1000),
		"12345678": "12345678",
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, "12,345,678", thousands(12345678))
}

func TestEveryMetricIsKnownOnceAndHasAValue(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Metrics() {
		require.False(t, seen[name])
		seen[name] = true
		o := outcome{failed: map[string]int{}}
		require.NotPanics(t, func() { metricNamed(name).value(&o) })
	}
	require.Nil(t, metricNamed("p98"))
}

func FuzzParseExpectation(f *testing.F) {
	for _, s := range []string{"p99 <= 100ms", "success_rate >= 99.9%", "leaks == 0", "p99.9<1s",
		"success_rate of web >= 99 % during cut", "dials <= 3 from 10s to 1m", "p50 of a<1s from 5s", "load_spread <= 120% after",
		"requests_per_second > 30/m before", "retry_amplification <= 1.2x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseExpectation(s)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.False(t, math.IsNaN(e.Value) || math.IsInf(e.Value, 0) || e.Value < 0)
		again, err := ParseExpectation(e.String())
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}
