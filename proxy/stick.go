package proxy

import (
	"bytes"
	"slices"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// stuck is what the cookie of a request said.
type stuck struct {
	wants string // the backend that it named
	ends  time.Time
	first bool // it is signed by the secret by which we sign
}

// mostCookies is how many cookies of our name are looked at. Each costs a signature under each secret, and a head has room for
// more than a thousand.
const mostCookies = 16

// wantSticky looks for the cookie that names the backend of the request's session. Where several have its name, which a neighbouring
// domain may have set, the first good one holds.
func (c *httpConn) wantSticky(k *sticker) {
	c.stuck = stuck{}
	bad, seen := StickyForged, 0
	now := c.s.now()
	for value := range cookies(&c.req, k.cfg.Cookie) {
		address, ends, first, what := k.read(value, now, c.to.up.Members)
		if what == StickyHonoured {
			c.stuck = stuck{wants: address, ends: ends, first: first}
			c.attempt.Prefer = address
			return
		}
		bad = min(bad, what)
		if seen++; seen == mostCookies {
			break
		}
	}
	if seen > 0 {
		c.s.counters.sticky[bad].Add(1)
	}
}

// stick gives the client the cookie that names the backend of this answer, where it has none, or one of another backend, of an older
// secret, or of which less than half of its time is left, unless that backend is being drained: its sessions end one by one; or
// the answer is one for all (forAll). A field of that name by the backend does not pass: there are never two.
func (c *httpConn) stick(k *sticker, f *http1.ForwardResponse) {
	address := c.attempt.Address
	if c.stuck.wants != "" {
		what := StickyMoved
		if c.stuck.wants == address {
			what = StickyHonoured
		}
		c.s.counters.sticky[what].Add(1)
	}
	if own := setsCookie(c.resp.Fields, k.cfg.Cookie); own >= 0 {
		c.resp.Fields = slices.DeleteFunc(c.resp.Fields, func(f http1.Field) bool { return setsCookie([]http1.Field{f}, k.cfg.Cookie) >= 0 })
	}
	now := c.s.now()
	if c.resp.Status >= 500 || c.attempt.Kept || c.stuck.wants == address && c.stuck.first && c.stuck.ends.Sub(now) >= k.cfg.TTL/2 {
		return
	}
	if !c.mayCarry(k) {
		return
	}
	secure := k.cfg.Secure == config.SecureOn || k.cfg.Secure == config.SecureAuto && c.proto() == "https"
	f.SetCookie = k.header(address, now.Add(k.cfg.TTL), secure)
}

// mayCarry says whether a cookie of ours may go with the answer, which caches may see, and makes it one of this client alone where that
// is asked for.
func (c *httpConn) mayCarry(k *sticker) bool {
	kept := string(c.req.Method) == "GET" || string(c.req.Method) == "HEAD" // answers to others are used for nobody else
	switch {
	case !kept || k.cfg.OnCacheable == config.CacheableSet:
	case k.cfg.OnCacheable == config.CacheablePrivate:
		c.resp.Fields = forItsClient(c.resp.Fields)
	default:
		return !forAll(c.resp.Fields, c.req.Get("Authorization") != nil, c.s.now())
	}
	return true
}

var setCookieField = []byte("set-cookie")

// setsCookie is the place of the first field that sets a cookie of that name, or -1 (RFC 6265 section 5.2).
func setsCookie(fields []http1.Field, name string) int {
	return slices.IndexFunc(fields, func(f http1.Field) bool {
		if !bytes.EqualFold(f.Name, setCookieField) {
			return false
		}
		pair, _, _ := bytes.Cut(f.Value, semicolon)
		key, _, _ := bytes.Cut(pair, equals)
		return string(bytes.Trim(key, " \t")) == name
	})
}
