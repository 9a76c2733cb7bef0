package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// The order in which service degrades, as ARCHITECTURE.md states it: each request of the story finds one thing less.
func TestServiceDegradesStepByStep(t *testing.T) {
	converse(t, []conversation{{promise: "idle, dial, next backend, backup, panic, queue, 503", backends: 3, virtual: true,
		tune: func(s *config.Config) {
			u := &s.Upstreams[0]
			u.Strategy, u.Backends[2].Priority = config.StrategyFirst, 1
			u.Pool.MaxConnections, u.Pool.ValidateAfter = 2, config.Off
			u.Retry = config.Retry{Attempts: 1, On: []string{}, PerTryTimeout: config.Off, BudgetPercent: config.Off}
			u.Health.Passive = config.Passive{Consecutive5xx: 1, ConsecutiveFailures: config.Off, MaxEjectionPercent: 100,
				BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour}
			u.Health.OnNoBackend = config.NoBackendFailOpen
			u.Queue = config.Queue{MaxWaiting: 2, Timeout: 3 * time.Second}
			u.Unavailable = config.Unavailable{RetryAfter: 1500 * time.Millisecond, Body: "<p>Back soon.</p>", ContentType: "text/html"}
		}, talk: degrade}})
}

func degrade(c *talk) {
	first := c.client().send(get)
	a1 := c.origins[0].accept()
	a1.request()
	a1.send(okay)
	require.Equal(c.t, "ok", first.answer().body)

	r1 := c.ask(a1)
	require.Equal(c.t, [3]int{1, 0, 0}, c.dials(), "an idle connection comes first")
	r2 := c.client().send(get)
	a2 := c.origins[0].accept()
	a2.request()
	require.Equal(c.t, [3]int{2, 0, 0}, c.dials(), "then a fresh one to the best backend")
	r3, r4 := c.client().send(get), c.client()
	b1 := c.origins[1].accept()
	b1.request()
	r4.send(get)
	b2 := c.origins[1].accept()
	b2.request()
	require.Equal(c.t, [3]int{2, 2, 0}, c.dials(), "then the next backend")
	r5 := c.client().send(get)
	c1 := c.origins[2].accept()
	c1.request()
	require.Equal(c.t, [3]int{2, 2, 1}, c.dials(), "then the backup")

	// All three are ejected; the backup, which is full of nobody's requests, is left until last.
	for i, backend := range []*peer{a1, b1, c1} {
		backend.send(serverError)
		require.Equal(c.t, "500 Internal Server Error", []*peer{r1, r3, r5}[i].answer().start)
	}
	require.Zero(c.t, c.server.Stats().Upstreams[0].Available)
	r1, r3, r5 = c.ask(a1), c.ask(b1), c.ask(c1)
	r6 := c.client().send(get)
	c2 := c.origins[2].accept()
	c2.request()
	require.Equal(c.t, [3]int{2, 2, 2}, c.dials(), "then those that only panic admits, in the same order")
	c.outOfRoom([]*peer{a1, a2, b1, b2, c1, c2}, []*peer{r1, r2, r3, r4, r5, r6})
}

const serverError = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"

// dials is how often each of the three backends has been dialled.
func (c *talk) dials() (n [3]int) {
	for i, b := range c.server.Stats().Upstreams[0].Backends {
		n[i] = int(b.Pool.Dialled)
	}
	return n
}

// ask sends a request that comes to that backend's connection.
func (c *talk) ask(backend *peer) *peer {
	client := c.client().send(get)
	backend.request()
	return client
}

// outOfRoom goes on where nothing has room: one waits and is served, and one waits in vain. Each of the requests is under way
// at the backend of its place.
func (c *talk) outOfRoom(backends, clients []*peer) {
	busy, began := backends[3], c.clk.Now()
	r7 := c.client().send(get)
	c.queued(1)
	r8 := c.client().send(get)
	c.queued(2)
	m := c.client().send(get).answer()
	require.Equal(c.t, "503 Service Unavailable", m.start, "the queue is full")
	busy.send(okay)
	busy.request()
	busy.send(okay)
	require.Equal(c.t, "ok", clients[3].answer().body)
	require.Equal(c.t, "ok", r7.answer().body, "then whatever frees first")
	busy.request()
	r9 := c.client().send(get)
	m = r9.answer()
	require.InDelta(c.t, 3*time.Second, c.clk.Since(began), float64(50*time.Millisecond))
	require.Equal(c.t, "503 Service Unavailable", m.start, "and in the end nothing")
	require.Equal(c.t, []string{"2"}, m.named("Retry-After"), "1.5 s, in whole seconds")
	require.Equal(c.t, []string{"text/html"}, m.named("Content-Type"))
	require.Equal(c.t, "<p>Back soon.</p>", m.body)
	require.Len(c.t, m.named("Date"), 1)

	clients[3] = r8
	for i, backend := range backends {
		backend.send(okay)
		require.Equal(c.t, "ok", clients[i].answer().body)
	}
	c.dialled = 6
	c.counts(12, proxy.FailQueueFull, proxy.FailQueueTimeout)
}
