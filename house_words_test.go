package wavepool_test

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// leftOpen matches the words of unfinished work. They are put together here so that this file does not hold them.
var leftOpen = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|\bnot imple` + `mented\b|\bunimple` + `mented\b`)

// openWords finds unfinished work in a text file.
func openWords(name, text string) []finding {
	var out []finding
	n := 0
	for line := range strings.Lines(text) {
		n++
		if word := leftOpen.FindString(line); word != "" {
			out = append(out, finding{name, n, fmt.Sprintf("says %q", word), "finish it, or take it out and keep an issue"})
		}
	}
	return out
}

// isText tells the files that people write and read.
func isText(name string) bool {
	switch path.Ext(name) {
	case ".go", ".md", ".yaml", ".yml", ".sh", ".txt", ".json", ".html", ".css", ".js", ".want":
		return true
	}
	return name == "Makefile" || strings.HasPrefix(name, ".ci/")
}

// topLevel is all that may lie at the root.
var topLevel = []string{
	"pool", "lb", "health", "proxy", "netsim", "cmd", "testdata",
	"go.mod", "go.sum", "doc.go", "Makefile", "README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md",
	"CHANGELOG.md", "LICENSE", ".ci", ".gitignore", ".gitattributes", ".golangci.yml", ".golangci.yaml", ".github",
}

// strangers finds names at the root that the design does not have. House rules are tests at the root.
func strangers(names []string) []finding {
	var out []finding
	for _, name := range names {
		house := name == "house_test.go" || strings.HasPrefix(name, "house_") && strings.HasSuffix(name, "_test.go")
		if !house && !slices.Contains(topLevel, name) {
			out = append(out, finding{name, 0, "a top-level entry that the design does not have",
				"move it into one of the folders, or name it in .gitignore when it is built"})
		}
	}
	return out
}

// testHabits finds tests that sleep in real time, and any use of testify but require.
func testHabits(tree []*source) []finding {
	var out []finding
	for _, s := range tree {
		for _, spec := range s.importsOf("github.com/stretchr/testify") {
			if p := strings.Trim(spec.Path.Value, `"`); !s.test || p != "github.com/stretchr/testify/require" {
				out = append(out, finding{s.path, s.line(spec.Pos()), "imports " + p, "use testify/require, in tests only"})
			}
		}
		if s.test && !s.bubbles() {
			out = append(out, s.sleeps()...)
		}
	}
	return out
}

// bubbles reports whether the file runs its tests in virtual time: it names testing/synctest, rapid.SyncTest, or a
// function of netsim that makes a bubble.
func (s *source) bubbles() bool {
	if len(s.importsOf("testing/synctest")) > 0 {
		return true
	}
	imports, found := s.imports(), false
	ast.Inspect(s.file, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			pkg, name := s.qualified(e, imports)
			found = found || pkg == "pgregory.net/rapid" && name == "SyncTest" ||
				pkg == modulePath+"/netsim" && (name == "Test" || name == "Run")
		}
		return !found
	})
	return found
}

func (s *source) sleeps() []finding {
	var out []finding
	imports := s.imports()
	ast.Inspect(s.file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if pkg, name := s.qualified(e, imports); pkg == "time" && name == "Sleep" && !s.saysWhy(s.line(e.Pos())) {
			out = append(out, finding{s.path, s.line(e.Pos()), "a real sleep in a test",
				"run the test in a bubble (testing/synctest, rapid.SyncTest), or wait for the event itself"})
		}
		return true
	})
	return out
}

func TestNothingIsLeftOpen(t *testing.T) {
	var found []finding
	walk(t, func(name string, text []byte) {
		if isText(name) {
			found = append(found, openWords(name, string(text))...)
		}
	})
	demandNone(t, "nothing left open", found)
}

// Git knows which files are built and ignored. Where there is no git, as in an unpacked archive, the folder itself is
// read.
func TestTheTopLevelIsTheHouse(t *testing.T) {
	var names []string
	if text, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output(); err == nil {
		for line := range strings.Lines(string(text)) {
			first, _, _ := strings.Cut(strings.Trim(line, "\"\n"), "/")
			if _, err := os.Lstat(first); err == nil && !slices.Contains(names, first) {
				names = append(names, first)
			}
		}
	} else {
		entries, err := os.ReadDir(".")
		require.NoError(t, err)
		for _, e := range entries {
			if e.Name() != ".git" && e.Name() != "bin" {
				names = append(names, e.Name())
			}
		}
	}
	require.Contains(t, names, "go.mod")
	demandNone(t, "top level", strangers(names))
}

func TestTestsSleepOnlyInBubblesAndUseRequire(t *testing.T) {
	demandNone(t, "test habits", testHabits(tree(t)))
}

func TestTheOpenWordRuleFindsPlantedViolations(t *testing.T) {
	for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "not imple" + "mented", "unimple" + "mented"} {
		found := openWords("a.md", "one\n// two "+word+": three\n")
		require.Len(t, found, 1)
		require.Equal(t, 2, found[0].line)
	}
	require.Empty(t, openWords("a.go", "501 Not Implemented, XX, mastodon, todo list"))
	require.True(t, isText("pool/a.go") && isText(".ci/run") && isText("Makefile"))
	require.False(t, isText("go.sum"))
}

func TestTheTopLevelRuleFindsPlantedViolations(t *testing.T) {
	require.Empty(t, strangers(topLevel))
	require.Empty(t, strangers([]string{"house_test.go", "house_words_test.go"}))
	require.Len(t, strangers([]string{"util", "common", "main.go", "house.go", "cover.out", "other_test.go"}), 6)
}

func TestTheTestHabitRuleFindsPlantedViolations(t *testing.T) {
	sleep := "\nfunc f() { " + nap + " }\n"
	for text, want := range map[string]int{
		"import \"time\"" + sleep:                                                                 1,
		"import (\"time\"; \"testing/synctest\")" + sleep:                                         0,
		"import (\"time\"; \"pgregory.net/rapid\")\nvar _ = rapid.SyncTest" + sleep:               0,
		"import (\"time\"; \"pgregory.net/rapid\")\nvar _ = rapid.Check" + sleep:                  1,
		"import (\"time\"; \"" + modulePath + "/netsim\")\nfunc g() { netsim.Test() }" + sleep:    0,
		"import (\"time\"; \"" + modulePath + "/netsim\")\nfunc g() { netsim.New() }" + sleep:     1,
		"import \"time\"\nfunc f() {\n\t" + nap + " // real: the kernel's own timer is tested\n}": 0,
		"import \"github.com/stretchr/testify/assert\"":                                           1,
		"import \"github.com/stretchr/testify/require\"":                                          0,
	} {
		require.Len(t, testHabits(plant(t, "a/a_test.go", "package a\n"+text)), want, text)
	}
	require.Len(t, testHabits(plant(t, "a/a.go", "package a\nimport \"github.com/stretchr/testify/require\"")), 1)
}
