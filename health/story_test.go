package health

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories of testdata/*.txt really give into them")

// TestStories plays the stories of testdata/*.txt. A story is a text of commands, each block of them followed
// by a line "----" and by what they say, up to an empty line; text outside of blocks starts with "#". The
// commands:
//
//	group N [fall=F] [rise=R] [active=false] [5xx=C] [gateway=C] [failures=C] [base=D] [max=D] [percent=P]
//	at D                  sets the time since the story began
//	check I pass|fail [xN]    brings N results of active checks
//	see I SIGNAL [xN]         brings N pieces of evidence from traffic
//	tick                  ends the ejections that are over
//	next                  says when tick is next needed
//	state                 shows every backend
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			played := play(t, string(text))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(played), 0o644))
				return
			}
			require.Equal(t, string(text), played, "run with -rewrite to accept")
		})
	}
}

// play returns the text with the expected part of every block replaced by what its commands really said.
func play(t *testing.T, text string) string {
	s := &story{t: t, start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.now = s.start
	var out, said strings.Builder
	expected := false // inside the part of a block that is replaced
	for line := range strings.Lines(text) {
		command := strings.TrimSpace(line)
		switch {
		case expected && command != "":
			continue
		case command == "----":
			out.WriteString("----\n" + said.String())
			said.Reset()
			expected = true
			continue
		case command == "":
			expected = false
		case !strings.HasPrefix(command, "#"):
			s.run(&said, strings.Fields(command))
		}
		out.WriteString(line)
	}
	require.Empty(t, said.String(), "the last block has no ----")
	return out.String()
}

type story struct {
	t          *testing.T
	start, now time.Time
	group      *Group
}

func (s *story) run(out *strings.Builder, words []string) {
	switch words[0] {
	case "group":
		s.newGroup(out, words[1:])
	case "at":
		d, err := time.ParseDuration(words[1])
		require.NoError(s.t, err)
		s.now = s.start.Add(d)
	case "check":
		require.Contains(s.t, []string{"pass", "fail"}, words[2])
		s.times(words, func() {
			c, ok := s.group.Check(s.now, s.number(words[1]), words[2] == "pass")
			s.tell(out, c, ok)
		})
	case "see":
		signal := s.signal(words[2])
		s.times(words, func() {
			c, ok := s.group.Observe(s.now, s.number(words[1]), signal)
			s.tell(out, c, ok)
		})
	case "tick":
		for _, c := range s.group.Tick(s.now) {
			s.tell(out, c, true)
		}
	case "next":
		if next, ok := s.group.Next(); ok {
			fmt.Fprintf(out, "next %v\n", next.Sub(s.start))
		} else {
			fmt.Fprintln(out, "next never")
		}
	case "state":
		s.state(out)
	default:
		s.t.Fatalf("no such command: %q", words)
	}
}

func (s *story) newGroup(out *strings.Builder, words []string) {
	cfg := Config{Active: true}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "fall":
			cfg.Fall = s.number(value)
		case "rise":
			cfg.Rise = s.number(value)
		case "active":
			cfg.Active = value == "true"
		case "5xx":
			cfg.Passive.Consecutive5xx = s.number(value)
		case "gateway":
			cfg.Passive.ConsecutiveGatewayErrors = s.number(value)
		case "failures":
			cfg.Passive.ConsecutiveFailures = s.number(value)
		case "percent":
			cfg.Passive.MaxEjectionPercent = s.number(value)
		case "base", "max":
			d, err := time.ParseDuration(value)
			require.NoError(s.t, err)
			if key == "base" {
				cfg.Passive.BaseEjectionTime = d
			} else {
				cfg.Passive.MaxEjectionTime = d
			}
		default:
			s.t.Fatalf("group has no %q", key)
		}
	}
	var err error
	if s.group, err = New(cfg, s.number(words[0]), nil); err != nil {
		fmt.Fprintln(out, err)
	}
}

func (s *story) tell(out *strings.Builder, c Change, ok bool) {
	if !ok {
		require.Zero(s.t, c, "no change, but something to say")
		return
	}
	require.Equal(s.t, s.now, c.At)
	require.Equal(s.t, c.Available, s.group.Available(c.Backend))
	fmt.Fprintf(out, "%v: %v", c.At.Sub(s.start), c)
	if !c.Until.IsZero() {
		fmt.Fprintf(out, " until %v", c.Until.Sub(s.start))
	}
	fmt.Fprintln(out)
}

func (s *story) state(out *strings.Builder) {
	for i := range s.group.Len() {
		st := s.group.State(i)
		fmt.Fprintf(out, "%d %v", i, st.Status)
		if !st.Since.IsZero() {
			fmt.Fprintf(out, " since %v", st.Since.Sub(s.start))
		}
		fmt.Fprintf(out, ": %v", st.Reason)
		if !st.EjectedUntil.IsZero() {
			fmt.Fprintf(out, ", ejected until %v", st.EjectedUntil.Sub(s.start))
		}
		for _, n := range []struct {
			name string
			n    int
		}{
			{"passed", st.ChecksPassed}, {"failed", st.ChecksFailed}, {"5xx", st.Answers5xx}, {"gateway", st.GatewayErrors},
			{"failures", st.Failures}, {"ejections", st.Ejections}, {"in all", st.EjectionsTotal},
			{"refused", st.EjectionsRefused},
		} {
			if n.n != 0 {
				fmt.Fprintf(out, ", %s %d", n.name, n.n)
			}
		}
		fmt.Fprintln(out)
	}
}

// times runs f as often as the word after the first three says, "x5" for five times, or else once.
func (s *story) times(words []string, f func()) {
	n := 1
	if len(words) > 3 {
		n = s.number(strings.TrimPrefix(words[3], "x"))
	}
	for range n {
		f()
	}
}

func (s *story) number(word string) int {
	n, err := strconv.Atoi(word)
	require.NoError(s.t, err)
	return n
}

func (s *story) signal(word string) Signal {
	for _, known := range Signals() {
		if known.String() == word {
			return known
		}
	}
	s.t.Fatalf("no such signal: %q", word)
	return 0
}
