package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes bounds a source: 4 MiB, far above any file written by a person.
const MaxBytes = 4 << 20

// Document parses the one YAML document in data. A syntax mistake, a second document or too many bytes are told to r,
// and the node is then nil. An empty source gives a null node.
func Document(r *Report, data []byte) *yaml.Node {
	if len(data) > MaxBytes {
		r.FailAt(0, "", "the file holds %d bytes; at most %d are read", len(data), MaxBytes)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1}
	case err != nil:
		syntax(r, err)
		return nil
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case err == nil:
		r.FailAt(second.Line, "", "a second document begins here; one file holds one document")
		return nil
	case !errors.Is(err, io.EOF):
		syntax(r, err)
		return nil
	}
	return Root(&doc)
}

// Root returns the node inside a document node, or n itself.
func Root(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

// Read reads n into f and checks it, telling every mistake to r. Checks of the caller's own follow it, then r.Err.
func Read(r *Report, n *yaml.Node, f Form) {
	n = Root(n)
	r.Mark("", n.Line)
	f.Read(r, "", n)
	f.Check(r, "")
}

// Marshal writes f as YAML in block style with an indent of two. Values that hold what Expand would take for a reference
// are written so that it gives them back.
func Marshal(f Form) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	n := f.Node()
	escape(n)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

// escape makes literals of all values below a node that was made for writing.
func escape(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		n.Value = literal(n.Value)
	}
	for i, item := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			escape(item)
		}
	}
}

var lineOf = regexp.MustCompile(`^line (\d+): `)

// syntax turns the parser's own error, which carries the line only in its text, into an Error.
func syntax(r *Report, err error) {
	msg, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := lineOf.FindStringSubmatch(msg); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line, msg = n, msg[len(m[0]):]
		}
	}
	r.FailAt(line, "", "not valid YAML: %s", msg)
}
