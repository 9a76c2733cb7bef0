package wavepool_test

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Time, network and chance come in through the door: a clock.Clock, a dialer, a listen function, a resolver, a Rand. In
// the code (not the tests) of the rooms below, whatever reaches past them is listed here, each with what to use instead.
// The few rightful places say so on their line, "// real: why", and are counted.

var rooms = []string{"pool", "lb", "health", "proxy", "netsim"}

// realPlaces is how many lines of each package reach past the doors rightfully. A new one is a decision: a test prints
// the table as it would have to be.
var realPlaces = map[string]int{
	"health/probe":   1,
	"netsim":         5,
	"pool":           2,
	"proxy":          2,
	"proxy/socket":   1,
	"proxy/upstream": 2,
}

// pastTheDoor maps an import path to names and what to use instead. A name that ends in * stands for every name that
// begins so.
var pastTheDoor = map[string]map[string]string{
	"time": {
		"Now": useClock, "Sleep": useClock, "After": useClock, "AfterFunc": useClock, "NewTimer": useClock,
		"Since": useClock, "Until": useClock, "NewTicker": freshTimer, "Tick": freshTimer,
	},
	"context": {
		"WithTimeout": useClock, "WithDeadline": useClock, "WithTimeoutCause": useClock, "WithDeadlineCause": useClock,
	},
	"net": {
		"Dial*": useDialer, "Listen*": "use the injected listen function",
		"Lookup*": useResolver, "Resolve*": useResolver, "DefaultResolver": useResolver, "Resolver": useResolver,
	},
	"runtime": {
		"GOMAXPROCS": "behaviour may not depend on it; make it a field of the Config",
		"NumCPU":     "behaviour may not depend on it; make it a field of the Config",
	},
	"github.com/benbjohnson/clock": {"NewMock": "a mock clock belongs into tests"},
}

const (
	useClock    = "use the injected clock.Clock"
	useDialer   = "use the injected dialer"
	useResolver = "use the injected resolver"
	freshTimer  = "make a fresh timer of the injected clock for each round"
	useRand     = "use the injected Rand"
)

// chanceAllowed are the names of math/rand and math/rand/v2 that draw nothing from the global source.
var chanceAllowed = []string{"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf", "Rand", "Source", "Source64", "PCG",
	"ChaCha8", "Zipf"}

// wholePackages may not be imported at all.
var wholePackages = map[string]string{"crypto/rand": useRand, "hash/maphash": "use a hash that is the same in every run"}

// inRooms keeps the sources that the doors concern.
func inRooms(tree []*source) []*source {
	return slices.DeleteFunc(slices.Clone(tree), func(s *source) bool {
		room, _, _ := strings.Cut(s.path, "/")
		return s.test || !slices.Contains(rooms, room)
	})
}

// doors finds the lines that reach past the doors without saying why. The second result counts, for each package, those
// that do say why.
func doors(tree []*source) ([]finding, map[string]int) {
	var out []finding
	excused := make(map[string]int)
	for _, s := range inRooms(tree) {
		past := s.pastTheDoors()
		seen := make(map[int]bool)
		for _, f := range past {
			switch {
			case !s.saysWhy(f.line):
				out = append(out, f)
			case !seen[f.line]:
				excused[s.dir()]++
			}
			seen[f.line] = true
		}
		for i := range s.lines {
			if s.saysWhy(i+1) && !seen[i+1] {
				out = append(out, finding{s.path, i + 1, "says real: but reaches past no door", "take the mark away"})
			}
		}
	}
	return out, excused
}

// saysWhy reports whether the line carries the mark and a reason behind it.
func (s *source) saysWhy(line int) bool {
	_, why, marked := strings.Cut(s.lines[line-1], "// real:")
	return marked && len(strings.TrimSpace(why)) >= 5
}

// pastTheDoors lists every use in one file of what the tables name.
func (s *source) pastTheDoors() []finding {
	var out []finding
	add := func(n ast.Node, what, mend string) {
		mend += ", or end the line with // real: and the reason"
		out = append(out, finding{s.path, s.line(n.Pos()), what, mend})
	}
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if mend, banned := wholePackages[p]; banned {
			add(spec, "imports "+p, mend)
		}
		if spec.Name != nil && spec.Name.Name == "." {
			add(spec, "imports "+p+" with a dot", "import it by name, so that its uses can be seen")
		}
	}
	imports, timers := s.imports(), s.timerNames()
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, name := s.qualified(n, imports); pkg != "" {
				if mend := banned(pkg, name); mend != "" {
					add(n, path.Base(pkg)+"."+name, mend)
				}
			}
		case *ast.CallExpr:
			if what, mend := bannedMethod(n, timers); what != "" {
				add(n, what, mend)
			}
		}
		return true
	})
	return out
}

// banned returns what to use instead of pkg.name, or "" when it may be used.
func banned(pkg, name string) string {
	if pkg == "math/rand" || pkg == "math/rand/v2" {
		if slices.Contains(chanceAllowed, name) {
			return ""
		}
		return useRand
	}
	if pkg == "net" && name == "Listener" {
		return "" // the interface, which is what comes in through the door
	}
	names := pastTheDoor[pkg]
	if mend, ok := names[name]; ok {
		return mend
	}
	for pattern, mend := range names {
		if prefix, open := strings.CutSuffix(pattern, "*"); open && strings.HasPrefix(name, prefix) {
			return mend
		}
	}
	return ""
}

// bannedMethod judges a method call by its name and by the name of what it is called on, for types are not known here:
// tickers of a clock, and Reset of a timer, whose instants a simulated clock cannot make unique.
func bannedMethod(call *ast.CallExpr, timers map[string]bool) (what, mend string) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	on := strings.ToLower(lastName(sel.X))
	isClock := strings.Contains(on, "clock") || strings.Contains(on, "clk")
	switch name := sel.Sel.Name; {
	case name == "Ticker", name == "Tick" && isClock:
		return "a clock's " + name, freshTimer
	case name == "Reset" && (strings.Contains(on, "timer") || timers[lastName(sel.X)]):
		return "Reset of a timer", "stop it and make a fresh one"
	}
	return "", ""
}

// timerNames collects the names of variables and fields that the file assigns a timer to.
func (s *source) timerNames() map[string]bool {
	out := make(map[string]bool)
	ast.Inspect(s.file, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Rhs) != 1 {
			return true
		}
		if call, ok := assign.Rhs[0].(*ast.CallExpr); ok {
			switch lastName(call.Fun) {
			case "Timer", "NewTimer", "AfterFunc":
				out[lastName(assign.Lhs[0])] = true
			}
		}
		return true
	})
	return out
}

// lastName is the last word of an expression such as c.pool.clk or s.Clock().
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return lastName(e.Fun)
	case *ast.IndexExpr:
		return lastName(e.X)
	case *ast.ParenExpr:
		return lastName(e.X)
	}
	return ""
}

func TestTimeNetworkAndChanceComeInThroughTheDoor(t *testing.T) {
	found, _ := doors(tree(t))
	demandNone(t, "doors", found)
}

func TestRightfulPlacesPastTheDoorsAreCounted(t *testing.T) {
	_, excused := doors(tree(t))
	if maps.Equal(excused, realPlaces) {
		return
	}
	var b strings.Builder
	for _, dir := range slices.Sorted(maps.Keys(excused)) {
		fmt.Fprintf(&b, "\t%q: %d,\n", dir, excused[dir])
	}
	t.Fatalf("the lines marked // real: are not those of the table; if each new one is rightful, make realPlaces in "+
		"house_doors_test.go this (and gofmt it):\n%s", b.String())
}

// nap is a call that the rules look for. It is put together so that a search for real sleeps does not find these tests.
const nap = "time." + "Sleep(1)"

func TestTheDoorRuleFindsPlantedViolations(t *testing.T) {
	head := "package pool\nimport (\"context\"; \"net\"; \"runtime\"; \"time\"; r \"math/rand/v2\"; old \"math/rand\"; " +
		"\"github.com/benbjohnson/clock\")\n"
	for _, body := range []string{
		"func f() { " + nap + " }",
		"var now = time.Now",
		"func f() { <-time.After(1) }",
		"func f() { time.AfterFunc(1, nil); }",
		"func f() { context.WithTimeout(nil, 1) }",
		"func f() { context.WithDeadlineCause(nil, x, nil) }",
		"func f() { net.DialTimeout(a, b, 1) }",
		"func f() { net.DialTCP(a, b, c) }",
		"var d = &net.Dialer{}",
		"func f() { net.ListenTCP(a, b) }",
		"var l net.ListenConfig",
		"func f() { net.LookupHost(a) }",
		"func f() { net.ResolveTCPAddr(a, b) }",
		"var x = net.DefaultResolver",
		"func f() { r.IntN(3) }",
		"func f() { old.Perm(3) }",
		"func f() { runtime.NumCPU() }",
		"var c = clock.NewMock()",
		"func f() { s.clk.Ticker(1) }",
		"func f() { s.Clock().Tick(1) }",
		"func f() { p.idleTimer.Reset(1) }",
		"func f() { t := clk.Timer(1); t.Reset(2) }",
		"func f() { s.wake = clk.AfterFunc(1, g); s.wake.Reset(2) }",
		"func f() { " + nap + " } // real:",
		"func f() { g() } // real: there is nothing here",
	} {
		for _, name := range []string{"pool/x.go", "proxy/upstream/x.go", "netsim/x.go"} {
			found, excused := doors(plant(t, name, head+body))
			require.Len(t, found, 1, body)
			require.Empty(t, excused)
			require.Equal(t, 3, found[0].line)
		}
	}
	for _, imp := range []string{`"crypto/rand"`, `x "hash/maphash"`, `. "time"`} {
		found, _ := doors(plant(t, "lb/x.go", "package lb\nimport "+imp+"\n"))
		require.Len(t, found, 1, imp)
	}
}

func TestTheDoorRuleLeavesRightfulCodeAlone(t *testing.T) {
	head := "package pool\nimport (\"net\"; \"time\"; \"math/rand/v2\")\n"
	for _, body := range []string{
		"func f(time fake) { " + nap + " }", // a local name that hides the package
		"var x time.Duration = time.Second",
		"func f() { rand.New(rand.NewPCG(1, 2)).IntN(3) }",
		"var c net.Conn; var l net.Listener; var e *net.OpError; var x = net.ErrClosed",
		"func f() { group.Tick(now); buf.Reset(); clk.Sleep(0); clk.Now() }",
		"// " + nap + " in a comment\nvar s = \"time.Now()\"",
	} {
		found, excused := doors(plant(t, "pool/x.go", head+body))
		require.Empty(t, found, body)
		require.Empty(t, excused)
	}
	elsewhere := "package x\nimport \"time\"\nfunc f() { " + nap + " }"
	found, _ := doors(plant(t, "pool/x_test.go", elsewhere, "cmd/wavepool/main.go", elsewhere))
	require.Empty(t, found)

	found, excused := doors(plant(t, "health/probe/x.go", head+"var a, b = time.Now, time.Now // real: the default\n"))
	require.Empty(t, found)
	require.Equal(t, map[string]int{"health/probe": 1}, excused, "a line counts once")
}
