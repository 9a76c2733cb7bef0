package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// rpc is how a backend answers a call: with a message before the status, or with nothing but the status.
type rpc struct {
	status, kind string
	message      string
	wait         time.Duration // before the end
	http         int
}

func (a rpc) serve(c *talk, w http.ResponseWriter) {
	w.Header().Set("Content-Type", a.kind)
	if a.message == "" && a.status != "" {
		w.Header().Set("Grpc-Status", a.status)
	}
	w.WriteHeader(a.http)
	_, _ = io.WriteString(w, a.message)
	if a.message != "" || a.wait > 0 {
		w.(http.Flusher).Flush()
		c.clk.Sleep(a.wait)
	}
	if a.message != "" && a.status != "" {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", a.status)
	}
}

// ends are the outcomes of the attempts on the first backend, without those that never happened.
func (c *talk) ends() map[upstream.Outcome]int {
	n := map[upstream.Outcome]int{}
	for o, k := range c.server.Stats().Upstreams[0].Backends[0].Outcomes {
		if k > 0 {
			n[upstream.Outcome(o)] = int(k)
		}
	}
	return n
}

func TestWhatACallOfGRPCEndsWithIsEvidence(t *testing.T) {
	const kind = "application/grpc"
	var p *paper
	var all []conversation
	for _, w := range []struct {
		what string
		rpc
		want upstream.Outcome
	}{
		{"ok", rpc{"0", kind, "hello", 0, 200}, upstream.OutcomeAnswered},
		{"unavailable and nothing else", rpc{"14", kind, "", 0, 200}, upstream.OutcomeGatewayError},
		{"unavailable behind a message", rpc{"14", kind, "hello", 0, 200}, upstream.OutcomeGatewayError},
		{"unavailable long after a message", rpc{"14", kind + "+proto", "hello", 50 * time.Millisecond, 200}, upstream.OutcomeGatewayError},
		{"unavailable, and the end later", rpc{"14", kind, "", 50 * time.Millisecond, 200}, upstream.OutcomeGatewayError},
		{"internal and nothing else", rpc{"13", kind, "", 0, 200}, upstream.OutcomeAnswered5xx},
		{"internal behind a message", rpc{"13", kind, "hello", 0, 200}, upstream.OutcomeAnswered5xx},
		{"unknown", rpc{"2", kind, "", 0, 200}, upstream.OutcomeAnswered5xx},
		{"the deadline of the client", rpc{"4", kind, "", 0, 200}, upstream.OutcomeAnswered},
		{"a method that is none", rpc{"12", kind, "", 0, 200}, upstream.OutcomeAnswered},
		{"no status", rpc{"", kind, "hello", 0, 200}, upstream.OutcomeAnswered},
		{"another media type", rpc{"14", "application/json", "hello", 0, 200}, upstream.OutcomeAnswered},
		{"another status of HTTP", rpc{"14", kind, "", 0, 404}, upstream.OutcomeAnswered},
		{"an error of HTTP", rpc{"0", kind, "", 0, 500}, upstream.OutcomeAnswered5xx},
		{"an error of HTTP on the way", rpc{"2", kind, "", 0, 503}, upstream.OutcomeGatewayError},
	} {
		script := func(serve func(c *talk, h http.HandlerFunc)) func(c *talk) {
			return func(c *talk) {
				serve(c, func(wr http.ResponseWriter, _ *http.Request) { w.rpc.serve(c, wr) })
				for n := range 3 {
					m := c.posting().answerTo("POST")
					require.True(c.t, m.whole)
					require.Equal(c.t, fmt.Sprint(w.http), m.start[:3])
					require.Equal(c.t, w.message, m.body)
					if got := append(m.named("Grpc-Status"), m.trailers...); w.status != "" {
						require.Len(c.t, got, 1, "the client is told all the same")
					}
					c.await("it is over", func() bool { return c.server.Stats().Upstreams[0].InFlight == 0 })
					require.Equal(c.t, map[upstream.Outcome]int{w.want: n + 1}, c.ends())
				}
				c.counts(3)
			}
		}
		all = append(all,
			conversation{promise: w.what, eager: true, tune: speaksHTTP2,
				talk: script(func(c *talk, h http.HandlerFunc) { c.origins[0].serve(h) })})
		if w.what == "unavailable behind a message" {
			all = append(all, conversation{promise: w.what + " over TLS", eager: true, files: papers(&p), tune: func(s *config.Config) {
				secureBack(s)
				s.Upstreams[0].Protocol = config.UpstreamHTTP2
			}, talk: script(func(c *talk, h http.HandlerFunc) { c.origins[0].serveTLS(p, "h2", h) })})
		}
	}
	converse(t, all)
}

// HTTP/1.1 carries no gRPC: whatever such an answer calls itself, its status is that of HTTP.
func TestAnAnswerOfHTTP1IsNotOneOfGRPC(t *testing.T) {
	converse(t, []conversation{{promise: "of HTTP1", talk: func(c *talk) {
		client := c.client().send(get)
		backend := c.origins[0].accept()
		backend.request()
		backend.send("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 14\r\nContent-Length: 0\r\n\r\n")
		client.answer()
		c.await("it is over", func() bool { return c.server.Stats().Upstreams[0].InFlight == 0 })
		require.Equal(c.t, map[upstream.Outcome]int{upstream.OutcomeAnswered: 1}, c.ends())
		c.counts(1)
	}}})
}

func TestABackendThatIsUnavailableByGRPCAloneIsEjected(t *testing.T) {
	converse(t, []conversation{{promise: "of two", backends: 2, eager: true, tune: func(s *config.Config) {
		speaksHTTP2(s)
		s.Upstreams[0].Health.Passive.ConsecutiveGatewayErrors = 3
	}, talk: func(c *talk) {
		for i, status := range []string{"14", "0"} {
			c.origins[i].serve(func(w http.ResponseWriter, _ *http.Request) { rpc{status, "application/grpc", "", 0, 200}.serve(c, w) })
		}
		for range 10 {
			c.posting().answerTo("POST")
		}
		c.await("all are over", func() bool { return c.server.Stats().Upstreams[0].InFlight == 0 })
		require.Equal(c.t, map[upstream.Outcome]int{upstream.OutcomeGatewayError: 3}, c.ends())
		require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Available)
		c.counts(10)
	}}})
}

// A half-open breaker does not take a head with HTTP status 200 for a success that is a failure.
func TestABreakerIsNotClosedByACallThatFails(t *testing.T) {
	converse(t, []conversation{{promise: "in time", virtual: true, eager: true, tune: func(s *config.Config) {
		speaksHTTP2(s)
		s.Upstreams[0].Health.Breaker = &config.Breaker{ErrorPercent: 50, MinRequests: 2, Probes: 1, OpenTime: time.Second}
	}, talk: func(c *talk) {
		status := "14"
		c.origins[0].serve(func(w http.ResponseWriter, _ *http.Request) {
			rpc{status, "application/grpc", "", 10 * time.Millisecond, 200}.serve(c, w)
		})
		up := func() int { c.settle(); return c.server.Stats().Upstreams[0].Available }
		c.posting().answerTo("POST")
		for range 3 {
			c.posting().answerTo("POST")
			require.Equal(c.t, 0, up(), "it opens, and again after each probe")
			c.clk.Sleep(time.Second)
			require.Equal(c.t, 1, up())
		}
		status = "0"
		c.posting().answerTo("POST")
		require.Equal(c.t, 1, up())
		c.counts(5)
	}}})
}
