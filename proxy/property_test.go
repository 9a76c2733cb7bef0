package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// simFault is one drawn fault.
type simFault struct {
	kind      string
	backend   int
	at, while time.Duration
}

var faultKinds = []string{
	"crash", "kill", "silent_drop", "partition", "reset", "refuse", "slow", "idle_forget", "idle_reset", "client_reset",
	"close_keepalive",
}

// simPlan is a whole run, drawn before it begins.
type simPlan struct {
	seed     uint64
	strategy string
	backends int
	maxConns int
	minIdle  int
	shards   int
	loss     float64
	service  time.Duration
	faults   []simFault
	work     [][]simRequest

	judged  bool            // breakers, outliers and panic are on
	perTry  time.Duration   // of each attempt but the last
	sticky  bool            // clients keep to their backends; not with operations, since a drain keeps sessions
	share   int             // how many may wait for one backend
	members int             // how many backends are there at first; 0: all
	withOps func(*simWorld) // what is done meanwhile
}

func drawPlan(t *rapid.T, faults bool) simPlan {
	p := simPlan{
		seed:     rapid.Uint64().Draw(t, "seed"),
		strategy: rapid.SampledFrom(config.Strategies()).Draw(t, "strategy"),
		backends: rapid.IntRange(1, 3).Draw(t, "backends"),
		maxConns: rapid.IntRange(1, 6).Draw(t, "maxConnections"),
		shards:   rapid.IntRange(1, 4).Draw(t, "shards"),
		service:  time.Duration(rapid.IntRange(0, 20).Draw(t, "serviceMs")) * time.Millisecond,
		work:     drawWork(t),
	}
	p.perTry = rapid.SampledFrom([]time.Duration{config.Adaptive, config.Off, 5 * time.Millisecond, 300 * time.Millisecond}).Draw(t, "perTry")
	p.minIdle = rapid.IntRange(0, min(2, p.maxConns)).Draw(t, "minIdle")
	if !faults {
		return p
	}
	p.judged, p.sticky = rapid.Bool().Draw(t, "judged"), rapid.Bool().Draw(t, "sticky")
	p.share = rapid.SampledFrom([]int{config.Fair, config.Off, 1, 2}).Draw(t, "share")
	p.loss = float64(rapid.IntRange(0, 3).Draw(t, "lossPercent")) / 100
	p.faults = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) simFault {
		return simFault{
			kind:    rapid.SampledFrom(faultKinds).Draw(t, "kind"),
			backend: rapid.IntRange(0, p.backends-1).Draw(t, "backend"),
			at:      time.Duration(rapid.IntRange(0, 3000).Draw(t, "atMs")) * time.Millisecond,
			while:   time.Duration(rapid.IntRange(1, 4000).Draw(t, "forMs")) * time.Millisecond,
		}
	}), 0, 5).Draw(t, "faults")
	return p
}

func drawWork(t *rapid.T) [][]simRequest {
	clients := rapid.IntRange(1, 8).Draw(t, "clients")
	each := rapid.IntRange(1, 12).Draw(t, "requests")
	pause := rapid.IntRange(0, 300).Draw(t, "pauseMs")
	size := rapid.SampledFrom([]int{0, 100, 5000, 40000}).Draw(t, "bodyBytes")
	var work [][]simRequest
	for c := range clients {
		var list []simRequest
		for k := range each {
			r := simRequest{method: "GET", nonce: fmt.Sprintf("c%d-%d", c, k), pause: time.Duration(pause) * time.Millisecond}
			switch (c + k) % 4 {
			case 1:
				r.method, r.body = "POST", size
			case 2:
				r.method, r.body = "PUT", size/2
			}
			list = append(list, r)
		}
		work = append(work, list)
	}
	return work
}

func (p *simPlan) tune(c *config.Config) {
	u := &c.Upstreams[0]
	u.Strategy = p.strategy
	u.Pool.MaxConnections, u.Pool.MinIdle = p.maxConns, p.minIdle
	u.Pool.IdleTimeout = 2 * time.Second
	u.ResponseTimeout, u.Retry.PerTryTimeout = 3*time.Second, p.perTry
	u.Retry.On, u.Retry.Attempts = config.RetryConditions(), 3
	if p.withOps != nil { // who counts what a drained backend serves must know that nobody has given it up before
		u.Retry.On = []string{"connect_failure", "reset"}
	}
	u.Health.Active = &config.Active{Interval: 500 * time.Millisecond, Timeout: 200 * time.Millisecond}
	if p.judged {
		judge(u)
	}
	u.Queue.MaxWaitingPerBackend = p.share
	if p.sticky && p.withOps == nil {
		u.Sticky = &config.Sticky{Cookie: "sid", SecretFiles: []string{"secret"}}
	}
	c.Listeners[0].Workers = p.shards
	c.DrainTimeout = 5 * time.Second
	if p.members > 0 {
		u.Backends = u.Backends[:p.members]
	}
}

// judge switches everything on by which health may take a backend out or let it in.
func judge(u *config.Upstream) {
	u.Health.PanicThreshold, u.Health.OnNoBackend = 40, config.NoBackendFailOpen
	u.Health.Breaker = &config.Breaker{ErrorPercent: 30, SlowPercent: 50, SlowAfter: 50 * time.Millisecond, Window: time.Second,
		MinRequests: 3, OpenTime: 300 * time.Millisecond, Probes: 2}
	u.Health.Passive.EjectionJitterPercent = 50
	u.Health.Passive.Outliers = &config.Outliers{SuccessRate: 1, Latency: 1.5, Interval: 400 * time.Millisecond, MinBackends: 3, MinRequests: 3}
	u.Health.Active.FastInterval, u.Health.Active.DownInterval = 100*time.Millisecond, 700*time.Millisecond
	u.Health.Active.SlowInterval, u.Health.Active.MaxConcurrent = time.Second, 1
}

// run carries the plan out in the present bubble and returns what the clients saw and the trace's hash.
func (p *simPlan) run(t require.TestingT, cfg netsim.Config) ([][]simAnswer, *netsim.Trace) {
	cfg.Seed, cfg.Latency, cfg.Jitter = p.seed, 500*time.Microsecond, 200*time.Microsecond
	sim := netsim.New(cfg)
	defer sim.Close()
	if p.loss > 0 {
		sim.SetLink("*", "*", netsim.Link{Latency: cfg.Latency, Jitter: cfg.Jitter, Loss: p.loss})
	}
	w := newSimWorld(t, sim, p.backends, p.tune)
	for _, b := range w.backends {
		b.service = p.service
	}
	var ending []chan struct{}
	for _, f := range p.faults {
		done := make(chan struct{})
		ending = append(ending, done)
		w.clk.AfterFunc(f.at, func() {
			defer close(done)
			w.inject(f)
		})
	}
	if p.withOps != nil {
		done := make(chan struct{})
		ending = append(ending, done)
		w.clk.AfterFunc(0, func() {
			defer close(done)
			p.withOps(w)
		})
	}
	stopLaws := w.watchLaws()
	answers := w.runClients(10*time.Second, p.work)
	for _, done := range ending {
		<-done
	}
	stopLaws()
	w.stop()
	return answers, sim.Trace()
}

// watchLaws checks the laws every 50 ms of virtual time until the function it returns is called.
func (w *simWorld) watchLaws() (stop func()) {
	quit, gone := make(chan struct{}), make(chan struct{})
	w.clk.AfterFunc(0, func() {
		defer close(gone)
		for {
			select {
			case <-quit:
				return
			case <-w.clk.After(50 * time.Millisecond):
				w.laws(collector{w})
			}
		}
	})
	return func() {
		close(quit)
		<-gone
	}
}

// inject carries one fault out, and returns when it is over.
func (w *simWorld) inject(f simFault) {
	b := w.backends[f.backend]
	addr := backendAddr(f.backend)
	var fault *netsim.Fault
	switch f.kind {
	case "crash", "kill":
		w.outage(b, f)
		return
	case "reset":
		w.sim.ResetConns("proxy", addr)
		return
	case "client_reset":
		w.sim.ResetConns("client", "proxy")
		return
	case "close_keepalive":
		b.mu.Lock()
		b.closeAfter = 1 + f.backend
		b.mu.Unlock()
		return
	case "silent_drop":
		fault = w.sim.SilentDrop("proxy", addr)
	case "partition":
		fault = w.sim.Partition("proxy", addr)
	case "refuse":
		fault = w.sim.Refuse(addr, 80)
	case "slow":
		fault = w.sim.SlowLink("proxy", addr, netsim.Link{Latency: 50 * time.Millisecond})
	case "idle_forget", "idle_reset":
		fault = w.sim.IdleForget("proxy", addr, 100*time.Millisecond, f.kind == "idle_reset")
	}
	w.clk.Sleep(f.while)
	fault.Stop()
}

// outage takes a backend down and brings it back, unless it is down already.
func (w *simWorld) outage(b *simBackend, f simFault) {
	b.mu.Lock()
	again := b.out
	b.out = true
	b.mu.Unlock()
	if again {
		return
	}
	if f.kind == "crash" {
		b.host.Crash()
	} else {
		b.host.Kill()
	}
	w.clk.Sleep(f.while)
	b.host.Restart()
	b.start()
	b.mu.Lock()
	b.out = false
	b.mu.Unlock()
}

// judge checks every answer against the request it belongs to.
func (p *simPlan) judge(t require.TestingT, answers [][]simAnswer) (answered int) {
	for c, list := range answers {
		require.Len(t, list, len(p.work[c]))
		for k, a := range list {
			r := p.work[c][k]
			switch {
			case a.err != "":
			case a.status == 200:
				answered++
				require.Equal(t, r.nonce, a.nonce, "another request's answer")
				want := fmt.Sprintf("%s /path/%s %s got %d bytes;", r.method, r.nonce, r.nonce, r.bodyBytes())
				require.True(t, strings.HasPrefix(a.text, want), "%q does not begin with %q", a.text, want)
			default:
				require.Contains(t, []int{408, 502, 503, 504}, a.status, "%+v", a)
			}
		}
	}
	return answered
}

func TestEveryAnswerIsItsOwnRequestsAndTheAccountsBalanceUnderRandomFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, true)
		rapid.SyncTest(t, func(t *rapid.T) {
			answers, _ := p.run(t, netsim.Config{})
			p.judge(t, answers)
		})
	})
}

func TestTheSameWorkloadGetsTheSameAnswersWhateverTheStrategyPoolSizeAndShards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, false)
		q := drawPlan(t, false)
		q.work, q.service = p.work, p.service
		rapid.SyncTest(t, func(t *rapid.T) {
			first, _ := p.run(t, netsim.Config{})
			second, _ := q.run(t, netsim.Config{})
			total := len(p.work) * len(p.work[0])
			require.Equal(t, total, p.judge(t, first), "without faults everything is answered")
			require.Equal(t, first, second)
		})
	})
}

func TestAnyRunRepeatsItsTraceExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, true)
		var traces [2]*netsim.Trace
		for i := range traces {
			rapid.SyncTest(t, func(t *rapid.T) {
				_, traces[i] = p.run(t, netsim.Config{KeepTrace: true})
			})
		}
		if traces[0].Hash != traces[1].Hash {
			t.Fatalf("the second run took another way: %s", netsim.Diff(traces[0], traces[1]))
		}
	})
}
