package wavepool_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The house rules are tests in this folder: house_floors_test.go (who may import whom), house_doors_test.go (time,
// network and chance), house_shape_test.go (files, functions, comments, TestMain), house_words_test.go (words, top
// level, test habits). Each rule is a function from sources to findings, so that a test can plant a violation and see
// that the rule finds it: a rule that finds nothing anywhere proves nothing.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const modulePath = "github.com/wavepool/wavepool"

// source is one parsed Go file. Paths are relative to the root of the repository and use slashes.
type source struct {
	path  string
	test  bool
	lines []string
	file  *ast.File
	fset  *token.FileSet
}

// dir is the folder of the source, which stands for its package; the root is ".".
func (s *source) dir() string { return path.Dir(s.path) }

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// finding is one broken rule: where, what, and how to mend it.
type finding struct {
	path string
	line int
	what string
	mend string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s; mend: %s", f.path, f.line, f.what, f.mend)
}

// demandNone fails the test with every finding, in order of place.
func demandNone(t *testing.T, rule string, found []finding) {
	t.Helper()
	if len(found) == 0 {
		return
	}
	lines := make([]string, len(found))
	slices.SortFunc(found, func(a, b finding) int {
		if c := strings.Compare(a.path, b.path); c != 0 {
			return c
		}
		return a.line - b.line
	})
	for i, f := range found {
		lines[i] = "  " + f.String()
	}
	t.Fatalf("house rule %q is broken %d times:\n%s", rule, len(found), strings.Join(lines, "\n"))
}

// parse makes a source from text.
func parse(name, text string) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	return &source{
		path:  name,
		test:  strings.HasSuffix(name, "_test.go"),
		lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n"),
		file:  file,
		fset:  fset,
	}, nil
}

// plant makes sources from pairs of path and text, for the tests of the rules themselves.
func plant(t *testing.T, pathsAndTexts ...string) []*source {
	t.Helper()
	var out []*source
	for i := 0; i < len(pathsAndTexts); i += 2 {
		s, err := parse(pathsAndTexts[i], pathsAndTexts[i+1])
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

// tree parses every Go file of the repository.
func tree(t *testing.T) []*source {
	t.Helper()
	var out []*source
	walk(t, func(name string, text []byte) {
		if strings.HasSuffix(name, ".go") {
			s, err := parse(name, string(text))
			require.NoError(t, err)
			out = append(out, s)
		}
	})
	require.Greater(t, len(out), 10, "the walk did not find the repository")
	return out
}

// walk visits every file below the root but not hidden folders (except .ci) and not the data of fuzz targets. A file
// that another process removes meanwhile is passed over.
func walk(t *testing.T, visit func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && name != "." && d.Name() != ".ci"
			if hidden || d.Name() == "fuzz" || d.Name() == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(name), text)
		return nil
	})
	require.NoError(t, err)
}

// imports maps the name under which a file knows each imported package to its path. The name of a package without an
// explicit one is guessed from the path, past a version suffix, which is right for all that the rules ask about.
func (s *source) imports() map[string]string {
	out := make(map[string]string)
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(p)
		if len(name) >= 2 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = p
	}
	return out
}

// importsOf lists the import specs of a file that have this path, or begin with it and a slash.
func (s *source) importsOf(prefix string) []*ast.ImportSpec {
	var out []*ast.ImportSpec
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if p == prefix || strings.HasPrefix(p, prefix+"/") {
			out = append(out, spec)
		}
	}
	return out
}

// qualified returns the import path and the name of a reference such as time.Now, or "" when e is something else, be it
// a local variable that has a package's name.
func (s *source) qualified(e ast.Expr, imports map[string]string) (pkg, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil {
		return "", ""
	}
	return imports[id.Name], sel.Sel.Name
}
