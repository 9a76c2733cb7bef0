package proxy

import (
	"bytes"
	"iter"
	"net/netip"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// keyOf is the key by which the backend of the request is chosen; 0 where it has none, and any backend will do. It costs
// nothing where the strategy chooses by no key.
func (c *httpConn) keyOf() uint64 {
	h := c.to.settings.Hash
	if h == nil {
		return 0
	}
	switch h.By {
	case config.HashPath:
		return lb.Hash(withoutQuery(c.req.Path))
	case config.HashHeader:
		return keyOfText(c.req.Get(h.Name))
	case config.HashCookie:
		return keyOfText(cookie(&c.req, h.Name))
	}
	if c.trusted() {
		return keyOfAddress(c.forwardedFor())
	}
	return keyOfAddress(c.address())
}

// tunnelKey is the key of a tunnel, which has only where it comes from.
func (c *client) tunnelKey(to *target) uint64 {
	if h := to.settings.Hash; h == nil || h.By != config.HashSource {
		return 0
	}
	return keyOfAddress(c.address())
}

func keyOfText(text []byte) uint64 {
	if len(text) == 0 {
		return 0
	}
	return lb.Hash(text)
}

// keyOfAddress is the key of a source: see sourceOf.
func keyOfAddress(ip netip.Addr) uint64 {
	if !ip.IsValid() {
		return 0
	}
	sixteen := sourceOf(ip).As16()
	return lb.Hash(sixteen[:])
}

var forwardedForField = []byte("x-forwarded-for")

// forwardedFor is the client for whom a trusted proxy speaks: from the end of what X-Forwarded-For lists, the first
// address that is not a trusted proxy's itself. What stands before that, anybody may have written. It is the invalid
// address where there is none.
func (c *httpConn) forwardedFor() netip.Addr {
	for i := len(c.req.Fields) - 1; i >= 0; i-- {
		f := &c.req.Fields[i]
		if !bytes.EqualFold(f.Name, forwardedForField) {
			continue
		}
		for list, more := f.Value, true; more; {
			one := list
			if at := bytes.LastIndexByte(list, ','); at >= 0 {
				list, one = list[:at], list[at+1:]
			} else {
				more = false
			}
			one = bytes.Trim(one, " \t")
			ip, err := netip.ParseAddr(string(one))
			if err != nil {
				return netip.Addr{}
			}
			if ip = ip.Unmap().WithZone(""); !c.plan.edge.trusts(ip) {
				return ip
			}
		}
	}
	return netip.Addr{}
}

var cookieField = []byte("cookie")

// cookie is the value of the first cookie of that name, or nil.
func cookie(req *http1.Request, name string) []byte {
	for value := range cookies(req, name) {
		return value
	}
	return nil
}

// cookies are the values of the cookies of that name (RFC 6265 section 4.2.1; several fields are as one, as RFC 9113 section 8.2.3
// allows).
func cookies(req *http1.Request, name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range req.Fields {
			f := &req.Fields[i]
			if !bytes.EqualFold(f.Name, cookieField) {
				continue
			}
			for rest := f.Value; len(rest) > 0; {
				var one []byte
				one, rest, _ = bytes.Cut(rest, semicolon)
				key, value, ok := bytes.Cut(bytes.Trim(one, " \t"), equals)
				if ok && string(key) == name && !yield(value) {
					return
				}
			}
		}
	}
}

var semicolon, equals = []byte(";"), []byte("=")
