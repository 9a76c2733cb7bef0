package form

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// one reads a single key named v and returns the mistake, or "".
func one(v Value, text string) string {
	r := NewReport("")
	n := Document(r, []byte("v: "+text+"\n"))
	if n != nil {
		Read(r, n, Form{{"v", v}})
	}
	if err := r.Err(); err != nil {
		return strings.TrimPrefix(err.Error(), "line 1: v: ")
	}
	return ""
}

func TestDurationsNeedAUnit(t *testing.T) {
	for _, tc := range []struct {
		text string
		want time.Duration
		msg  string // a part of it
	}{
		{"250ms", 250 * time.Millisecond, ""},
		{"1h30m", 90 * time.Minute, ""},
		{"1.5s", 1500 * time.Millisecond, ""},
		{`"2s"`, 2 * time.Second, ""},
		{"24h", 24 * time.Hour, ""},
		{"5", 0, "bare number 5 (did you mean 5s?)"},
		{`"5"`, 0, "bare number 5"},
		{"0", 0, "bare number 0"},
		{"1e3", 0, "bare number 1e3"},
		{"5 s", 0, `got "5 s"`},
		{"1d", 0, `got "1d"`},
		{"1:30", 0, `got "1:30"`},
		{"-5s", 0, "must be between 1ms and 24h; got -5s"},
		{"999999999h", 0, `got "999999999h"`},
		{"24h1ns", 0, "must be between"},
		{"off", 0, `got "off"`},
		{"", 0, "got nothing"},
		{"[]", 0, "got a list"},
		{"{}", 0, "got a mapping"},
	} {
		var d time.Duration
		msg := one(Duration(&d, time.Millisecond, 24*time.Hour), tc.text)
		if tc.msg == "" {
			require.Empty(t, msg, tc.text)
			require.Equal(t, tc.want, d)
			continue
		}
		require.Contains(t, msg, tc.msg, tc.text)
	}
}

func TestSizesAreBytesOrCarryABinaryUnit(t *testing.T) {
	for _, tc := range []struct {
		text string
		want int64
		msg  string
	}{
		{"65536", 65536, ""}, {"64KiB", 65536, ""}, {"2MiB", 2 << 20, ""}, {"1GiB", 1 << 30, ""}, {"7B", 7, ""},
		{"64KB", 0, "want a size"}, {"64k", 0, "want a size"}, {"1.5MiB", 0, "want a size"}, {"KiB", 0, "want a size"},
		{"64 KiB", 0, "want a size"}, {"010KiB", 0, "want a size"}, {"+1KiB", 0, "want a size"}, {"0x10", 0, "want a size"}, {"[]", 0, "got a list"},
		{"", 0, "got nothing"}, {"0", 0, "must be between 1 and 4GiB; got 0"}, {"-1KiB", 0, "got -1KiB"},
		{"9223372036854775807GiB", 0, "too large"}, {"-9223372036854775808KiB", 0, "too large"},
		{"99999999999999999999", 0, "want a size"}, {"4097MiB", 0, "got 4097MiB"},
	} {
		var n int64
		msg := one(Size(&n, 1, 4<<30), tc.text)
		if tc.msg == "" {
			require.Empty(t, msg, tc.text)
			require.Equal(t, tc.want, n)
			continue
		}
		require.Contains(t, msg, tc.msg, tc.text)
	}
}

func TestWholeNumbersAreDecimal(t *testing.T) {
	for text, want := range map[string]string{
		"7": "", "100": "", "0": "must be between 1 and 100; got 0", "101": "got 101", "-1": "got -1", "07": "want a whole number", "+7": "want a whole number",
		"1.0": "want a whole number", "1e1": "want a whole number", "0x7": "want a whole number", "1_0": "want a whole number",
		`"7"`: "want a whole number", "yes": "want a whole number", "": "got nothing",
		"99999999999999999999": "want a whole number", "true": "got the word true",
	} {
		var n int
		msg := one(Int(&n, 1, 100), text)
		require.Equal(t, want == "", msg == "", "%s: %s", text, msg)
		require.Contains(t, msg, want, text)
	}
}

func TestOffCanBeSaidOnlyByTheWord(t *testing.T) {
	n, d, s := 5, 5*time.Second, 5
	require.Empty(t, one(IntOrOff(&n, 1, 9, -1), "off"))
	require.Empty(t, one(DurationOrOff(&d, 1, 9, -1), "off"))
	require.Empty(t, one(SizeOrOff(&s, 1, 9, 0), `"off"`))
	require.Equal(t, []int{-1, -1, 0}, []int{n, int(d), s})
	require.Equal(t, "must be between 1 and 9, or the word off; got -1", one(IntOrOff(&n, 1, 9, -1), "-1"))
	require.Equal(t, "must be between 1 and 9, or the word off; got 0", one(SizeOrOff(&s, 1, 9, 0), "0"))
	require.Contains(t, one(DurationOrOff(&d, 1, 9, -1), "no"), "or the word off; got \"no\"")
}

func TestAWrongValueLeavesTheFieldAsItWas(t *testing.T) {
	n, s, d := 5, "five", 5*time.Second
	require.NotEmpty(t, one(Int(&n, 1, 9), "x"))
	require.NotEmpty(t, one(String(&s, nil), "6"))
	require.NotEmpty(t, one(Duration(&d, 1, time.Hour), "6"))
	require.Equal(t, 5, n)
	require.Equal(t, "five", s)
	require.Equal(t, 5*time.Second, d)
}

func TestTextThatLooksLikeANumberMustBeQuoted(t *testing.T) {
	var s string
	require.Contains(t, one(String(&s, nil), "8080"), "put it in quotes")
	require.Contains(t, one(String(&s, nil), "true"), "put it in quotes")
	require.Equal(t, "want text; got nothing", one(String(&s, nil), ""))
	require.Empty(t, one(String(&s, nil), `"8080"`))
	require.Equal(t, "8080", s)
}

func TestListsAndNamesHaveAGreatestLength(t *testing.T) {
	type item struct {
		name string
		n    int
	}
	var items []item
	fresh := func() item { return item{} }
	bind := func(i *item) Form { return Form{{"n", Int(&i.n, 0, 9)}} }
	l := List(&items, 2, fresh, bind)
	require.Empty(t, one(l, "[{n: 1}, {n: 2}]"))
	require.Equal(t, "holds 3 items; at most 2 are allowed", one(l, "[{}, {}, {}]"))
	require.Equal(t, []item{{n: 1}, {n: 2}}, items)

	m := Named(&items, 2, fresh, func(i *item) *string { return &i.name }, bind)
	require.Empty(t, one(m, "{b: {n: 1}, a: {n: 2}}"))
	require.Equal(t, []item{{"b", 1}, {"a", 2}}, items, "file order is kept")
	require.Equal(t, "holds 3 entries; at most 2 are allowed", one(m, "{a: {}, b: {}, c: {}}"))
}

func TestAnAliasReadsAsWhatItStandsFor(t *testing.T) {
	a, b := 0, Form(nil)
	b = Form{{"n", Int(&a, 0, 9)}}
	r := NewReport("f")
	x := 0
	Read(r, Document(r, []byte("x: &x 3\ny: {n: *x}\n")), Form{{"x", Int(&x, 0, 9)}, {"y", b}})
	require.NoError(t, r.Err())
	require.Equal(t, []int{3, 3}, []int{x, a})
}

// An anchor that holds itself makes an endless tree; the form's own depth is what ends the reading.
func TestAnAnchorThatHoldsItselfEnds(t *testing.T) {
	n := 0
	r := NewReport("f")
	Read(r, Document(r, []byte("a: &a {n: 1, a: *a}\n")), Form{{"a", Form{{"n", Int(&n, 0, 9)}}}})
	require.EqualError(t, r.Err(), "f:1: a.a: unknown key; known keys: n")
}

func TestAReportNamesTheNearestAncestorThatTheFileGives(t *testing.T) {
	r := NewReport("f")
	r.Mark("", 1)
	r.Mark("a.b", 7)
	r.Mark("a.b[3]", 9)
	require.Equal(t, []int{9, 7, 7, 1, 1}, []int{r.Line("a.b[3].c.d"), r.Line("a.b[4].c"), r.Line("a.b"), r.Line("a"), r.Line("x[0]")})
	require.True(t, r.Given("a.b"))
	require.False(t, r.Given("a"))
	require.Zero(t, new(Report).Line("a.b[1]"))
}

func TestErrorsGiveTheirSingleMistakesToErrorsAs(t *testing.T) {
	r := NewReport("f")
	require.NoError(t, r.Err())
	r.FailAt(9, "b", "second")
	r.FailAt(2, "a", "first")
	r.FailAt(3, "a", "one path is told once")
	var list Errors
	var single Error
	require.True(t, errors.As(r.Err(), &list))
	require.True(t, errors.As(r.Err(), &single))
	require.Equal(t, Errors{{"f", 2, "a", "first"}, {"f", 9, "b", "second"}}, list)
	require.Equal(t, list[0], single)
	require.Equal(t, "f:2: a: first\nf:9: b: second", r.Err().Error())
	require.Equal(t, "line 4: x", Error{Line: 4, Msg: "x"}.Error())
	require.Equal(t, "f: x", Error{File: "f", Msg: "x"}.Error())
}

func TestAWrittenFormReadsBackUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type values struct {
			S string
			D time.Duration
			N int
			B int64
		}
		bind := func(v *values) Form {
			return Form{{"s", String(&v.S, nil)}, {"d", Duration(&v.D, -1<<63, 1<<63-1)},
				{"n", Int(&v.N, -1<<63, 1<<63-1)}, {"b", Size(&v.B, -1<<63, 1<<63-1)}}
		}
		in := values{rapid.StringOf(rapid.RuneFrom(nil, printable...)).Draw(t, "s"), time.Duration(rapid.Int64().Draw(t, "d")),
			rapid.Int().Draw(t, "n"), rapid.Int64().Draw(t, "b") << rapid.IntRange(0, 31).Draw(t, "shift")}
		text, err := Marshal(bind(&in))
		require.NoError(t, err)
		var out values
		r := NewReport("f")
		n := Document(r, text)
		require.NoError(t, r.Err(), "%s", text)
		Read(r, n, bind(&out))
		require.NoError(t, r.Err(), "%s", text)
		require.Equal(t, in, out, "%s", text)
	})
}

func TestDescribeClipsLongWords(t *testing.T) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.Repeat("ä", 100)}
	got := describe(n)
	require.Less(t, len(got), 90)
	require.True(t, strings.HasSuffix(got, `..."`))
}

// Every text of up to four of the characters that mean something in YAML.
func TestATextReadsBackAsItIs(t *testing.T) {
	alphabet := []string{"\t", "\n", " ", "a", "#", ":", "\r", "\u0085", "\u2028", "-"}
	texts := []string{""}
	for from := 0; len(texts) < 10_000; {
		to := len(texts)
		for _, s := range texts[from:to] {
			for _, c := range alphabet {
				texts = append(texts, s+c)
			}
		}
		from = to
	}
	for _, s := range texts[1:] {
		out, err := yaml.Marshal(map[string]*yaml.Node{"below": {Kind: yaml.MappingNode, Content: []*yaml.Node{text("key"), text(s)}}})
		require.NoError(t, err)
		var back map[string]map[string]string
		require.NoError(t, yaml.Unmarshal(out, &back), "%q", s)
		require.Equal(t, s, back["below"]["key"], "%q", out)
	}
}
