package form

import (
	"go.yaml.in/yaml/v3"
)

// List binds a list of at most max mappings. Each item starts as fresh() and is read by the form that bind gives for it.
func List[T any](p *[]T, max int, fresh func() T, bind func(*T) Form) Value {
	return list[T]{p, max, fresh, bind}
}

type list[T any] struct {
	p     *[]T
	max   int
	fresh func() T
	bind  func(*T) Form
}

func (v list[T]) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if n.Kind != yaml.SequenceNode {
		r.Fail(path, "want a list; got %s", describe(n))
		return
	}
	if len(n.Content) > v.max {
		r.Fail(path, "holds %d items; at most %d are allowed", len(n.Content), v.max)
		return
	}
	out := make([]T, len(n.Content))
	for i, item := range n.Content {
		out[i] = v.fresh()
		p := Index(path, i)
		r.Mark(p, item.Line)
		v.bind(&out[i]).Read(r, p, item)
	}
	*v.p = out
}

func (v list[T]) Check(r *Report, path string) {
	for i := range *v.p {
		v.bind(&(*v.p)[i]).Check(r, Index(path, i))
	}
}

func (v list[T]) Node() *yaml.Node {
	if len(*v.p) == 0 {
		return nil
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range *v.p {
		out.Content = append(out.Content, v.bind(&(*v.p)[i]).Node())
	}
	return out
}

// Named binds a mapping from names to forms of one kind, kept as a slice in file order. name points to the place in an
// entry where its name is kept; the names themselves are checked by the caller.
func Named[T any](p *[]T, max int, fresh func() T, name func(*T) *string, bind func(*T) Form) Value {
	return named[T]{p, max, fresh, name, bind}
}

type named[T any] struct {
	p     *[]T
	max   int
	fresh func() T
	name  func(*T) *string
	bind  func(*T) Form
}

func (v named[T]) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		r.Fail(path, "want a mapping from names to their settings; got %s", describe(n))
		return
	}
	if len(n.Content)/2 > v.max {
		r.Fail(path, "holds %d entries; at most %d are allowed", len(n.Content)/2, v.max)
		return
	}
	out := make([]T, 0, len(n.Content)/2)
	eachPair(r, path, n, func(key, value *yaml.Node) {
		entry := v.fresh()
		*v.name(&entry) = key.Value
		r.Mark(Join(path, key.Value), key.Line)
		v.bind(&entry).Read(r, Join(path, key.Value), value)
		out = append(out, entry)
	})
	*v.p = out
}

func (v named[T]) Check(r *Report, path string) {
	for i := range *v.p {
		entry := &(*v.p)[i]
		v.bind(entry).Check(r, Join(path, *v.name(entry)))
	}
}

func (v named[T]) Node() *yaml.Node {
	if len(*v.p) == 0 {
		return nil
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := range *v.p {
		entry := &(*v.p)[i]
		out.Content = append(out.Content, text(*v.name(entry)), v.bind(entry).Node())
	}
	return out
}

// Optional binds a section that may be missing: a nil pointer is written as nothing, and a section that the file gives
// starts as fresh().
func Optional[T any](p **T, fresh func() T, bind func(*T) Form) Value {
	return pointer[T]{p: p, fresh: fresh, bind: bind}
}

// OptionalOrOff is Optional for a section that is on unless the file says off: a nil pointer is written as off.
func OptionalOrOff[T any](p **T, fresh func() T, bind func(*T) Form) Value {
	return pointer[T]{p: p, fresh: fresh, bind: bind, hasOff: true}
}

type pointer[T any] struct {
	p      **T
	fresh  func() T
	bind   func(*T) Form
	hasOff bool
}

func (v pointer[T]) Read(r *Report, path string, n *yaml.Node) {
	if v.hasOff && isOff(target(n)) {
		*v.p = nil
		return
	}
	section := v.fresh()
	v.bind(&section).Read(r, path, n)
	*v.p = &section
}

func (v pointer[T]) Check(r *Report, path string) {
	if *v.p != nil {
		v.bind(*v.p).Check(r, path)
	}
}

func (v pointer[T]) Node() *yaml.Node {
	switch {
	case *v.p != nil:
		return v.bind(*v.p).Node()
	case v.hasOff:
		return text(offWord)
	}
	return nil
}

// OrOff lets the file say off for a whole section that has no pointer: off is then called to switch its parts off.
// The section is always written with its parts.
func OrOff(section Form, off func()) Value { return switched{section, off} }

type switched struct {
	Form
	off func()
}

func (v switched) Read(r *Report, path string, n *yaml.Node) {
	if isOff(target(n)) {
		v.off()
		return
	}
	v.Form.Read(r, path, n)
}

func isOff(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == offWord }
