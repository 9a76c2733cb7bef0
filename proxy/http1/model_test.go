package http1

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// message is the plain truth about one message of a stream, drawn before anything is read.
type message struct {
	path, padding string
	framing       Framing
	chunks        []string
	trailers      []string
}

func drawMessage(t *rapid.T) message {
	m := message{
		path: rapid.StringMatching(`/[a-z]{0,20}`).Draw(t, "path"),
		padding: strings.Repeat("p", rapid.OneOf(rapid.IntRange(0, 60), rapid.IntRange(6000, 9000),
			rapid.IntRange(9000, 50_000)).Draw(t, "padding")),
		framing: rapid.SampledFrom([]Framing{NoBody, ContentLength, Chunked}).Draw(t, "framing"),
	}
	if m.framing == NoBody {
		return m
	}
	for i, n := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 50), rapid.IntRange(5000, 20_000)), 0,
		5).Draw(t, "chunks") {
		m.chunks = append(m.chunks, strings.Repeat(string(rune('a'+i)), n))
	}
	if m.framing == Chunked {
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 5000), 0, 3).Draw(t, "trailers") {
			m.trailers = append(m.trailers, fmt.Sprintf("X-T%d: %s", i, strings.Repeat("t", n)))
		}
	}
	return m
}

func (m *message) body() string { return strings.Join(m.chunks, "") }

func (m *message) wire() string {
	var extra []Field
	if m.padding != "" {
		extra = append(extra, Field{[]byte("Padding"), []byte(m.padding)})
	}
	out := AppendClientRequest(nil, &ClientRequest{Method: "POST", Authority: "h", Path: m.path,
		Framing:       m.framing,
		ContentLength: int64(len(m.body())), Extra: extra})
	if m.framing != Chunked {
		return string(out) + m.body()
	}
	for _, c := range m.chunks {
		out = append(append(AppendChunkHead(out, len(c)), c...), ChunkEnd...)
	}
	var trailers []Field
	for _, l := range m.trailers {
		name, value, _ := strings.Cut(l, ": ")
		trailers = append(trailers, Field{[]byte(name), []byte(value)})
	}
	return string(AppendLastChunk(out, trailers))
}

// The dumb model is the list of messages itself: whatever their sizes, however the stream is cut, and in
// whichever way the bodies are taken, the Reader yields that list, and a head is whole until the next one
// is read.
func TestReaderYieldsTheMessagesThatWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []message
		var stream strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			m := drawMessage(t)
			messages = append(messages, m)
			stream.WriteString(m.wire())
		}
		src := source(stream.String(), rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(500,
			70_000)), 1, 5).Draw(t, "cuts")...)
		src.eager = rapid.Bool().Draw(t, "eager")
		ways := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 6).Draw(t, "ways")
		r := &Reader{}
		r.Reset(src)
		var req Request
		for i := range messages {
			checkMessage(t, r, &req, &messages[i], ways)
			require.Equal(t, r.Buffered() == 0, r.ReleaseBuffer())
		}
		require.Equal(t, io.EOF, r.ReadRequest(&req, nil))
		require.False(t, r.Started())
		require.Nil(t, r.buf)
		require.Nil(t, r.pinned)
	})
}

func checkMessage(t *rapid.T, r *Reader, req *Request, m *message, ways []int) {
	require.NoError(t, r.ReadRequest(req, nil))
	var b Body
	b.Start(r, req.Framing, req.ContentLength, nil)
	var got strings.Builder
	for i := 0; !b.Done(); i++ {
		if ways[i%len(ways)] == 0 {
			run, ended := b.Available()
			got.Write(run)
			require.Equal(t, b.Done(), ended)
			if len(run) > 0 || ended {
				continue
			}
		}
		if ways[i%len(ways)] == 1 && r.Buffered() < 100_000 {
			if err := r.Fill(); err != nil {
				require.Equal(t, io.EOF, err)
			}
		}
		run, err := b.Next()
		got.Write(run)
		require.True(t, err == nil || err == io.EOF && b.Done(), "%v", err)
		require.LessOrEqual(t, r.base, r.r)
		require.LessOrEqual(t, r.r, r.w)
	}
	require.Equal(t, m.body(), got.String())
	require.Equal(t, len(m.trailers), len(b.Trailers()))
	for i, want := range m.trailers {
		require.Equal(t, want, fieldStrings(b.Trailers())[i])
	}
	require.Equal(t, m.path, string(req.Path))
	require.Equal(t, m.padding, string(req.Get("padding")))
	require.Equal(t, "h", string(req.Authority))
}
