package scenario

import (
	"encoding/json"
	"html/template"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

// production is a configuration as it runs somewhere: names, references, an address of a real machine, the operators' page.
const production = `
admin: {address: "127.0.0.1:9901"}
listeners: [{address: "192.0.2.7:8080", upstream: api}]
upstreams:
  api:
    backends: [{address: "${API_HOST}:${API_PORT:-80}"}, {address: "Standby.internal.:80"}]
    response_timeout: "${file:/run/secrets/patience}"
    pool: {max_connections: "${MAX}", connect_timeout: 500ms}
    health: {active: {interval: 1s, timeout: 500ms, rise: 1, fall: 1, http: {path: /healthz}}}
access_log: {path: /no/such/folder/access.log}
`

const overProduction = `name: over
duration: 20s
proxy:
  config: production.yaml
  env: {API_HOST: api.internal, MAX: 7}
  files: {/run/secrets/patience: "900ms\n"}
dns: {api.internal: [10.0.0.1], standby.internal: [10.0.0.2, 10.0.0.3]}
backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}, {address: "10.0.0.3:80"}]
clients: [{name: web, arrivals: {poisson: 50/s}, timeout: 2s}]
faults: FAULTS
expect: EXPECT
`

// loadOver writes both files into a folder of their own and loads the scenario.
func loadOver(t *testing.T, config string, replace ...string) (*Scenario, error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "production.yaml"), []byte(config), 0o644))
	text := strings.NewReplacer(append(replace, "FAULTS", "[]", "EXPECT", "[failed == 0]")...).Replace(overProduction)
	path := filepath.Join(dir, "over.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return Load(path)
}

func runOver(t *testing.T, replace ...string) *Verdict {
	t.Helper()
	sc, err := loadOver(t, production, replace...)
	require.NoError(t, err)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.True(t, v.OK(), "%s%v", v.Text(), v.Timeline)
	return v
}

func TestAProductionConfigurationRunsUnchangedAndTheVerdictListsWhatWasReplaced(t *testing.T) {
	t.Setenv("API_HOST", "the real one must not matter")
	v := runOver(t)
	require.Equal(t, []string{
		"the operators' page at 127.0.0.1:9901 is off",
		"the access log /no/such/folder/access.log is written to nowhere",
		"the listener 192.0.2.7:8080 is port 8080 of the machine proxy",
		"${API_HOST} is api.internal",
		"${API_PORT} is not set, so its default stands",
		"${file:/run/secrets/patience} is the text of proxy.files",
		"${MAX} is 7",
		"the name api.internal is 10.0.0.1",
		"the name standby.internal is 10.0.0.2, 10.0.0.3",
	}, v.Replaced)
	require.Contains(t, v.Text(), "\n  replaced: ${API_HOST} is api.internal\n  replaced: ${API_PORT} is not set, so its default stands\n")
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"replaced":["the operators' page at 127.0.0.1:9901 is off"`)
	shown := page(t, v)
	for _, text := range v.Replaced {
		require.Contains(t, shown, "<li>"+template.HTMLEscapeString(text)+"</li>")
	}
	require.NotContains(t, page(t, failing(t)), "Not as in production", "nothing was replaced")

	sc, err := loadOver(t, production)
	require.NoError(t, err)
	require.Equal(t, 7, sc.Settings.Upstreams[0].Pool.MaxConnections)
	require.Equal(t, "900ms", sc.Settings.Upstreams[0].ResponseTimeout.String())
}

func TestAnotherConfigurationHasTheScenariosReferencesToo(t *testing.T) {
	sc, err := loadOver(t, production)
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "next.yaml")
	text := strings.NewReplacer("admin: {address: \"127.0.0.1:9901\"}", "admin: {address: off}", "\"${MAX}\"", "9").Replace(production)
	require.NoError(t, os.WriteFile(other, []byte(text), 0o644))
	require.NoError(t, sc.UseConfig(other))
	require.Equal(t, 9, sc.Settings.Upstreams[0].Pool.MaxConnections)
	require.NotContains(t, strings.Join(sc.replaced(), "\n"), "operators")
	require.NotContains(t, strings.Join(sc.replaced(), "\n"), "MAX")

	before := sc.replaced()
	require.NoError(t, os.WriteFile(other, []byte(strings.ReplaceAll(text, "API_HOST", "NOBODY")), 0o644))
	require.ErrorContains(t, sc.UseConfig(other), "the variable NOBODY is not set; ${NOBODY:-default} has a value for that case; "+
		"proxy.env of the scenario sets it")
	require.NoError(t, os.WriteFile(other, []byte(strings.ReplaceAll(text, "${API_HOST}", "10.9.9.9")), 0o644))
	require.ErrorContains(t, sc.UseConfig(other), "which is not simulated")
	require.Equal(t, before, sc.replaced(), "an error leaves everything as it was")
	require.Equal(t, 9, sc.Settings.Upstreams[0].Pool.MaxConnections)
}

func TestReferencesOfAConfigurationInPlaceLeadToTheScenarioToo(t *testing.T) {
	text := strings.Replace(smallText("listener", "{address: ':${PORT}', upstream: web}"), "proxy:\n", "proxy:\n  env: {PORT: 8081}\n", 1)
	sc, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	require.Equal(t, ":8081", sc.Settings.Listeners[0].Address)
	require.Equal(t, []string{"${PORT} is 8081"}, sc.replaced(), "what is not a production file has no operators' page to replace")
}

func TestMistakesAboutReferencesAndNamesAreToldWithTheirLines(t *testing.T) {
	for name, tc := range map[string]struct {
		replace []string
		want    string
	}{
		"not set": {[]string{", MAX: 7", ""},
			"over.yaml:4: proxy.config: DIR/production.yaml:8: upstreams.api.pool.max_connections: " +
				"the variable MAX is not set; ${MAX:-default} has a value for that case; proxy.env of the scenario sets it"},
		"no file": {[]string{"/run/secrets/patience:", "/run/secrets/x:"},
			"over.yaml:4: proxy.config: DIR/production.yaml:7: " +
				"upstreams.api.response_timeout: cannot read /run/secrets/patience: no such file; proxy.files of the scenario has the files that there are"},
		"bad variable": {[]string{"MAX: 7", "9MAX: 7"},
			"over.yaml:5: proxy.env.9MAX: a variable is named by letters, digits and underscores"},
		"twice":   {[]string{"MAX: 7", "MAX: 7, MAX: 8"}, "over.yaml:5: proxy.env.MAX: is given twice"},
		"no text": {[]string{"MAX: 7", "MAX: [7]"}, "over.yaml:5: proxy.env.MAX: want text"},
		"near":    {[]string{"  env:", "  evn:"}, "over.yaml:5: proxy.evn: unknown key; did you mean env?"},
		"a list": {[]string{"{API_HOST: api.internal, MAX: 7}", "[a]"},
			"over.yaml:5: proxy.env: want a mapping of at most 1000 entries"},
		"no addresses": {[]string{"[10.0.0.1],", "[],"},
			"over.yaml:7: dns.api.internal: want a list of 1 to 16 IP addresses"},
		"no address": {[]string{"[10.0.0.1],", "[a.b],"},
			"over.yaml:7: dns.api.internal: want IP addresses, such as 10.0.0.1; got \"a.b\""},
		"not simulated": {[]string{"[10.0.0.1],", "[10.0.0.9],"},
			"over.yaml:8: backends: the upstream api has the backend api.internal:80 (10.0.0.9:80), which is not " +
				"simulated; add {address: \"10.0.0.9:80\"}"},
		"unused": {[]string{"10.0.0.2, 10.0.0.3]", "10.0.0.2]"},
			"over.yaml:8: backends[2].address: no upstream has the backend 10.0.0.3:80"},
		"an address": {[]string{"dns: {", "dns: {10.0.0.7: [10.0.0.1], "},
			"over.yaml:7: dns.10.0.0.7: 10.0.0.7 is an address and not a name"},
		"any name": {[]string{"dns: {", "dns: {'*': [10.0.0.1], "}, "over.yaml:7: dns.*: wants one name"},
		"the proxy": {[]string{"dns: {", "dns: {proxy: [10.0.0.1], "},
			"over.yaml:7: dns.proxy: proxy is the proxy's own machine"},
		"same name": {[]string{"dns: {", "dns: {API.internal.: [10.0.0.1], "},
			"over.yaml:7: dns.api.internal: is given twice"},
		"lookup near": {[]string{"FAULTS", "[{at: 1s, dns_fail: {name: apiinternal}}]"},
			"over.yaml:10: faults[0].dns_fail.name: nobody looks up the name \"apiinternal\"; did you mean api.internal?"},
		"lookup none": {[]string{"FAULTS", "[{at: 1s, dns_fail: {}}]"},
			"over.yaml:10: faults[0].dns_fail.name: is required: one of api.internal, standby.internal"},
		"how": {[]string{"FAULTS", "[{at: 1s, dns_fail: {name: api.internal, how: servfial}}]"},
			"over.yaml:10: faults[0].dns_fail.how: unknown value \"servfial\"; did you mean servfail?"},
		"to nowhere": {[]string{"FAULTS", "[{at: 1s, dns_change: {name: api.internal}}]"},
			"over.yaml:10: faults[0].dns_change.addresses: is required: a list of IP addresses"},
		"not slow": {[]string{"FAULTS", "[{at: 1s, dns_slow: {}}]"},
			"over.yaml:10: faults[0].dns_slow.latency: must be between 1ms and 1h; got 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			sc, err := loadOver(t, production, tc.replace...)
			require.Error(t, err)
			require.Nil(t, sc)
			lines := strings.Split(err.Error(), "\n")
			require.True(t, len(lines) == 1 || name == "not simulated", "one mistake is told once: %v", err)
			dir, _, _ := strings.Cut(lines[0], "/over.yaml")
			text := strings.ReplaceAll(strings.TrimPrefix(lines[0], dir+"/"), dir, "DIR")
			require.True(t, strings.HasPrefix(text, tc.want), "%s", text)
		})
	}
}

func TestListsOfNamesAndReferencesHaveAGreatestLength(t *testing.T) {
	many := func(n int, entry string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(entry, "#", strconv.Itoa(i)))
		}
		return b.String()
	}
	for n, ok := range map[int]bool{16: true, 17: false} {
		_, err := loadOver(t, production, "[10.0.0.1],", "["+many(n, "10.0.0.1, ")+"],")
		require.Equal(t, ok, err == nil, "%d addresses: %v", n, err)
	}
	for n, ok := range map[int]bool{998: true, 999: false} { // and the two that are there
		_, err := loadOver(t, production, "dns: {", "dns: {"+many(n, "n#.internal: [10.0.0.1], "))
		require.Equal(t, ok, err == nil, "%d names: %v", n, err)
		_, err = loadOver(t, production, "env: {", "env: {"+many(n, "N#: 1, "))
		require.Equal(t, ok, err == nil, "%d variables: %v", n, err)
	}
	for n, ok := range map[int]bool{64 << 10: true, 64<<10 + 1: false} {
		sc, err := loadOver(t, production, `"900ms\n"`, "'"+many(n-5, "0")+"900ms'")
		require.Nil(t, sc, "a number of that length is refused in any case")
		require.Equal(t, ok, !strings.Contains(err.Error(), "holds more than 65536 bytes"), "%d bytes", n)
	}
}

func TestFaultsOfNamesDoWhatTheyAreCalled(t *testing.T) {
	for name, tc := range map[string]struct {
		fault, expect string
		told          []string
	}{
		// Open connections go on, so that requests hardly notice; checks dial each time, and take the backend out.
		"servfail": {"{at: 5s, for: 5s, dns_fail: {name: api.internal}}", "[success_rate >= 99%, time_to_recovery <= 2s, leaks == 0]",
			[]string{"dns_fail api.internal (servfail) begins", "api.internal:80 backend_down: check_failed", "backend_up"}},
		"no such host": {"{at: 5s, for: 5s, dns_fail: {name: API.internal., how: no_such_host}}", "[success_rate >= 99%]",
			[]string{"dns_fail API.internal. (no_such_host) begins", "api.internal:80 backend_down"}},
		"timeout": {"{at: 5s, for: 5s, dns_fail: {name: api.internal, how: timeout}}", "[success_rate >= 99%]",
			[]string{"dns_fail api.internal (timeout) begins", "api.internal:80 backend_down"}},
		"slow lookups": {"{at: 5s, for: 5s, dns_slow: {latency: 2s}}", "[time_to_recovery <= 2s]",
			[]string{"dns_slow by 2s begins", "api.internal:80 backend_down"}},
		"patient": {"{at: 5s, for: 5s, dns_slow: {latency: 100ms}}", "[failed == 0]", []string{"dns_slow by 100ms ends"}},
		"stale": {"{at: 5s, for: 5s, dns_change: {name: api.internal, addresses: [10.0.0.77]}}", "[success_rate >= 99%, time_to_recovery <= 2s]",
			[]string{"dns_change api.internal to 10.0.0.77 begins", "api.internal:80 backend_down"}},
		"moved": {"{at: 5s, for: 5s, dns_change: {name: api.internal, addresses: [10.0.0.2, 10.0.0.3]}}", "[failed == 0, leaks == 0]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := runOver(t, "FAULTS", "["+tc.fault+"]", "EXPECT", tc.expect)
			for _, text := range tc.told {
				says(t, v, text)
			}
		})
	}
	v := runOver(t, "FAULTS", "[{at: 5s, for: 5s, dns_slow: {latency: 100ms}}, {at: 6s, for: 10s, dns_slow: {latency: 2s}}, "+
		"{at: 7s, for: 1s, dns_slow: {latency: 50ms}}]", "EXPECT", "[]")
	require.Greater(t, says(t, v, "backend_down"), 6.0)
	require.Greater(t, says(t, v, "backend_up"), 16.0, "the slowest of those that last counts")
}

// The addresses of a name are tried in their order, and the second serves when the first refuses.
func TestANameWithTwoAddressesIsServedByTheSecondWhenTheFirstIsGone(t *testing.T) {
	v := runOver(t, "FAULTS", "[{at: 5s, kill: {host: 10.0.0.2}}]", "EXPECT", "[failed == 0]")
	for _, m := range v.Timeline {
		require.NotContains(t, m.Text, "Standby.internal.:80 backend_down")
	}
	runOver(t, "FAULTS", "[{at: 5s, for: 5s, kill: {host: 10.0.0.2}}]", "EXPECT", "[failed == 0, leaks == 0]")
}

func TestSecretsOfCookiesAreMadeUp(t *testing.T) {
	sc, err := Load(filepath.Join(stockDir, "silent-drop.yaml"))
	require.NoError(t, err)
	sc.Settings.Upstreams[0].Sticky = &config.Sticky{SecretFiles: []string{"/run/secrets/sticky"}}
	sc.Settings = sc.Settings.WithDefaults()
	sc.Duration = 5 * time.Second
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Positive(t, v.Answered)
	require.Contains(t, strings.Join(sc.replaced(), "\n"), "the secrets of the upstream web are made up: /run/secrets/sticky")
}
