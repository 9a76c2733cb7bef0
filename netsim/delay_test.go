package netsim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// shapes are delays with the mean, the median and the 99th percentile that the textbooks give them.
func shapes() []struct {
	d                 Delay
	mean, median, p99 float64 // in nanoseconds
	tolerance         float64 // relative, of the mean of 100,000 draws
} {
	type shape = struct {
		d                 Delay
		mean, median, p99 float64
		tolerance         float64
	}
	us := func(x float64) float64 { return x * float64(time.Microsecond) }
	sigma := math.Log(10) / z99
	// A normal distribution with a mean of one deviation, cut off at 0.
	phi, above := math.Exp(-0.5)/math.Sqrt(2*math.Pi), 1-0.5*math.Erfc(1/math.Sqrt2)
	cut := func(u float64) float64 { return 1 + math.Sqrt2*math.Erfinv(2*(1-above+u*above)-1) }
	return []shape{
		{ConstantDelay(5 * ms), us(5000), us(5000), us(5000), 0},
		{UniformDelay(ms, 3*ms), us(2000), us(2000), us(2980), 0.005},
		{NormalDelay(10*ms, ms), us(10000), us(10000), us(10000 + z99*1000), 0.005},
		{NormalDelay(ms, ms), us(1000 * (1 + phi/above)), us(1000 * cut(0.5)), us(1000 * cut(0.99)), 0.01},
		{LognormalDelay(2*ms, 20*ms), us(2000 * math.Exp(sigma*sigma/2)), us(2000), us(20000), 0.02},
		{ParetoDelay(ms, 3, MaxDelay), us(1500), us(1000 * math.Cbrt(2)), us(1000 * math.Cbrt(100)), 0.02},
		{EmpiricalDelay(ms, 2*ms, 3*ms, 10*ms, 50*ms), us(250 * (1.5 + 2.5 + 6.5 + 30)), us(3000), us(48400), 0.01},
		{EmpiricalDelay(7 * ms), us(7000), us(7000), us(7000), 0},
		{Delay{}, 0, 0, 0, 0},
	}
}

func TestDelaysHaveTheMeanTheMedianAndTheTailOfTheirFormulas(t *testing.T) {
	for _, c := range shapes() {
		t.Run(c.d.String(), func(t *testing.T) {
			const n = 100_000
			draws, sum := make([]float64, n), 0.0
			for i := range draws {
				u := float64(mix(uint64(i)*0x9e3779b97f4a7c15+7)>>11) / (1 << 53)
				draws[i] = float64(c.d.Quantile(u))
				sum += draws[i]
			}
			slices.Sort(draws)
			within := func(want, got, relative float64, what string) {
				require.InDelta(t, want, got, want*relative+1, what)
			}
			within(c.mean, sum/n, c.tolerance, "mean")
			within(c.median, draws[n/2], 0.02, "median of the draws")
			within(c.p99, draws[n*99/100], 0.05, "99th percentile of the draws")
			within(c.median, float64(c.d.Quantile(0.5)), 1e-9, "median")
			within(c.median, float64(c.d.Median()), 1e-9, "median")
			within(c.p99, float64(c.d.Quantile(0.99)), 1e-9, "99th percentile")
		})
	}
}

func TestDelaysAreMonotoneNeverNegativeAndNeverAboveTheirBound(t *testing.T) {
	last := math.Nextafter(1, 0)
	for _, c := range append(shapes(), shapes()[0]) {
		before := time.Duration(0)
		for i := range 20_001 {
			d := c.d.Quantile(min(float64(i)/20_000, last))
			require.GreaterOrEqual(t, d, before, "%v at %d", c.d, i)
			before = d
		}
		require.LessOrEqual(t, before, MaxDelay)
	}
	require.Equal(t, MaxDelay, LognormalDelay(ms, MaxDelay).Quantile(last), "the tail is cut")
	require.Equal(t, 20*ms, ParetoDelay(ms, 0.1, 20*ms).Quantile(last))
	require.Equal(t, ms, ParetoDelay(ms, 0.1, 20*ms).Quantile(0))
	require.Zero(t, NormalDelay(0, ms).Quantile(0))
	require.Equal(t, 3*ms, NormalDelay(3*ms, 0).Quantile(0.99))
	require.Equal(t, 3*ms, UniformDelay(3*ms, 3*ms).Quantile(0.99))
}

func TestDelaysOfAnyParametersAscend(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(least time.Duration, what string) time.Duration {
			return time.Duration(rapid.Int64Range(int64(least), int64(MaxDelay)).Draw(rt, what))
		}
		x, y := draw(1, "x"), draw(1, "y")
		least, most := min(x, y), max(x, y)
		all := []Delay{UniformDelay(least, most), NormalDelay(x, y), EmpiricalDelay(0, least, most),
			ParetoDelay(least, rapid.Float64Range(0.1, 1000).Draw(rt, "shape"), most)}
		if least < most {
			all = append(all, LognormalDelay(least, most))
		}
		u, v := rapid.Float64Range(0, 0.999999).Draw(rt, "u"), rapid.Float64Range(0, 0.999999).Draw(rt, "v")
		for _, d := range all {
			low, high := d.Quantile(min(u, v)), d.Quantile(max(u, v))
			require.GreaterOrEqual(rt, low, time.Duration(0), d.String())
			require.LessOrEqual(rt, low, high, d.String())
			require.LessOrEqual(rt, high, MaxDelay, d.String())
		}
	})
}

func TestDelaysRefuseNonsenseAtTheirLimits(t *testing.T) {
	last := math.Nextafter(1, 0)
	for name, good := range map[string]func(){
		"largest constant": func() { ConstantDelay(MaxDelay) },
		"equal bounds":     func() { UniformDelay(ms, ms) },
		"least p99":        func() { LognormalDelay(ms, ms+1) },
		"least shape":      func() { ParetoDelay(ms, 0.1, ms) },
		"largest shape":    func() { ParetoDelay(ms, 1000, ms) },
		"equal samples":    func() { EmpiricalDelay(0, 0, MaxDelay) },
		"u of 0":           func() { ConstantDelay(0).Quantile(0) },
		"u below 1":        func() { ConstantDelay(0).Quantile(last) },
	} {
		require.NotPanics(t, good, name)
	}
	for name, bad := range map[string]func(){
		"negative constant":  func() { ConstantDelay(-1) },
		"large constant":     func() { ConstantDelay(MaxDelay + 1) },
		"bounds swapped":     func() { UniformDelay(ms, ms-1) },
		"negative least":     func() { UniformDelay(-1, ms) },
		"large most":         func() { UniformDelay(0, MaxDelay+1) },
		"negative mean":      func() { NormalDelay(-1, ms) },
		"negative deviation": func() { NormalDelay(ms, -1) },
		"p99 is median":      func() { LognormalDelay(ms, ms) },
		"median of 0":        func() { LognormalDelay(0, ms) },
		"scale of 0":         func() { ParetoDelay(0, 1, ms) },
		"scale above most":   func() { ParetoDelay(ms+1, 1, ms) },
		"small shape":        func() { ParetoDelay(ms, 0.099, ms) },
		"large shape":        func() { ParetoDelay(ms, 1000.1, ms) },
		"shape not a number": func() { ParetoDelay(ms, math.NaN(), ms) },
		"no samples":         func() { EmpiricalDelay() },
		"descending samples": func() { EmpiricalDelay(2, 1) },
		"negative sample":    func() { EmpiricalDelay(-1, 1) },
		"large sample":       func() { EmpiricalDelay(1, MaxDelay+1) },
		"negative u":         func() { ConstantDelay(0).Quantile(-1e-9) },
		"u of 1":             func() { ConstantDelay(0).Quantile(1) },
		"both":               func() { Link{Jitter: 1, Delay: ConstantDelay(1)}.check() },
	} {
		require.Panics(t, bad, name)
	}
}

func TestALinksDelayIsDrawnForEachSegmentOnTopOfItsLatency(t *testing.T) {
	const n = 4000
	took := func(seed uint64) (delays []float64, hash uint64) {
		res := Run(Config{Seed: seed}, func(s *Sim) {
			client, server := s.Host("client", ""), s.Host("server", "")
			l, err := server.Listen(context.Background(), "tcp", ":80")
			require.NoError(t, err)
			s.SetLink("client", "server", Link{Latency: 3 * ms, Delay: LognormalDelay(2*ms, 20*ms)})
			c, err := client.DialContext(context.Background(), "tcp", "server:80")
			require.NoError(t, err)
			d, err := l.Accept()
			require.NoError(t, err)
			for range n {
				start := s.Elapsed()
				_, err = c.Write([]byte("x"))
				require.NoError(t, err)
				_, err = d.Read(make([]byte, 1))
				require.NoError(t, err)
				delays = append(delays, float64(s.Elapsed()-start))
				s.Clock().Sleep(time.Second)
			}
		})
		require.NoError(t, res.Err)
		return delays, res.Hash
	}
	delays, hash := took(1)
	again, same := took(1)
	require.Equal(t, delays, again)
	require.Equal(t, hash, same)
	_, other := took(2)
	require.NotEqual(t, hash, other)
	slices.Sort(delays)
	require.InEpsilon(t, 5*ms, delays[n/2], 0.05)
	require.InEpsilon(t, 23*ms, delays[n*99/100], 0.2)
	require.Greater(t, delays[0], float64(3*ms))
}

func TestAFaultsDelayAddsToTheLinksAndAcknowledgementsTakeTheMedian(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetLink("client", "server", Link{Latency: ms, Delay: UniformDelay(ms, 3*ms)})
		fault := x.SlowLink("client", "server", Link{Delay: ConstantDelay(10 * ms)})
		start := x.Elapsed()
		x.write(x.a, "x")
		x.read(x.b, "x")
		took := x.Elapsed() - start
		require.GreaterOrEqual(t, took, 12*ms)
		require.LessOrEqual(t, took, 14*ms+time.Microsecond)
		fault.Stop()

		require.NoError(t, x.a.SetWriteBuffer(1))
		x.write(x.a, "y")
		_, err := x.b.Read(make([]byte, 1))
		require.NoError(t, err)
		x.took(3*ms, func() { x.write(x.a, "z") }) // until the acknowledgement is back: latency and median
	})
}

func ExampleDelay() {
	path := LognormalDelay(2*time.Millisecond, 20*time.Millisecond)
	fmt.Println(path, path.Quantile(0.9).Round(time.Microsecond))
	// Output: lognormal(median 2ms, p99 20ms) 7.111ms
}
