package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// edge is what a plan says about the fields that we write, made ready for use.
type edge struct {
	trusted    []netip.Prefix
	heralds    []netip.Prefix // who begins with a header of the PROXY protocol
	forwarding http1.Forwarding
}

func newEdge(cfg *config.Listener) edge {
	var e edge
	e.trusted = prefixes(cfg.TrustedProxies)
	if cfg.ProxyProtocol != nil {
		e.heralds = prefixes(cfg.ProxyProtocol.From)
	}
	e.forwarding = http1.Forwarding(max(0, slices.Index(config.ForwardedStyles(), cfg.Forwarded)))
	return e
}

// prefixes turns the networks and addresses of the settings, which have checked them, into what they stand for.
func prefixes(networks []string) (all []netip.Prefix) {
	for _, text := range networks {
		p, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err == nil {
			all = append(all, p)
		}
	}
	return all
}

// trusts says whether an address is one whose word about clients is believed.
func (e *edge) trusts(ip netip.Addr) bool { return within(e.trusted, ip) }

// expects says whether an address begins its connections with a header of the PROXY protocol.
func (e *edge) expects(nc net.Conn) bool {
	return len(e.heralds) > 0 && within(e.heralds, addressOf(nc))
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// addressOf is the address at the other end of a connection, the invalid one where it has none.
func addressOf(nc net.Conn) netip.Addr {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// trusted says whether the client is a proxy that is believed. The answer is kept as long as the plan is the same.
func (c *httpConn) trusted() bool {
	if len(c.plan.edge.trusted) == 0 {
		return false
	}
	if c.judgedBy != c.plan {
		c.judgedBy, c.isTrusted = c.plan, c.plan.edge.trusts(c.address())
	}
	return c.isTrusted
}

// looping says whether the request has come through proxies of our name as often as a loop would bring it.
func (c *httpConn) looping() bool { return c.req.HasVia && c.req.Hops(via) >= c.plan.cfg.MaxHops }

// addPolicy adds to what is written for the backend what the settings say about its fields.
func (c *httpConn) addPolicy(f *http1.ForwardRequest) {
	p := c.plan
	f.Forwarding, f.TrustForwarded = p.edge.forwarding, c.trusted()
	if name := p.cfg.RequestID; name != "" {
		f.RequestIDName, f.RequestID = name, c.identity(name, f.TrustForwarded)
	}
	if to := c.to; to.host != nil {
		f.Host = to.host
	}
}

// maxIdentity bounds the identity that a trusted proxy may give a request.
const maxIdentity = 128

// identity is the request's: the one that a trusted proxy gave it, or a new one.
func (c *httpConn) identity(name string, trusted bool) []byte {
	if trusted {
		if id := c.req.Get(name); visible(id) {
			c.id = id
			return id
		}
	}
	if c.ids == nil {
		c.ids = c.s.cfg.Rand("request id of " + c.nc.RemoteAddr().String())
	}
	var bits [16]byte
	binary.BigEndian.PutUint64(bits[:8], c.ids.Uint64())
	binary.BigEndian.PutUint64(bits[8:], c.ids.Uint64())
	hex.Encode(c.idText[:], bits[:])
	c.id = c.idText[:]
	return c.id
}

// visible says whether an identity is 1 to 128 visible ASCII bytes.
func visible(id []byte) bool {
	for _, b := range id {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxIdentity
}

// newTarget makes where routes to an upstream lead.
func newTarget(g *group, u *config.Upstream) *target {
	to := &target{up: g.up, settings: u, stall: stallOf(u), tells: newTeller(u, g.back), sticky: g.sticky}
	switch u.Host {
	case config.HostPass:
	case config.HostBackend:
		to.hostOfBackend = true
		to.host = []byte(hostOf(u.Backends[0].Address)) // as long as no backend is known
	default:
		to.host = []byte(u.Host)
	}
	return to
}

// hostOf is a backend's address as a Host: without the port that http has by default.
func hostOf(address string) string { return strings.TrimSuffix(address, ":80") }

var hostField = []byte("\r\nHost: ")

// addressBackend gives the request that has been built the Host of the backend that gets it. It is the first field of the
// head, and neither a method nor a path has a line end.
func (c *httpConn) addressBackend() {
	if !c.to.hostOfBackend {
		return
	}
	from := bytes.Index(c.out, hostField) + len(hostField)
	n := bytes.IndexByte(c.out[from:], '\r')
	c.out = replaceAt(c.out, from, n, hostOf(c.attempt.Address))
}

// replaceAt replaces the n bytes of b from an offset on by s. It allocates only when b has too little room.
func replaceAt(b []byte, from, n int, s string) []byte {
	was := len(b)
	switch grown := len(s) - n; {
	case grown > 0:
		b = append(b, s[:grown]...)
		copy(b[from+len(s):], b[from+n:was])
	case grown < 0:
		copy(b[from+len(s):], b[from+n:])
		b = b[:was+grown]
	}
	copy(b[from:], s)
	return b
}

// allowed are the methods that we say we serve. Others, but for CONNECT and TRACE, are passed on nevertheless: what they
// mean is the backends' affair.
const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// answerOptions answers an OPTIONS request that must go no further: see http1.Request.MaxForwards. It reports whether the
// connection may carry another request.
func (c *httpConn) answerOptions() bool {
	c.recent = c.s.now()
	keep := c.req.KeepAlive && !c.last && c.body.Done() && !c.l.draining()
	c.out = http1.AppendServerResponse(c.out[:0], &http1.ServerResponse{Status: 200, Framing: http1.ContentLength, Close: !keep,
		Extra: append(c.ownFields(), http1.Field{Name: []byte("Allow"), Value: []byte(allowed)})})
	c.logAnswer(200, len(c.out), 0)
	if c.writeClient(c.out) != nil {
		c.clientLeft()
		return false
	}
	return c.answered(200, keep) == goOn
}
