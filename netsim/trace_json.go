package netsim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// jsonEvent is one line of the JSON form. Its keys are a promise: programs read them.
type jsonEvent struct {
	At     int64  `json:"t"`
	Actor  string `json:"actor"`
	Seq    uint64 `json:"seq"`
	Kind   string `json:"kind"`
	N      int64  `json:"n,omitempty"`
	Rough  bool   `json:"rough,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// jsonEnd is the last line.
type jsonEnd struct {
	Total *uint64 `json:"total"`
	Hash  string  `json:"hash"`
}

// WriteJSON writes the trace as JSON lines: an object for each event, with the keys t (nanoseconds since the
// beginning), actor, seq, kind and, unless they are empty, n, rough and detail; then one with total and hash (16
// hexadecimal digits). Bytes of names that are not UTF-8 become U+FFFD. ReadJSON reads it back.
func (t *Trace) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // names have < and > in them
	for _, e := range t.Events {
		if err := enc.Encode(jsonEvent{e.At, e.Actor, e.Seq, e.Kind, e.N, e.Rough, e.Detail}); err != nil {
			return err
		}
	}
	if err := enc.Encode(jsonEnd{&t.Total, fmt.Sprintf("%016x", t.Hash)}); err != nil {
		return err
	}
	return b.Flush()
}

// maxJSONLine bounds the lines that ReadJSON takes, in bytes.
const maxJSONLine = 1 << 20

var errNoEnd = errors.New("the last line, with total and hash, is missing")

// ReadJSON reads what WriteJSON has written. It ignores keys that it does not know, refuses lines of more than 1 MiB,
// lines after the last one and a text without it, and names the line of a mistake.
func ReadJSON(r io.Reader) (*Trace, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxJSONLine)
	t, ended, n := &Trace{}, false, 0
	fail := func(err error) (*Trace, error) { return nil, fmt.Errorf("netsim: trace, line %d: %w", n, err) }
	for lines.Scan() {
		n++
		if ended {
			return fail(errors.New("something follows the last line"))
		}
		var line struct {
			jsonEvent
			jsonEnd
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fail(err)
		}
		if line.Total == nil {
			e := line.jsonEvent
			t.Events = append(t.Events, Event{At: e.At, Actor: e.Actor, Seq: e.Seq, Kind: e.Kind, Detail: e.Detail, N: e.N,
				Rough: e.Rough})
			continue
		}
		hash, err := strconv.ParseUint(line.Hash, 16, 64)
		if err != nil {
			return fail(err)
		}
		t.Total, t.Hash, ended = *line.Total, hash, true
	}
	if err := lines.Err(); err != nil {
		n++
		return fail(err)
	}
	if !ended {
		return fail(errNoEnd)
	}
	return t, nil
}
