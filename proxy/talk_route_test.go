package proxy_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestRoutesAreFoundByHostAndPrefix(t *testing.T) {
	var cases []conversation
	for _, r := range routed {
		cases = append(cases, conversation{promise: r.name, backends: 3, tune: threeRoutes, talk: func(c *talk) {
			method := "GET"
			if r.target == "*" {
				method = "OPTIONS"
			}
			client := c.client()
			_, err := io.WriteString(client.nc, method+" "+r.target+" HTTP/1.1\r\nHost: "+r.host+"\r\n\r\n")
			require.NoError(c.t, err)
			switch r.want {
			case noRoute:
				require.Equal(c.t, "404 Not Found", client.answer().start)
				c.counts(0, proxy.FailNoRoute)
			case badPath:
				require.Equal(c.t, "400 Bad Request", client.answer().start)
				c.counts(0, proxy.FailBadRequest)
			default:
				backend := c.origins[r.want].accept()
				require.Equal(c.t, method+" "+r.target, backend.request().start)
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.counts(1)
			}
		}})
	}
	cases = append(cases, conversation{promise: "dots pass where one route takes everything", talk: func(c *talk) {
		client := c.client().send("GET /a/../b HTTP/1.1\r\n", host, crlf)
		backend := c.origins[0].accept()
		require.True(c.t, strings.HasSuffix(backend.request().start, "/a/../b"), "and are left as they are")
		backend.send(okay)
		client.answer()
		c.counts(1)
	}})
	converse(t, cases)
}

// threeRoutes lead to the three backends of a conversation.
func threeRoutes(s *config.Config) {
	web := s.Upstreams[0]
	var ups []config.Upstream
	for i, name := range []string{"web", "api", "b"} {
		u := web
		u.Name, u.Backends = name, web.Backends[i:i+1]
		ups = append(ups, u)
	}
	s.Upstreams = ups
	s.Listeners[0].Upstream = ""
	s.Listeners[0].Routes = []config.Route{
		{Match: config.Match{Host: "B.test"}, Upstream: "b"},
		{Match: config.Match{PathPrefix: "/api"}, Upstream: "api"},
		{Match: config.Match{Host: "a.test", PathPrefix: "/"}, Upstream: "web"},
	}
}

const noRoute, badPath = -1, -2

// routed says which backend gets a request.
var routed = []struct {
	name, target, host string
	want               int
}{
	{"the prefix itself", "/api", "a.test", 1},
	{"below the prefix", "/api/users?x=/../", "c.test", 1},
	{"a prefix ends with its segment", "/apiary", "a.test", 0},
	{"the query is no path", "/?/api", "a.test", 0},
	{"the first route wins", "/api", "b.test", 2},
	{"a host in any case with a port", "/", "B.TEST:8080", 2},
	{"no route", "/", "c.test", noRoute},
	{"the server as a whole", "*", "b.test", 2},
	{"dots", "/web/../api", "a.test", badPath},
	{"escaped dots", "/web/%2e%2E/api", "a.test", badPath},
	{"half escaped dots", "/web/.%2e/api", "a.test", badPath},
	{"one dot", "/./api", "a.test", badPath},
	{"dots with a parameter", "/web/..;x=y/api", "a.test", badPath},
	{"an escaped slash", "/web%2fapi", "a.test", badPath},
	{"an escaped backslash", "/web%5Capi", "a.test", badPath},
	{"escaped letters of a prefix", "/%61pi/users", "a.test", badPath},
	{"a prefix behind two slashes", "//api", "a.test", badPath},
	{"a prefix behind a backslash", `/\api`, "a.test", badPath},
	{"a backslash for the slash of a prefix", `/api\users`, "a.test", badPath},
	{"a prefix with a parameter", "/api;x=y/users", "a.test", badPath},
	{"a prefix that is escaped twice", "/%2561pi", "a.test", badPath},
	{"dots that are escaped twice", "/web/%252e%252e/api", "a.test", badPath},
	{"a slash that is escaped twice", "/web/%252f", "a.test", badPath},
	{"a parameter that hides dots", "/web/.;/api", "a.test", badPath},
	{"readings that lead to the same route", "/api//users;v=1/%7Ejoe/%2541%20b", "a.test", 1},
	{"the same where no path matters", "/%61pi//x;y", "b.test", 2},
	{"what escapes may hide in a query", "/x?/%2e%2e/../api//", "a.test", 0},
	{"three dots are a name", "/...", "a.test", 0},
	{"dots in a name", "/a..b/.hidden", "a.test", 0},
}
