package http2

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// representation draws one of a field, or a resize, without regard to what is lawful.
func representation(t *rapid.T) []byte {
	str := func(s string) []byte {
		if rapid.Bool().Draw(t, "huffman") {
			h := hpack.AppendHuffmanString(nil, s)
			return append(integer(0x80, 7, len(h)), h...)
		}
		return append(integer(0, 7, len(s)), s...)
	}
	name := rapid.SampledFrom([]string{"a", "Bad", "x-long", ":late", "", "b\x00"}).Draw(t, "name")
	value := string(bytes.Repeat([]byte("0"), rapid.SampledFrom([]int{0, 1, 30, 200, 1300, 3000, 4040, 4063, 4064, 5000, 70_000}).Draw(t, "size")))
	kind := rapid.SampledFrom([]byte{0x80, 0x80, 0x80, 0x40, 0x40, 0x40, 0, 0x10, 0x20, 0xff}).Draw(t, "kind")
	index := rapid.SampledFrom([]int{1, 2, 15, 61, 62, 62, 62, 62, 63, 70}).Draw(t, "index")
	switch kind {
	case 0x80:
		return bytes.Repeat(integer(kind, 7, index), rapid.SampledFrom([]int{1, 1, 20}).Draw(t, "times"))
	case 0x20:
		return integer(kind, 5, rapid.SampledFrom([]int{0, 31, 100, 4095, 4096, 4097}).Draw(t, "resize"))
	case 0xff: // the end of a string before its end
		return append([]byte{rapid.SampledFrom([]byte{0x00, 0x40}).Draw(t, "insert"), 1, 'a', 0x84}, 0xff, 0xff, 0xff, 0xff)
	}
	bits := map[byte]int{0x40: 6, 0: 4, 0x10: 4}[kind]
	if rapid.Bool().Draw(t, "indexed name") {
		return append(integer(kind, bits, index), str(value)...)
	}
	return append(append(integer(kind, bits, 0), str(name)...), str(value)...)
}

// integer is one of RFC 7541 section 5.1.
func integer(first byte, bits, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return []byte{first | byte(n)}
	}
	out := []byte{first | byte(most)}
	for n -= most; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

// net/http cuts heads short that are too long, and leaves off with those that are malformed: its table goes on all the same.
func TestTheTableOfLengthsIsTheOneOfADecoderThatLeavesOffWithAHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		out := http2.NewFramer(&wire, nil)
		out.AllowIllegalWrites = true
		nc := &given{in: []byte(preface), piece: 1 << 20}
		g := newGuarded(nc, clock.NewMock(), nil, nil)
		buf := make([]byte, 1<<20)
		_, err := g.Read(buf)
		require.NoError(t, err)
		dec := hpack.NewDecoder(tableSize, nil)
		table := reflect.ValueOf(dec).Elem().FieldByName("dynTab")
		for i := range rapid.IntRange(1, 10).Draw(t, "heads") {
			block := []byte("\x82\x84\x86\x41\x01a")
			for range rapid.IntRange(0, 6).Draw(t, "fields") {
				block = append(block, representation(t)...)
			}
			wire.Reset()
			id, cut := uint32(2*i+1), rapid.IntRange(0, len(block)).Draw(t, "cut")
			first := http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:cut], EndHeaders: cut == len(block), EndStream: true}
			if rapid.Bool().Draw(t, "priority") {
				first.Priority = http2.PriorityParam{Weight: 255}
			}
			first.PadLength = rapid.SampledFrom([]uint8{0, 0, 1, 255}).Draw(t, "padding")
			require.NoError(t, out.WriteHeaders(first))
			if cut < len(block) {
				require.NoError(t, out.WriteContinuation(id, true, block[cut:]))
			}
			nc.in, nc.piece = bytes.Clone(wire.Bytes()), rapid.SampledFrom([]int{1, 9, 100, 1 << 20}).Draw(t, "piece")
			follower := http2.NewFramer(nil, &wire)
			follower.SetMaxReadFrameSize(1 << 20)
			follower.MaxHeaderListSize, follower.ReadMetaHeaders = 64<<10+320, dec
			_, err := follower.ReadFrame()
			for len(nc.in) > 0 || len(g.later) > 0 || len(g.put) > 0 {
				_, err := g.Read(buf)
				if err != io.EOF {
					require.NoError(t, err)
				}
			}
			var reset http2.StreamError
			if err != nil && !errors.As(err, &reset) {
				return // the connection ends
			}
			require.False(t, g.heads.bad)
			require.EqualValues(t, table.FieldByName("size").Uint(), g.heads.used)
			require.EqualValues(t, table.FieldByName("maxSize").Uint(), g.heads.most)
			require.Equal(t, table.FieldByName("table").FieldByName("ents").Len(), len(g.heads.table)-g.heads.first)
			require.Equal(t, stepField, g.heads.step)
		}
	})
}
