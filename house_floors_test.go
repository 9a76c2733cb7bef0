package wavepool_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mayImport is the table of floors: for every package, which packages of ours its code (not its tests) may import. A new
// package needs a row, and a row is a decision about the shape of the house: see the table in ARCHITECTURE.md.
var mayImport = map[string][]string{
	".":                 nil,
	"pool":              nil,
	"lb":                nil,
	"health":            nil,
	"netsim":            nil,
	"proxy/http1":       nil,
	"proxy/certs":       nil,
	"proxy/proxyproto":  nil,
	"proxy/socket":      nil,
	"proxy/accesslog":   nil,
	"proxy/tunnel":      {"proxy/socket"},
	"proxy/config/form": nil,
	"proxy/config":      {"proxy/config/form"},
	"health/probe":      {"health", "proxy/http1", "pool"}, // pool for its look at an idle connection
	"proxy/upstream":    {"pool", "lb", "health", "health/probe"},
	"proxy/http2":       {"pool", "proxy/http1"},
	"proxy":             belowProxy,
	"proxy/admin":       {"proxy", "proxy/upstream", "pool"}, // pool for the words of its reasons
	"netsim/scenario":   withProxy("netsim"),
	"cmd/wavepool":      withProxy(),
	"cmd/wavesim":       withProxy("netsim", "netsim/scenario"),
	"cmd/waveload":      withProxy(),
}

var belowProxy = []string{"pool", "lb", "health", "health/probe", "proxy/http1", "proxy/tunnel", "proxy/config/form",
	"proxy/config", "proxy/upstream", "proxy/http2", "proxy/socket", "proxy/certs", "proxy/accesslog", "proxy/proxyproto"}

func withProxy(more ...string) []string {
	return slices.Concat(belowProxy, []string{"proxy", "proxy/admin"}, more)
}

// mayLinkTesting are the packages whose code runs bubbles of testing/synctest and therefore links testing. Everything
// else, and cmd/wavepool above all, must not: testing registers flags and has no place in a production binary.
var mayLinkTesting = []string{"netsim", "netsim/scenario", "cmd/wavesim"}

// listed is what the rule wants to know of one package.
type listed struct {
	ImportPath string
	Imports    []string // direct, without those of tests
	Deps       []string // transitive
}

// floors finds the imports that the tables above do not allow.
func floors(pkgs []listed) []finding {
	var out []finding
	for _, p := range pkgs {
		name := ours(p.ImportPath)
		allowed, known := mayImport[name]
		if !known {
			out = append(out, finding{name, 0, "the package is not in the table of floors",
				"add a row for it to mayImport in house_floors_test.go and to ARCHITECTURE.md"})
			continue
		}
		for _, imp := range p.Imports {
			if dep := ours(imp); dep != "" && !slices.Contains(allowed, dep) {
				out = append(out, finding{name, 0, "imports " + dep, "may import of ours only: " +
					orNothing(allowed) + "; pass what it needs through an interface or move the code"})
			}
		}
		if slices.Contains(p.Deps, "testing") && !slices.Contains(mayLinkTesting, name) {
			out = append(out, finding{name, 0, "links testing", "only " + orNothing(mayLinkTesting) + " may"})
		}
		if name == "cmd/wavepool" {
			for _, d := range p.Deps {
				if dep := ours(d); dep == "netsim" || strings.HasPrefix(dep, "netsim/") {
					out = append(out, finding{name, 0, "links " + dep, "the production binary never links the simulator"})
				}
			}
		}
	}
	return out
}

// ours gives the path of a package inside the module, or "" when it is not of ours.
func ours(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	rest, ok := strings.CutPrefix(importPath, modulePath+"/")
	if !ok {
		return ""
	}
	return rest
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func TestPackagesImportOnlyWhatTheirFloorAllows(t *testing.T) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	var pkgs []listed
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
	require.Greater(t, len(pkgs), 3)
	demandNone(t, "floors", floors(pkgs))
}

func TestTheTableOfFloorsHasNoCycleAndNoUnknownName(t *testing.T) {
	var visit func(name string, way []string)
	visit = func(name string, way []string) {
		require.NotContains(t, way, name, "the table of floors goes round in a circle")
		row, known := mayImport[name]
		require.True(t, known, "%s is allowed somewhere but has no row", name)
		for _, dep := range row {
			visit(dep, append(slices.Clone(way), name))
		}
	}
	for name := range mayImport {
		visit(name, nil)
	}
}

func TestTheFloorRuleFindsPlantedImports(t *testing.T) {
	at := func(name string) string { return modulePath + "/" + name }
	for _, tc := range []struct {
		pkg  listed
		want string
	}{
		{listed{ImportPath: at("pool"), Imports: []string{at("lb")}}, "imports lb"},
		{listed{ImportPath: at("proxy/upstream"), Imports: []string{at("proxy")}}, "imports proxy"},
		{listed{ImportPath: at("proxy"), Imports: []string{at("netsim")}}, "imports netsim"},
		{listed{ImportPath: at("lb"), Imports: []string{modulePath}}, "imports ."},
		{listed{ImportPath: at("util")}, "not in the table"},
		{listed{ImportPath: at("proxy"), Deps: []string{"testing"}}, "links testing"},
		{listed{ImportPath: at("cmd/wavepool"), Deps: []string{"testing"}}, "links testing"},
		{listed{ImportPath: at("cmd/wavepool"), Deps: []string{at("netsim")}}, "links netsim"},
		{listed{ImportPath: at("cmd/wavepool"), Deps: []string{at("netsim/scenario")}}, "links netsim/scenario"},
	} {
		found := floors([]listed{tc.pkg})
		require.Len(t, found, 1)
		require.Contains(t, found[0].String(), tc.want)
	}
	require.Empty(t, floors([]listed{
		{ImportPath: at("proxy/upstream"), Imports: []string{at("pool"), "fmt", "github.com/wavepool/wavepoolish"}},
		{ImportPath: at("netsim"), Deps: []string{"testing"}},
		{ImportPath: at("cmd/wavesim"), Imports: []string{at("netsim/scenario")}, Deps: []string{"testing", at("netsim")}},
	}))
}
