package upstream

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// room is one closed list of words, and where its constants are declared.
type room struct {
	name, file, kind string
	words            []string
	unknown          string
}

func words[T fmt.Stringer](all []T) []string {
	var out []string
	for _, x := range all {
		out = append(out, x.String())
	}
	return out
}

func rooms() []room {
	return []room{
		{"pool.Reason", "../../pool/reason.go", "Reason", words(pool.Reasons()), pool.Reason(200).String()},
		{"health.Reason", "../../health/reason.go", "Reason", words(health.Reasons()), health.Reason(200).String()},
		{"upstream.Outcome", "outcome.go", "Outcome", words(Outcomes()), Outcome(200).String()},
	}
}

// Events, metrics and the access log tell the three kinds of reasons by their words alone.
func TestConnectionPoolManagerTheWordsOfAllRoomsAreUniqueTogether(t *testing.T) {
	of := map[string]string{}
	for _, r := range rooms() {
		require.NotEmpty(t, r.words)
		for _, w := range r.words {
			require.Empty(t, of[w], "%q is a word of %s too", w, r.name)
			of[w] = r.name
			require.Regexp(t, `^[a-z][a-z0-9]*(_[a-z0-9]+)*$`, w)
		}
		require.NotContains(t, r.words, r.unknown, "a value beyond the list has a word of its own")
	}
}

// A constant that is missing from the list, or has no sentence, is found in the source.
func TestConnectionPoolManagerTheListsOfWordsAreClosedAndEachIsDocumented(t *testing.T) {
	for _, r := range rooms() {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(r.file), nil, parser.ParseComments)
		require.NoError(t, err)
		names := constants(t, file, r.kind)
		require.Len(t, r.words, len(names), "%s: %v", r.name, names)
	}
	require.Len(t, Outcomes(), NumOutcomes)
}

// constants returns the constants of a type that are declared by iota, each of which must begin its own comment.
func constants(t *testing.T, file *ast.File, kind string) []string {
	var names []string
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		first := decl.Specs[0].(*ast.ValueSpec)
		if id, ok := first.Type.(*ast.Ident); !ok || id.Name != kind {
			continue
		}
		for _, s := range decl.Specs {
			v := s.(*ast.ValueSpec)
			name := v.Names[0].Name
			if strings.HasPrefix(name, "Num") {
				continue
			}
			require.True(t, strings.HasPrefix(v.Doc.Text(), name+":"), "%s is not documented", name)
			names = append(names, name)
		}
	}
	return names
}

// What picker and judge make of each outcome is policy: a change of it must be meant.
func TestConnectionPoolManagerEachOutcomeMeansOneThingToPickerAndJudge(t *testing.T) {
	want := map[Outcome]struct {
		lb     lb.Outcome
		signal string
	}{
		OutcomeAnswered:      {lb.Success, "success"},
		OutcomeAnswered5xx:   {lb.Failure, "response_5xx"},
		OutcomeGatewayError:  {lb.Failure, "response_gateway"},
		OutcomeConnectFailed: {lb.Failure, "connect_failed"},
		OutcomeStale:         {lb.Abandoned, ""},
		OutcomeReset:         {lb.Failure, "reset"},
		OutcomeTimeout:       {lb.Failure, "timeout"},
		OutcomeBadAnswer:     {lb.Failure, "reset"},
		OutcomeClientGone:    {lb.Abandoned, ""},
		OutcomeLost:          {lb.Failure, ""},
	}
	for _, o := range Outcomes() {
		got, exp := outcomes[o], want[o]
		require.Equal(t, exp.lb, got.lb, o)
		require.Equal(t, exp.signal != "", got.judged, o)
		if got.judged {
			require.Equal(t, exp.signal, got.signal.String(), o)
		}
	}
}

func TestConnectionPoolManagerTheKindsOfEventsAreAClosedListThatHoldsThePoolsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range EventKinds() {
		require.False(t, seen[k], k)
		seen[k] = true
	}
	for _, k := range []pool.EventKind{pool.EventDialled, pool.EventDialFailed, pool.EventRetired} {
		require.True(t, seen[k.String()], k)
	}
}
