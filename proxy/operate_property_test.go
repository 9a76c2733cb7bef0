package proxy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// simOp is one drawn operation. What does not apply when its time comes is left out.
type simOp struct {
	kind   string
	n      int // which backend, and which weight
	before time.Duration
}

var opKinds = []string{"add", "remove", "drain", "drain", "undrain", "weigh", "reload", "route"}

func drawOps(t *rapid.T) []simOp {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) simOp {
		return simOp{
			kind:   rapid.SampledFrom(opKinds).Draw(t, "kind"),
			n:      rapid.IntRange(0, 9).Draw(t, "n"),
			before: time.Duration(rapid.IntRange(0, 400).Draw(t, "beforeMs")) * time.Millisecond,
		}
	}), 1, 12).Draw(t, "operations")
}

// operator carries operations out, and knows which backends are there and which of them are drained.
type operator struct {
	w       *simWorld
	t       require.TestingT
	all     []string // the addresses of the simulated backends for the group web
	other   string   // the one for a group that comes and goes
	members []string
	drained map[string]int // what the backend may have served at most when it is let in again
}

func (o *operator) run(ops []simOp) {
	for _, op := range ops {
		o.w.clk.Sleep(op.before)
		o.do(op)
	}
	for i := range o.all {
		o.stillDrained(i)
	}
}

// open counts the members that are not drained: one must be left, or requests would rightly fail.
func (o *operator) open() (n int) {
	for _, a := range o.members {
		if _, drained := o.drained[a]; !drained {
			n++
		}
	}
	return n
}

// spare says whether the group can do without a backend.
func (o *operator) spare(address string) bool {
	_, drained := o.drained[address]
	return drained || o.open() > 1
}

func (o *operator) do(op simOp) {
	i := op.n % len(o.all)
	address, s := o.all[i], o.w.server
	member := slices.Contains(o.members, address)
	switch {
	case op.kind == "reload":
		o.reload(op)
	case op.kind == "route":
		o.route(op)
	case op.kind == "add" && !member:
		require.NoError(o.t, s.AddBackend("web", config.Backend{Address: address, Weight: op.n}))
		o.members = append(o.members, address)
	case !member:
	case op.kind == "remove" && len(o.members) > 1 && o.spare(address):
		o.stillDrained(i)
		require.NoError(o.t, s.RemoveBackend("web", address))
		o.members = slices.DeleteFunc(o.members, func(a string) bool { return a == address })
		delete(o.drained, address)
	case op.kind == "weigh":
		require.NoError(o.t, s.SetWeight("web", address, op.n+1))
	case op.kind == "undrain":
		o.stillDrained(i)
		require.NoError(o.t, s.UndrainBackend("web", address))
		delete(o.drained, address)
	case op.kind == "drain" && o.spare(address):
		o.stillDrained(i)
		require.NoError(o.t, s.DrainBackend("web", address))
		o.drained[address] = o.servedBy(i) + o.inFlight(address)
	}
}

// stillDrained holds that a drained backend got nothing beyond what it had when the drain's call returned.
func (o *operator) stillDrained(i int) {
	if most, drained := o.drained[o.all[i]]; drained {
		require.LessOrEqual(o.t, o.servedBy(i), most, "%s is drained", o.all[i])
	}
}

func (o *operator) servedBy(i int) (n int) {
	b := o.w.backends[i]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.seen {
		n += k
	}
	return n
}

func (o *operator) inFlight(address string) (n int) {
	for _, u := range o.w.server.Stats().Upstreams {
		for _, b := range u.Backends {
			if b.Address == address {
				n += b.InFlight
			}
		}
	}
	return n
}

// reload changes the members and about every kind of setting.
func (o *operator) reload(op simOp) {
	next := *o.w.server.Settings()
	next.Upstreams = slices.Clone(next.Upstreams)
	u := next.UpstreamNamed("web")
	u.Strategy = config.Strategies()[op.n%len(config.Strategies())]
	u.Pool.MaxConnections, u.Pool.MinIdle = op.n%5+1, op.n%2
	u.Pool.IdleTimeout = time.Duration(op.n+1) * 200 * time.Millisecond
	u.Health.Active = &config.Active{Interval: time.Duration(op.n/2+1) * 300 * time.Millisecond, Timeout: 200 * time.Millisecond}
	u.Health.Breaker, u.Health.Passive.Outliers = nil, nil
	if op.n%3 == 1 {
		judge(u)
		u.Health.Active.SlowInterval = 0 // it may be less than twice the interval
	}
	u.Retry.Attempts, u.Queue.MaxWaitingPerBackend = op.n%3+1, op.n%4+config.Off
	members := []string{o.all[op.n%len(o.all)], o.all[(op.n+op.n/3)%len(o.all)]}
	for _, a := range o.members { // one that is open stays, to be sure
		if _, drained := o.drained[a]; !drained {
			members = append(members, a)
			break
		}
	}
	u.Backends, o.members = nil, nil
	for _, a := range members {
		if !slices.Contains(o.members, a) {
			o.members = append(o.members, a)
			u.Backends = append(u.Backends, config.Backend{Address: a, Weight: op.n/4 + 1})
		}
	}
	for i, a := range o.all {
		if o.stillDrained(i); !slices.Contains(o.members, a) {
			delete(o.drained, a)
		}
	}
	_, err := o.w.server.Reload(&next)
	require.NoError(o.t, err)
}

// route gives a part of the requests to a group of its own, or takes it back.
func (o *operator) route(op simOp) {
	next := *o.w.server.Settings()
	next.Upstreams = slices.DeleteFunc(slices.Clone(next.Upstreams), func(u config.Upstream) bool { return u.Name != "web" })
	next.Listeners = slices.Clone(next.Listeners)
	next.Listeners[0].Routes = []config.Route{{Upstream: "web"}}
	if op.n%2 == 0 {
		other := config.DefaultUpstream("other", o.other)
		other.Pool.MaxConnections = 1 // so that requests wait there
		next.Upstreams = append(next.Upstreams, other)
		for i := range 48 {
			prefix := fmt.Sprintf("/path/c%d-%d", i%8, i/8*2+i%2)
			match := config.Route{Match: config.Match{PathPrefix: prefix}, Upstream: "other"}
			next.Listeners[0].Routes = slices.Insert(next.Listeners[0].Routes, 0, match)
		}
	}
	_, err := o.w.server.Reload(&next)
	require.NoError(o.t, err)
}

// operated runs the plan with operations, for which there are three more backends.
func (p *simPlan) operated(t require.TestingT, ops []simOp, cfg netsim.Config) ([][]simAnswer, *netsim.Trace) {
	members := p.backends
	all := *p
	all.backends += 3
	all.withOps = func(w *simWorld) {
		o := &operator{w: w, t: collector{w}, drained: map[string]int{}}
		for i := range all.backends {
			o.all = append(o.all, backendAddr(i)+":80")
		}
		o.all, o.other = o.all[:all.backends-1], o.all[all.backends-1]
		o.members = slices.Clone(o.all[:members])
		o.run(ops)
	}
	all.members = members
	return all.run(t, cfg)
}

func TestNoRequestFailsBecauseOfAnOperation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, ops := drawPlan(t, false), drawOps(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			answers, _ := p.operated(t, ops, netsim.Config{})
			require.Equal(t, len(p.work)*len(p.work[0]), p.judge(t, answers))
		})
	})
}

func TestTheAccountsBalanceUnderRandomOperationsAndRandomFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, ops := drawPlan(t, true), drawOps(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			answers, _ := p.operated(t, ops, netsim.Config{})
			p.judge(t, answers)
		})
	})
}

func TestAnyRunWithOperationsRepeatsItsTraceExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, ops := drawPlan(t, true), drawOps(t)
		var traces [2]*netsim.Trace
		for i := range traces {
			rapid.SyncTest(t, func(t *rapid.T) {
				_, traces[i] = p.operated(t, ops, netsim.Config{KeepTrace: true})
			})
		}
		if traces[0].Hash != traces[1].Hash {
			t.Fatalf("the second run took another way: %s", netsim.Diff(traces[0], traces[1]))
		}
	})
}
