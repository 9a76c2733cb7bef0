package scenario

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/http1"
)

// nonceField is the field by which a client knows that an answer is its own.
const nonceField = "X-Nonce"

// server is one simulated backend over all of its lives.
type server struct {
	cfg    *Backend
	sim    *netsim.Sim
	host   *netsim.Host
	clk    clock.Clock
	tell   func(s *server) // called at each answer to a request that succeeded
	body   []byte          // the longest of its answers
	papers *papers         // nil: nobody speaks TLS
	http2  bool            // it speaks HTTP/2 to those who choose it
	work   sync.WaitGroup  // accept loops, connections and what goes on in them

	mu       sync.Mutex // never held over a wait
	chance   chance
	paths    []chance // of cfg.Paths
	stalls   *rand.Rand
	open     int           // connections
	sessions []*h2Conn     // those of HTTP/2
	started  time.Duration // when this life began
}

// chance is where the answers to one kind of request are drawn from.
type chance struct{ service, errors *rand.Rand }

func newServer(sim *netsim.Sim, cfg *Backend, tell func(*server)) *server {
	s := &server{cfg: cfg, sim: sim, tell: tell}
	longest := cfg.BodyBytes
	for i := range cfg.Paths {
		longest = max(longest, cfg.Paths[i].BodyBytes)
	}
	s.body = make([]byte, longest)
	for i := range s.body {
		s.body[i] = 'a' + byte(i%26)
	}
	host, addr := hostOf(cfg.Address), ""
	if net.ParseIP(host) != nil {
		addr = host
	}
	s.host = sim.Host(host, addr)
	s.clk = s.host.Clock() // which stands still with its machine
	draws := func(entity string) chance { return chance{sim.Rand(entity + "/service"), sim.Rand(entity + "/errors")} }
	s.chance = draws("backend/" + cfg.Address)
	for i := range cfg.Paths {
		s.paths = append(s.paths, draws("backend/"+cfg.Address+cfg.Paths[i].Prefix))
	}
	s.stalls = sim.Rand("backend/" + cfg.Address + "/stalls")
	return s
}

// start begins a life: it listens and serves until its machine goes down.
func (s *server) start() error {
	_, port, err := net.SplitHostPort(s.cfg.Address)
	if err != nil {
		return err
	}
	ln, err := s.host.Listen(context.Background(), "tcp", ":"+port)
	if err != nil {
		return err
	}
	g := &gate{free: s.cfg.Concurrency}
	s.mu.Lock()
	s.started = s.sim.Elapsed()
	s.mu.Unlock()
	s.work.Add(1)
	s.clk.AfterFunc(0, func() {
		defer s.work.Done()
		s.accept(ln, g)
	})
	return nil
}

// accept starts each connection by AfterFunc, so that it begins at an instant of its own.
func (s *server) accept(ln net.Listener, g *gate) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		s.work.Add(1)
		s.clk.AfterFunc(0, func() {
			defer s.work.Done()
			s.count(1)
			s.serveConn(nc, g)
			_ = nc.Close()
			s.count(-1)
		})
	}
}

func (s *server) count(n int) {
	s.mu.Lock()
	s.open += n
	s.mu.Unlock()
}

// opened is the number of connections.
func (s *server) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// plan is what becomes of a request.
type plan struct {
	took   time.Duration
	status int
	size   int  // of the body
	stalls bool // in the middle of the answer
}

// plan draws what becomes of a request that has just arrived. Requests arrive one at a time, each at an instant
// of its own, so the order of the draws is the order of the arrivals.
func (s *server) plan(path []byte) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	service, rate, from := &s.cfg.Service, s.cfg.ErrorRate, &s.chance
	out := plan{status: 200, size: s.cfg.BodyBytes}
	for i := range s.cfg.Paths {
		p := &s.cfg.Paths[i]
		if !under(path, p.Prefix) {
			continue
		}
		from = &s.paths[i]
		if p.Service.Kind != "" {
			service = &p.Service
		}
		if p.ErrorRate >= 0 {
			rate = p.ErrorRate
		}
		if p.BodyBytes >= 0 {
			out.size = p.BodyBytes
		}
		break
	}
	out.took = service.draw(from.service)
	if rate > 0 && from.errors.Float64() < rate {
		out.status = 503
		if s.cfg.ErrorService.Kind != "" {
			out.took = s.cfg.ErrorService.draw(from.errors)
		}
	}
	if s.cfg.StallRate > 0 && out.size > 0 {
		out.stalls = s.stalls.Float64() < s.cfg.StallRate
	}
	out.took = s.cfg.Cold.stretch(out.took, s.sim.Elapsed()-s.started)
	return out
}

// under says whether a path, which may have a query, begins with a prefix, by whole segments.
func under(path []byte, prefix string) bool {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/' || path[len(prefix)] == '?'
}

// stretch makes a service time as long as it is at that age of the service.
func (c *Cold) stretch(took, age time.Duration) time.Duration {
	if age >= c.For {
		return took
	}
	left := 1 - age.Seconds()/c.For.Seconds()
	return min(time.Duration(float64(took)*(1+(c.Factor-1)*left)), maxDraw).Round(time.Microsecond)
}

// serverConn is one connection of a backend. It belongs to one goroutine.
type serverConn struct {
	*server
	gate   *gate
	nc     net.Conn
	reader http1.Reader
	req    http1.Request
	data   http1.Body
	out    []byte
	extra  [1]http1.Field
}

func (c *serverConn) serve() {
	c.reader.Reset(c.nc)
	defer c.reader.Reset(nil)
	for n := 1; c.one(n); n++ {
	}
}

// one serves the connection's n-th request and says whether there may be another one.
func (c *serverConn) one(n int) bool {
	if limit := c.cfg.CloseIdleAfter; limit > 0 && c.nc.SetReadDeadline(c.clk.Now().Add(limit)) != nil {
		return false
	}
	if c.reader.ReadRequest(&c.req, nil) != nil {
		return false
	}
	if c.cfg.CloseIdleAfter > 0 && c.nc.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	nonce, path := append([]byte(nil), c.req.Get(nonceField)...), []byte(nil)
	if len(c.cfg.Paths) > 0 {
		path = append(path, c.req.Path...) // the body overwrites it
	}
	keep := c.req.KeepAlive && (c.cfg.CloseAfterRequests == 0 || n < c.cfg.CloseAfterRequests)
	for c.data.Start(&c.reader, c.req.Framing, c.req.ContentLength, nil); ; {
		if _, err := c.data.Next(); err != nil {
			break
		}
	}
	if !c.data.Done() {
		return false
	}
	if len(nonce) == 0 {
		return c.answer(plan{status: 200}, nil, keep) && keep
	}
	p := c.plan(path)
	c.gate.enter()
	if p.took > 0 {
		c.clk.Sleep(p.took)
	}
	if p.status < 500 && !p.stalls {
		c.tell(c.server)
	}
	ok := c.answer(p, nonce, keep)
	if c.gate.leave() {
		c.clk.Sleep(0) // the next request begins in this instant; this connection goes on in another
	}
	return ok && keep
}

// answer writes the answer and says whether it went out whole.
func (c *serverConn) answer(p plan, nonce []byte, keep bool) bool {
	r := http1.ServerResponse{Status: p.status, Framing: http1.ContentLength, ContentLength: int64(p.size), Close: !keep}
	if len(nonce) > 0 {
		c.extra[0] = http1.Field{Name: []byte(nonceField), Value: nonce}
		r.Extra = c.extra[:]
	}
	body := c.body[:p.size]
	if p.stalls {
		body = body[:p.size/2]
	}
	c.out = append(http1.AppendServerResponse(c.out[:0], &r), body...)
	_, err := c.nc.Write(c.out)
	for p.stalls && err == nil {
		_, err = c.nc.Read(c.out[:1]) // until the peer has had enough
	}
	return err == nil
}

// gate lets so many requests in at one time; the others wait in line.
type gate struct {
	mu   sync.Mutex // never held over a wait
	free int
	line []func()
}

// enter waits until the caller is in.
func (g *gate) enter() {
	turn := make(chan struct{}, 1)
	g.admit(func() { turn <- struct{}{} })
	<-turn
}

// admit calls turn as soon as there is a place: at once, or from a later leave. It must not wait.
func (g *gate) admit(turn func()) {
	g.mu.Lock()
	if g.free == 0 {
		g.line = append(g.line, turn)
		g.mu.Unlock()
		return
	}
	g.free--
	g.mu.Unlock()
	turn()
}

// leave gives the place to the first in line, and says whether there was one.
func (g *gate) leave() bool {
	g.mu.Lock()
	if len(g.line) == 0 {
		g.free++
		g.mu.Unlock()
		return false
	}
	turn := g.line[0]
	g.line[0] = nil
	g.line = g.line[1:]
	g.mu.Unlock()
	turn()
	return true
}

// nonceOf makes the nonce of a client's n-th request.
func nonceOf(dst []byte, client string, n int) []byte {
	dst = append(dst, client...)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, int64(n), 10)
}
