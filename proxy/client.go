package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/http2"
	"github.com/wavepool/wavepool/proxy/socket"
)

// client is one client connection, whatever it speaks.
type client struct {
	l      *listener
	s      *Server
	nc     net.Conn
	worker int
	ip     string
	peer   string       // its address and port, for the access log
	line   *logLine     // of the request under way; nil when there is no access log
	ends   *ends        // told by a header of the PROXY protocol; of a stream always. nil: the connection's own
	source netip.Addr   // counted in l.sources; the invalid address: not counted
	front  *certs.Front // the connection speaks TLS
	// serverName is the name that a TLS client has asked for, if any; covered the last authority that was found to be
	// covered by it.
	serverName string
	covered    string
	sock       socket.Conn            // nc's bytes
	using      atomic.Pointer[target] // where its request goes; see httpConn.route

	prev, next *client // under Server.mu

	// Those that follow stand together because each connection has them, and idle ones are many.
	idle     atomic.Bool // it waits for a request: a drain may close it
	aborted  atomic.Bool // set under mu
	reset    atomic.Bool // it was the client itself that cut it off
	awaits   bool        // a header of the PROXY protocol comes first
	isStream bool        // it is a stream of an HTTP/2 connection, and not a connection of its own

	mu      sync.Mutex
	done    chan struct{} // closed when the connection is cut off; made for the first who asks
	backend net.Conn      // the connection of the attempt under way, for abort
}

// lifetime is a client connection as a context, which ends when the connection is cut off. It is made of what is there
// anyway: a connection for each request would pay for a context of its own with each.
type lifetime client

// Deadline implements context.Context: there is none.
func (*lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context: it holds none.
func (*lifetime) Value(any) any { return nil }

// Done implements context.Context.
func (c *lifetime) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.aborted.Load() {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *lifetime) Err() error {
	if c.aborted.Load() {
		return context.Canceled
	}
	return nil
}

// lifetime is the connection as a context.
func (c *client) lifetime() *lifetime { return (*lifetime)(c) }

// past is a deadline that has expired on every clock that we meet, simulated ones included.
var past = time.Unix(1, 0)

func newClient(l *listener, nc net.Conn, worker int) *client {
	c := &client{l: l, s: l.s, nc: nc, worker: worker}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.ip = a.IP.String()
	}
	c.sock.Init(nc)
	return c
}

// run serves the connection. An HTTP connection may outlive it: see httpConn.
func (c *client) run() {
	if c.awaits && !c.hear() || !c.handshake() {
		c.end()
		return
	}
	if tc, ok := c.nc.(*tls.Conn); ok && !c.l.tcp && http2.IsHTTP2(tc) {
		c.l.h2.ServeConn(c.nc, c)
		c.end()
		return
	}
	if !c.l.tcp {
		h := &httpConn{client: c}
		h.start()
		return
	}
	c.serveTCP()
	c.end()
}

// end is the end of the connection.
func (c *client) end() {
	defer c.s.serving.Done()
	defer c.l.serving.Done()
	c.hangUp()
	c.s.mu.Lock()
	c.s.conns.remove(c)
	c.s.mu.Unlock()
	if !c.isStream {
		c.s.counters.open.Add(-1)
		c.release()
	}
}

// goodbyeTime is how long a client has to take the alert that ends TLS. crypto/tls would wait five seconds for one that does not read.
const goodbyeTime = time.Second

// hangUp closes the connection.
func (c *client) hangUp() {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		_ = c.nc.Close()
		return
	}
	c.s.serving.Add(1)
	cut := c.s.clk.AfterFunc(goodbyeTime, func() {
		defer c.s.serving.Done()
		_ = tc.NetConn().Close()
	})
	_ = tc.Close()
	if cut.Stop() {
		c.s.serving.Done()
	}
}

// release gives back what newClient and the accept loop took.
func (c *client) release() {
	c.l.taken.Add(-1)
	c.forgetSource()
}

// proto is the scheme by which the client has come.
func (c *client) proto() string {
	if c.front != nil {
		return "https"
	}
	return "http"
}

// wakeIfIdle ends the wait for a next request, so that a draining server sees it.
func (c *client) wakeIfIdle() {
	if c.idle.CompareAndSwap(true, false) {
		_ = c.nc.SetReadDeadline(past)
	}
}

// abort cuts the connection off, wherever it is.
func (c *client) abort() {
	c.mu.Lock()
	backend, done := c.backend, c.done
	if c.aborted.Swap(true) {
		done = nil // closed already
	}
	c.mu.Unlock()
	// Each step may wake a goroutine, and each has an instant for that.
	for _, wake := range []func(){
		func() {
			if done != nil {
				close(done)
			}
		},
		func() { c.cutBackend(backend, net.Conn.SetReadDeadline) },
		func() { c.cutBackend(backend, net.Conn.SetWriteDeadline) },
		func() { setPast(c.nc, net.Conn.SetReadDeadline) },
		func() { setPast(c.nc, net.Conn.SetWriteDeadline) },
	} {
		rest := apart(c.s.clk)
		wake()
		rest()
	}
}

// setPast lets whoever waits on a connection find out that it is over.
func setPast(nc net.Conn, set func(net.Conn, time.Time) error) {
	if nc != nil {
		_ = set(nc, past)
	}
}

// cutBackend is setPast for the connection of the attempt under way, and for no other's: under the lock, so that it hits no
// later exchange on a connection that has been given back.
func (c *client) cutBackend(backend net.Conn, set func(net.Conn, time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backend == backend {
		setPast(backend, set)
	}
}

// hold notes the backend connection of the attempt under way. It reports false when the client has been cut off.
func (c *client) hold(backend net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backend = backend
	return !c.aborted.Load()
}

// letGo forgets it.
func (c *client) letGo() {
	c.mu.Lock()
	c.backend = nil
	c.mu.Unlock()
}

// wasReset cuts off a stream that its client has reset.
func (c *client) wasReset() {
	c.reset.Store(true)
	c.abort()
}

// whyCutOff is the failure of a request whose connection is cut off.
func (c *client) whyCutOff() Failure {
	if c.reset.Load() {
		return FailClientGone
	}
	return FailShutdown
}

// cutOff says whether abort was called.
func (c *client) cutOff() bool { return c.aborted.Load() }

// connList is the list of client connections, oldest first: a map would have no order.
type connList struct {
	head, tail *client
	n          int
}

func (l *connList) push(c *client) {
	c.prev = l.tail
	if l.tail != nil {
		l.tail.next = c
	} else {
		l.head = c
	}
	l.tail = c
	l.n++
}

func (l *connList) remove(c *client) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
}

func (l *connList) all() []*client {
	out := make([]*client, 0, l.n)
	for c := l.head; c != nil; c = c.next {
		out = append(out, c)
	}
	return out
}
