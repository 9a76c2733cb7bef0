package proxy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

// kept is an answer that says what caches may do with it.
func kept(fields string) string {
	return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 2\r\n\r\nok"
}

// onCacheable is stickyTo with a word for what caches may keep.
func onCacheable(word string) func(*config.Config) {
	return func(c *config.Config) {
		stickyTo("new")(c)
		c.Upstreams[0].Sticky.OnCacheable = word
	}
}

// exchanged is an exchange of a method, and what the client gets.
func exchanged(c *talk, client, backend *peer, method, answer string) *message {
	client.send(method + " / HTTP/1.1\r\n" + host + "\r\n")
	if backend == nil {
		backend = c.origins[0].accept()
	}
	backend.request()
	backend.send(answer)
	m := client.answerTo(method)
	c.settle()
	return m
}

func TestACookieOfOneClientIsNotKeptForAll(t *testing.T) {
	const public = "Cache-Control: public, max-age=60\r\n"
	converse(t, []conversation{
		{promise: "a session begins with the first answer that is the client's own", backends: 2, files: secrets, tune: onCacheable(""), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			_, _, set := v.visit(client, kept(public))
			require.Empty(c.t, set)
			by, _, set := v.visit(client, kept("Cache-Control: private, max-age=60\r\n"))
			require.Len(c.t, set, 1)
			again, _, none := v.visit(client, kept(public), crumb(set))
			require.Equal(c.t, by, again, "a session that there is holds for what is for all too")
			require.Empty(c.t, none)
			c.counts(3)
		}},
		{promise: "what is for all sets no cookie of the backend's in our name either", backends: 1, files: secrets, tune: onCacheable("skip"), talk: func(c *talk) {
			_, _, set := newVisitor(c).visit(c.client(), kept(public+"Set-Cookie: sid=evil\r\nSet-Cookie: other=1\r\n"))
			require.Equal(c.t, []string{"other=1"}, set)
			c.counts(1)
		}},
		{promise: "an answer to a method that changes something is for nobody else", backends: 1, files: secrets, tune: onCacheable("skip"), talk: func(c *talk) {
			m := exchanged(c, c.client(), nil, "DELETE", kept(public))
			require.Len(c.t, m.named("Set-Cookie"), 1)
			c.counts(1)
		}},
		{promise: "nor is one to a request with credentials, unless it says so", backends: 1, files: secrets, tune: onCacheable("skip"), talk: func(c *talk) {
			client := c.client()
			client.send("GET / HTTP/1.1\r\n" + host + "Authorization: Basic YTpi\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send(kept("Cache-Control: max-age=60\r\n"))
			require.Len(c.t, client.answer().named("Set-Cookie"), 1)
			c.settle()
			require.Empty(c.t, exchanged(c, client, backend, "GET", kept("Cache-Control: max-age=60\r\n")).named("Set-Cookie"))
			require.Empty(c.t, exchanged(c, client, backend, "HEAD", "HTTP/1.1 200 OK\r\n"+public+"\r\n").named("Set-Cookie"))
			c.counts(3)
		}},
		{promise: "private: what carries it is its client's alone", backends: 1, files: secrets, tune: onCacheable("private"), talk: func(c *talk) {
			m := exchanged(c, c.client(), nil, "GET", kept(public+"CDN-Cache-Control: max-age=600\r\nA: b\r\n"))
			require.Len(c.t, m.named("Set-Cookie"), 1)
			require.Equal(c.t, []string{"private, max-age=60"}, m.named("Cache-Control"))
			require.Empty(c.t, m.named("CDN-Cache-Control"))
			require.Equal(c.t, []string{"b"}, m.named("A"))
			c.counts(1)
		}},
		{promise: "private: what says nothing does then, and what carries none stays as it is", backends: 2, files: secrets, tune: onCacheable("private"), talk: func(c *talk) {
			v := newVisitor(c)
			client := c.client()
			by, _, set := v.visit(client, kept(""))
			require.Len(c.t, set, 1)
			client.send("GET / HTTP/1.1\r\n" + host + "Cookie: " + crumb(set) + "\r\n\r\n")
			v.conns[by].request()
			v.conns[by].send(kept(public))
			m := client.answer()
			require.Empty(c.t, m.named("Set-Cookie"))
			require.Equal(c.t, []string{"public, max-age=60"}, m.named("Cache-Control"))
			c.settle()
			c.counts(2)
		}},
		{promise: "set: it goes with everything", backends: 1, files: secrets, tune: onCacheable("set"), talk: func(c *talk) {
			m := exchanged(c, c.client(), nil, "GET", kept(public))
			require.Len(c.t, m.named("Set-Cookie"), 1)
			require.Equal(c.t, []string{"public, max-age=60"}, m.named("Cache-Control"))
			c.counts(1)
		}},
	})
}
