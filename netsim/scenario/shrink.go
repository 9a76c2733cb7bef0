package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Shrunk is what Shrink has found.
type Shrunk struct {
	// Data is the smallest file found that still fails. Relative paths in it begin where those of the original do.
	Data []byte
	// Tried counts the smaller files that were run, Kept those of them that still failed.
	Tried, Kept int
	// Faults, Clients and Duration tell how many there were, and how many there are.
	Faults, Clients [2]int
	// Operations is how many there were, and how many there are.
	Operations [2]int
	// Duration is the scenario's, before and after.
	Duration [2]time.Duration
}

// ErrDoesNotFail is Shrink's error about a scenario that does not fail as it is.
var ErrDoesNotFail = errors.New("the scenario does not fail, so there is nothing to shrink")

// Shrink reduces a failing scenario to fewer faults, operations, clients and seconds, as long as fails says that what is
// left fails still. Faults that are drawn from the seed are first written out as a list, which fails in the same way. Name is that of the file, data its text; the seed is written into the result, and of the expectations
// only those of the given texts are kept. The file is shortened part by part, larger parts first (delta debugging: Zeller
// and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), until no single step makes it smaller; the
// draws of what remains do not change when something else is taken away, which is why that converges.
func Shrink(name string, data []byte, seed uint64, expect []string, fails func(data []byte) bool) (*Shrunk, error) {
	s := &shrinker{file: name, fails: fails}
	if err := s.open(data); err != nil {
		return nil, err
	}
	s.setSeed(seed)
	s.fixRandomFaults()
	s.keepExpectations(expect)
	s.measure(0)
	if !s.try() {
		return nil, ErrDoesNotFail
	}
	s.out.Tried, s.out.Kept = 0, 0
	for round := 0; round < maxRounds; round++ {
		before := s.out.Kept
		s.drop(s.value("faults"), 0)
		s.drop(s.value("operations"), 0)
		s.drop(s.value("clients"), 1)
		s.shortenItems("faults")
		s.shortenItems("operations")
		s.shorten(s.value("duration"), time.Second)
		if s.out.Kept == before {
			break
		}
	}
	s.measure(1)
	s.out.Data = s.text()
	return &s.out, nil
}

// maxRounds bounds the passes; each but the last has made the file smaller.
const maxRounds = 5

// shrinker is one search. The document is changed in place, and back where a change did not hold.
type shrinker struct {
	file  string
	doc   yaml.Node
	top   *yaml.Node
	fails func([]byte) bool
	out   Shrunk
}

func (s *shrinker) open(data []byte) error {
	if _, err := Parse(s.file, data); err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, &s.doc); err != nil {
		return err
	}
	s.top = s.doc.Content[0]
	return nil
}

// value is the value of a key of the file, nil if it is not there.
func (s *shrinker) value(key string) *yaml.Node { return mapped(s.top, key) }

func mapped(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func (s *shrinker) setSeed(seed uint64) {
	text := strconv.FormatUint(seed, 10)
	if n := s.value("seed"); n != nil {
		*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: text}
		return
	}
	s.top.Content = append(s.top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "seed"},
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: text})
}

// fixRandomFaults writes the faults that the seed draws into the list, in place of the key that draws them.
func (s *shrinker) fixRandomFaults() {
	sc, err := Parse(s.file, s.text())
	if err != nil || sc.Random == nil {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if given := s.value("faults"); given != nil {
		list = follow(given)
	}
	if len(list.Content) == 0 {
		list.Style = 0 // one a line
	}
	for _, f := range sc.drawn(sc.Seed) {
		list.Content = append(list.Content, f.node())
	}
	fixed := false
	for i := 0; i+1 < len(s.top.Content); i += 2 {
		switch s.top.Content[i].Value {
		case "faults":
			s.top.Content[i+1], fixed = list, true
		case "random_faults":
			s.top.Content = slices.Delete(s.top.Content, i, i+2)
			i -= 2
		}
	}
	if !fixed {
		s.top.Content = append(s.top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "faults"}, list)
	}
}

func (s *shrinker) keepExpectations(texts []string) {
	n := s.value("expect")
	if n == nil {
		return
	}
	n.Content = slices.DeleteFunc(slices.Clone(n.Content), func(item *yaml.Node) bool {
		e, err := ParseExpectation(item.Value)
		return err != nil || !slices.Contains(texts, e.String())
	})
}

// text is the file as it stands.
func (s *shrinker) text() []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&s.doc); err != nil {
		panic(err) // it was read from YAML, and goes to memory
	}
	return b.Bytes()
}

// measure notes how large the file is, before (0) or after (1).
func (s *shrinker) measure(when int) {
	if sc, err := Parse(s.file, s.text()); err == nil {
		s.out.Faults[when], s.out.Clients[when], s.out.Duration[when] = len(sc.Faults), len(sc.Clients), sc.Duration
		s.out.Operations[when] = len(sc.Operations)
	}
}

// try says whether the file as it stands is a scenario and fails.
func (s *shrinker) try() bool {
	data := s.text()
	if _, err := Parse(s.file, data); err != nil {
		return false
	}
	s.out.Tried++
	if !s.fails(data) {
		return false
	}
	s.out.Kept++
	return true
}

// drop takes items away from a list, half of them at first, then fewer and fewer, down to single ones.
func (s *shrinker) drop(list *yaml.Node, least int) {
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for size := max(len(list.Content)/2, 1); ; size /= 2 {
		for at := 0; at < len(list.Content); {
			all := list.Content
			end := min(at+size, len(all))
			if len(all)-(end-at) < least {
				break
			}
			list.Content = append(slices.Clone(all[:at]), all[end:]...)
			if !s.try() {
				list.Content = all
				at = end
			}
		}
		if size <= 1 {
			return
		}
	}
}

// shortenItems lets each item of a list, a fault or an operation, begin and end as early as it may.
func (s *shrinker) shortenItems(key string) {
	list := s.value(key)
	if list == nil {
		return
	}
	for _, f := range list.Content {
		if f.Kind == yaml.MappingNode {
			s.shorten(mapped(f, "at"), time.Second)
			s.shorten(mapped(f, "for"), time.Second)
		}
	}
}

// shorten halves the distance between a duration that fails and one that does not, until a twentieth is left or the given
// step.
func (s *shrinker) shorten(n *yaml.Node, step time.Duration) {
	if n == nil {
		return
	}
	high, err := time.ParseDuration(n.Value)
	if err != nil {
		return
	}
	for low := time.Duration(0); high-low > max(step, high/20); {
		mid := (low + (high-low)/2).Round(step)
		if mid <= low || mid >= high {
			return
		}
		was := n.Value
		n.Value = shortDuration(mid)
		if s.try() {
			high = mid
		} else {
			n.Value, low = was, mid
		}
	}
}

// shortDuration writes 1m30s and 2m rather than 2m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// String tells in one line what was done.
func (s *Shrunk) String() string {
	operations := ""
	if s.Operations[0] > 0 {
		operations = fmt.Sprintf("operations %d -> %d, ", s.Operations[0], s.Operations[1])
	}
	return fmt.Sprintf("faults %d -> %d, %sclients %d -> %d, %v -> %v, in %d runs", s.Faults[0], s.Faults[1], operations,
		s.Clients[0], s.Clients[1], s.Duration[0], s.Duration[1], s.Tried)
}
