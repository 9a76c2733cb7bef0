package http2

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/proxy/http1"
)

func TestWhatGoesOnIsBoundedByWhatHasCome(t *testing.T) {
	g := newGuarded(&given{}, clock.NewMock(), nil, nil)
	g.came.Store(1000)
	require.True(t, g.carries(40_000-besideHead))
	require.False(t, g.carries(50_001-besideHead), "just over")
	require.True(t, g.carries(50_000-besideHead), "what was refused does not count")
	require.False(t, g.carriesTrailers([]http1.Field{{Name: []byte("a"), Value: []byte("b")}}))
	require.True(t, g.carriesTrailers(nil), "no trailers cost nothing")
	g.came.Add(3)
	require.True(t, g.carriesTrailers([]http1.Field{{Name: []byte("a"), Value: make([]byte, 3*90-besideHead-5)}}))
	require.False(t, g.carriesTrailers([]http1.Field{{Name: []byte("a")}}))
}

// A client that has each field once in a head is told to go before anything is refused, whatever its fields are.
func TestNoHeadIsRefusedOfAClientThatRepeatsNothingWithinOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		var block sink
		enc, fr := hpack.NewEncoder(&block), http2.NewFramer(&wire, nil)
		wire.WriteString(preface)
		own := make([]hpack.HeaderField, rapid.IntRange(0, 60).Draw(t, "fields"))
		for i := range own {
			size := rapid.OneOf(rapid.IntRange(0, 60), rapid.IntRange(0, 1200), rapid.IntRange(3000, 4050)).Draw(t, "size")
			own[i] = hpack.HeaderField{Name: fmt.Sprint("x", i), Value: string(bytes.Repeat([]byte("0"), size))}
		}
		var ends, sizes []int // for each head: where it ends, and how long it is as HTTP/1.1 has it
		for i := range rapid.IntRange(1, 150).Draw(t, "heads") {
			block = block[:0]
			size := len("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}} {
				require.NoError(t, enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
			}
			all := rapid.IntRange(0, 9).Draw(t, "all") > 0
			for _, f := range own {
				if all || rapid.Bool().Draw(t, "has") {
					require.NoError(t, enc.WriteField(f))
					size += len(f.Name) + len(f.Value) + 4
				}
			}
			require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{
				StreamID: uint32(2*i + 1), BlockFragment: block, EndHeaders: true, EndStream: true,
			}))
			ends, sizes = append(ends, wire.Len()), append(sizes, size)
		}
		g := newGuarded(&given{in: bytes.Clone(wire.Bytes()), piece: 1 << 20}, clock.NewMock(), nil, nil)
		came, buf := 0, make([]byte, 1<<20)
		for i, end := range ends {
			for came < end {
				n, err := g.Read(buf[:end-came])
				require.NoError(t, err)
				if came += n; g.leaves {
					break
				}
			}
			require.True(t, g.carries(sizes[i]), "head %d", i)
			if g.leaves {
				return
			}
		}
	})
}

func TestAClientIsWarnedOnceBetweenFramesAndNeverBehindAGoodbye(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		fr := http2.NewFramer(&wire, nil)
		goes := rapid.IntRange(0, 30).Draw(t, "goes") // the frame that is a GOAWAY, if there are so many
		frames := rapid.IntRange(1, 20).Draw(t, "frames")
		for i := range frames {
			if i == goes {
				require.NoError(t, fr.WriteGoAway(7, 0, nil))
				continue
			}
			require.NoError(t, fr.WriteData(1, false, make([]byte, rapid.IntRange(0, 50).Draw(t, "size"))))
		}
		nc := &given{}
		g := newGuarded(nc, clock.NewMock(), nil, nil)
		at := rapid.IntRange(0, wire.Len()).Draw(t, "warned behind")
		for sent := 0; wire.Len() > 0; {
			g.warns.Store(sent >= at)
			p := wire.Next(rapid.IntRange(1, wire.Len()).Draw(t, "piece"))
			n, err := g.Write(p)
			require.NoError(t, err)
			require.Equal(t, len(p), n)
			sent += n
		}
		read, warnings, gone, others := http2.NewFramer(nil, &nc.out), 0, false, 0
		for {
			f, err := read.ReadFrame()
			if err != nil {
				require.ErrorIs(t, err, io.EOF) // all of them are whole
				break
			}
			switch f := f.(type) {
			case *http2.GoAwayFrame:
				if f.LastStreamID == maxWindow {
					warnings++
					require.False(t, gone)
				} else {
					gone = true
					others++
				}
				require.Equal(t, http2.ErrCodeNo, f.ErrCode)
			default:
				others++
			}
		}
		require.Equal(t, frames, others)
		require.LessOrEqual(t, warnings, 1)
		if at == 0 && goes >= frames {
			require.Equal(t, 1, warnings)
		}
	})
}
