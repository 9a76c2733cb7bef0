package scenario

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

func TestAWholeFileIsReadIntoItsValues(t *testing.T) {
	sc, err := Parse("a/b.yaml", []byte(smallText(
		"backends", "[{address: '10.0.0.1:80', service: {uniform: {min: 1ms, max: 3ms}}, concurrency: 7, body_bytes: 2KiB, "+
			"error_rate: 1%, close_after_requests: 9, close_idle_after: 4s}, "+
			"{address: '10.0.0.2:80', service: {exponential: {mean: 2ms}}}, "+
			"{address: '10.0.0.3:80', service: {lognormal: {median: 5ms, p99: 40ms}}}]",
		"network", "{default: {latency: 1ms, loss: 0.5}, links: [{between: [proxy, 10.0.0.1], jitter: 2ms}]}",
		"clients", "[{name: a, arrivals: {constant: 30/m}, keep_alive: false, timeout: 2s, method: POST, path: /x, "+
			"body_bytes: 10, connections: 3, to: ':8080'}, {name: b, arrivals: {users: 4, think: 1s}}]",
		"faults", "[{at: 1s, for: 2s, slow: {between: [proxy, b], latency: 3ms, jitter: 1ms, loss: 10%}}, "+
			"{at: 2s, refuse: {host: 10.0.0.2, port: 80}}, {at: 3s, idle_forget: {between: [a, proxy], idle: 5s, reset: true}}]",
		"expect", "[p99.9<=1ms, 'success_rate > 50%', requests == 1000]",
	)))
	require.NoError(t, err)
	require.Equal(t, uint64(1), sc.Seed)
	require.Equal(t, 20*time.Second, sc.Duration)
	require.Equal(t, Backend{Address: "10.0.0.1:80", Service: Distribution{Kind: Uniform, Value: 5 * time.Millisecond,
		Min: time.Millisecond, Max: 3 * time.Millisecond}, Concurrency: 7, BodyBytes: 2048, ErrorRate: 0.01,
		MaxStreams: 100, CloseAfterRequests: 9, CloseIdleAfter: 4 * time.Second}, sc.Backends[0])
	require.Equal(t, 2*time.Millisecond, sc.Backends[1].Service.Mean)
	require.Equal(t, Lognormal, sc.Backends[2].Service.Kind)
	require.Equal(t, Link{Latency: time.Millisecond, Jitter: 100 * time.Microsecond, Loss: 0.5}, sc.Network.Default)
	require.Equal(t, Link{Between: [2]string{"proxy", "10.0.0.1"}, Jitter: 2 * time.Millisecond}, sc.Network.Links[0])
	require.Equal(t, 0.5, sc.Clients[0].Arrivals.Constant)
	require.False(t, sc.Clients[0].KeepAlive)
	require.True(t, sc.Clients[1].KeepAlive)
	require.Equal(t, 4, sc.Clients[1].Arrivals.Users)
	require.Equal(t, time.Second, sc.Clients[1].Arrivals.Think.Value)
	require.Equal(t, []string{"slow proxy <-> b by 3ms", "refuse 10.0.0.2:80", "idle_forget a <-> proxy after 5s"},
		[]string{sc.Faults[0].String(), sc.Faults[1].String(), sc.Faults[2].String()})
	require.Less(t, sc.Faults[1].For, time.Duration(0))
	require.Equal(t, "p99.9 <= 1ms", sc.Expect[0].String())
	require.Equal(t, 0.5, sc.Expect[1].Value)
}

func TestEachMistakeIsToldWithItsLineAndTheNearestWord(t *testing.T) {
	for _, tc := range []struct{ part, text, want string }{
		{"duration", "20", "s.yaml:3: duration: want a duration with its unit"},
		{"duration", "90h", "s.yaml:3: duration: must be between 1s and 24h"},
		{"listener", "{address: ':8080', upstream: web, proxy_protocol: {from: [10.0.0.0/8]}}", "has proxy_protocol, which the clients of scenarios do not speak"},
		{"upstream", "{backends: [{address: '10.0.0.1:80'}], send_proxy: v2}", "has send_proxy, which the backends of scenarios do not read"},
		{"listener", "{address: ':8080', upsteam: web}", "s.yaml:5: proxy.listeners[0].upsteam: unknown key; did you mean upstream?"},
		{"backends", "[]", "backends: the upstream web has the backend 10.0.0.1:80, which is not simulated"},
		{"backends", "[{address: '10.0.0.1:80', servce: 5ms}]", "s.yaml:7: backends[0].servce: unknown key; did you mean service?"},
		{"backends", "[{address: '10.0.0.9:80'}]", "s.yaml:7: backends[0].address: no upstream has the backend 10.0.0.9:80"},
		{"backends", "[{address: '10.0.0.1:80', service: {uniform: {min: 3ms, max: 1ms}}}]", "is more than max"},
		{"backends", "[{address: '10.0.0.1:80', service: {lognormal: {median: 3ms, p99: 3ms}}}]", "must be more than median"},
		{"backends", "[{address: '10.0.0.1:80', service: {lognormal: {median: 3ms}}}]", "lognormal.p99: is required, such as 40ms"},
		{"backends", "[{address: '10.0.0.1:80', service: {uniform: {min: 3ms}}}]", "uniform.max: is required, such as 40ms"},
		{"backends", "[{address: '10.0.0.1:80', service: {exponential: {}}}]", "exponential.mean: is required, such as 40ms"},
		{"backends", "[{address: '10.0.0.1:80', service: {logn: {median: 3ms}}}]", "did you mean lognormal?"},
		{"backends", "[{address: '10.0.0.1:80', service: {}}]", "needs one of constant, uniform, exponential, lognormal"},
		{"backends", "[{address: '10.0.0.1:80', service: {constant: 1s, exponential: {mean: 1s}}}]", "has constant and exponential; give one"},
		{"backends", "[{address: '10.0.0.1:80', error_rate: 2}]", "want a share from 0 to 1"},
		{"backends", "[{address: '10.0.0.1:80'}, {address: '10.0.0.1:80'}]", "10.0.0.1:80 is backends[0] already"},
		{"backends", "[{address: 'localhost:80'}]", "localhost is the proxy's own machine"},
		{"backends", "[{address: '127.0.0.1:80'}]", "127.0.0.1 is each machine's own loopback"},
		{"backends", "[{address: '[::1]:80'}]", "::1 is each machine's own loopback"},
		{"network", "{default: {latncy: 1ms}}", "s.yaml:8: network.default.latncy: unknown key; did you mean latency?"},
		{"network", "{links: [{latency: 1ms}]}", "network.links[0].between: is required"},
		{"network", "{links: [{between: [proxi, 10.0.0.1]}]}", "there is no machine \"proxi\"; did you mean proxy?"},
		{"clients", "[]", "s.yaml:9: clients: is required"},
		{"clients", "[{name: web}]", "clients[0].arrivals: is required"},
		{"clients", "[{name: web, arrivals: {poisson: 100}}]", "want a rate with its unit"},
		{"clients", "[{name: web, arrivals: {poisson: 200000/s}}]", "must be above 0 and at most 100000/s"},
		{"clients", "[{name: web, arrivals: {users: 20000}}]", "must be between 1 and 10000"},
		{"clients", "[{name: web, arrivals: {poisson: 1/s, think: 1s}}]", "means nothing without users"},
		{"clients", "[{name: web, arrivals: {users: 1}, connections: 4}]", "means nothing beside users"},
		{"clients", "[{name: proxy, arrivals: {users: 1}}]", "proxy is another machine's name"},
		{"clients", "[{name: web, arrivals: {users: 1}, to: ':80'}]", "there is no listener \":80\"; one of :8080"},
		{"clients", "[{name: web, arrivals: {users: 1}, keep_alive: yes please}]", "want true or false"},
		{"clients", "[{name: web, arrivals: {users: 1}, method: HEAD}]", "HEAD is not simulated"},
		{"clients", "[{name: web, arrivals: {users: 1}, path: 'a b'}]", "want a path"},
		{"faults", "{}", "faults: want a list"},
		{"faults", "[{at: 1s}]", "faults[0]: needs one of silent_drop"},
		{"faults", "[{at: 1s, crsh: {host: 10.0.0.1}}]", "faults[0].crsh: unknown key; did you mean crash?"},
		{"faults", "[{crash: {host: 10.0.0.1}}]", "faults[0].at: is required"},
		{"faults", "[{at: 20s, crash: {host: 10.0.0.1}}]", "is not within the duration"},
		{"faults", "[{at: 10s, for: 11s, crash: {host: 10.0.0.1}}]", "ends after the scenario"},
		{"faults", "[{at: 1s, for: 1s, reset: {between: [proxy, 10.0.0.1]}}]", "means nothing to reset"},
		{"faults", "[{at: 1s, crash: {}}]", "crash.host: is required: one of 10.0.0.1, 10.0.0.2, 10.0.0.3"},
		{"faults", "[{at: 1s, crash: {host: proxy}}]", "there is no machine \"proxy\"; one of 10.0.0.1, 10.0.0.2, 10.0.0.3"},
		{"faults", "[{at: 1s, partition: {between: proxy}}]", "want a list of two machines"},
		{"faults", "[{at: 1s, idle_forget: {between: [proxy, 10.0.0.1]}}]", "idle: must be between 1ms and 24h"},
		{"expect", "[succes_rate >= 99%]", "s.yaml:11: expect[0]: unknown metric \"succes_rate\"; did you mean success_rate?"},
		{"expect", "[time_to_failover <= 1s]", "s.yaml:11: expect: time_to_failover needs a fault"},
		{"expect", "[time_to_recovery <= 1s]", "needs a fault that ends"},
	} {
		_, err := Parse("s.yaml", []byte(smallText(tc.part, tc.text)))
		require.ErrorContains(t, err, tc.want, "%s: %s", tc.part, tc.text)
		var all config.Errors
		require.ErrorAs(t, err, &all)
		for _, e := range all {
			require.Equal(t, "s.yaml", e.File)
			require.Positive(t, e.Line, e.Error())
		}
	}
}

func TestAllMistakesAreListedInLineOrder(t *testing.T) {
	_, err := Parse("s.yaml", []byte(smallText("duration", "1", "clients", "[{nam: web}]", "expect", "[p98 < 1s]", "listener", "{}")))
	var all config.Errors
	require.ErrorAs(t, err, &all)
	require.Greater(t, len(all), 4)
	for i := 1; i < len(all); i++ {
		require.LessOrEqual(t, all[i-1].Line, all[i].Line)
	}
	_, err = Parse("s.yaml", []byte("proxy: {config: none.yaml}"))
	require.ErrorContains(t, err, "name: is required")
	require.ErrorContains(t, err, "duration: is required")
	require.ErrorContains(t, err, "none.yaml")
	_, err = Parse("s.yaml", []byte("[1"))
	require.ErrorContains(t, err, "not valid YAML")
	_, err = Parse("s.yaml", nil)
	require.ErrorContains(t, err, "proxy: is required")
}

func TestAConfigFileIsFoundBesideTheScenarioAndItsMistakesAreTold(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(smallText(), "proxy:\n  listeners: [{address: ':8080', upstream: web}]\n  upstreams: {web: "+
		small["upstream"]+"}\n", "proxy: {config: p/proxy.yaml}\n", 1)
	require.Contains(t, text, "p/proxy.yaml")
	file := filepath.Join(dir, "s.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	_, err := Load(file)
	require.ErrorContains(t, err, "proxy.config: ")

	require.NoError(t, os.Mkdir(filepath.Join(dir, "p"), 0o700))
	conf := filepath.Join(dir, "p", "proxy.yaml")
	require.NoError(t, os.WriteFile(conf, []byte("listeners: [{address: ':80', upstream: web}]\nupstream: {}\n"), 0o600))
	_, err = Load(file)
	require.ErrorContains(t, err, conf+":2: upstream: unknown key; did you mean upstreams?")

	good := "listeners: [{address: ':8080', upstream: web}]\nupstreams: {web: " + small["upstream"] + "}\n"
	require.NoError(t, os.WriteFile(conf, []byte(good), 0o600))
	sc, err := Load(file)
	require.NoError(t, err)
	require.Len(t, sc.Settings.Upstreams[0].Backends, 3)

	other := filepath.Join(dir, "other.yaml")
	require.NoError(t, os.WriteFile(other, []byte(strings.Replace(good, "10.0.0.3", "10.0.0.4", 1)), 0o600))
	before := sc.Settings
	require.ErrorContains(t, sc.UseConfig(other), "10.0.0.4:80, which is not simulated")
	require.Same(t, before, sc.Settings)
	require.NoError(t, os.WriteFile(other, []byte(strings.Replace(good, ":8080", ":9090", 1)), 0o600))
	require.NoError(t, sc.UseConfig(other))
	require.NotSame(t, before, sc.Settings)
}

func TestAFileThatCannotBeReadGivesTheSystemsError(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.True(t, errors.Is(err, fs.ErrNotExist))
	_, err = Load(t.TempDir())
	require.ErrorContains(t, err, "is a directory; give its files, such as /", "a folder")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(smallText()))
	f.Add([]byte("a: &a [*a]\nfaults: [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "config:") {
			t.Skip("it may name any file of the machine")
		}
		sc, err := Parse("fuzz.yaml", data)
		if err != nil {
			var all config.Errors
			require.ErrorAs(t, err, &all)
			return
		}
		require.NotNil(t, sc.Settings)
		require.Positive(t, sc.Duration)
		require.NotEmpty(t, sc.Clients)
		for i := range sc.Faults {
			require.NotEmpty(t, sc.Faults[i].String())
		}
	})
}
