package form

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// outside is what the references of the tests lead to.
var outside = Sources{
	Env: func(name string) (string, bool) {
		value, ok := map[string]string{"HOST": "db.internal", "N": "7", "D": "250ms", "EMPTY": "", "SPACE": " a: [1, 2] ",
			"AGAIN": "${HOST}", "NULL": "null", "BAD": "\xff", "_x9": "under"}[name]
		return value, ok
	},
	File: func(path string) ([]byte, error) {
		switch path {
		case "/run/secrets/x":
			return []byte("s3cret\n"), nil
		case "two":
			return []byte("a\r\n\r\n"), nil
		case "bare":
			return []byte("a\r"), nil
		case "full":
			return []byte(strings.Repeat("x", MaxFileBytes)), nil
		case "over":
			return []byte(strings.Repeat("x", MaxFileBytes+1)), nil
		case "odd":
			return nil, errors.New("it is not a regular file")
		}
		return nil, &fs.PathError{Op: "open", Path: "/long/way/" + path, Err: fs.ErrNotExist}
	},
}

// taker is a form of one word, one number and one duration.
type taker struct {
	word string
	n    int
	d    time.Duration
	list []taker
}

func (k *taker) form() Form {
	return Form{{"word", String(&k.word, nil)}, {"n", Int(&k.n, 0, 100)}, {"d", Duration(&k.d, 0, time.Hour)},
		{"list", List(&k.list, 9, func() taker { return taker{} }, (*taker).form)}}
}

func take(t *testing.T, text string) (taker, error) {
	t.Helper()
	r := NewReport("f.yaml")
	n := Document(r, []byte(text))
	require.NotNil(t, n)
	before, err := yaml.Marshal(n)
	require.NoError(t, err)
	var k taker
	Read(r, Expand(r, n, outside), k.form())
	after, err := yaml.Marshal(n)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "what was read is not changed")
	return k, r.Err()
}

func TestReferencesInValuesTakeInWhatTheyName(t *testing.T) {
	for text, want := range map[string]string{
		"${HOST}": "db.internal", "${HOST}:80": "db.internal:80", "a-${N}-${HOST}": "a-7-db.internal", "${_x9}": "under",
		"${N}": "7", "${EMPTY}": "", "x${EMPTY}": "x", "${NULL}": "null", "${SPACE}": " a: [1, 2] ",
		"${NONE:-plan b}": "plan b", "${EMPTY:-b}": "b", "${HOST:-b}": "db.internal", "${NONE:-}": "", "${NONE:-a:-b}": "a:-b",
		"${file:/run/secrets/x}": "s3cret", "${file:two}": "a\r\n", "${file:bare}": "a\r", "${AGAIN}": "${HOST}",
		"$${HOST}": "${HOST}", "$$${HOST}": "$${HOST}", "$HOST": "$HOST", "$": "$", "5$": "5$", "a}b": "a}b", "$${": "${",
		"${file:full}": strings.Repeat("x", MaxFileBytes),
	} {
		k, err := take(t, "word: \""+text+"\"\n")
		require.NoError(t, err, text)
		require.Equal(t, want, k.word, text)
	}
}

func TestWhatIsTakenInMayBeANumberOrADuration(t *testing.T) {
	k, err := take(t, "n: ${N}\nd: ${D}\nlist: [{n: \"${N}0\"}, {d: \"1${NONE:-m}\"}]\n")
	require.NoError(t, err)
	require.Equal(t, 7, k.n)
	require.Equal(t, 250*time.Millisecond, k.d)
	require.Equal(t, 70, k.list[0].n)
	require.Equal(t, time.Minute, k.list[1].d)
	k, err = take(t, "list: [&a {word: \"${HOST}\"}, *a, {word: &b \"${N}\"}, {word: *b}]\n")
	require.NoError(t, err)
	require.Equal(t, []string{"db.internal", "db.internal", "7", "7"},
		[]string{k.list[0].word, k.list[1].word, k.list[2].word, k.list[3].word}, "aliases lead to what was taken in")
}

func TestAReferenceThatLeadsNowhereIsToldWithItsLineAndPath(t *testing.T) {
	for text, want := range map[string]string{
		"word: ${NONE}":      "f.yaml:1: word: the variable NONE is not set; ${NONE:-default} has a value for that case",
		"n: 1\nword: ${NO":   "f.yaml:2: word: the reference ${NO has no closing brace; $${ stands for ${ itself",
		"word: ${}":          "f.yaml:1: word: want ${NAME}, ${NAME:-default} or ${file:PATH}; got ${}; $${ stands for ${ itself",
		"word: ${9A}":        "f.yaml:1: word: want ${NAME}, ${NAME:-default} or ${file:PATH}; got ${9A}; $${ stands for ${ itself",
		"word: \"${a b}\"":   "f.yaml:1: word: want ${NAME}, ${NAME:-default} or ${file:PATH}; got ${a b}; $${ stands for ${ itself",
		"word: ${file:}":     "f.yaml:1: word: want ${file:PATH}; the path is missing",
		"word: ${file:gone}": "f.yaml:1: word: cannot read gone: file does not exist",
		"word: ${file:odd}":  "f.yaml:1: word: cannot read odd: it is not a regular file",
		"word: ${file:over}": "f.yaml:1: word: over holds more than 65536 bytes",
		"word: ${BAD}":       "f.yaml:1: word: what came in for the reference is not UTF-8 text",
		"n: ${HOST}":         "f.yaml:1: n: want a whole number; got \"db.internal\"",
		"n: ${EMPTY}":        "f.yaml:1: n: want a whole number; got \"\"",
		"n: ${SPACE}":        "f.yaml:1: n: want a whole number; got \" a: [1, 2] \"",
		"list: ${SPACE}":     "f.yaml:1: list: want a list; got \" a: [1, 2] \"",
		"list:\n- {d: \"${NONE}\",\n   n: \"${N}77\"}": "f.yaml:2: list[0].d: the variable NONE is not set; ${NONE:-default} has a value " +
			"for that case\nf.yaml:3: list[0].n: must be between 0 and 100; got 777",
		"${HOST}: 1": "f.yaml:1: ${HOST}: unknown key; known keys: word, n, d, list",
	} {
		_, err := take(t, text)
		require.EqualError(t, err, want, text)
	}
	r := NewReport("f.yaml")
	Expand(r, &yaml.Node{Kind: yaml.ScalarNode, Value: "${A} ${file:x}"}, Sources{})
	require.ErrorContains(t, r.Err(), "the variable A is not set")
	r = NewReport("f.yaml")
	Expand(r, &yaml.Node{Kind: yaml.ScalarNode, Value: "${file:x}"}, Sources{})
	require.ErrorContains(t, r.Err(), "cannot read x: no files are taken in here")
}

// A small file must not become a large one: what comes in is bounded in all.
func TestWhatComesInIsBoundedInAll(t *testing.T) {
	const whole = MaxExpanded / MaxFileBytes
	for times, ok := range map[int]bool{whole: true, whole + 1: false} {
		r := NewReport("f.yaml")
		Expand(r, Document(r, []byte("word: "+strings.Repeat("${file:full}", times))), outside)
		require.Equal(t, ok, r.Err() == nil, "%d in one value: %v", times, r.Err())
		r = NewReport("f.yaml")
		Expand(r, Document(r, []byte("list:\n"+strings.Repeat("- ${file:full}\n", times))), outside)
		require.Equal(t, ok, r.Err() == nil, "%d values: %v", times, r.Err())
		if !ok {
			require.ErrorContains(t, r.Err(), "f.yaml:66: list[64]: the values that take text in hold more than 4194304 bytes together")
		}
	}
}

func TestTextThatLooksLikeAReferenceIsWrittenAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := taker{word: rapid.StringMatching(`[${}A:-]{0,12}`).Draw(t, "word")}
		data, err := Marshal(k.form())
		require.NoError(t, err)
		var back taker
		r := NewReport("f.yaml")
		Read(r, Expand(r, Document(r, data), Sources{}), back.form())
		require.NoError(t, r.Err())
		require.Equal(t, k.word, back.word, "%s", data)
	})
}
