package form

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Value is one kind of thing that can stand behind a key: it reads a node into a Go value that it points to, checks
// that value, and writes it back as a node. A caller adds its own kinds by implementing it.
type Value interface {
	// Read takes the value from n. It tells a wrong shape or spelling to r and then leaves the value as it was.
	Read(r *Report, path string, n *yaml.Node)
	// Check tells r when the value is out of range. It needs no node, so that values built in Go are checked too.
	Check(r *Report, path string)
	// Node returns the value as YAML, or nil when the key is to be left out.
	Node() *yaml.Node
}

// Field binds one key to its value.
type Field struct {
	Key   string // Key is the word before the colon. Keys of one form are distinct.
	Value Value  // Value is what stands behind it.
}

// Form binds the keys of one mapping, in the order in which they are written. It is itself a Value, so forms nest.
type Form []Field

var _ Value = Form(nil)

// Read takes every key of the mapping n. Unknown keys and keys given twice are mistakes. A null, which is what a key
// with all its lines commented out gives, reads as an empty mapping: every field keeps its default.
func (f Form) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.Fail(path, "want a mapping with the keys %s; got %s", f.keys(), describe(n))
		r.skip(path)
		return
	}
	eachPair(r, path, n, func(key, value *yaml.Node) {
		for _, field := range f {
			if field.Key == key.Value {
				field.Value.Read(r, Join(path, key.Value), value)
				return
			}
		}
		r.FailAt(key.Line, Join(path, key.Value), "%s", f.unknown(key.Value))
	})
}

// Check checks every field, unless the mapping itself could not be read.
func (f Form) Check(r *Report, path string) {
	if r.Skipped(path) {
		return
	}
	for _, field := range f {
		field.Value.Check(r, Join(path, field.Key))
	}
}

// Node returns the mapping in block style, without the fields that are to be left out.
func (f Form) Node() *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, field := range f {
		if v := field.Value.Node(); v != nil {
			out.Content = append(out.Content, text(field.Key), v)
		}
	}
	return out
}

func (f Form) keys() string {
	keys := make([]string, len(f))
	for i, field := range f {
		keys[i] = field.Key
	}
	return strings.Join(keys, ", ")
}

func (f Form) unknown(key string) string {
	if key == "<<" {
		return "merge keys are not supported; write the keys out"
	}
	words := make([]string, len(f))
	for i, field := range f {
		words[i] = field.Key
	}
	if near := Nearest(key, words); near != "" {
		return "unknown key; did you mean " + near + "?"
	}
	return "unknown key; known keys: " + f.keys()
}

// eachPair walks a mapping in file order, marks the line of each key, and passes over (with a mistake) the keys that
// are not plain words or were given before.
func eachPair(r *Report, path string, n *yaml.Node, visit func(key, value *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := target(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			r.FailAt(n.Content[i].Line, path, "a key must be a plain word; got %s", describe(key))
			continue
		}
		p := Join(path, key.Value)
		if first, twice := seen[key.Value]; twice {
			r.FailAt(key.Line, p, "key given twice; the first is on line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		line := key.Line
		if value.Kind == yaml.ScalarNode && value.Line > 0 {
			line = value.Line
		}
		r.Mark(p, line)
		visit(key, value)
	}
}

// target follows an alias to the node that it stands for. A chain cannot be built in YAML, but a node made in Go could
// hold one, so the walk is bounded.
func target(n *yaml.Node) *yaml.Node {
	for range 8 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe names what stands at a node, for "got ...".
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case isNull(n):
		return "nothing"
	case n.ShortTag() == "!!int", n.ShortTag() == "!!float":
		return "the number " + clip(n.Value)
	case n.ShortTag() == "!!bool":
		return "the word " + clip(n.Value)
	}
	return "\"" + clip(n.Value) + "\""
}

// clip keeps a message readable when the file holds a very long word.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:77], "") + "..."
}

// text makes a node that always reads back as a string: the writer quotes it where that is needed. Of lines with tabs it makes a block
// that it does not read again.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\t") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
