package scenario

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/http1"
)

// The reasons of failures that a client itself sees. Where the proxy answered in its own name, the reason is the
// word of its proxy.Failure instead; where a backend answered with an error, it is FailStatus and the status:
// "status_503".
const (
	FailTimeout = "client_timeout"        // no whole answer within the client's timeout
	FailConnect = "client_connect_failed" // no connection to the proxy
	// FailHandshake, in tls.go, stands between these two.
	FailReset      = "client_reset"      // the connection ended before the answer did
	FailBadAnswer  = "client_bad_answer" // what came was not HTTP
	FailWrongNonce = "wrong_nonce"       // the answer to another request: always fails the verdict
	FailStatus     = "status_"           // followed by the status
)

// maxClientIdle is how long a client keeps an idle connection: less than the proxy does by default, as a client
// should.
const maxClientIdle = 30 * time.Second

// clientConn is a client's connection to the proxy. It belongs to one goroutine at a time.
type clientConn struct {
	nc     net.Conn
	reader http1.Reader
	resp   http1.Response
	body   http1.Body
	since  time.Time // idle since then
	peek   [1]byte
}

// stale says whether the connection can carry no more, as far as that is seen from here.
func (c *clientConn) stale(now time.Time) bool {
	return now.Sub(c.since) > maxClientIdle || c.gone()
}

// gone says whether its peer has ended it.
func (c *clientConn) gone() bool {
	nc := c.nc
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn() // what comes there between answers is the end
	}
	p, ok := nc.(interface{ Peek([]byte) (int, error) })
	if !ok {
		return false
	}
	n, err := p.Peek(c.peek[:])
	return n > 0 || err != nil
}

func (c *clientConn) close() {
	c.reader.Reset(nil)
	_ = c.nc.Close()
}

// dial opens a connection to the proxy.
func (g *generator) dial(deadline time.Time) (*clientConn, string) {
	ctx, cancel := g.clk.WithDeadline(context.Background(), deadline)
	defer cancel()
	nc, err := g.host.DialContext(ctx, "tcp", g.address)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, FailTimeout
	default:
		return nil, FailConnect
	}
	if g.tls {
		var failure string
		if nc, failure = g.r.papers.dialled(nc, g.target, deadline); failure != "" {
			return nil, failure
		}
	}
	c := &clientConn{nc: nc}
	c.reader.Reset(nc)
	if g.cfg.ReadRate > 0 {
		c.reader.Reset(&slowConn{nc, g.clk, g.cfg.ReadRate})
	}
	return c, ""
}

// exchange sends a request on c and reads its answer. It returns the status, the reason of a failure or
// "", and whether the connection may carry another request.
func (g *generator) exchange(c *clientConn, q ask, deadline time.Time) (status int, failure string, keep bool) {
	if c.nc.SetDeadline(deadline) != nil {
		return 0, FailReset, false
	}
	nonce, framing := nonceOf(nil, g.cfg.Name, q.n), http1.NoBody
	if q.size > 0 {
		framing = http1.ContentLength
	}
	out := http1.AppendClientRequest(make([]byte, 0, 256+q.size), &http1.ClientRequest{
		Method: q.kind.Method, Authority: g.target, Path: q.kind.Path, Close: !g.cfg.KeepAlive,
		Framing: framing, ContentLength: int64(q.size), Extra: []http1.Field{{Name: []byte(nonceField), Value: nonce}},
	})
	// An error of the write is not the end: the answer may be there already.
	_, _ = c.nc.Write(append(out, g.body[:q.size]...))
	for c.resp.Status = 0; c.resp.Status < 200; {
		if err := c.reader.ReadResponse(&c.resp, []byte(q.kind.Method), nil); err != nil {
			return 0, readFailure(err), false
		}
	}
	status = c.resp.Status
	echo := slices.Clone(c.resp.Get(nonceField))
	keep = c.resp.KeepAlive && g.cfg.KeepAlive
	text, err := c.rest(len(echo) == 0)
	switch {
	case err != nil:
		return status, readFailure(err), false
	case len(echo) == 0:
		return status, ownAnswer(status, text), keep
	case string(echo) != string(nonce):
		return status, FailWrongNonce, false
	case status >= 400:
		return status, FailStatus + strconv.Itoa(status), keep
	}
	return status, "", keep && c.reader.Buffered() == 0
}

// rest reads the body, and returns the beginning of it if it is wanted.
func (c *clientConn) rest(wanted bool) (text string, err error) {
	const enough = 256
	c.body.Start(&c.reader, c.resp.Framing, c.resp.ContentLength, nil)
	for {
		run, err := c.body.Next()
		if err != nil {
			if c.body.Done() {
				err = nil
			}
			return text, err
		}
		if wanted && len(text) < enough {
			text += string(run[:min(len(run), enough)])
		}
	}
}

// ownAnswer names the failure behind an answer that no backend gave: the proxy says it at the end of its text.
func ownAnswer(status int, text string) string {
	if _, detail, ok := strings.Cut(strings.TrimSpace(text), ": "); ok {
		for _, f := range proxy.Failures() {
			if f.String() == detail {
				return detail
			}
		}
	}
	return FailStatus + strconv.Itoa(status)
}

func readFailure(err error) string {
	var parse *http1.ParseError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return FailTimeout
	case errors.As(err, &parse):
		return FailBadAnswer
	}
	return FailReset
}
