package main

import (
	"cmp"
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wavepool/wavepool/pool"
)

const (
	// maxGrace is how long requests under way may still take once the run is over; those that take longer are cut off.
	maxGrace = time.Second
	// hopeless is how many clients' requests for a connection, all in vain, end the run: nothing is there to be loaded.
	hopeless = 10
)

// How a run ended.
const (
	endedRequests    = "requests"
	endedDuration    = "duration"
	endedSignal      = "signal"
	endedUnreachable = "unreachable"
)

// generator is one run.
type generator struct {
	o       *options
	plan    plan
	timeout time.Duration
	reuse   bool
	request []byte // the whole request
	method  []byte

	dialer *dialer
	pool   *pool.Pool

	ctx      context.Context // ends when the run is cut off
	cancel   context.CancelFunc
	stop     chan struct{} // closed when no more requests are to begin
	stopping atomic.Bool   // the same, for the clients' loop
	running  atomic.Int64  // clients at work
	inVain   atomic.Uint64 // requests for a connection that got none
	lost     chan struct{} // holds one when nothing can be reached
	clients  []*client
	records  []*recorder
	wg       sync.WaitGroup

	// Of the goroutine that calls run:
	start    time.Time
	phase    int      // the present one
	parts    []*tally // of every phase
	ended    string
	stopped  time.Time // when the clients were told to stop; zero: not yet
	isCut    bool
	progress *progress
}

// newGenerator prepares a run.
func newGenerator(o *options, d *dialer) (*generator, error) {
	g := &generator{o: o, plan: newPlan(o), timeout: o.timeout, reuse: o.reuse, request: o.target.request(o.reuse),
		method: []byte(o.target.method), dialer: d, stop: make(chan struct{}), lost: make(chan struct{}, 1)}
	n := g.plan.clients
	var err error
	// Each client is to dial when it lacks a connection, and to wait for that as long as its user said: what spares a
	// server, or its users, would change what is measured. A server that comes back is to be noticed at once.
	g.pool, err = pool.New(pool.Config{Address: o.target.authority, Dialer: d, MaxConnections: n, MaxWaiters: n,
		DialTimeout: o.timeout, MinDialTimeout: -1, MaxDials: n, Patience: -1, MaxLifetime: -1,
		RetryMin: connectPause, RetryMax: connectPause})
	if err != nil {
		return nil, err
	}
	for range min(n, maxRecorders) {
		g.records = append(g.records, newRecorder(o.timeout))
	}
	for range g.plan.phases {
		g.parts = append(g.parts, newTally(o.timeout))
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// connectFailed is told by clients that got no connection. A server that never gave one is not waited for. Requests are
// counted and not dials, because the pool dials a server that is down for one client only and turns the others away.
func (g *generator) connectFailed() {
	enough := uint64(min(hopeless, g.plan.clients))
	if g.inVain.Add(1) >= enough && g.dialer.made.Load() == 0 && g.dialer.failed.Load() > 0 {
		select {
		case g.lost <- struct{}{}:
		default:
		}
	}
}

// run carries the plan out and returns what came of it. When it returns, every goroutine has ended and every connection
// is closed.
func (g *generator) run(signals <-chan os.Signal, p *progress) *result {
	g.progress = p
	g.start = time.Now()
	p.begin(g.start)
	for i := range g.plan.clients {
		s := g.plan.span(i)
		c := &client{g: g, rec: g.records[i%len(g.records)]}
		if s.to > 0 {
			c.until = g.start.Add(s.to)
		}
		g.clients = append(g.clients, c)
	}
	for i, c := range g.clients {
		g.wg.Go(func() { g.live(c, g.plan.span(i).from) })
	}
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done) // the loop below reads it, and only then does run go on
	}()
	g.conduct(signals, done)
	g.collect()
	p.end()
	g.cancel()
	stats := g.pool.Stats() // before Close, whose own retirements are no part of the run
	g.pool.Close()
	return g.result(stats)
}

// live is one client from its coming to its going.
func (g *generator) live(c *client, from time.Duration) {
	if from > 0 {
		wait := time.NewTimer(time.Until(g.start.Add(from)))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-g.stop:
			return
		}
	}
	g.running.Add(1)
	defer g.running.Add(-1)
	c.loop(time.Now())
}

// conduct waits for what happens to the run as a whole, until every client has gone.
func (g *generator) conduct(signals <-chan os.Signal, done <-chan struct{}) {
	for {
		wake := time.NewTimer(time.Until(g.nextWake()))
		select {
		case <-done:
			wake.Stop()
			g.ended = cmp.Or(g.ended, g.natural())
			return
		case <-signals:
			if g.stopped.IsZero() {
				g.halt(endedSignal, time.Now())
			} else {
				g.cutAll()
			}
		case <-g.lost:
			g.halt(endedUnreachable, time.Now())
			g.cutAll()
		case <-wake.C:
			g.tick(time.Now())
		}
		wake.Stop()
	}
}

// natural is how a run ended that nobody ended: the clients know their time themselves, and may all be gone before the
// end of the plan was noticed here.
func (g *generator) natural() string {
	if g.plan.requests == 0 || g.plan.end > 0 && time.Since(g.start) >= g.plan.end {
		return endedDuration
	}
	return endedRequests
}

// nextWake is when tick has something to do.
func (g *generator) nextWake() time.Time {
	next := g.progress.due
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if end := g.plan.phases[g.phase].end; g.stopped.IsZero() && g.phase < len(g.plan.phases)-1 {
		earlier(g.start.Add(end))
	}
	switch {
	case g.stopped.IsZero() && g.plan.end > 0:
		earlier(g.start.Add(g.plan.end))
	case !g.stopped.IsZero() && !g.isCut:
		earlier(g.stopped.Add(g.grace()))
	}
	return next
}

// tick does what is due.
func (g *generator) tick(now time.Time) {
	for g.stopped.IsZero() && g.phase < len(g.plan.phases)-1 && !now.Before(g.start.Add(g.plan.phases[g.phase].end)) {
		g.collect()
		g.phase++
	}
	switch {
	case g.stopped.IsZero() && g.plan.end > 0 && !now.Before(g.start.Add(g.plan.end)):
		g.halt(endedDuration, now)
	case !g.stopped.IsZero() && !g.isCut && !now.Before(g.stopped.Add(g.grace())):
		g.cutAll()
	}
	if !now.Before(g.progress.due) {
		g.collect()
		g.progress.tell(now, g.running.Load(), g.whole())
	}
}

func (g *generator) grace() time.Duration { return min(g.timeout, maxGrace) }

// halt tells the clients to begin no more requests.
func (g *generator) halt(why string, now time.Time) {
	if !g.stopped.IsZero() {
		return
	}
	g.ended, g.stopped = why, now
	g.stopping.Store(true)
	close(g.stop)
}

// cutAll ends the requests under way.
func (g *generator) cutAll() {
	g.isCut = true
	g.cancel()
	for _, c := range g.clients {
		c.cut()
	}
}

// collect moves what the clients recorded into the present phase.
func (g *generator) collect() {
	for _, r := range g.records {
		r.drain(g.parts[g.phase])
	}
}

// whole is the sum of all phases.
func (g *generator) whole() *tally {
	if len(g.parts) == 1 {
		return g.parts[0]
	}
	sum := newTally(g.timeout)
	for _, part := range g.parts {
		sum.merge(part)
	}
	return sum
}

// elapsed is the time from the start to the last thing that counts: the end of the last request, or the order to stop.
func (g *generator) elapsed(sum *tally) time.Duration {
	end := sum.last
	if g.stopped.After(end) {
		end = g.stopped
	}
	return max(end.Sub(g.start), 0)
}
