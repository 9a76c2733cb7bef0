package netsim

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestATraceComesBackFromJSONAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := &Trace{Hash: rapid.Uint64().Draw(t, "hash"), Total: rapid.Uint64().Draw(t, "total")}
		for range rapid.IntRange(0, 10).Draw(t, "events") {
			text := rapid.String()
			tr.Events = append(tr.Events, Event{At: rapid.Int64().Draw(t, "at"), Actor: text.Draw(t, "actor"),
				Seq: rapid.Uint64().Draw(t, "seq"), Kind: text.Draw(t, "kind"), Detail: text.Draw(t, "detail"),
				N: rapid.Int64().Draw(t, "n"), Rough: rapid.Bool().Draw(t, "rough")})
		}
		var b bytes.Buffer
		require.NoError(t, tr.WriteJSON(&b))
		require.Equal(t, len(tr.Events)+1, bytes.Count(b.Bytes(), []byte("\n")), "a line for each event, and the last")
		again, err := ReadJSON(&b)
		require.NoError(t, err)
		require.Equal(t, tr, again)
	})
}

func TestTheKeysOfJSONStayAsTheyAre(t *testing.T) {
	tr := &Trace{Total: 7, Hash: 0xab, Events: []Event{
		{At: 1500, Actor: "a:1>b:2", Seq: 1, Kind: "send", N: 7, Rough: true},
		{At: 2000, Actor: "room", Seq: 3, Kind: "note", Detail: "x y"}}}
	var b strings.Builder
	require.NoError(t, tr.WriteJSON(&b))
	require.Equal(t, `{"t":1500,"actor":"a:1>b:2","seq":1,"kind":"send","n":7,"rough":true}
{"t":2000,"actor":"room","seq":3,"kind":"note","detail":"x y"}
{"total":7,"hash":"00000000000000ab"}
`, b.String())
}

func TestReadJSONNamesTheLineOfAMistake(t *testing.T) {
	const event, end = `{"t":1,"actor":"a","seq":1,"kind":"k"}` + "\n", `{"total":1,"hash":"ab"}` + "\n"
	for text, want := range map[string]string{
		"":                                "line 0: the last line",
		event:                             "line 1: the last line",
		event + "{":                       "line 2: ",
		event + end + event:               "line 3: something follows",
		event + `{"total":1,"hash":"xy"}`: "line 2: strconv",
		event + `{"t":"soon"}`:            "line 2: json",
		`{"kind":"` + strings.Repeat("x", maxJSONLine-11) + `"}` + "\n" + end: "line 1: bufio.Scanner: token too long",
	} {
		_, err := ReadJSON(strings.NewReader(text))
		require.ErrorContains(t, err, want, "%.50s", text)
	}
	just := `{"kind":"` + strings.Repeat("x", maxJSONLine-12) + `"}` + "\n" + end
	tr, err := ReadJSON(strings.NewReader(just))
	require.NoError(t, err, "just within the limit")
	require.Len(t, tr.Events, 1)
	tr, err = ReadJSON(strings.NewReader(`{"t":1,"from":"the future"}` + "\n" + end))
	require.NoError(t, err, "keys that nobody knows are ignored")
	require.EqualValues(t, 0xab, tr.Hash)
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"t":1,"actor":"a","seq":1,"kind":"k"}` + "\n" + `{"total":1,"hash":"ab"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tr, err := ReadJSON(bytes.NewReader(text))
		if err != nil {
			require.Nil(t, tr)
			return
		}
		var b bytes.Buffer
		require.NoError(t, tr.WriteJSON(&b))
		again, err := ReadJSON(&b)
		require.NoError(t, err, "what was read can be written and read again")
		require.Equal(t, tr, again)
		require.NoError(t, tr.WriteSequence(io.Discard, SequenceOptions{Limit: 5, Notes: true}), "and drawn")
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWritersOfTracesPassTheErrorOfTheirWriterOn(t *testing.T) {
	tr := &Trace{Events: make([]Event, 1000)}
	require.ErrorIs(t, tr.WriteText(brokenWriter{}), io.ErrShortWrite)
	require.ErrorIs(t, tr.WriteJSON(brokenWriter{}), io.ErrShortWrite)
	require.ErrorIs(t, tr.WriteSequence(brokenWriter{}, SequenceOptions{}), io.ErrShortWrite)
}

// story is a short one with something of everything: a partition that loses data, a crash, a connection refused.
func story(s *Sim) {
	a, b := s.Host("a", "10.0.0.1"), s.Host("b", "10.0.0.2")
	s.Host("c", "10.0.0.3")
	l, err := b.Listen(context.Background(), "tcp", ":7")
	if err != nil {
		panic(err)
	}
	clk := s.Clock()
	c, _ := a.DialContext(context.Background(), "tcp", "b:7")
	d, _ := l.Accept()
	cut := s.Partition("a", "b")
	_, _ = c.Write(make([]byte, 10))
	clk.Sleep(time.Second)
	cut.Stop()
	_, _ = d.Read(make([]byte, 10))
	_, _ = d.Write(make([]byte, 20))
	clk.Sleep(time.Second)
	_ = d.Close()
	_ = c.Close()
	_, _ = a.DialContext(context.Background(), "tcp", "c:7")
	s.Note("room", "says", "#1; <b>")
	clk.Sleep(time.Second)
	b.Crash()
}

func storyTrace(t *testing.T) *Trace {
	res := Run(Config{Latency: time.Millisecond, KeepTrace: true}, story)
	require.NoError(t, res.Err)
	return res.Trace
}

func sequence(t *testing.T, tr *Trace, o SequenceOptions) []string {
	var b strings.Builder
	require.NoError(t, tr.WriteSequence(&b, o))
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestTheSequenceDiagramTellsTheStory(t *testing.T) {
	require.Equal(t, []string{
		"sequenceDiagram",
		"    participant h0 as a",
		"    participant h1 as b",
		"    participant h2 as c",
		"    h0->>h1: 0s dial b:7, +2ms",
		"    Note over h0,h2: 3.000289ms fault1:partition(a,b) begins",
		"    h0->>h1: 3.000289ms data 10, +1.401001s",
		"    h0-xh1: 3.000289ms lost: data 10",
		"    h0-->>h1: 3.000289ms open",
		"    h0->>h1: 203.000369ms sends again, try 1",
		"    h0-xh1: 203.000369ms lost: data 10",
		"    h0->>h1: 603.000615ms sends again, try 2",
		"    h0-xh1: 603.000615ms lost: data 10",
		"    Note over h0,h2: 1.003000516s fault1:partition(a,b) ends",
		"    h0->>h1: 1.403000734s sends again, try 3",
		"    h1->>h0: 1.404000924s data 20, +1ms",
		"    h0->>h1: 2.404001027s rst, +1ms",
		"    h0->>h2: 2.404001027s dial c:7",
		"    h1->>h0: 2.404001027s fin",
		"    h0-->>h1: 2.405001082s rst: refuses fin",
		"    h2-xh0: 2.406001354s dial failed: connection refused",
		"    Note over h0,h2: 2.406001354s room says #35;1#59; #lt;b#gt;",
		"    Note over h1: 3.406001389s crash",
	}, sequence(t, storyTrace(t), SequenceOptions{Notes: true}))
}

func TestTheSequenceDiagramLeavesOutWhatItIsToldTo(t *testing.T) {
	tr := storyTrace(t)
	onlyC := strings.Join(sequence(t, tr, SequenceOptions{Hosts: []string{"c"}}), "\n")
	require.Contains(t, onlyC, "dial failed")
	require.NotContains(t, onlyC, "data")
	require.NotContains(t, onlyC, "crash")
	require.NotContains(t, onlyC, "room")
	for _, end := range []string{"a:32768>b:7", "b:7<a:32768"} {
		one := strings.Join(sequence(t, tr, SequenceOptions{Connection: end}), "\n")
		require.Contains(t, one, "data 10")
		require.Contains(t, one, "data 20")
		require.NotContains(t, one, "dial failed")
	}
	require.Equal(t, []string{"sequenceDiagram", "    participant h0 as nobody"}, sequence(t, &Trace{}, SequenceOptions{}))
	require.Panics(t, func() { _ = tr.WriteSequence(io.Discard, SequenceOptions{Limit: -1}) })
}

func TestALongSequenceDiagramIsFoldedAndSaysHowMuchIsLeftOut(t *testing.T) {
	tr := &Trace{}
	for i := range 10 {
		tr.Events = append(tr.Events, Event{At: int64(i+1) * int64(time.Second), Actor: "a:1>b:2", Kind: "send", N: int64(i + 1)})
	}
	const head = 3 // the first line and the participants
	require.Len(t, sequence(t, tr, SequenceOptions{Limit: 10}), head+10, "just within the limit")
	require.Equal(t, []string{
		"    h0->>h1: 1s data 1", "    h0->>h1: 2s data 2", "    h0->>h1: 3s data 3", "    h0->>h1: 4s data 4",
		"    h0->>h1: 5s data 5", "    Note over h0,h1: 6s 1 arrows and notes are left out, until 6s",
		"    h0->>h1: 7s data 7", "    h0->>h1: 8s data 8", "    h0->>h1: 9s data 9", "    h0->>h1: 10s data 10",
	}, sequence(t, tr, SequenceOptions{Limit: 9})[head:])
	require.Len(t, sequence(t, tr, SequenceOptions{Limit: 1}), head+2)
}

func TestNetstatShowsTheNetworkAsItIs(t *testing.T) {
	var during, after string
	res := Run(Config{Latency: 10 * time.Millisecond, RecvBuffer: 1000, SendBuffer: 2000, Seed: 5}, func(s *Sim) {
		clk := s.Clock()
		a, b := s.Host("a", "10.0.0.1"), s.Host("b", "10.0.0.2")
		s.Host("c", "10.0.0.3").Kill()
		s.Host("d", "10.0.0.4").Crash()
		l, _ := b.Listen(context.Background(), "tcp", ":7")
		idle, _ := b.Listen(context.Background(), "tcp", ":8")
		go func() { _, _ = idle.Accept() }()
		dial := func(to string) *Conn {
			c, err := a.DialContext(context.Background(), "tcp", to)
			if err != nil {
				return nil
			}
			return c.(*Conn)
		}
		full, read, waits, closed := dial("b:7"), dial("b:7"), dial("b:7"), dial("b:7")
		go func() { _, _ = full.Write(make([]byte, 5000)) }()
		go func() { _, _ = read.Read(make([]byte, 1)) }()
		_ = closed.CloseWrite()
		clk.Sleep(time.Second)
		for range 3 {
			_, _ = l.Accept()
		}
		cut := s.SilentDrop("a", "b")
		_, _ = waits.Write(make([]byte, 10))
		clk.AfterFunc(0, func() { dial("d:1") })
		clk.Sleep(1500 * time.Millisecond)
		during = s.Netstat()
		require.Equal(t, during, s.Netstat(), "looking changes nothing")
		cut.Stop()
		s.Close()
		after = s.Netstat()
	})
	require.NoError(t, res.Err)
	require.Equal(t, `netsim: the network at 2.580002067s, seed 5
host a 10.0.0.1 up
  ESTABLISHED a:32768>b:7, send-q 2000, idle 2.49s, writers 1
  SYN-SENT    a:32768>d:1, retransmits in 1.5s, tries 1, idle 500ms
  ESTABLISHED a:32769>b:7, idle 2.53s, readers 1
  ESTABLISHED a:32770>b:7, send-q 10, lost 10, retransmits in 1.5s, tries 3, idle 2.51s
  FIN-WAIT-2  a:32771>b:7, idle 2.49s
host b 10.0.0.2 up
  LISTEN      :7 backlog 1/128
  LISTEN      :8 backlog 0/128, accepting 1
  ESTABLISHED b:7<a:32768, recv-q 1000, idle 2.49s
  ESTABLISHED b:7<a:32769, idle 2.53s
  ESTABLISHED b:7<a:32770, idle 2.51s
  CLOSE-WAIT  b:7<a:32771, idle 2.49s
host c 10.0.0.3 killed
host d 10.0.0.4 crashed
fault fault1:silent-drop(a,b)
`, during)
	_, hosts, _ := strings.Cut(after, "seed 5")
	require.Equal(t, `, closed
host a 10.0.0.1 crashed
host b 10.0.0.2 crashed
host c 10.0.0.3 crashed
host d 10.0.0.4 crashed
`, hosts)
}

func TestNetstatNamesTheStatesOfAClosingConnection(t *testing.T) {
	Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
		c, d := pair(t, s)
		states := func() (string, string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return c.state(), d.state()
		}
		wants := func(client, server string) {
			t.Helper()
			a, b := states()
			require.Equal(t, []string{client, server}, []string{a, b})
		}
		wants("ESTABLISHED", "ESTABLISHED")
		require.NoError(t, c.SetKeepAlive(true))
		fault := s.Partition("client", "server")
		s.Clock().Sleep(20 * time.Second)
		require.Contains(t, s.Netstat(), "ESTABLISHED client:32768>server:80, keep-alive in 10.001s, probes 1, idle 20s\n")
		fault.Stop()
		s.Clock().Sleep(20 * time.Second)
		require.NoError(t, c.CloseWrite())
		wants("FIN-WAIT-1", "ESTABLISHED")
		stall, unserved := s.Stall("client"), s.AcceptWithoutService("server")
		require.Contains(t, s.Netstat(), "host client 10.0.0.2 up, stalled\n")
		require.Contains(t, s.Netstat(), "host server 10.0.0.1 up, unserved\n")
		pause := s.Pause("client")
		require.Contains(t, s.Netstat(), "host client 10.0.0.2 up, paused\n")
		pause.Stop()
		stall.Stop()
		unserved.Stop()
		require.Contains(t, s.Netstat(), "host client 10.0.0.2 up\n")
		s.Clock().Sleep(time.Second)
		wants("FIN-WAIT-2", "CLOSE-WAIT")
		require.NoError(t, d.Close())
		wants("FIN-WAIT-2", "LAST-ACK")
		require.Contains(t, s.Netstat(), "LAST-ACK    server:80<client:32768, closed by its host")
		s.Clock().Sleep(time.Second)
		wants("CLOSED", "CLOSED")
		require.NoError(t, c.Close())
		require.NotContains(t, s.Netstat(), "32768")
	})
}
