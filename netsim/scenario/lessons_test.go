package scenario

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

// What the stock scenarios say in their first lines is shown here: the same world with the cure, or with the mistake.

// stockVerdict runs a stock scenario after a change.
func stockVerdict(t *testing.T, name string, change func(*Scenario)) *Verdict {
	t.Helper()
	sc, err := Load(filepath.Join(stockDir, name+".yaml"))
	require.NoError(t, err)
	change(sc)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Zero(t, figure(v, metricConservation))
	return v
}

func asItIs(*Scenario) {}

func TestAPoolWhoseConnectionsLiveForLongStaysWithTheOldMachine(t *testing.T) {
	require.Zero(t, figure(stockVerdict(t, "dns-failover", asItIs), "failed"))
	v := stockVerdict(t, "dns-failover", func(sc *Scenario) { sc.Settings.Upstreams[0].Pool.MaxLifetime = 10 * time.Minute })
	require.Greater(t, figure(v, "failed"), 3.0)
	require.Greater(t, says(t, v, "first failed request: backend_timeout"), 50.0)
}

func TestSlowReadersOfASmallPoolMakeTheOthersWait(t *testing.T) {
	with := func(connections int) float64 {
		return figure(stockVerdict(t, "slow-reader-clients", func(sc *Scenario) {
			sc.Settings.Upstreams[0].Pool.MaxConnections = connections
		}), "p50")
	}
	require.Less(t, with(20), 0.01)
	require.Greater(t, with(5), 0.1)
}

func TestAPoolOfItsOwnKeepsTheSlowRouteFromTheOthers(t *testing.T) {
	shared := stockVerdict(t, "pool-exhaustion-by-slow-route", asItIs)
	own := stockVerdict(t, "pool-exhaustion-by-slow-route", func(sc *Scenario) {
		reports := sc.Settings.Upstreams[0]
		reports.Name, reports.Backends = "reports", slices.Clone(reports.Backends)
		sc.Settings.Upstreams = append(sc.Settings.Upstreams, reports)
		l := &sc.Settings.Listeners[0]
		l.Routes = append([]config.Route{{Match: config.Match{PathPrefix: "/report"}, Upstream: "reports"}}, l.Routes...)
	})
	require.Greater(t, figure(shared, "failed"), 700.0)
	require.Less(t, figure(own, "failed"), 300.0, "only reports, of which there are some three hundred")
	require.Less(t, figure(own, "p90"), 0.05)
	require.Greater(t, figure(shared, "p90"), 0.5)
}

func TestALargerPoolCarriesAnswersThatStall(t *testing.T) {
	small := stockVerdict(t, "connection-leak", asItIs)
	require.Greater(t, small.Failed["queue_timeout"], 1000)
	require.Greater(t, says(t, small, "first failed request: queue_timeout"), 20.0, "it runs well until the last one is taken")
	large := stockVerdict(t, "connection-leak", func(sc *Scenario) { sc.Settings.Upstreams[0].Pool.MaxConnections = 50 })
	require.Zero(t, large.Failed["queue_timeout"])
	require.Less(t, total(large.Failed), large.Requests/50, "those whose own answer stalls")
	quick := stockVerdict(t, "connection-leak", func(sc *Scenario) {
		sc.Settings.Upstreams[0].StreamIdleTimeout = 10 * time.Second
	})
	require.Zero(t, quick.Failed["queue_timeout"])
	impatient := stockVerdict(t, "connection-leak", func(sc *Scenario) { sc.Clients[0].Timeout = 2 * time.Second })
	require.Zero(t, impatient.Failed["queue_timeout"], "the proxy notices that they have left")
	require.Greater(t, impatient.Failed[FailTimeout], 100)
}

// The failure outlasts the fault without a budget, and ends with it.
func TestABudgetOfRetriesEndsTheStormThatTheFaultBegan(t *testing.T) {
	lastSeconds := func(v *Verdict) (answered int) {
		for _, n := range v.Series.Answered[50:60] {
			answered += n
		}
		return answered
	}
	without, with := stockVerdict(t, "retry-storm-without-budget", asItIs), stockVerdict(t, "retry-storm-with-budget", asItIs)
	require.Less(t, lastSeconds(without), 240, "half a minute after the fault hardly anybody is answered")
	require.Greater(t, lastSeconds(with), 2200, "all are")
	require.Greater(t, figure(without, "client_retries"), 20*figure(with, "client_retries"))
	again := stockVerdict(t, "retry-storm-without-budget", func(sc *Scenario) { sc.Clients[0].RetryBudget = 0.1 })
	require.Equal(t, with.TraceHash, again.TraceHash, "there is no other difference")
}

func TestColdCachesAreWhatMakesTheRestartsSlow(t *testing.T) {
	cold := stockVerdict(t, "cold-caches", asItIs)
	warm := stockVerdict(t, "cold-caches", func(sc *Scenario) {
		for i := range sc.Backends {
			sc.Backends[i].Cold = Cold{}
		}
	})
	require.Greater(t, figure(cold, "p99"), 5*figure(warm, "p99"))
	fewest := stockVerdict(t, "cold-caches", func(sc *Scenario) { sc.Settings.Upstreams[0].Strategy = config.StrategyLeastConnections })
	require.Less(t, figure(fewest, "p90"), 0.7*figure(cold, "p90"))
	require.Greater(t, figure(fewest, "p99"), 5*figure(warm, "p99"))
}

func TestABackendThatFailsNowAndThenIsFoundByComparison(t *testing.T) {
	with := stockVerdict(t, "uneven-errors", asItIs)
	without := stockVerdict(t, "uneven-errors", func(sc *Scenario) { sc.Settings.Upstreams[0].Health.Passive.Outliers = nil })
	t.Logf("failed %v with, %v without", figure(with, "failed"), figure(without, "failed"))
	require.Less(t, 3*figure(with, "failed"), figure(without, "failed"))
}

func TestABreakerBySlowAnswersKeepsRequestsFromASlowBackend(t *testing.T) {
	with := stockVerdict(t, "circuit-breaker", asItIs)
	without := stockVerdict(t, "circuit-breaker", func(sc *Scenario) { sc.Settings.Upstreams[0].Health.Breaker = nil })
	t.Logf("p90 %v with, %v without; p99 %v, %v", figure(with, "p90"), figure(without, "p90"), figure(with, "p99"), figure(without, "p99"))
	require.Less(t, figure(with, "p90"), 0.05)
	require.Greater(t, figure(without, "p90"), 0.4)
}

// The worst of it in cold-caches is the beginning, when all are cold; what a slow start is for is what comes after.
func TestASlowStartSparesColdBackendsAndThoseWhoWaitForThem(t *testing.T) {
	quick := func(limit string, strategy string, start time.Duration) bool {
		v := stockVerdict(t, "cold-caches", func(sc *Scenario) {
			sc.Settings.Upstreams[0].Strategy, sc.Settings.Upstreams[0].SlowStart = strategy, start
			after, err := ParseExpectation("p99 <= " + limit + " from 20s")
			require.NoError(t, err)
			sc.Expect = []Expectation{after}
		})
		return v.Expectations[0].OK
	}
	require.False(t, quick("240ms", config.StrategyRoundRobin, 0))
	require.True(t, quick("160ms", config.StrategyRoundRobin, 20*time.Second))
	require.False(t, quick("120ms", config.StrategyLeastConnections, 0))
	require.True(t, quick("90ms", config.StrategyLeastConnections, 20*time.Second))
	require.True(t, quick("80ms", config.StrategyPeakEWMA, 0), "it notices by itself")
}

// What half-fleet-in-another-zone pays for the distance, and with the cut, is not paid by a proxy that knows its zone.
func TestAProxyThatKnowsItsZoneHardlyNoticesTheOther(t *testing.T) {
	const name = "half-fleet-in-another-zone"
	both := stockVerdict(t, name, asItIs)
	own := stockVerdict(t, name, func(sc *Scenario) {
		sc.Settings.Zone = "here"
		backends := sc.Settings.Upstreams[0].Backends
		backends[0].Zone, backends[1].Zone, backends[2].Zone, backends[3].Zone = "here", "here", "there", "there"
	})
	require.Greater(t, figure(both, "p90"), 0.030)
	require.Less(t, figure(own, "p90"), 0.020)
	require.Positive(t, figure(both, "retries"))
	require.Zero(t, figure(own, "retries"), "nobody is there when it is cut off")
}

// Goodput is what is answered; without a target the answers come late, and most of them to nobody.
func TestAQueueThatStandsAnswersAsManyInAFractionOfTheTime(t *testing.T) {
	const name = "standing-queue"
	with := stockVerdict(t, name, asItIs)
	without := stockVerdict(t, name, func(sc *Scenario) { sc.Settings.Upstreams[0].Queue.Target = 0 })
	equal := stockVerdict(t, name, func(sc *Scenario) { sc.Settings.Listeners[0].Routes[0].Priority = config.PriorityNormal })
	for _, v := range []*Verdict{with, without, equal} {
		t.Logf("%d requests, %d answered, p50 %.0f ms, p99 %.0f ms, failed %v, buyers %s", v.Requests, v.Answered, 1000*figure(v, "p50"), 1000*figure(v, "p99"), v.Failed, v.Expectations[0].Value)
	}
	require.Greater(t, with.Answered, without.Answered)
	require.Less(t, figure(with, "p99"), 0.3)
	require.Greater(t, figure(without, "p99"), 2.0)
	require.True(t, with.Expectations[0].OK)
	require.False(t, equal.Expectations[0].OK)
}

func TestALimitThatIsLearnedKeepsTheQueueOutOfTheBackend(t *testing.T) {
	const name = "adaptive-concurrency"
	with := stockVerdict(t, name, asItIs)
	without := stockVerdict(t, name, func(sc *Scenario) { sc.Settings.Upstreams[0].Concurrency = nil })
	known := stockVerdict(t, name, func(sc *Scenario) {
		sc.Settings.Upstreams[0].Concurrency, sc.Settings.Upstreams[0].Pool.MaxConnections = nil, 20
	})
	for _, v := range []*Verdict{with, without, known} {
		t.Logf("%d requests, %d answered, p50 %.0f ms, p99 %.0f ms", v.Requests, v.Answered, 1000*figure(v, "p50"), 1000*figure(v, "p99"))
	}
	require.Less(t, figure(with, "p99"), figure(without, "p99")/3)
	require.Less(t, figure(with, "p99"), 1.5*figure(known, "p99"), "nearly as good as if the number had been known")
	require.Greater(t, with.Answered, known.Answered*9/10)
}
