package wavepool_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 70
)

// sizes finds files and functions, those of tests included, that are too long to be read in one go.
func sizes(tree []*source) []finding {
	var out []finding
	for _, s := range tree {
		if n := len(s.lines); n > maxFileLines {
			out = append(out, finding{s.path, n, fmt.Sprintf("the file has %d lines, more than %d", n, maxFileLines),
				"split it by what its parts are for"})
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFunctionLines {
				out = append(out, finding{s.path, s.line(f.Pos()), fmt.Sprintf("%s has %d lines, more than %d",
					f.Name.Name, n, maxFunctionLines), "give a part of it a name of its own"})
			}
		}
	}
	return out
}

// packageComments finds packages without their one package comment, or with it in the wrong file.
func packageComments(tree []*source) []finding {
	var out []finding
	have := make(map[string]int)
	for _, s := range tree {
		if s.test {
			continue
		}
		have[s.dir()] += 0
		if s.file.Doc == nil {
			continue
		}
		have[s.dir()]++
		home := path.Base(s.path) == "doc.go" || s.file.Name.Name == "main" && path.Base(s.path) == "main.go"
		if !home {
			out = append(out, finding{s.path, s.line(s.file.Doc.Pos()), "a package comment outside doc.go",
				"move it to doc.go, or put an empty line between it and the package clause"})
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(have)) {
		if n := have[dir]; n != 1 {
			out = append(out, finding{dir, 0, fmt.Sprintf("the package has %d package comments", n),
				"write exactly one, in doc.go: a map of the package, its promises, its locking law"})
		}
	}
	return out
}

// testMains finds packages whose tests do not look for leaked goroutines.
func testMains(tree []*source) []finding {
	verified := make(map[string]bool)
	for _, s := range tree {
		verified[s.dir()] = verified[s.dir()] || s.test && s.verifiesLeaks()
	}
	var out []finding
	for _, dir := range slices.Sorted(maps.Keys(verified)) {
		if !verified[dir] {
			out = append(out, finding{dir, 0, "no TestMain that calls goleak.VerifyTestMain",
				"add main_test.go with func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }"})
		}
	}
	return out
}

func (s *source) verifiesLeaks() bool {
	imports, found := s.imports(), false
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "TestMain" || f.Body == nil {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				pkg, name := s.qualified(call.Fun, imports)
				found = found || pkg == "go.uber.org/goleak" && name == "VerifyTestMain"
			}
			return true
		})
	}
	return found
}

// undocumented finds exported names without a comment: functions, methods of exported types, types, their fields and
// interface methods, constants and variables (where the comment of the group will do).
func undocumented(tree []*source) []finding {
	var out []finding
	for _, s := range tree {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		add := func(id *ast.Ident, kind string) {
			out = append(out, finding{s.path, s.line(id.Pos()), "the exported " + kind + " " + id.Name + " has no comment",
				"say its meaning, unit, default, range, errors and concurrency, as far as they apply"})
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					add(d.Name, "function")
				}
			case *ast.GenDecl:
				undocumentedSpecs(d, add)
			}
		}
	}
	return out
}

func undocumentedSpecs(d *ast.GenDecl, add func(*ast.Ident, string)) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			about := spec.Doc
			if about == nil && d.Lparen == token.NoPos {
				about = d.Doc
			}
			if about == nil {
				add(spec.Name, "type")
			}
			undocumentedMembers(spec.Type, about, add)
		case *ast.ValueSpec:
			for _, id := range spec.Names {
				if id.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					add(id, "name")
				}
			}
		}
	}
}

// undocumentedMembers judges fields and interface methods. One comment may serve several of them if it names them: that of
// the type, or the last one above in the same block.
func undocumentedMembers(t ast.Expr, about *ast.CommentGroup, add func(*ast.Ident, string)) {
	var members *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		members = t.Fields
	case *ast.InterfaceType:
		members = t.Methods
	default:
		return
	}
	// Where there is only one line of members, such as struct{ X, Y int } or the one method of an interface, the comment
	// of the type is theirs.
	if len(members.List) == 1 {
		return
	}
	var above *ast.CommentGroup
	for _, f := range members.List {
		if f.Doc != nil {
			above = f.Doc
			continue
		}
		for _, id := range f.Names {
			if id.IsExported() && f.Comment == nil && !names(about, id.Name) && !names(above, id.Name) {
				add(id, "field or method")
			}
		}
	}
}

// names reports whether the comment has that word in it.
func names(c *ast.CommentGroup, word string) bool {
	return c != nil && slices.Contains(strings.FieldsFunc(c.Text(), func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), word)
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) { demandNone(t, "sizes", sizes(tree(t))) }

func TestEveryPackageHasOnePackageCommentInDocGo(t *testing.T) {
	demandNone(t, "package comments", packageComments(tree(t)))
}

func TestEveryPackageLooksForLeakedGoroutines(t *testing.T) {
	demandNone(t, "leak checks", testMains(tree(t)))
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	demandNone(t, "exported names", undocumented(tree(t)))
}

func TestTheSizeRuleFindsPlantedViolations(t *testing.T) {
	long := func(lines int) string { return "func f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n" }
	require.Empty(t, sizes(plant(t, "a/a.go", "package a\n"+long(70)+strings.Repeat("//\n", 529))))
	found := sizes(plant(t, "a/a_test.go", "package a\n"+long(71)+strings.Repeat("//\n", 529)))
	require.Len(t, found, 2)
	require.Contains(t, found[0].what, "601 lines")
	require.Contains(t, found[1].what, "f has 71 lines")
}

func TestThePackageCommentRuleFindsPlantedViolations(t *testing.T) {
	doc, bare := "// Package a is.\npackage a\n", "package a\n"
	require.Empty(t, packageComments(plant(t, "a/doc.go", doc, "a/a.go", "// Apart.\n\n"+bare, "a/a_test.go", bare)))
	require.Empty(t, packageComments(plant(t, "cmd/a/main.go", "// Command a does.\npackage main\n")))
	for _, tree := range [][]string{
		{"a/a.go", bare},
		{"a/doc.go", doc, "a/a.go", doc},
		{"a/a.go", doc},
		{"cmd/a/run.go", "// Command a does.\npackage main\n"},
	} {
		require.NotEmpty(t, packageComments(plant(t, tree...)), tree)
	}
}

func TestTheLeakCheckRuleFindsPlantedViolations(t *testing.T) {
	good := "package a\nimport \"go.uber.org/goleak\"\nfunc TestMain(m *testing.M) { goleak.VerifyTestMain(m) }"
	require.Empty(t, testMains(plant(t, "a/a.go", "package a", "a/main_test.go", good)))
	for _, bad := range []string{
		"package a",
		strings.Replace(good, "goleak.VerifyTestMain(m)", "os.Exit(m.Run())", 1),
		strings.Replace(good, "TestMain", "TestMine", 1),
		strings.Replace(good, "go.uber.org/goleak", "example.com/goleak", 1),
	} {
		require.Len(t, testMains(plant(t, "a/a.go", "package a", "a/main_test.go", bad)), 1, bad)
	}
	require.Len(t, testMains(plant(t, "a/a.go", "package a", "b/main_test.go", good)), 1, "another package's TestMain")
}

func TestTheCommentRuleFindsPlantedViolations(t *testing.T) {
	for decl, want := range map[string]int{
		"func F() {}":                      1,
		"func f() {}":                      0,
		"// F is.\nfunc F() {}":            0,
		"type t struct{}\nfunc (t) F() {}": 0,
		"// T is.\ntype T[A any] struct{}\nfunc (*T[A]) F() {}": 1,
		"type T struct{}":                                                  1,
		"type (\n// T is.\nT struct{}\n)":                                  0,
		"// Both.\ntype (\nT struct{}\n)":                                  1,
		"// T is.\ntype T struct {\n\tX int\n\ty int\n}":                   1,
		"// T is; Y too.\ntype T struct {\n\tX int // one\n\tY int\n}":     0,
		"// T is.\ntype T struct {\n\t// X and Y.\n\tX int\n\tY, Z int\n}": 1,
		"// T is.\ntype T struct {\n\t// Ys.\n\tX int\n\tY int\n}":         1,
		"// T is.\ntype T struct {\n\tX, Y int // are\n}":                  0,
		"// T is.\ntype T struct{ X, Y int }":                              0,
		"// T is.\ntype T interface {\n\tF()\n}":                           0,
		"// T is.\ntype T interface {\n\tF()\n\tG()\n}":                    2,
		"// T is.\ntype T struct {\n\tU\n}":                                0,
		"const A = 1":                                                      1,
		"const (\n\tA = 1 // one\n\tb = 2\n)":                              0,
		"// All.\nvar (\n\tA = 1\n\tB = 2\n)":                              0,
		"var (\n\tA = 1\n\tB = 2\n)":                                       2,
	} {
		require.Len(t, undocumented(plant(t, "a/a.go", "package a\n"+decl)), want, decl)
	}
	require.Empty(t, undocumented(plant(t, "a/a_test.go", "package a\nfunc F() {}", "cmd/x/main.go", "package main\nfunc F() {}")))
}
