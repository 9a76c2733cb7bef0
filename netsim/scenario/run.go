package scenario

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// run is one execution of a scenario inside a bubble.
type run struct {
	sc      *Scenario
	sim     *netsim.Sim
	clk     clock.Clock
	servers []*server
	clients []*generator
	papers  *papers // nil: nobody speaks TLS
	server  *proxy.Server

	work sync.WaitGroup  // the fault driver, the operator and the checker of laws
	stop []func()        // ends a fault, by index; used by the driver and, when that has ended, by Run
	down map[string]int  // how many faults keep a machine down; the driver's own
	slow []time.Duration // what the faults that last make a lookup take; the driver's own

	mu       sync.Mutex // never held over a wait
	out      outcome
	rec      *recording
	marks    marks
	timeline []Moment
	told     map[string]bool // what the timeline has once already
	served   []bool          // which servers have answered since the last fault ended
	waitFor  int             // how many have not
	since    time.Duration   // when the last fault ends; -1: none does

	places map[string]int32 // of the clients, by name; never changed
}

// ExecuteIn executes the scenario in sim, which belongs to a bubble and is fresh, and closes it: for those who make the
// bubble themselves. It returns when every goroutine of the run has ended. The verdict lacks the wall-clock time.
func ExecuteIn(sim *netsim.Sim, sc *Scenario) *Verdict {
	r := newRun(sim, sc)
	r.setUp()
	if err := r.startProxy(); err != nil {
		return r.cannotStart(err)
	}
	r.load()
	r.clk.Sleep(0)
	drained := r.drain()
	r.tearDown()
	r.sim.Close()
	return r.verdict(drained)
}

func newRun(sim *netsim.Sim, given *Scenario) *run {
	sc := new(*given) // the drawn faults are the run's and not the scenario's
	sc.Faults = append(slices.Clone(given.Faults), given.drawn(sim.Seed())...)
	r := &run{sc: sc, sim: sim, clk: sim.Clock(), told: make(map[string]bool), down: make(map[string]int), since: -1}
	r.out.failed = make(map[string]int)
	r.rec = newRecording(sc.Duration)
	r.out.failover, r.out.recovery = math.NaN(), math.NaN()
	r.out.spans = []span{{0, sc.Duration}}
	r.marks.edges = edgesOf(sc)
	r.places = make(map[string]int32)
	for i := range sc.Clients {
		r.places[sc.Clients[i].Name] = int32(i)
	}
	return r
}

// setUp makes the links, the machines and the servers.
func (r *run) setUp() {
	d := r.sc.Network.Default
	r.sim.SetLink("*", "*", netsim.Link{Latency: d.Latency, Jitter: d.Jitter, Loss: d.Loss})
	r.sim.Host(ProxyName, ProxyAddr)
	r.papers = newPapers(r.sc, r.sim)
	for i := range r.sc.Backends {
		s := newServer(r.sim, &r.sc.Backends[i], r.answeredBy)
		s.papers, s.http2 = r.papers, r.sc.speaksHTTP2(&r.sc.Backends[i])
		r.servers = append(r.servers, s)
		if err := s.start(); err != nil {
			r.trouble(err)
		}
	}
	for i := range r.sc.Network.Links {
		l := &r.sc.Network.Links[i]
		r.sim.SetLink(l.Between[0], l.Between[1], netsim.Link{Latency: l.Latency, Jitter: l.Jitter, Loss: l.Loss})
	}
	for i := range r.sc.DNS {
		r.sim.SetDNS(r.sc.DNS[i].Name, r.sc.DNS[i].Addresses...)
	}
	r.served = make([]bool, len(r.servers))
	if len(r.sc.Faults) == 0 && r.sc.Random != nil {
		r.out.recovery = 0 // none was drawn, so there is nothing to recover from
	}
	if last, ends := lastEnd(r.sc.Faults); ends {
		r.since = last
		r.out.recovery = math.Inf(1)
		asked := r.sc.asked()
		for i, s := range r.servers {
			// Nobody waits for one that is never asked, or not any more.
			if r.served[i] = !asked[s.cfg.Address] || !r.sc.stays(s.cfg.Address); !r.served[i] {
				r.waitFor++
			}
		}
	}
	r.stop = make([]func(), len(r.sc.Faults))
}

// simulated are the settings as the simulated machine can have them: it has one address, where the file has that of a real
// machine, and nobody who would look at the operators' page.
func simulated(c *config.Config) *config.Config {
	settings := *c
	settings.Listeners = slices.Clone(settings.Listeners)
	settings.Admin = config.Admin{}
	for i := range settings.Listeners {
		l := &settings.Listeners[i]
		if _, port, err := net.SplitHostPort(l.Address); err == nil {
			l.Address = ":" + port
		}
	}
	return &settings
}

// noLog is an access log that nobody keeps: a simulation writes no file of the machine that it runs on.
type noLog struct{ io.Writer }

// Close implements io.Closer.
func (noLog) Close() error { return nil }

// startProxy makes the proxy, the very one of production, and its clients.
func (r *run) startProxy() error {
	host := r.sim.Host(ProxyName, ProxyAddr)
	var err error
	r.server, err = proxy.New(proxy.Config{
		Settings: simulated(r.sc.Settings), Dialer: dialer{host, r.sc.overHTTP2()}, Listen: host.Listen, Clock: r.clk,
		Rand: r.sim.Rand, Observer: r.observe,
		ReadFile: r.sc.reader(r.papers),
		OpenLog:  func(string) (io.WriteCloser, error) { return noLog{io.Discard}, nil },
	})
	if err != nil {
		return err
	}
	if err := r.server.Start(context.Background()); err != nil {
		r.server.Close()
		return err
	}
	for i := range r.sc.Clients {
		c := &r.sc.Clients[i]
		to := max(0, slices.Index(r.sc.listeners(), c.To))
		_, port, err := net.SplitHostPort(r.server.Addrs()[to].String())
		if err != nil {
			return err
		}
		g := newGenerator(r, c, net.JoinHostPort(ProxyName, port))
		g.tls = r.sc.Settings.Listeners[to].TLS != nil
		r.clients = append(r.clients, g)
	}
	return nil
}

// load has the clients send for the scenario's duration, while the faults come and go, and waits for the last
// answer.
func (r *run) load() {
	r.work.Add(2)
	r.clk.AfterFunc(0, func() {
		defer r.work.Done()
		r.drive()
	})
	r.clk.AfterFunc(0, func() {
		defer r.work.Done()
		r.watchLaws()
	})
	if len(r.sc.Operations) > 0 {
		r.work.Add(1)
		r.clk.AfterFunc(0, func() {
			defer r.work.Done()
			r.operate()
		})
	}
	for _, g := range r.clients {
		g.start()
	}
	r.work.Add(1)
	r.clk.AfterFunc(0, func() {
		defer r.work.Done()
		r.watchPools()
	})
	r.clk.Sleep(r.sc.Duration - r.sim.Elapsed())
	for _, g := range r.clients {
		g.work.Wait()
		r.clk.Sleep(0)
	}
	r.work.Wait()
}

// drain stops the proxy without losing a request, and then the clients' connections. It returns when that was.
func (r *run) drain() time.Duration {
	if err := r.server.Drain(context.Background()); err != nil {
		r.moment("%v", err)
	}
	at := r.sim.Elapsed()
	for _, g := range r.clients {
		g.close()
	}
	return at
}

// settle bounds the time that the last FINs may take after the drain, in virtual time: they may have been lost,
// and are sent again every two minutes at the latest.
const settle = 5 * time.Minute

// tearDown ends the faults that last, waits for the backends to see the ends of their connections, counts what is
// left, and ends the backends.
func (r *run) tearDown() {
	for i, stop := range r.stop {
		if f := &r.sc.Faults[i]; stop != nil && f.Kind != Crash && f.Kind != Kill {
			stop()
		}
	}
	for began := r.sim.Elapsed(); r.openAtBackends() > 0 && r.sim.Elapsed()-began < settle; {
		r.clk.Sleep(time.Second)
	}
	st := r.server.Stats()
	r.checkLaws(&st, true)
	r.mu.Lock()
	r.out.leaks = held(&st) + r.openAtBackends()
	r.out.tally = tallyOf(&st)
	r.mu.Unlock()
	r.endBackends()
}

func (r *run) openAtBackends() int {
	n := 0
	for _, s := range r.servers {
		n += s.opened()
	}
	return n
}

// endBackends ends the servers and waits for them.
func (r *run) endBackends() {
	for _, s := range r.servers {
		s.host.Kill()
		r.clk.Sleep(0)
	}
	for _, s := range r.servers {
		s.work.Wait()
		r.clk.Sleep(0)
	}
}

// cannotStart is the end of a run whose proxy could not be started.
func (r *run) cannotStart(err error) *Verdict {
	r.endBackends()
	r.sim.Close()
	v := r.verdict(r.sim.Elapsed())
	v.broken("the proxy starts", err)
	return v
}

// watchLaws looks at the conservation laws once in every second, at an instant at which nothing else happens.
func (r *run) watchLaws() {
	for r.sim.Elapsed()+time.Second <= r.sc.Duration {
		r.clk.Sleep(time.Second)
		st := r.server.Stats()
		r.checkLaws(&st, false)
		r.mu.Lock()
		r.rec.looked(r.sim.Elapsed(), &st)
		r.marks.look(r.sim.Elapsed(), &st)
		r.mu.Unlock()
	}
}

// watchPools looks at the pools at random instants, since a load with a rhythm of its own would hide between the beats of
// another one.
func (r *run) watchPools() {
	rnd := r.sim.Rand("looks")
	mean := max(minLook, r.sc.Duration/maxLooks)
	for {
		wait := time.Duration(rnd.Int64N(int64(2 * mean)))
		if r.sim.Elapsed()+wait >= r.sc.Duration {
			return
		}
		r.clk.Sleep(wait)
		st := r.server.Stats()
		r.mu.Lock()
		r.out.looks = append(r.out.looks, sampleOf(r.sim.Elapsed(), &st))
		r.mu.Unlock()
	}
}

// lookAtEdge keeps the proxy's counters for the windows that begin or end now.
func (r *run) lookAtEdge() {
	if len(r.marks.edges) == 0 {
		return
	}
	st := r.server.Stats()
	r.mu.Lock()
	r.marks.look(r.sim.Elapsed(), &st)
	r.mu.Unlock()
}

// checkLaws counts each law that is broken once.
func (r *run) checkLaws(st *proxy.Stats, end bool) {
	for _, l := range brokenLaws(st, end) {
		if r.once("law " + l.what) {
			r.mu.Lock()
			r.out.broken++
			r.mu.Unlock()
			r.moment("broken: %s (%s)", l.what, l.numbers)
		}
	}
}

// observe is told every event of the proxy's rooms.
func (r *run) observe(e upstream.Event) {
	detail := e.Reason
	if e.Detail != "" {
		detail += " " + e.Detail
	}
	r.sim.Note(e.Entity, e.Kind, detail)
	switch e.Kind {
	case upstream.KindUp, upstream.KindDown:
		text := e.Entity + " " + e.Kind + ": " + e.Reason
		if e.Detail != "" {
			text += " (" + e.Detail + ")"
		}
		r.moment("%s", text)
	case upstream.KindGone:
		r.moment("%s is gone", e.Entity)
	case upstream.KindAttemptFailed, upstream.KindDialFailed:
		if r.once(e.Kind + " " + e.Entity + " " + e.Reason) {
			r.moment("first %s at %s: %s", e.Kind, e.Entity, e.Reason)
		}
	}
}

// ended takes in the end of a client's request.
func (r *run) ended(client string, n int, took time.Duration, failure string, retries int) {
	now := r.sim.Elapsed()
	r.mu.Lock()
	o := &r.out
	o.requests++
	o.clientRetries += retries
	if failure == "" {
		o.answered++
		o.latencies = append(o.latencies, took)
	} else {
		o.failed[failure]++
		o.failures = append(o.failures, failedRequest{now - took, now})
	}
	o.all = append(o.all, request{now - took, took, r.places[client], failure, int32(retries)})
	r.rec.ended(now, took, failure)
	r.mu.Unlock()
	if failure != "" && r.once("failure "+failure) {
		r.moment("first failed request: %s (%s, number %s)", failure, client, strconv.Itoa(n))
	}
}

// answeredBy is told that a backend has answered a request well.
func (r *run) answeredBy(s *server) {
	now := r.sim.Elapsed()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waitFor == 0 || r.since < 0 || now < r.since {
		return
	}
	i := slices.Index(r.servers, s)
	if r.served[i] {
		return
	}
	r.served[i] = true
	if r.waitFor--; r.waitFor == 0 {
		r.out.recovery = (now - r.since).Seconds()
	}
}

// once says whether it is asked for the first time.
func (r *run) once(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told[what] {
		return false
	}
	r.told[what] = true
	return true
}

// maxMoments bounds the timeline.
const maxMoments = 500

// moment adds a line to the timeline.
func (r *run) moment(format string, args ...any) {
	at := r.sim.Elapsed()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.timeline) < maxMoments {
		r.timeline = append(r.timeline, Moment{At: inSeconds(at), Text: fmt.Sprintf(format, args...)})
	}
}

// trouble is told what a scenario cannot do to its world; it makes the verdict fail.
func (r *run) trouble(err error) {
	r.mu.Lock()
	r.out.broken++
	r.mu.Unlock()
	r.moment("broken: %v", err)
}
