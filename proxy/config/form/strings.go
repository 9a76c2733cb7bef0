package form

import "go.yaml.in/yaml/v3"

// Strings binds a list of at most max words. Each is read and checked as by [String]; a list without an item is the same
// as none, which is nil.
func Strings(p *[]string, max int, check func(string) string) Value { return words{p, max, check} }

type words struct {
	p     *[]string
	max   int
	check func(string) string
}

func (v words) Read(r *Report, path string, n *yaml.Node) {
	n = target(n)
	if n.Kind != yaml.SequenceNode {
		r.Fail(path, "want a list; got %s", describe(n))
		return
	}
	if len(n.Content) > v.max {
		r.Fail(path, "holds %d items; at most %d are allowed", len(n.Content), v.max)
		return
	}
	var out []string
	for i, item := range n.Content {
		word, at := "", Index(path, i)
		r.Mark(at, item.Line)
		String(&word, nil).Read(r, at, item)
		out = append(out, word)
	}
	*v.p = out
}

func (v words) Check(r *Report, path string) {
	if len(*v.p) > v.max {
		r.Fail(path, "holds %d items; at most %d are allowed", len(*v.p), v.max)
		return
	}
	for i := range *v.p {
		if at := Index(path, i); !r.Failed(at) {
			String(&(*v.p)[i], v.check).Check(r, at)
		}
	}
}

func (v words) Node() *yaml.Node {
	if len(*v.p) == 0 {
		return nil
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, word := range *v.p {
		out.Content = append(out.Content, text(word))
	}
	return out
}
