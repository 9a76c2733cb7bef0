package http2

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// decoded is what a decoder makes of header blocks: how many bytes, and whether it takes them.
type decoded struct {
	dec  *hpack.Decoder
	size int64
}

func newDecoded() *decoded {
	d := &decoded{}
	d.dec = hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { d.size += int64(len(f.Name) + len(f.Value)) })
	return d
}

func (d *decoded) take(block []byte) error {
	if _, err := d.dec.Write(block); err != nil {
		return err
	}
	return d.dec.Close()
}

func TestWhatAHeadUnpacksToIsKnownAsADecoderKnowsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var blocks sink
		enc := hpack.NewEncoder(&blocks)
		d, u := newDecoded(), newUnpacked()
		names := rapid.SampledFrom([]string{":path", "cookie", "accept", "x", "x-long-name-of-its-own", ":method"})
		value := rapid.OneOf(rapid.SampledFrom([]string{"", "/", "GET", "gzip, deflate", "token"}), rapid.String(),
			rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return string(make([]byte, n)) }),
			rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return long(n) }))
		for range rapid.IntRange(1, 20).Draw(t, "heads") {
			blocks = blocks[:0]
			if rapid.IntRange(0, 9).Draw(t, "resize") == 0 {
				enc.SetMaxDynamicTableSize(rapid.Uint32Range(0, tableSize).Draw(t, "to"))
			}
			for range rapid.IntRange(1, 10).Draw(t, "fields") { // at least one: x/net takes no second resize in a block
				f := hpack.HeaderField{Name: names.Draw(t, "name"), Value: value.Draw(t, "value"), Sensitive: rapid.Bool().Draw(t, "sensitive")}
				require.NoError(t, enc.WriteField(f))
			}
			require.NoError(t, d.take(blocks))
			for rest := []byte(blocks); len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
				u.feed(rest[:n])
				rest = rest[n:]
			}
			require.False(t, u.bad)
			require.Equal(t, d.size, u.size)
			require.Equal(t, stepField, u.step)
		}
	})
}

type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// long has letters of many lengths in Huffman's code.
func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return string(b)
}

func FuzzUnpacked(f *testing.F) {
	f.Add([]byte("\x82\x84\x86\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"))
	f.Add([]byte("\x40\x01a\x7f\x00\xbe\x3f\xe1\x1f\x20\x0f\x2f\x01x"))
	f.Add([]byte("\x10\x81\xff\x00\x40\x84\x1f\xff\xff\xff\x00"))
	f.Add([]byte("\xff\x80\x80\x80\x80\x00"))
	f.Fuzz(func(t *testing.T, all []byte) {
		d, u := newDecoded(), newUnpacked()
		for len(all) > 0 { // blocks with a byte of length before each
			n := min(int(all[0]), len(all)-1)
			block := all[1 : 1+n]
			all = all[1+n:]
			if d.take(block) != nil {
				return // net/http ends the connection
			}
			u.feed(block)
			require.False(t, u.bad)
			require.Equal(t, d.size, u.size)
			require.Equal(t, stepField, u.step)
		}
	})
}

func TestTheTableOfLengthsStaysWithinItsBounds(t *testing.T) {
	u := newUnpacked()
	for range 10_000 {
		u.feed([]byte("\x40\x00\x00"))
	}
	require.Equal(t, tableSize, u.used)
	require.Equal(t, tableSize/entryBeside, len(u.table)-u.first)
	require.LessOrEqual(t, cap(u.table), 4*tableSize/entryBeside)
}

func BenchmarkUnpackedHeadOfIndexes(b *testing.B) {
	u := newUnpacked()
	for b.Loop() {
		u.feed([]byte("\x82\x84\x86\x87\x90\x91\x92\x93"))
	}
}

func BenchmarkUnpackedPath(b *testing.B) {
	u := newUnpacked()
	head := append([]byte{0x44, 0x80 | 30}, hpack.AppendHuffmanString(nil, "/a/path/of/thirty/bytes/and/so/on/x")...)
	head[1] = 0x80 | byte(len(head)-2)
	for b.Loop() {
		u.feed(head)
	}
	b.ReportAllocs()
}

// heads writes 400 heads with one long field. It says after how many of them another would be too much, and where the last of those
// ends; 0 when none would.
func heads(t *testing.T, wire *bytes.Buffer, value string, each func(fr *http2.Framer, id uint32, block []byte)) (n, end int) {
	var block sink
	enc := hpack.NewEncoder(&block)
	d := newDecoded()
	fr := http2.NewFramer(wire, nil)
	var made int64
	for i := range 400 {
		id := uint32(2*i + 1)
		block = block[:0]
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"a", value}} {
			require.NoError(t, enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		each(fr, id, block)
		d.size = 0
		require.NoError(t, d.take(block))
		one := d.size + besideHead
		made += one
		if end == 0 && made+one > expansion*int64(wire.Len()) {
			n, end = i+1, wire.Len()
		}
	}
	return n, end
}

// Where the client's bytes come one by one, what has come is what has been read.
func TestBehindTheHeadThatMakesTooMuchOfTooLittleAGoodbyeIsRead(t *testing.T) {
	whole := func(fr *http2.Framer, id uint32, block []byte) {
		require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}))
	}
	padded := func(fr *http2.Framer, id uint32, block []byte) {
		require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true,
			PadLength: 7, Priority: http2.PriorityParam{Weight: 9}}))
	}
	inPieces := func(fr *http2.Framer, id uint32, block []byte) {
		require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:2], EndStream: true}))
		require.NoError(t, fr.WriteContinuation(id, false, block[2:3]))
		require.NoError(t, fr.WriteContinuation(id, true, block[3:]))
	}
	for name, each := range map[string]func(*http2.Framer, uint32, []byte){"whole": whole, "padded": padded, "in pieces": inPieces} {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			wire.WriteString(preface)
			n, end := heads(t, &wire, strings.Repeat("0", 4000), each)
			require.Greater(t, n, 30)
			worn := 0
			g := newGuarded(&given{in: bytes.Clone(wire.Bytes()), piece: 1}, clock.NewMock(), nil, func() { worn++ })
			got, err := io.ReadAll(g)
			require.NoError(t, err)
			want := append(append(bytes.Clone(wire.Bytes()[:end]), goodbye...), wire.Bytes()[end:]...)
			require.True(t, bytes.Equal(want, got), "%d, want %d", len(got), len(want))
			require.Equal(t, 1, worn)
			for _, piece := range []int{100, 4096, 1 << 20} { // then the bytes that follow have come as well: the same, or later
				g := newGuarded(&given{in: bytes.Clone(wire.Bytes()), piece: piece}, clock.NewMock(), nil, nil)
				got, err := io.ReadAll(g)
				require.NoError(t, err)
				at := bytes.Index(got, goodbye)
				require.GreaterOrEqual(t, at, end)
				require.True(t, bytes.Equal(wire.Bytes(), append(bytes.Clone(got[:at]), got[at+len(goodbye):]...)))
			}
		})
	}
}

func TestHeadsOfAKilobyteAreNeverTooMuchForWhatTheyCameIn(t *testing.T) {
	var wire bytes.Buffer
	wire.WriteString(preface)
	n, _ := heads(t, &wire, strings.Repeat("x", 800), func(fr *http2.Framer, id uint32, block []byte) {
		require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}))
	})
	require.Zero(t, n)
	g := newGuarded(&given{in: bytes.Clone(wire.Bytes()), piece: 50}, clock.NewMock(), nil, nil)
	got, err := io.ReadAll(g)
	require.NoError(t, err)
	require.True(t, bytes.Equal(wire.Bytes(), got))
}

func TestEveryThirtyBitsBeginWithASymbol(t *testing.T) {
	all := uint32(0)
	for n, h := range huffman {
		all += h.count << (30 - n)
	}
	require.EqualValues(t, 1<<30, all)
	require.EqualValues(t, 30, lengthOf(1<<64-1), "the last of them, which ends a string before its end")
}
