package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// hammerRounds is how often each operator changes the server.
const hammerRounds = 60

// Real sockets and real threads: whatever the scheduler makes of operations that collide, every request is answered.
func TestOperationsThatCollideUnderLoadLoseNoRequest(t *testing.T) {
	backends := startOrigins(t, 5)
	c := config.Default()
	l := config.DefaultListener("127.0.0.1:0")
	l.Upstream = "web"
	c.Listeners = []config.Listener{l}
	c.Upstreams = []config.Upstream{config.DefaultUpstream("web", backends[:3]...)}
	c.Admin.Address = ""
	s, err := proxy.New(proxy.Config{Settings: c})
	require.NoError(t, err)
	require.NoError(t, s.Start(context.Background()))

	var stop atomic.Bool
	var load, operators sync.WaitGroup
	var answered, failed atomic.Int64
	for range 8 {
		load.Go(func() { hammer(t, "http://"+s.Addrs()[0].String()+"/", &stop, &answered, &failed) })
	}
	// Backends 0 and 1 always stay and are never drained, so that somebody is there for every request.
	operators.Go(func() {
		for i := range hammerRounds {
			_ = s.AddBackend("web", config.Backend{Address: backends[3+i%2]}) // it may be there, by a reload
			_ = s.RemoveBackend("web", backends[3+(i+1)%2])
		}
	})
	operators.Go(func() {
		for i := range hammerRounds {
			_ = s.DrainBackend("web", backends[2+i%3])
			_ = s.UndrainBackend("web", backends[2+i%3])
			_ = s.SetWeight("web", backends[0], i%10+1)
		}
	})
	operators.Go(func() {
		for i := range hammerRounds {
			_, err := s.Reload(hammerSettings(s, backends, i))
			require.NoError(collectorOf(t), err)
			_ = s.Stats()
		}
	})
	operators.Wait()
	stop.Store(true)
	load.Wait()
	require.NoError(t, s.Drain(context.Background()))
	require.Zero(t, failed.Load())
	st := s.Stats()
	require.Equal(t, st.Requests, st.Answered+st.FailedTotal(), "%+v", st)
	require.EqualValues(t, answered.Load(), st.Answered)
	var begun, ended uint64
	for _, u := range append(st.Upstreams, st.Retired) {
		begun += u.Begun
		for _, b := range u.Backends {
			require.Zero(t, b.Pool.Idle+b.Pool.Lent+b.Pool.Dialling+b.InFlight, b.Address)
			ended += b.Ended()
		}
		for _, n := range u.Removed.Outcomes {
			ended += n
		}
	}
	require.Equal(t, begun, ended)
}

// hammerSettings are other settings in each round.
func hammerSettings(s *proxy.Server, backends []string, round int) *config.Config {
	next := changed(s, func(c *config.Config) {
		c.Upstreams = []config.Upstream{config.DefaultUpstream("web", backends[:2+round%4]...)}
		u := &c.Upstreams[0]
		u.Strategy = config.Strategies()[round%len(config.Strategies())]
		u.Pool.MaxConnections, u.Pool.MinIdle = 4+round%20, round%3
		c.Listeners[0].Routes = []config.Route{{Upstream: "web"}}
		if round%3 == 0 {
			c.Upstreams = append(c.Upstreams, config.DefaultUpstream("other", backends[0]))
			c.Listeners[0].Routes = []config.Route{{Upstream: "other"}}
		}
		if c.Listeners = c.Listeners[:1]; round%5 == 0 {
			extra := config.DefaultListener("127.0.0.1:0")
			extra.Upstream = "web"
			c.Listeners = append(c.Listeners, extra)
		}
	})
	return next
}

// collectorOf lets goroutines that are not the test's own report failures, which FailNow may not.
func collectorOf(t *testing.T) require.TestingT { return reporter{t} }

type reporter struct{ *testing.T }

func (reporter) FailNow() {}

// startOrigins starts HTTP servers on the loopback address, which end with the test.
func startOrigins(t *testing.T, n int) (addresses []string) {
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = srv.Serve(ln) // it ends with Close
		}()
		t.Cleanup(func() {
			_ = srv.Close()
			<-done
		})
		addresses = append(addresses, ln.Addr().String())
	}
	return addresses
}

// hammer sends one request after the other.
func hammer(t *testing.T, url string, stop *atomic.Bool, answered, failed *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for !stop.Load() {
		resp, err := client.Get(url)
		if err != nil {
			failed.Add(1)
			t.Log(err)
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			failed.Add(1)
			t.Log(resp.Status, err)
			continue
		}
		answered.Add(1)
	}
}
