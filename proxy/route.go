package proxy

import (
	"bytes"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// target is where a route leads, with the times that hold on the way.
type target struct {
	up       *upstream.Upstream
	settings *config.Upstream
	stall    time.Duration // the stream_idle_timeout
}

// endless is a time that nobody lives to see the end of, for an idle time that is off: it can be added and doubled.
const endless = 20 * 365 * 24 * time.Hour

// stallOf is for how long a body of the upstream may make no progress.
func stallOf(u *config.Upstream) time.Duration {
	if u.StreamIdleTimeout == config.Off {
		return endless
	}
	return u.StreamIdleTimeout
}

// route is one row of a listener's table.
type route struct {
	host, prefix string
	to           *target
}

// table finds the target of a request.
type table struct {
	routes []route
	// plain says that there is one route for everything, so that the path decides nothing.
	plain bool
}

func newTable(routes []config.Route, targets map[string]*target) table {
	var t table
	for _, r := range routes {
		t.routes = append(t.routes, route{
			host: strings.ToLower(r.Match.Host), prefix: r.Match.PathPrefix, to: targets[r.Upstream],
		})
	}
	t.plain = len(t.routes) == 1 && t.routes[0].host == "" && t.routes[0].prefix == "/"
	return t
}

// find returns the first route's target that matches, or nil.
func (t *table) find(authority, path []byte) *target {
	if t.plain {
		return t.routes[0].to
	}
	host := authority
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	for i := range t.routes {
		r := &t.routes[i]
		if (r.host == "" || equalFold(host, r.host)) && hasPrefix(path, r.prefix) {
			return r.to
		}
	}
	return nil
}

// ambiguous says whether a path means one thing to the table and perhaps another to a backend that resolves its dot
// segments. It matters only where the path decides the route.
func (t *table) ambiguous(path []byte) bool {
	if t.plain {
		return false
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	for len(path) > 0 {
		seg := path
		if i := bytes.IndexAny(path, `/\`); i >= 0 {
			seg, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		if hidesSlash(seg) {
			return true
		}
		// Some backends cut parameters off a segment before they resolve it: "..;x" is ".." to them.
		if i := bytes.IndexByte(seg, ';'); i >= 0 {
			seg = seg[:i]
		}
		if isDots(seg) {
			return true
		}
	}
	return false
}

// hidesSlash says whether a segment has an escaped slash or backslash.
func hidesSlash(seg []byte) bool {
	for ; len(seg) >= 3; seg = seg[1:] {
		if seg[0] != '%' {
			continue
		}
		if seg[1] == '2' && seg[2]|0x20 == 'f' || seg[1] == '5' && seg[2]|0x20 == 'c' {
			return true
		}
	}
	return false
}

// isDots says whether a segment is "." or "..", dots written plainly or escaped.
func isDots(seg []byte) bool {
	n := 0
	for len(seg) > 0 {
		switch {
		case seg[0] == '.':
			seg = seg[1:]
		case len(seg) >= 3 && seg[0] == '%' && seg[1] == '2' && (seg[2] == 'e' || seg[2] == 'E'):
			seg = seg[3:]
		default:
			return false
		}
		n++
	}
	return n == 1 || n == 2
}

// equalFold compares a host with one that is in lower case already.
func equalFold(host []byte, lower string) bool {
	if len(host) != len(lower) {
		return false
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hasPrefix matches by whole segments: /api is a prefix of /api and of /api/users, not of /apiary. The prefix / is
// every path, and so is that of a request about the server as a whole ("*").
func hasPrefix(path []byte, prefix string) bool {
	if prefix == "/" {
		return true
	}
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}
