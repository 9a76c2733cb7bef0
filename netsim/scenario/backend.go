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
	cfg  *Backend
	host *netsim.Host
	clk  clock.Clock
	tell func(s *server) // called at each answer to a request that succeeded
	body []byte
	work sync.WaitGroup // accept loops and connections

	mu      sync.Mutex // never held over a wait
	service *rand.Rand
	errors  *rand.Rand
	open    int // connections
}

func newServer(sim *netsim.Sim, cfg *Backend, tell func(*server)) *server {
	s := &server{cfg: cfg, tell: tell, body: make([]byte, cfg.BodyBytes)}
	for i := range s.body {
		s.body[i] = 'a' + byte(i%26)
	}
	host, addr := hostOf(cfg.Address), ""
	if net.ParseIP(host) != nil {
		addr = host
	}
	s.host = sim.Host(host, addr)
	s.clk = s.host.Clock() // which stands still with its machine
	s.service = sim.Rand("backend/" + cfg.Address + "/service")
	s.errors = sim.Rand("backend/" + cfg.Address + "/errors")
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
			c := serverConn{server: s, gate: g, nc: nc}
			c.serve()
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

// plan draws what becomes of a request that has just arrived. Requests arrive one at a time, each at an instant
// of its own, so the order of the draws is the order of the arrivals.
func (s *server) plan() (took time.Duration, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took, status = s.cfg.Service.draw(s.service), 200
	if s.cfg.ErrorRate > 0 && s.errors.Float64() < s.cfg.ErrorRate {
		status = 503
	}
	return took, status
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
	nonce := append([]byte(nil), c.req.Get(nonceField)...)
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
		return c.answer(200, nil, nil, keep) && keep
	}
	took, status := c.plan()
	c.gate.enter()
	if took > 0 {
		c.clk.Sleep(took)
	}
	if status < 500 {
		c.tell(c.server)
	}
	ok := c.answer(status, nonce, c.body, keep)
	if c.gate.leave() {
		c.clk.Sleep(0) // the next request begins in this instant; this connection goes on in another
	}
	return ok && keep
}

func (c *serverConn) answer(status int, nonce, body []byte, keep bool) bool {
	r := http1.ServerResponse{Status: status, Framing: http1.ContentLength, ContentLength: int64(len(body)), Close: !keep}
	if len(nonce) > 0 {
		c.extra[0] = http1.Field{Name: []byte(nonceField), Value: nonce}
		r.Extra = c.extra[:]
	}
	c.out = append(http1.AppendServerResponse(c.out[:0], &r), body...)
	_, err := c.nc.Write(c.out)
	return err == nil
}

// gate lets so many requests in at one time; the others wait in line.
type gate struct {
	mu   sync.Mutex // never held over a wait
	free int
	line []chan struct{}
}

func (g *gate) enter() {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{}, 1)
	g.line = append(g.line, turn)
	g.mu.Unlock()
	<-turn
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
	turn <- struct{}{}
	return true
}

// nonceOf makes the nonce of a client's n-th request.
func nonceOf(dst []byte, client string, n int) []byte {
	dst = append(dst, client...)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, int64(n), 10)
}
