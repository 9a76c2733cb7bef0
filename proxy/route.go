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
	stall    time.Duration  // the stream_idle_timeout
	class    upstream.Class // of what comes by this route
	like     *target        // the one of the settings' own class, where this has another one; or nil
	sticky   *sticker       // the cookies that name its backends; nil: there are none
	tells    *teller        // who says to its backends whose connection it is; nil: nobody

	host          []byte // what its backends get as Host; nil: the client's
	hostOfBackend bool   // each backend gets its own, and host stands where that goes
}

// leadsWhere says whether two routes lead to the same backends, however urgent what goes there may be.
func (t *target) leadsWhere(o *target) bool {
	return t == o || t != nil && o != nil && (t.like == o || o.like == t || t.like != nil && t.like == o.like)
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
		to := targets[r.Upstream]
		if class := upstream.ClassNamed(r.Priority); to != nil && class != to.class {
			urgent := *to
			urgent.class, urgent.like = class, to
			to = &urgent
		}
		t.routes = append(t.routes, route{
			host: strings.ToLower(r.Match.Host), prefix: r.Match.PathPrefix, to: to,
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
	return t.lookUp(hostIn(authority), withoutQuery(path))
}

// lookUp is find for a host without its port and a path without its query.
func (t *table) lookUp(host, path []byte) *target {
	for i := range t.routes {
		r := &t.routes[i]
		if (r.host == "" || equalFold(host, r.host)) && hasPrefix(path, r.prefix) {
			return r.to
		}
	}
	return nil
}

// hostIn is an authority without its port.
func hostIn(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		return authority[:i]
	}
	return authority
}

func withoutQuery(path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		return path[:i]
	}
	return path
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
