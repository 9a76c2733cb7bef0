package scenario

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/config"
)

// operatedText is smallText with operations.
func operatedText(operations string, parts ...string) string {
	return smallText(parts...) + "operations: " + operations + "\n"
}

func TestEveryOperationIsReadAndWhatItLeavesOutIsFilledIn(t *testing.T) {
	sc, err := Parse("s.yaml", []byte(operatedText(`[
  {at: 5s, undrain: {backend: '10.0.0.1:80'}},
  {at: 1s, drain: {upstream: web, backend: '10.0.0.1:80'}},
  {at: 2s, remove: {backend: '10.0.0.2:80'}},
  {at: 3s, add: {address: '10.0.0.2:80', weight: 1000}},
  {at: 4s, reweight: {backend: '10.0.0.2:80', weight: 1}},
  {at: 6s, reload: {listeners: [{address: ':8080', upstream: web}], upstreams: {web: {backends: [{address: '10.0.0.3:80'}]}}}}]`)))
	require.NoError(t, err)
	var all []string
	for _, i := range inOrder(sc.Operations) {
		o := &sc.Operations[i]
		all = append(all, o.String())
		require.Equal(t, o.Kind != OpReload, o.Upstream == "web", o.Kind)
	}
	require.Equal(t, []string{"drain 10.0.0.1:80", "remove 10.0.0.2:80", "add 10.0.0.2:80", "reweight 10.0.0.2:80 to 1",
		"undrain 10.0.0.1:80", "reload"}, all)
	require.False(t, sc.stays("10.0.0.1:80"))
	require.True(t, sc.stays("10.0.0.3:80"))
}

func TestEachMistakeInAnOperationIsToldWithItsLine(t *testing.T) {
	for _, tc := range []struct{ operations, want string }{
		{"{}", "s.yaml:12: operations: want a list"},
		{"[{at: 1s}]", "operations[0]: needs one of drain, undrain, add, remove, reweight, reload"},
		{"[{at: 1s, dran: {backend: '10.0.0.1:80'}}]", "operations[0].dran: unknown key; did you mean drain?"},
		{"[{at: 1s, drain: {backend: '10.0.0.1:80'}, undrain: {}}]", "has drain and undrain; give one of them"},
		{"[{drain: {backend: '10.0.0.1:80'}}]", "operations[0].at: is required"},
		{"[{at: 20s, drain: {backend: '10.0.0.1:80'}}]", "operations[0].at: is not within the duration"},
		{"[{at: 1s, drain: {}}]", "operations[0].drain.backend: is required: host:port"},
		{"[{at: 1s, drain: {backend: '10.0.0.1:8'}}]", "there is no backend 10.0.0.1:8 then; did you mean 10.0.0.1:80?"},
		{"[{at: 1s, drain: {upstream: wep, backend: '10.0.0.1:80'}}]", "drain.upstream: there is no upstream wep then; did you mean web?"},
		{"[{at: 1s, add: {address: '10.0.0.9:80'}}]", "add.address: 10.0.0.9:80 is not simulated; add {address: \"10.0.0.9:80\"} to backends"},
		{"[{at: 1s, add: {address: '10.0.0.1:80'}}]", "10.0.0.1:80 is a backend of web already"},
		{"[{at: 1s, add: {backend: '10.0.0.1:80'}}]", "add.backend: unknown key"},
		{"[{at: 1s, reweight: {backend: '10.0.0.1:80'}}]", "reweight.weight: is required, from 1 to 1000"},
		{"[{at: 1s, reweight: {backend: '10.0.0.1:80', weight: 0}}]", "reweight.weight: must be between 1 and 1000"},
		{"[{at: 1s, reweight: {backend: '10.0.0.1:80', weight: 1001}}]", "reweight.weight: must be between 1 and 1000"},
		{"[{at: 2s, drain: {backend: '10.0.0.1:80'}}, {at: 1s, remove: {backend: '10.0.0.1:80'}}]",
			"operations[0].drain.backend: there is no backend 10.0.0.1:80 then"},
		{"[{at: 1s, remove: {backend: '10.0.0.1:80'}}, {at: 2s, remove: {backend: '10.0.0.2:80'}}, {at: 3s, remove: {backend: '10.0.0.3:80'}}]",
			"operations[2].remove.backend: 10.0.0.3:80 is the last backend of web"},
		{"[{at: 1s, reload: 3}]", "operations[0].reload: want {config: FILE}"},
		{"[{at: 1s, reload: {config: none.yaml}}]", "none.yaml"},
		{"[{at: 1s, reload: {listners: []}}]", "operations[0].reload.listners: unknown key; did you mean listeners?"},
		{"[{at: 1s, reload: {listeners: [{address: ':8080', upstream: web}], upstreams: {web: {backends: [{address: '10.0.0.9:80'}]}}}}]",
			"the upstream web has the backend 10.0.0.9:80, which is not simulated"},
	} {
		_, err := Parse("s.yaml", []byte(operatedText(tc.operations)))
		require.ErrorContains(t, err, tc.want, tc.operations)
		var all config.Errors
		require.ErrorAs(t, err, &all)
		for _, e := range all {
			require.Positive(t, e.Line, e.Error())
		}
	}
}

func TestTheVerdictAndTheReportTellTheOperations(t *testing.T) {
	sc, err := Parse("s.yaml", []byte(operatedText("[{at: 5s, remove: {backend: '10.0.0.2:80'}}, {at: 10s, add: {address: '10.0.0.2:80'}}]")))
	require.NoError(t, err)
	v, err := Execute(sc, Options{KeepTrace: true})
	require.NoError(t, err)
	require.True(t, v.OK(), v.Text())
	var told []string
	for _, m := range v.Timeline {
		told = append(told, m.Text)
	}
	require.Equal(t, []string{"remove 10.0.0.2:80", "web/10.0.0.2:80 is gone", "add 10.0.0.2:80"}, told)
	kinds := map[string]int{}
	for _, e := range v.Trace.Events {
		kinds[e.Actor+" "+e.Kind]++
	}
	require.Equal(t, []int{1, 1, 2, 1}, []int{kinds["operator remove"], kinds["operator add"], kinds["web/10.0.0.2:80 operation"],
		kinds["web/10.0.0.2:80 backend_gone"]})
	s := v.Series.Backends[1]
	require.Equal(t, "web/10.0.0.2:80", s.Name)
	require.Equal(t, []health.Status{health.Up, health.Drained, health.Up}, []health.Status{s.Health[3], s.Health[7], s.Health[15]})
	require.Zero(t, s.Idle[7]+s.Lent[7], "it is not there")
	require.Positive(t, s.Idle[15]+s.Lent[15])
	var page bytes.Buffer
	require.NoError(t, v.WriteReport(&page))
	require.Contains(t, page.String(), "<title>remove 10.0.0.2:80</title>")
	require.Contains(t, page.String(), "an operation (dashed)")
}

func TestAReloadReadsItsFileBesideTheScenario(t *testing.T) {
	dir := t.TempDir()
	next := "listeners: [{address: ':8080', upstream: web}]\nupstreams: {web: {strategy: random, backends: [{address: '10.0.0.1:80'}]}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "next.yaml"), []byte(next), 0o644))
	text := operatedText("[{at: 5s, reload: {config: next.yaml}}]")
	sc, err := Parse(filepath.Join(dir, "s.yaml"), []byte(text))
	require.NoError(t, err)
	require.Equal(t, "reload next.yaml", sc.Operations[0].String())
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.True(t, v.OK(), v.Text())
	require.Contains(t, v.Timeline[0].Text, "reload next.yaml: upstreams.web.strategy: random instead of")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "next.yaml"), []byte(next+"x: 1\n"), 0o644))
	_, err = Parse(filepath.Join(dir, "s.yaml"), []byte(text))
	require.ErrorContains(t, err, "next.yaml:3: x: unknown key")
}

func TestShrinkTakesOperationsAwayThatDoNotMatter(t *testing.T) {
	text := operatedText("[{at: 2s, reweight: {backend: '10.0.0.1:80', weight: 3}}, {at: 5s, remove: {backend: '10.0.0.2:80'}}, "+
		"{at: 8s, drain: {backend: '10.0.0.1:80'}}, {at: 9s, drain: {backend: '10.0.0.3:80'}}]",
		"expect", "[success_rate >= 99%]")
	fails := func(data []byte) bool {
		sc, err := Parse("s.yaml", data)
		require.NoError(t, err)
		v, err := Execute(sc, Options{})
		require.NoError(t, err)
		return !v.OK()
	}
	out, err := Shrink("s.yaml", []byte(text), 1, []string{"success_rate >= 99%"}, fails)
	require.NoError(t, err)
	require.Equal(t, [2]int{4, 3}, out.Operations, "all three backends must be out of use\n%s", out.Data)
	require.NotContains(t, string(out.Data), "reweight")
	require.Contains(t, out.String(), "operations 4 -> 3, ")
}

func TestEveryKindOfOperationIsExplainedWithAnExampleThatCanBeRead(t *testing.T) {
	var names []string
	for _, k := range OperationKinds() {
		names = append(names, k.Name)
		require.Greater(t, len(k.About), 60)
		example := strings.NewReplacer("at: 40s", "at: 4s", "at: 60s", "at: 6s", "../configs/next.yaml", "next.yaml").Replace(k.Example)
		_, err := Parse("s.yaml", []byte(operatedText("["+example+"]")))
		if err != nil { // the world of the example is not that of the test, but its keys are
			require.NotContains(t, err.Error(), "unknown key", k.Name)
			require.NotContains(t, err.Error(), "needs one of", k.Name)
		}
	}
	var keys []string
	for _, f := range new(Operation).form(&Scenario{}).(oneOf).kinds {
		keys = append(keys, f.Key)
	}
	slices.Sort(keys)
	require.Equal(t, keys, names, "each that a file may have, in order")
}
