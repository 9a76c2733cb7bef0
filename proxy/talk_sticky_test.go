package proxy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// secrets are the files of a proxy whose answers set cookies.
func secrets(*talk) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		switch name {
		case "old", "new", "short":
			return []byte(strings.Repeat(name, 16)[:16] + "\n"), nil
		case "less":
			return []byte("fifteen bytes..\n"), nil
		}
		return nil, errors.New("no such file")
	}
}

func stickyTo(files ...string) func(*config.Config) {
	return func(s *config.Config) {
		s.Upstreams[0].Sticky = &config.Sticky{Cookie: "sid", SecretFiles: files, TTL: time.Hour}
	}
}

// visitor makes exchanges, on connections that are kept to the backends.
type visitor struct {
	c     *talk
	conns map[int]*peer
}

func newVisitor(c *talk) *visitor { return &visitor{c, map[int]*peer{}} }

// visit makes one exchange with the given cookies, and returns the backend that answered, what it was sent, and what the client was
// given to set.
func (v *visitor) visit(client *peer, answer string, cookies ...string) (by int, sent *message, set []string) {
	c := v.c
	head := "GET / HTTP/1.1\r\n" + host
	for _, k := range cookies {
		head += "Cookie: " + k + "\r\n"
	}
	client.send(head + "\r\n")
	by = -1
	c.await("a backend that is asked", func() bool {
		for i, b := range c.server.Stats().Upstreams[0].Backends {
			if b.InFlight > 0 {
				by = i
			}
		}
		return by >= 0
	})
	if v.conns[by] == nil {
		v.conns[by] = c.origins[by].accept()
	}
	sent = v.conns[by].request()
	v.conns[by].send(answer)
	set = client.answer().named("Set-Cookie")
	c.settle()
	return by, sent, set
}

// crumb is the part of a Set-Cookie that the client sends back.
func crumb(set []string) string {
	pair, _, _ := strings.Cut(set[0], ";")
	return pair
}

func TestAClientStaysWithTheBackendOfItsCookie(t *testing.T) {
	converse(t, []conversation{
		{promise: "the first answer sets it, and it is honoured", backends: 3, files: secrets, tune: stickyTo("new"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			by, _, set := v.visit(client, okay)
			require.Len(c.t, set, 1)
			require.Regexp(c.t, `^sid=[A-Za-z0-9_-]{40}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax$`, set[0])
			require.NotContains(c.t, set[0], strings.Split(c.origins[by].addr, ":")[0])
			own := crumb(set)
			for range 4 {
				again, sent, none := v.visit(client, okay, "a=b", "c=d; "+own+"; e")
				require.Equal(c.t, by, again)
				require.Empty(c.t, none, "it has half an hour yet")
				require.Equal(c.t, []string{"a=b", "c=d; " + own + "; e"}, sent.named("Cookie"), "all crumbs pass")
			}
			require.EqualValues(c.t, 4, c.server.Stats().Sticky[proxy.StickyHonoured])
			c.counts(5)
		}},
		{promise: "one that is forged is ignored, counted, and replaced", backends: 2, files: secrets, tune: stickyTo("new"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			by, _, set := v.visit(client, okay)
			forged := []byte(crumb(set))
			forged[len(forged)-1] ^= 1
			other, _, again := v.visit(client, okay, string(forged))
			require.NotEqual(c.t, by, other, "it takes its turn like anybody")
			require.Len(c.t, again, 1)
			require.EqualValues(c.t, 1, c.server.Stats().Sticky[proxy.StickyForged])
			by, _, none := v.visit(client, okay, string(forged)+"; "+crumb(again))
			require.Equal(c.t, other, by, "a forged one before it hides a good one from nobody")
			require.Empty(c.t, none)
			c.counts(3)
		}},
		{promise: "of many with its name only the first sixteen are looked at", backends: 2, files: secrets, tune: stickyTo("new"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			by, _, set := v.visit(client, okay)
			own := crumb(set)
			forged := strings.Repeat("sid="+strings.Repeat("A", 40)+"; ", 15)
			again, _, none := v.visit(client, okay, forged+own)
			require.Equal(c.t, by, again)
			require.Empty(c.t, none)
			_, _, set = v.visit(client, okay, "sid=; "+forged+own)
			require.Len(c.t, set, 1)
			require.EqualValues(c.t, 1, c.server.Stats().Sticky[proxy.StickyForged])
			c.counts(3)
		}},
		{promise: "a backend's own cookie of that name does not pass beside it", files: secrets, tune: stickyTo("new"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			_, _, set := v.visit(client, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nset-cookie: sid=evil; Path=/\r\nContent-Length: 2\r\n\r\nok")
			require.Len(c.t, set, 2)
			require.Equal(c.t, "a=b", set[0])
			require.NotContains(c.t, set[1], "evil")
			_, _, set = v.visit(client, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
			require.Empty(c.t, set, "nobody is tied to a failure")
			c.counts(2)
		}},
	})
}

func TestACookieHoldsAcrossReloadsAndToItsEnd(t *testing.T) {
	converse(t, []conversation{
		{promise: "a backend that is drained keeps its sessions, and gets no others", backends: 2, files: secrets, tune: stickyTo("new"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			by, _, set := v.visit(client, okay)
			require.NoError(c.t, c.server.DrainBackend("web", c.origins[by].addr))
			delete(v.conns, by) // idle connections are closed
			for range 3 {
				stays, _, none := v.visit(client, okay, crumb(set))
				require.Equal(c.t, by, stays)
				require.Empty(c.t, none)
				other, _, first := v.visit(client, okay)
				require.NotEqual(c.t, by, other)
				require.Len(c.t, first, 1)
			}
			require.EqualValues(c.t, 3, c.server.Stats().Sticky[proxy.StickyHonoured])
			require.Zero(c.t, c.server.Stats().Sticky[proxy.StickyMoved])
			c.retires(pool.ReasonOutdated)
			c.counts(7)
		}},
		{promise: "secrets are rotated by reloads, and cookies switched off", backends: 2, files: secrets, tune: stickyTo("old"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			reload := func(tune func(*config.Config)) error {
				_, err := c.server.Reload(changed(c.server, tune))
				return err
			}
			by, _, set := v.visit(client, okay)
			require.NoError(c.t, reload(stickyTo("new", "old")))
			again, _, renewed := v.visit(client, okay, crumb(set))
			require.Equal(c.t, by, again)
			require.Len(c.t, renewed, 1, "it is signed anew")
			require.ErrorContains(c.t, reload(stickyTo("new", "less")), "it has 15 bytes")
			require.ErrorContains(c.t, reload(stickyTo("none")), "no such file")
			require.NoError(c.t, reload(stickyTo("new")))
			again, _, none := v.visit(client, okay, crumb(renewed))
			require.Equal(c.t, by, again)
			require.Empty(c.t, none)
			v.visit(client, okay, crumb(set))
			require.EqualValues(c.t, 1, c.server.Stats().Sticky[proxy.StickyForged], "the old secret is gone")
			require.NoError(c.t, reload(func(s *config.Config) { s.Upstreams[0].Sticky = nil }))
			_, _, none = v.visit(client, okay, crumb(renewed))
			require.Empty(c.t, none)
			c.counts(5)
		}},
		{promise: "it is renewed at half time, and expires", backends: 2, files: secrets, tune: func(s *config.Config) {
			stickyTo("new")(s)
			s.Upstreams[0].Pool.IdleTimeout, s.Upstreams[0].Pool.MaxLifetime, s.Upstreams[0].Pool.TrimEvery = config.Off, config.Off, config.Off
		}, virtual: true, talk: func(c *talk) {
			v := newVisitor(c)
			by, _, set := v.visit(c.client(), okay)
			c.clk.Sleep(29 * time.Minute)
			again, _, none := v.visit(c.client(), okay, crumb(set))
			require.Equal(c.t, by, again)
			require.Empty(c.t, none)
			c.clk.Sleep(2 * time.Minute)
			_, _, renewed := v.visit(c.client(), okay, crumb(set))
			require.Len(c.t, renewed, 1)
			require.NotEqual(c.t, set, renewed)
			c.clk.Sleep(30 * time.Minute)
			v.visit(c.client(), okay, crumb(set))
			require.EqualValues(c.t, 1, c.server.Stats().Sticky[proxy.StickyExpired])
			again, _, _ = v.visit(c.client(), okay, crumb(renewed))
			require.Equal(c.t, by, again)
			c.counts(5)
		}},
	})
}
