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
	"github.com/wavepool/wavepool/proxy/http1"
)

// generator is one client: it makes requests until the load ends.
type generator struct {
	r       *run
	cfg     *Client
	clk     clock.Clock
	host    *netsim.Host
	target  string // of the proxy's listener
	address string // the same, as an address, so that faults of names meet the proxy alone
	framing http1.Framing
	body    []byte
	rnd     *rand.Rand
	work    sync.WaitGroup // requests, and users

	mu     sync.Mutex // never held over a wait
	n      int        // requests so far
	idle   []*clientConn
	closed bool
}

func newGenerator(r *run, cfg *Client, target string) *generator {
	g := &generator{r: r, cfg: cfg, clk: r.clk, host: r.sim.Host(cfg.Name, ""), target: target,
		rnd: r.sim.Rand("client/" + cfg.Name), framing: http1.NoBody}
	g.address = target
	if port, ok := strings.CutPrefix(target, ProxyName+":"); ok {
		g.address = net.JoinHostPort(ProxyAddr, port)
	}
	if cfg.BodyBytes > 0 {
		g.framing, g.body = http1.ContentLength, make([]byte, cfg.BodyBytes)
		for i := range g.body {
			g.body[i] = 'A' + byte(i%26)
		}
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
		rnd := g.r.sim.Rand("client/" + g.cfg.Name + "/user" + strconv.Itoa(i+1))
		// Users come one after the other, spread over one second, as nobody's users all come in one instant.
		wait := time.Duration(rnd.Int64N(int64(time.Second)))
		g.work.Add(1)
		g.clk.AfterFunc(wait, func() {
			defer g.work.Done()
			g.user(rnd)
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
	n, deadline := g.begin(), now.Add(g.cfg.Timeout)
	c, failure, status, keep := g.take(now), "", 0, false
	if c == nil {
		c, failure = g.dial(deadline)
	}
	if c != nil {
		status, failure, keep = g.exchange(c, n, deadline)
	}
	g.ended(n, now, status, failure)
	if c != nil {
		g.put(c, keep)
	}
}

// user is one user of a closed loop, with a connection of its own.
func (g *generator) user(rnd *rand.Rand) {
	var c *clientConn
	for g.r.sim.Elapsed() < g.r.sc.Duration {
		now := g.clk.Now()
		n, deadline := g.begin(), now.Add(g.cfg.Timeout)
		if c != nil && c.stale(now) {
			c.close()
			c = nil
		}
		failure, status, keep := "", 0, false
		if c == nil {
			c, failure = g.dial(deadline)
		}
		if c != nil {
			status, failure, keep = g.exchange(c, n, deadline)
		}
		g.ended(n, now, status, failure)
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

// begin counts a request.
func (g *generator) begin() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	return g.n
}

// ended tells how a request ended.
func (g *generator) ended(n int, began time.Time, status int, failure string) {
	kind, word := "answered", strconv.Itoa(status)
	if failure != "" {
		kind, word = "failed", failure
	}
	g.r.sim.Note(g.cfg.Name, kind, strconv.Itoa(n)+" "+word)
	g.r.ended(g.cfg.Name, n, g.clk.Now().Sub(began), failure)
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
