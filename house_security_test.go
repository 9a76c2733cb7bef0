package wavepool_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SECURITY.md promises nothing that no test holds, and names no test that is not there.

var (
	testName     = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// unheld finds the promises and rows of a text that name no test, and tests that do not exist.
func unheld(text string, exists map[string]bool) []finding {
	var out []finding
	section, what := "", ""
	begin := 0
	end := func() {
		if what != "" && !testName.MatchString(what) {
			out = append(out, finding{"SECURITY.md", begin, "promises what no test holds", "name the test, in backticks"})
		}
		what = ""
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, m := range testName.FindAllStringSubmatch(line, -1) {
			if !exists[m[1]] {
				out = append(out, finding{"SECURITY.md", n, "names " + m[1] + ", which does not exist", "name the test that holds it"})
			}
		}
		title, isTitle := strings.CutPrefix(strings.TrimSpace(line), "## ")
		row := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| class,")
		switch {
		case isTitle:
			end()
			section = title
		case section == "What is promised" && strings.HasPrefix(line, "- "), section == "Attack classes" && row:
			end()
			what, begin = line, n
		case what != "" && strings.HasPrefix(line, "  "):
			what += line
		default:
			end()
		}
	}
	end()
	return out
}

func TestEveryPromiseOfSecurityIsHeldByATest(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	exists := map[string]bool{}
	walk(t, func(name string, src []byte) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range testFunction.FindAllSubmatch(src, -1) {
				exists[string(m[1])] = true
			}
		}
	})
	demandNone(t, "security", unheld(string(text), exists))
	require.Greater(t, len(testName.FindAllString(string(text), -1)), 30)
}

func TestTheSecurityRuleFindsPlantedPromises(t *testing.T) {
	exists := map[string]bool{"TestA": true}
	text := "## What is promised\n\n- held `TestA`\n- held\n  below: `TestA`\n%s\n## Attack classes\n\n| class, x | y | z |\n" +
		"|---|---|---|\n| row | y | `TestA` |\n%s\n## Limits\n| row | none |\n- free\n"
	plant := func(promise, row string) []finding {
		return unheld(strings.Replace(strings.Replace(text, "%s", promise, 1), "%s", row, 1), exists)
	}
	require.Empty(t, plant("", ""))
	require.Len(t, plant("- a promise\n  of two lines\n", ""), 1)
	require.Len(t, plant("", "| a row | y | none |\n"), 1)
	found := plant("- `TestB`\n", "")
	require.Len(t, found, 1)
	require.Contains(t, found[0].String(), "TestB")
}
