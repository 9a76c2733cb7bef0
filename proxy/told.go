package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/wavepool/wavepool/proxy/proxyproto"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// ends are the two ends of a client's connection to us, or to the proxy before us that has told of it.
type ends struct{ from, to netip.AddrPort }

// hear reads the header of the PROXY protocol with which the connection must begin: exactly its bytes, so that the
// connection is what it was for whoever serves it. It reports whether the connection may be served.
func (c *client) hear() bool {
	h, err := c.readHeader()
	if err != nil {
		if !c.cutOff() && err != errDraining {
			c.s.counters.badHeaders.Add(1)
			detail := addressOf(c.nc).String() + ": " + err.Error()
			c.s.tell(upstream.Event{Entity: c.l.name, Kind: KindClientRefused, Reason: RefusedHeader, Detail: detail})
		}
		return false
	}
	if h.Source.IsValid() {
		c.ends = &ends{h.Source, h.Destination}
		c.ip = h.Source.Addr().String()
	}
	return c.l.welcome(c)
}

func (c *client) readHeader() (proxyproto.Header, error) {
	nc := c.nc
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn() // TLS comes behind it
	}
	within := 5 * time.Second
	if p := c.l.plan.Load().cfg.ProxyProtocol; p != nil { // a reload may have ended it
		within = p.Timeout
	}
	limit := c.s.now().Add(within)
	b := make([]byte, 0, 64)
	for {
		n, err := proxyproto.Missing(b)
		switch {
		case err != nil:
			return proxyproto.Header{}, err
		case n == 0:
			if err := c.armHeader(nc, time.Time{}); err != nil {
				return proxyproto.Header{}, err
			}
			return proxyproto.Parse(b)
		}
		now := c.s.now()
		if err := c.armHeader(nc, earlier(limit, now.Add(drainLook))); err != nil {
			return proxyproto.Header{}, err
		}
		b = append(b, make([]byte, n)...)
		got, err := nc.Read(b[len(b)-n:])
		b = b[:len(b)-n+got]
		switch {
		case got > 0 || err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && len(b) == 0 && c.l.draining():
			return proxyproto.Header{}, errDraining
		case errors.Is(err, os.ErrDeadlineExceeded) && c.s.now().Before(limit):
		default:
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return proxyproto.Header{}, fmt.Errorf("after %d bytes: %w", len(b), err)
		}
	}
}

// drainLook is after what time a connection that waits for its header looks whether a drain has begun. One of which nothing has come
// by then has no request on its way: it was opened in store.
const drainLook = time.Second

var errDraining = errors.New("nothing has come, and the server drains")

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// armHeader sets a read deadline, which a cut that has come meanwhile replaces.
func (c *client) armHeader(nc net.Conn, limit time.Time) error {
	if err := nc.SetReadDeadline(limit); err != nil {
		return err
	}
	if c.cutOff() {
		return net.ErrClosed
	}
	return nil
}

// told says whether somebody has told its ends.
func (c *client) told() bool { return c.ends != nil && c.ends.from.IsValid() }

// bothEnds are the ends of the connection, told or its own. They are invalid where it has none that can be told of.
func (c *client) bothEnds() ends {
	if c.told() {
		return *c.ends
	}
	return ends{addrPortOf(c.nc.RemoteAddr()), addrPortOf(c.nc.LocalAddr())}
}

func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// address is the client's, told or its own; the invalid one where it has none.
func (c *client) address() netip.Addr {
	if c.told() {
		return c.ends.from.Addr().WithZone("")
	}
	return addressOf(c.nc)
}

// name is its address and port, for the access log.
func (c *client) name() string {
	if c.told() {
		return c.ends.from.String()
	}
	return c.nc.RemoteAddr().String()
}
