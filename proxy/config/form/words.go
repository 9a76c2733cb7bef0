package form

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Words binds a list of words of a closed list, each at most once, in the order of the file; some of the words may be
// numbers. The word off in place of the list is the empty one, which is not nil: nil is for whoever wants a default.
func Words(p *[]string, words ...string) Value { return wordsValue{p, words} }

type wordsValue struct {
	p     *[]string
	words []string
}

func (v wordsValue) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if isOff(n) {
		*v.p = []string{}
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.Fail(path, "want a list of words, or the word off; got %s", describe(n))
		return
	}
	if len(n.Content) == 0 {
		r.Fail(path, "is empty; write off for none of %s", strings.Join(v.words, ", "))
		return
	}
	out := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		p := Index(path, i)
		r.Mark(p, item.Line)
		if item = target(item); item.Kind != yaml.ScalarNode || isNull(item) {
			r.Fail(p, "want a word; got %s", describe(item))
			return
		}
		out = append(out, item.Value)
	}
	*v.p = out
}

func (v wordsValue) Check(r *Report, path string) {
	for i, word := range *v.p {
		if first := slices.Index(*v.p, word); first < i {
			r.Fail(Index(path, i), "%s is given twice; the first is [%d]", clip(word), first)
			continue
		}
		OneOf(&word, v.words...).Check(r, Index(path, i))
	}
}

func (v wordsValue) Node() *yaml.Node {
	if len(*v.p) == 0 {
		return text(offWord)
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, word := range *v.p {
		if x, ok := decimal(word); ok {
			out.Content = append(out.Content, printInt(x))
		} else {
			out.Content = append(out.Content, text(word))
		}
	}
	return out
}

// OrWord lets the file say a word for one value of what v binds, which is kept at p. It is the only way to say that value.
func OrWord[T comparable](v Value, p *T, word string, value T) Value {
	return worded[T]{v, p, word, value}
}

type worded[T comparable] struct {
	Value
	p     *T
	word  string
	value T
}

func (v worded[T]) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == v.word:
		*v.p = v.value
		return
	case n.Kind == yaml.ScalarNode && Nearest(n.Value, []string{v.word}) != "":
		r.Fail(path, "unknown value \"%s\"; did you mean %s?", clip(n.Value), v.word)
		return
	}
	v.Value.Read(r, path, n)
	if !r.Failed(path) && *v.p == v.value {
		v.Value.Check(r, path)
	}
}

func (v worded[T]) Check(r *Report, path string) {
	if *v.p != v.value {
		v.Value.Check(r, path)
	}
}

func (v worded[T]) Node() *yaml.Node {
	if *v.p == v.value {
		return text(v.word)
	}
	return v.Value.Node()
}
