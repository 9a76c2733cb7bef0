package wavepool_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// productionOnly finds the rows of ARCHITECTURE.md's table of code that no simulation runs.
var productionOnly = regexp.MustCompile("(?m)^\\| `([^`]+\\.go)` `([^`]+)` \\|")

// hasFunc says whether a file declares a function, named "f" or "type.f".
func hasFunc(path, name string) (bool, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return false, err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && funcName(fn) == name {
			return true, nil
		}
	}
	return false, nil
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

func TestTheListOfProductionOnlyCodeNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	rows := productionOnly.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, rows, "ARCHITECTURE.md has no table of production-only code")
	for _, r := range rows {
		ok, err := hasFunc(r[1], r[2])
		require.NoError(t, err, "ARCHITECTURE.md names %s: correct the table", r[1])
		require.True(t, ok, "ARCHITECTURE.md names %s in %s, which is not there: correct the table", r[2], r[1])
	}
}

func TestEveryUseOfARawSocketIsOnTheListOfProductionOnlyCode(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	walk(t, func(name string, src []byte) {
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
			(strings.Contains(string(src), "syscall.Recvfrom(") || strings.Contains(string(src), "syscall.RawSyscall")) {
			require.Contains(t, string(text), "`"+name+"`",
				"%s speaks to a raw socket, which no simulation does: add it to the table in ARCHITECTURE.md", name)
		}
	})
}

func TestProductionOnlyRowsAreRecognised(t *testing.T) {
	rows := productionOnly.FindAllStringSubmatch("| `a/b.go` `t.f` | why |\n| other | row |\n", -1)
	require.Equal(t, [][]string{{"| `a/b.go` `t.f` |", "a/b.go", "t.f"}}, rows)
	ok, err := hasFunc("house_production_test.go", "noSuchFunction")
	require.NoError(t, err)
	require.False(t, ok)
}
