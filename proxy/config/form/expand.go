package form

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of what a file may take in from outside.
const (
	// MaxFileBytes bounds one file that a value takes in, in bytes.
	MaxFileBytes = 64 << 10
	// MaxExpanded bounds all values of one source that have taken something in, together, in bytes.
	MaxExpanded = MaxBytes
)

// Sources are where the values of a file take text from: ${NAME}, ${NAME:-default} and ${file:PATH}. The zero value has
// nothing, so that a name without a default is a mistake.
type Sources struct {
	// Env looks up a variable; ok is false for one that is not set. Nil: none is.
	Env func(name string) (value string, ok bool)
	// File reads a file, or no more than a byte above MaxFileBytes of it. Its error is told to the person who wrote the
	// path. Nil: there is no file.
	File func(path string) ([]byte, error)
	// Hint is added to the message about a variable that is not set: where to set it. Optional.
	Hint string
}

// taken is the tag of a value that has taken text in. It is text to who wants text, and a number to who wants one, as the
// word between quotes in the file can say neither.
const taken = "!!taken in"

// Expand returns n with the references in its values replaced by what src has for them; keys stay as they are. What comes
// in is data: it is never read as YAML, nor looked through for further references. $${ stands for ${ itself, and a dollar
// sign before anything else for itself. n is not changed. A reference that leads nowhere is told to r with its line and path,
// and its value then stays as it is written.
func Expand(r *Report, n *yaml.Node, src Sources) *yaml.Node {
	e := expander{r: r, src: src, left: MaxExpanded, made: make(map[*yaml.Node]*yaml.Node)}
	return e.node("", n)
}

// expander is one walk over a document. Copies of nodes are remembered, so that an alias leads to the copy of its anchor.
type expander struct {
	r    *Report
	src  Sources
	left int // bytes that may still come in
	made map[*yaml.Node]*yaml.Node
}

func (e *expander) node(path string, n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	if c := e.made[n]; c != nil {
		return c
	}
	c := *n
	e.made[n] = &c
	c.Alias = e.node(path, n.Alias)
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			c.Content[i] = e.node(Index(path, i), item)
		case n.Kind != yaml.MappingNode:
			c.Content[i] = e.node(path, item)
		case i%2 == 0:
			c.Content[i] = item // a key
		default:
			c.Content[i] = e.node(Join(path, n.Content[i-1].Value), item)
		}
	}
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
		e.scalar(path, &c)
	}
	return &c
}

func (e *expander) scalar(path string, n *yaml.Node) {
	text, err := e.text(n.Value)
	switch {
	case err != nil:
	case !utf8.ValidString(text):
		err = errors.New("what came in for the reference is not UTF-8 text")
	case len(text) > e.left:
		err = fmt.Errorf("the values that take text in hold more than %d bytes together", MaxExpanded)
	}
	if err != nil {
		e.r.FailAt(n.Line, path, "%v", err)
		return
	}
	e.left -= len(text)
	n.Value, n.Tag, n.Style = text, taken, 0
}

// text replaces the references of one value.
func (e *expander) text(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		at := strings.IndexByte(s, '$')
		if at < 0 {
			break
		}
		b.WriteString(s[:at])
		s = s[at:]
		switch {
		case strings.HasPrefix(s, "$${"):
			b.WriteString("${")
			s = s[3:]
		case strings.HasPrefix(s, "${"):
			inner, rest, closed := strings.Cut(s[2:], "}")
			if !closed {
				return "", fmt.Errorf("the reference %s has no closing brace; $${ stands for ${ itself", clip(s))
			}
			text, err := e.reference(inner)
			if err != nil {
				return "", err
			}
			if b.WriteString(text); b.Len() > e.left {
				return b.String(), nil // it is refused; there is no need to take more in
			}
			s = rest
		default:
			b.WriteByte('$')
			s = s[1:]
		}
	}
	b.WriteString(s)
	return b.String(), nil
}

// reference looks up what stands between the braces.
func (e *expander) reference(inner string) (string, error) {
	if path, ok := strings.CutPrefix(inner, "file:"); ok {
		return e.file(path)
	}
	name, standIn, hasDefault := strings.Cut(inner, ":-")
	if !variable(name) {
		return "", fmt.Errorf("want ${NAME}, ${NAME:-default} or ${file:PATH}; got ${%s}; $${ stands for ${ itself", clip(inner))
	}
	value, set := "", false
	if e.src.Env != nil {
		value, set = e.src.Env(name)
	}
	switch {
	case hasDefault && value == "":
		return standIn, nil
	case !set:
		hint := ""
		if e.src.Hint != "" {
			hint = "; " + e.src.Hint
		}
		return "", fmt.Errorf("the variable %s is not set; ${%s:-default} has a value for that case%s", clip(name), clip(name), hint)
	}
	return value, nil
}

func (e *expander) file(path string) (string, error) {
	if path == "" {
		return "", errors.New("want ${file:PATH}; the path is missing")
	}
	if e.src.File == nil {
		return "", fmt.Errorf("cannot read %s: no files are taken in here", clip(path))
	}
	data, err := e.src.File(path)
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed):
		return "", fmt.Errorf("cannot read %s: %w", clip(path), failed.Err)
	case err != nil:
		return "", fmt.Errorf("cannot read %s: %w", clip(path), err)
	case len(data) > MaxFileBytes:
		return "", fmt.Errorf("%s holds more than %d bytes", clip(path), MaxFileBytes)
	}
	// Editors and echo end a file with a newline that nobody means.
	text, ended := strings.CutSuffix(string(data), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, nil
}

// variable says whether a word can name a variable of the environment: [A-Za-z_][A-Za-z0-9_]*, as the shell has it.
func variable(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// literal writes text so that Expand gives it back.
func literal(s string) string { return strings.ReplaceAll(s, "${", "$${") }
