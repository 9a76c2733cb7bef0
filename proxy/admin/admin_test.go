package admin_test

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/admin"
	"github.com/wavepool/wavepool/proxy/config"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// nobody is an address where nobody listens. A port that was free a moment ago might be another program's by now.
const nobody = "127.0.0.1:1"

// newServer is a server on loopback with two backends of which nobody answers for the second one.
func newServer(t *testing.T) *proxy.Server {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	t.Cleanup(backend.Close)
	c := config.Default()
	l := config.DefaultListener("127.0.0.1:0")
	l.Upstream = "web"
	c.Listeners = []config.Listener{l}
	u := config.DefaultUpstream("web", backend.Listener.Addr().String(), nobody)
	u.Strategy = config.StrategyRoundRobin
	u.Health.Active = nil
	u.Health.Passive.ConsecutiveFailures = 1
	c.Upstreams = []config.Upstream{u}
	s, err := proxy.New(proxy.Config{Settings: c})
	require.NoError(t, err)
	require.NoError(t, s.Start(context.Background()))
	t.Cleanup(s.Close)
	return s
}

// ask sends one request through the server.
func ask(t *testing.T, s *proxy.Server) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.Addrs()[0].String() + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func fetch(s *proxy.Server, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	admin.Handler(s).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// keys lists the paths of all keys of a JSON value, each once.
func keys(v any, path string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			into[path+"."+k] = true
			keys(x, path+"."+k, into)
		}
	case []any:
		for _, x := range v {
			keys(x, path+"[]", into)
		}
	}
}

func TestTheKeysOfTheStatusStayAsTheyAre(t *testing.T) {
	s := newServer(t)
	ask(t, s)
	w := fetch(s, "GET", "/status")
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var v any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v))
	set := map[string]bool{}
	keys(v, "", set)
	var list []string
	for k := range set {
		list = append(list, k)
	}
	sort.Strings(list)
	got := strings.Join(list, "\n") + "\n"
	name := filepath.Join("testdata", "status-keys.txt")
	if *rewrite {
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestTheStatusTellsWhatTheServerCounted(t *testing.T) {
	s := newServer(t)
	for range 4 {
		ask(t, s)
	}
	// An answer is counted when it has been written: the client may have it a moment before.
	require.Eventually(t, func() bool { return s.Stats().Answered == 4 }, 10*time.Second, time.Millisecond)
	var st admin.Status
	require.NoError(t, json.Unmarshal(fetch(s, "GET", "/status").Body.Bytes(), &st))
	require.Equal(t, uint64(4), st.Requests)
	require.Equal(t, uint64(4), st.Answered)
	require.Len(t, st.Failed, proxy.NumFailures)
	require.Equal(t, int64(4), st.Accepted)
	require.Equal(t, "round-robin", st.Upstreams[0].Strategy)
	one, two := st.Upstreams[0].Backends[0], st.Upstreams[0].Backends[1]
	require.Equal(t, uint64(4), one.Outcomes["answered"])
	require.Equal(t, "up", one.State)
	require.Positive(t, one.Pool.ReuseRate)
	require.Equal(t, "ejected", two.State)
	require.Equal(t, uint64(1), two.Outcomes["connect_failed"])
	require.Equal(t, 1, st.Upstreams[0].Available)
}

func TestEventsAreToldOldestFirst(t *testing.T) {
	s := newServer(t)
	for range 2 {
		ask(t, s)
	}
	s.Close() // an answer is not yet the end of what there is to tell
	w := fetch(s, "GET", "/events")
	require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	events := s.Events()
	require.Len(t, lines, len(events))
	require.Contains(t, w.Body.String(), "web/")
	require.Contains(t, w.Body.String(), "dialled")
	for i, e := range events {
		require.True(t, strings.HasPrefix(lines[i], e.At.UTC().Format(time.RFC3339Nano)+" "+e.Entity+" "), lines[i])
	}
	// Neighbours may have read the clock in the other order, but the ends are far apart.
	require.True(t, events[0].At.Before(events[len(events)-1].At))
}

func TestReadyIsSoWhileRequestsAreServed(t *testing.T) {
	s := newServer(t)
	w := fetch(s, "GET", "/ready")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "ready\n", w.Body.String())
	require.NoError(t, s.Drain(context.Background()))
	w = fetch(s, "GET", "/ready")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "not ready\n", w.Body.String())
}

func TestTheConfigurationInForceCanBeLoadedAgain(t *testing.T) {
	s := newServer(t)
	w := fetch(s, "GET", "/config")
	require.Equal(t, "application/yaml", w.Header().Get("Content-Type"))
	again, err := config.Parse("config", w.Body.Bytes())
	require.NoError(t, err, w.Body.String())
	require.Equal(t, s.Settings().Upstreams, again.Upstreams)
	require.Equal(t, s.Settings().Listeners, again.Listeners)
}

func TestThePageListsItsPartsAndRefusesTheRest(t *testing.T) {
	s := newServer(t)
	w := fetch(s, "GET", "/")
	require.Equal(t, http.StatusOK, w.Code)
	for _, path := range []string{"/status", "/events", "/ready", "/config", "/debug/pprof/"} {
		require.Contains(t, w.Body.String(), path+" ")
		require.Equal(t, http.StatusOK, fetch(s, "GET", path).Code, path)
		require.Equal(t, http.StatusMethodNotAllowed, fetch(s, "POST", path).Code, path)
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"} {
		require.Equal(t, http.StatusOK, fetch(s, "GET", path).Code, path)
	}
	require.Equal(t, http.StatusNotFound, fetch(s, "GET", "/nothing").Code)
}
