package form

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// offWord is what a file says to switch a limit or a duty off.
const offWord = "off"

// String binds a word. The check, which may be nil, returns what is wrong with the value or "" when it is right; it
// sees the empty string too when the key is not given.
func String(p *string, check func(string) string) Value { return stringValue{p, check} }

type stringValue struct {
	p     *string
	check func(string) string
}

func (v stringValue) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && n.Tag != taken {
		hint := ""
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			hint = "; if it is meant, put it in quotes"
		}
		r.Fail(path, "want text; got %s%s", describe(n), hint)
		return
	}
	*v.p = n.Value
}

func (v stringValue) Check(r *Report, path string) {
	if v.check == nil {
		return
	}
	if msg := v.check(*v.p); msg != "" {
		r.Fail(path, "%s", msg)
	}
}

func (v stringValue) Node() *yaml.Node {
	if *v.p == "" {
		return nil
	}
	return text(*v.p)
}

// OneOf binds a word of a closed list.
func OneOf(p *string, words ...string) Value {
	return String(p, func(s string) string {
		for _, w := range words {
			if s == w {
				return ""
			}
		}
		list := strings.Join(words, ", ")
		switch near := Nearest(s, words); {
		case s == "":
			return "is required; one of " + list
		case near != "":
			return "unknown value \"" + clip(s) + "\"; did you mean " + near + "? (one of " + list + ")"
		}
		return "unknown value \"" + clip(s) + "\"; one of " + list
	})
}

// number is the shared part of all values that are one integer inside: how it is spelled is told by parse and print.
type number[T ~int | ~int64] struct {
	p        *T
	min, max T
	hasOff   bool
	off      T
	parse    func(n *yaml.Node) (int64, string) // value, or what is wrong
	print    func(int64) *yaml.Node
}

func (v number[T]) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if v.hasOff && n.Kind == yaml.ScalarNode && n.Value == offWord {
		*v.p = v.off
		return
	}
	x, msg := v.parse(n)
	if msg == "" && int64(T(x)) != x {
		msg = "is too large"
	}
	// The value that stands for "off" inside must not be reachable by writing it: a file says the word.
	if msg == "" && v.hasOff && T(x) == v.off && (x < int64(v.min) || x > int64(v.max)) {
		msg = v.rangeText() + "; got " + clip(n.Value)
	}
	if msg != "" {
		if v.hasOff && !strings.Contains(msg, "or the word off") {
			msg = strings.Replace(msg, "; got ", ", or the word off; got ", 1)
		}
		r.Fail(path, "%s", msg)
		return
	}
	*v.p = T(x)
}

func (v number[T]) Check(r *Report, path string) {
	x := *v.p
	if (v.hasOff && x == v.off) || (x >= v.min && x <= v.max) {
		return
	}
	r.Fail(path, "%s; got %s", v.rangeText(), v.print(int64(x)).Value)
}

func (v number[T]) rangeText() string {
	lo, hi := v.print(int64(v.min)).Value, v.print(int64(v.max)).Value
	text := "must be between " + lo + " and " + hi
	if v.hasOff {
		text += ", or the word off"
	}
	return text
}

func (v number[T]) Node() *yaml.Node {
	if v.hasOff && *v.p == v.off {
		return text(offWord)
	}
	return v.print(int64(*v.p))
}

// orOff lets a number be switched off: the file says "off" and the Go value is then off.
func (v number[T]) orOff(off T) number[T] {
	v.hasOff, v.off = true, off
	return v
}

func newInt(p *int, min, max int) number[int] {
	return number[int]{p: p, min: min, max: max, parse: parseInt, print: printInt}
}

// Int binds a whole number from min to max.
func Int(p *int, min, max int) Value { return newInt(p, min, max) }

// IntOrOff is Int where the file may also say off, which is kept as the Go value off.
func IntOrOff(p *int, min, max, off int) Value { return newInt(p, min, max).orOff(off) }

func parseInt(n *yaml.Node) (int64, string) {
	if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!int" || n.Tag == taken) {
		if x, ok := decimal(n.Value); ok {
			return x, ""
		}
	}
	return 0, "want a whole number; got " + describe(n)
}

// decimal takes a number only in the spelling that it would be written in. A leading zero means octal to some readers of
// YAML, and underscores mean nothing to others, so neither is guessed at.
func decimal(s string) (int64, bool) {
	x, err := strconv.ParseInt(s, 10, 64)
	return x, err == nil && strconv.FormatInt(x, 10) == s
}

func printInt(x int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(x, 10)}
}

func newDuration(p *time.Duration, min, max time.Duration) number[time.Duration] {
	return number[time.Duration]{p: p, min: min, max: max, parse: parseDuration, print: printDuration}
}

// Duration binds a duration from min to max, written with a unit: 250ms, 30s, 1h30m.
func Duration(p *time.Duration, min, max time.Duration) Value { return newDuration(p, min, max) }

// DurationOrOff is Duration where the file may also say off, which is kept as the Go value off.
func DurationOrOff(p *time.Duration, min, max, off time.Duration) Value {
	return newDuration(p, min, max).orOff(off)
}

func parseDuration(n *yaml.Node) (int64, string) {
	const want = "want a duration with its unit, such as 250ms or 30s; got "
	if n.Kind != yaml.ScalarNode || isNull(n) {
		return 0, want + describe(n)
	}
	if x, err := strconv.ParseFloat(n.Value, 64); err == nil {
		unit := "s"
		if x >= 100 { // as HAProxy and many others count
			unit = "ms"
		}
		return 0, want + "the bare number " + clip(n.Value) + " (did you mean " + clip(n.Value) + unit + "?)"
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || len(n.Value) > 64 {
		return 0, want + describe(n)
	}
	return int64(d), ""
}

func printDuration(x int64) *yaml.Node { return text(FormatDuration(time.Duration(x))) }

// FormatDuration writes d as a person would: 30m and not 30m0s. time.ParseDuration reads it back unchanged.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func newSize[T ~int | ~int64](p *T, min, max T) number[T] {
	return number[T]{p: p, min: min, max: max, parse: parseSize, print: printSize}
}

// Size binds a number of bytes from min to max, written as a whole number or with a binary unit: 65536 or 64KiB.
func Size[T ~int | ~int64](p *T, min, max T) Value { return newSize(p, min, max) }

// SizeOrOff is Size where the file may also say off, which is kept as the Go value off.
func SizeOrOff[T ~int | ~int64](p *T, min, max, off T) Value { return newSize(p, min, max).orOff(off) }

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseSize(n *yaml.Node) (int64, string) {
	msg := "want a size, such as 65536, 64KiB or 2MiB; got " + describe(n)
	if n.Kind != yaml.ScalarNode {
		return 0, msg
	}
	digits, unit := n.Value, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(n.Value, u.name); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	x, ok := decimal(digits)
	switch {
	case !ok:
		return 0, msg
	case x > math.MaxInt64/unit || x < math.MinInt64/unit:
		return 0, "is too large"
	}
	return x * unit, ""
}

func printSize(x int64) *yaml.Node {
	for _, u := range sizeUnits[:3] {
		if x != 0 && x%u.bytes == 0 {
			return text(strconv.FormatInt(x/u.bytes, 10) + u.name)
		}
	}
	return printInt(x)
}
