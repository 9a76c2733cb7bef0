package proxy

import (
	"bytes"
	"net"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http2"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// preface is how a client begins HTTP/2 in clear text without having asked (RFC 9113 section 3.4). No request of HTTP/1.1
// begins so. All of it is waited for here, where the client has the time of a head for it and no more.
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// newHTTP2 makes what serves the HTTP/2 connections of a listener. Each of their streams is a client connection with one
// request.
func (s *Server) newHTTP2(l *listener, cfg *config.Listener) *http2.Front {
	return http2.NewFront(http2.FrontConfig{
		Clock: s.clk, FrontLimits: frontLimits(cfg),
		Serve:   func(stream net.Conn, conn any) { l.serveStream(stream, conn.(*client)) },
		Refused: func(status int, conn any) { l.refusedStream(status, conn.(*client)) },
		WornOut: func(any) { s.counters.worn.Add(1) },
		Flooded: func(why string, conn any) { l.flooded(why, conn.(*client)) },
	})
}

func frontLimits(cfg *config.Listener) http2.FrontLimits {
	return http2.FrontLimits{
		MaxStreams: cfg.MaxStreams, MaxHeadBytes: cfg.MaxHeadBytes, IdleTimeout: cfg.IdleTimeout, WriteTimeout: cfg.SendTimeout,
		MaxRequests: cfg.MaxRequestsPerConnection,
	}
}

// flooded tells of a client whose connection is ended because of what it asks for.
func (l *listener) flooded(why string, c *client) {
	l.s.counters.floods.Add(1)
	l.s.tell(upstream.Event{Entity: l.name, Kind: KindClientRefused, Reason: RefusedFlood, Detail: c.address().String() + ": " + why})
}

// refusedStream accounts for a stream that no connection of its own was made for.
func (l *listener) refusedStream(status int, of *client) {
	f := FailBadRequest
	if status == FailMethod.Status() {
		f = FailMethod
	}
	c := newClient(l, of.nc, of.worker) // for its line in the access log: it is in no list
	c.ends, c.ip = of.ends, of.ip
	l.s.counters.requests.Add(1)
	c.beginLine("HTTP/2.0")
	c.logAnswer(status, 0, 0)
	c.fail(f, "a stream that HTTP/1.1 could not carry")
	if c.line != nil {
		c.endLine()
	}
}

// isHTTP2 says whether the connection begins with the preface, of which all or a part has been read.
func (c *httpConn) isHTTP2() bool {
	if c.isStream || c.l.plan.Load().cfg.HTTP2 == config.SwitchOff || c.front != nil {
		return false
	}
	got := c.reader.Peek() // nothing, where the wait for the first bytes has not read them
	for len(got) < len(preface) && bytes.HasPrefix(preface, got) {
		if c.reader.Fill() != nil {
			return false
		}
		got = c.reader.Peek()
	}
	return bytes.HasPrefix(got, preface)
}

// serveHTTP2 hands a connection in clear text over, with what has been read of it.
func (c *httpConn) serveHTTP2() {
	read := bytes.Clone(c.reader.Peek())
	c.reader.Reset(nil)
	c.giveBackWork()
	_ = c.nc.SetReadDeadline(time.Time{})
	if !c.cutOff() {
		c.l.h2.ServeConn(&replayed{Conn: c.nc, before: read}, c.client)
	}
	c.end()
}

// replayed is a connection of which the first bytes have been read before.
type replayed struct {
	net.Conn
	before []byte
}

// Read implements net.Conn.
func (c *replayed) Read(p []byte) (int, error) {
	if len(c.before) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.before)
	c.before = c.before[n:]
	return n, nil
}

// serveStream serves one stream of a client's connection as a connection of its own.
func (l *listener) serveStream(nc net.Conn, of *client) {
	s := l.s
	c := newClient(l, nc, of.worker)
	c.isStream, c.front, c.serverName = true, of.front, of.serverName
	both := of.bothEnds()
	c.ends, c.ip = &both, of.ip
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns.push(c)
	s.serving.Add(1)
	l.serving.Add(1)
	s.mu.Unlock()
	if r, ok := nc.(interface{ OnReset(func()) }); ok {
		r.OnReset(c.wasReset)
	}
	(&httpConn{client: c}).start()
}
