package proxy

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http2"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// protocolsOf is what we offer to backends by ALPN.
func protocolsOf(c *config.Upstream) []string {
	switch c.Protocol {
	case config.UpstreamHTTP2:
		return []string{"h2"}
	case config.UpstreamAuto:
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// setUpFunc makes the new connections of the backend at an address ready.
type setUpFunc = func(address string) func(context.Context, net.Conn) (pool.Session, error)

// errNoMoreStreams is the refusal of a connection that has come to its end in good order.
var errNoMoreStreams = errors.New("the connection takes no more streams")

var errNotHTTP2 = errors.New("the backend has not chosen HTTP/2 (ALPN h2)")

// setUp says how an upstream's new connections are made ready; nil where there is nothing to be done.
func (s *Server) setUp(c *config.Upstream, back *certs.Back) setUpFunc {
	if back == nil && c.Protocol == config.UpstreamHTTP1 {
		return nil
	}
	h2 := http2.NewBack(http2.BackConfig{Clock: s.clk, Secure: back != nil, MaxHeadBytes: maxAnswerHead, WriteTimeout: min(stallOf(c), 24*time.Hour)})
	streams := func(ctx context.Context, nc net.Conn) (pool.Session, error) {
		session, err := h2.Setup(ctx, nc)
		if err != nil {
			return nil, err // and no session that is nil in the interface's clothes
		}
		return session, nil
	}
	return func(address string) func(context.Context, net.Conn) (pool.Session, error) {
		if back == nil {
			return streams
		}
		return func(ctx context.Context, nc net.Conn) (pool.Session, error) {
			tc := back.Client(nc, address)
			if err := tc.HandshakeContext(ctx); err != nil {
				return nil, err
			}
			switch {
			case http2.IsHTTP2(tc):
				return streams(ctx, tc)
			case c.Protocol == config.UpstreamHTTP2:
				return nil, errNotHTTP2
			}
			return pool.Exclusive(tc), nil
		}
	}
}

// setUpDialer is the dialer of health checks to backends that speak TLS or HTTP/2. They go the way of the requests.
type setUpDialer struct {
	upstream.Dialer
	setup setUpFunc
}

// DialContext implements upstream.Dialer.
func (d setUpDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if limit, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(limit)
	}
	s, err := d.setup(address)(ctx, nc)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	_ = nc.SetDeadline(time.Time{})
	if session, ok := s.(*http2.Session); ok {
		return &lastStream{session.Open(), session}, nil
	}
	if own, ok := s.(interface{ NetConn() net.Conn }); ok { // bare, so that a check that keeps it can look at it
		return own.NetConn(), nil
	}
	return s.(net.Conn), nil
}

// lastStream is the only stream of a connection at a time, and ends with it. A check that keeps its connection has one after
// the other.
type lastStream struct {
	*http2.Stream
	session *http2.Session
}

// Renew implements probe.Renewer.
func (s *lastStream) Renew() error {
	_ = s.Stream.Close()
	if err := s.session.Err(); err != nil {
		return err
	}
	if s.session.Available() < 1 { // such as after GOAWAY
		return errNoMoreStreams
	}
	s.Stream = s.session.Open()
	return nil
}

// Close implements net.Conn.
func (s *lastStream) Close() error {
	_ = s.Stream.Close()
	return s.session.Close()
}
