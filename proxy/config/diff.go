package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Diff says what changes from one configuration to another, one line for each key, in the order of the file: such as
// "upstreams.web.pool.max_connections: 80 instead of 50" or "upstreams.web.backends: 10.0.0.4:80 added". Defaults are
// filled in first, so that it does not matter which of them a file spells out. Listeners and backends are known by their
// addresses. The error is that of Marshal.
func Diff(from, to *Config) ([]string, error) {
	a, err := from.node()
	if err != nil {
		return nil, err
	}
	b, err := to.node()
	if err != nil {
		return nil, err
	}
	var d diff
	d.compare("", a, b)
	return d.lines, nil
}

// node is the configuration as the file would have it.
func (c *Config) node() (*yaml.Node, error) {
	text, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read what was written: %w", err)
	}
	return doc.Content[0], nil
}

// diff collects the lines.
type diff struct{ lines []string }

func (d *diff) say(path, format string, args ...any) {
	d.lines = append(d.lines, path+": "+fmt.Sprintf(format, args...))
}

// part is an entry of a mapping, or an item of a list, with the name that it goes by.
type part struct {
	name string
	node *yaml.Node
}

// parts lists what a node consists of; nil for one that is a plain value.
func parts(n *yaml.Node) []part {
	var all []part
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			all = append(all, part{n.Content[i].Value, n.Content[i+1]})
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			name := fmt.Sprintf("[%d]", i)
			for _, p := range parts(item) {
				if p.name == "address" && item.Kind == yaml.MappingNode {
					name = p.node.Value
				}
			}
			all = append(all, part{name, item})
		}
	}
	return all
}

// named takes the first part of that name out of the list.
func named(all *[]part, name string) *yaml.Node {
	for i, p := range *all {
		if p.name == name {
			*all = append((*all)[:i:i], (*all)[i+1:]...)
			return p.node
		}
	}
	return nil
}

// compare says how b differs from a.
func (d *diff) compare(path string, a, b *yaml.Node) {
	if a.Kind == yaml.ScalarNode || a.Kind != b.Kind {
		if old, next := short(a), short(b); old != next {
			d.say(path, "%s instead of %s", next, old)
		}
		return
	}
	left := parts(a)
	for _, p := range parts(b) {
		at := join(path, p.name, b.Kind)
		switch old := named(&left, p.name); {
		case old != nil:
			d.compare(at, old, p.node)
		case p.node.Kind == yaml.ScalarNode:
			d.say(at, "%s", p.node.Value)
		default:
			d.say(path, "%s added", p.name)
		}
	}
	for _, p := range left {
		d.say(path, "%s removed", p.name)
	}
}

// join continues a path. Items of a list stand in brackets, so that the dots of an address are none of the path's.
func join(path, name string, in yaml.Kind) string {
	switch {
	case in == yaml.SequenceNode:
		return path + "[" + strings.Trim(name, "[]") + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// short is a node on one line.
func short(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	var all []string
	for _, p := range parts(n) {
		if n.Kind == yaml.SequenceNode {
			all = append(all, short(p.node))
		} else {
			all = append(all, p.name+": "+short(p.node))
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}
