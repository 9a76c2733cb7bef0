package scenario

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/netsim"
)

// generator is one client: it makes requests until the load ends.
type generator struct {
	r       *run
	cfg     *Client
	clk     clock.Clock
	host    *netsim.Host
	target  string // of the proxy's listener
	address string // the same, as an address, so that faults of names meet the proxy alone
	tls     bool   // the listener speaks TLS
	mix     mix
	body    []byte // of the longest request
	rnd     *rand.Rand
	chance  *rand.Rand     // of an open loop's requests
	work    sync.WaitGroup // requests, and users

	mu     sync.Mutex // never held over a wait
	n      int        // requests so far
	purse  float64    // retries that the budget allows
	idle   []*clientConn
	closed bool
}

func newGenerator(r *run, cfg *Client, target string) *generator {
	g := &generator{r: r, cfg: cfg, clk: r.clk, host: r.sim.Host(cfg.Name, ""), target: target,
		rnd: r.sim.Rand("client/" + cfg.Name), chance: r.sim.Rand("client/" + cfg.Name + "/requests"), mix: cfg.mix(),
		purse: maxPurse}
	g.address = target
	if port, ok := strings.CutPrefix(target, ProxyName+":"); ok {
		g.address = net.JoinHostPort(ProxyAddr, port)
	}
	g.body = make([]byte, g.mix.largest())
	for i := range g.body {
		g.body[i] = 'A' + byte(i%26)
	}
	return g
}

// start begins the load.
func (g *generator) start() {
	if g.cfg.Arrivals.Users == 0 {
		g.schedule(g.cfg.Arrivals.next(g.rnd, 0, g.r.sc.Duration))
		return
	}
	for i := range g.cfg.Arrivals.Users {
		name := "client/" + g.cfg.Name + "/user" + strconv.Itoa(i+1)
		rnd, chance := g.r.sim.Rand(name), g.r.sim.Rand(name+"/requests")
		// Users come one after the other, spread over one second, as nobody's users all come in one instant.
		wait := time.Duration(rnd.Int64N(int64(time.Second)))
		g.work.Add(1)
		g.clk.AfterFunc(wait, func() {
			defer g.work.Done()
			g.user(rnd, chance)
		})
	}
}

// schedule sets the next arrival of an open loop at that offset from the beginning. Each arrival first sets the one
// after it and then is a request itself, so that there is one wake-up for each.
func (g *generator) schedule(at time.Duration) {
	if at >= g.r.sc.Duration {
		return
	}
	g.work.Add(1)
	g.clk.AfterFunc(max(0, at-g.r.sim.Elapsed()), func() {
		defer g.work.Done()
		g.schedule(g.cfg.Arrivals.next(g.rnd, at, g.r.sc.Duration))
		g.open()
	})
}

// open is one request of an open loop, on the connection that became idle last or on a new one.
func (g *generator) open() {
	now := g.clk.Now()
	q := g.begin(g.chance)
	c, keep := g.request(g.take(now), q, now)
	if c != nil {
		g.put(c, keep)
	}
}

// request makes a request, on c if that is not nil, and again where it fails and the client repeats requests. It returns
// the connection that it has last used, and whether that may carry another one. The waits of its retries have a stream of
// their own, so that they do not shift what other requests draw.
func (g *generator) request(c *clientConn, q ask, now time.Time) (_ *clientConn, keep bool) {
	began, chance := now, (*rand.Rand)(nil)
	for try := 1; ; try++ {
		deadline, status, failure := now.Add(g.cfg.Timeout), 0, ""
		if c == nil {
			c, failure = g.dial(deadline)
		}
		keep = false
		if c != nil {
			status, failure, keep = g.exchange(c, q, deadline)
		}
		if !again(failure) || try > g.cfg.Retries || !g.mayRetry() {
			g.ended(q.n, began, status, failure, try-1)
			return c, keep
		}
		if chance == nil {
			chance = g.r.sim.Rand("client/" + g.cfg.Name + "/retry" + strconv.Itoa(q.n))
		}
		g.retry(q.n, try, failure)
		if c != nil && !keep {
			c.close()
			c = nil
		}
		g.clk.Sleep(g.cfg.backoff(chance, try))
		now = g.clk.Now()
		if c != nil && c.gone() {
			c.close()
			c = nil
		}
	}
}

// retry tells that a request is made again.
func (g *generator) retry(n, try int, failure string) {
	g.r.sim.Note(g.cfg.Name, "retry", strconv.Itoa(n)+" "+strconv.Itoa(try)+" "+failure)
}

// user is one user of a closed loop, with a connection of its own.
func (g *generator) user(rnd, chance *rand.Rand) {
	var c *clientConn
	for g.r.sim.Elapsed() < g.r.sc.Duration {
		now := g.clk.Now()
		q := g.begin(chance)
		if c != nil && c.stale(now) {
			c.close()
			c = nil
		}
		var keep bool
		c, keep = g.request(c, q, now)
		if c != nil && !keep {
			c.close()
			c = nil
		}
		if c != nil {
			c.since = g.clk.Now()
		}
		think := g.cfg.Arrivals.Think.draw(rnd)
		if g.r.sim.Elapsed()+think >= g.r.sc.Duration {
			break
		}
		g.clk.Sleep(think)
	}
	if c != nil {
		g.put(c, true)
	}
}

// begin counts a request and draws what it asks for.
func (g *generator) begin(chance *rand.Rand) ask {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	g.purse = min(g.purse+g.cfg.RetryBudget, maxPurse)
	kind, size := g.mix.draw(chance)
	return ask{g.n, kind, size}
}

// ended tells how a request ended.
func (g *generator) ended(n int, began time.Time, status int, failure string, retries int) {
	kind, word := "answered", strconv.Itoa(status)
	if failure != "" {
		kind, word = "failed", failure
	}
	g.r.sim.Note(g.cfg.Name, kind, strconv.Itoa(n)+" "+word)
	g.r.ended(g.cfg.Name, n, g.clk.Now().Sub(began), failure, retries)
}

// take returns the youngest idle connection that is still good, or nil.
func (g *generator) take(now time.Time) *clientConn {
	for {
		g.mu.Lock()
		last := len(g.idle) - 1
		if last < 0 {
			g.mu.Unlock()
			return nil
		}
		c := g.idle[last]
		g.idle[last] = nil
		g.idle = g.idle[:last]
		g.mu.Unlock()
		if !c.stale(now) {
			return c
		}
		c.close()
	}
}

// put keeps a connection for the next request, or closes it.
func (g *generator) put(c *clientConn, keep bool) {
	c.since = g.clk.Now()
	g.mu.Lock()
	keep = keep && !g.closed && len(g.idle) < max(g.cfg.Connections, g.cfg.Arrivals.Users)
	if keep {
		g.idle = append(g.idle, c)
	}
	g.mu.Unlock()
	if !keep {
		c.close()
	}
}

// close closes the idle connections, one instant each. No request is under way any more.
func (g *generator) close() {
	g.mu.Lock()
	g.closed = true
	idle := g.idle
	g.idle = nil
	g.mu.Unlock()
	for _, c := range idle {
		c.close()
		g.clk.Sleep(0)
	}
}
