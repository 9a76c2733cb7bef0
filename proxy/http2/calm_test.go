package http2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// of is a frame whose head has been read.
func of(kind, flags byte, size int) *frames {
	return &frames{head: [frameHead]byte{0, 0, 0, kind, flags, 0, 0, 0, 1}, size: size}
}

// A dumb model: a number, and the instant of its last change by time.
func TestAnAllowanceNeverGivesMoreThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clk := clock.NewMock()
		most, rate := rapid.IntRange(1, 20).Draw(t, "most"), rapid.IntRange(1, 50).Draw(t, "rate")
		a := allowance{most: most, rate: rate, left: most, at: clk.Now()}
		begin, given, paid := clk.Now(), 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"spend": func(t *rapid.T) {
				if a.spend(clk) {
					given++
				}
			},
			"wait": func(t *rapid.T) { clk.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond) },
			"add": func(t *rapid.T) {
				n := rapid.IntRange(0, 5).Draw(t, "n")
				a.add(n)
				paid += n
			},
			"": func(t *rapid.T) {
				require.True(t, a.left >= 0 && a.left <= a.most)
				require.LessOrEqual(t, given, most+paid+int(clk.Since(begin).Seconds()*float64(rate)))
			},
		})
	})
}

func TestFramesWithoutUseAreAllowedUpToTheirLimit(t *testing.T) {
	for name, f := range map[string]*frames{
		"SETTINGS": of(frameSettings, 0, 6), "PING": of(framePing, 0, 8), "PRIORITY": of(2, 0, 5), "GOAWAY": of(frameGoAway, 0, 8),
		"empty DATA": of(frameData, 0, 0), "CONTINUATION": of(frameContinuation, 4, 100), "WINDOW_UPDATE": of(frameWindow, 0, 4),
		"unknown": of(0xbe, 0, 0),
	} {
		clk := clock.NewMock()
		c := newCalm(clk)
		for range noiseMost {
			require.Empty(t, c.heard(f), name)
		}
		require.Equal(t, floodNoise, c.heard(f), name)
		clk.Add(time.Second)
		for range noiseRate {
			require.Empty(t, c.heard(f), name)
		}
		require.Equal(t, floodNoise, c.heard(f), name)
		c.sent(of(frameData, 0, 100))
		for range noisePaid {
			require.Empty(t, c.heard(f), name)
		}
		require.Equal(t, floodNoise, c.heard(f), name)
	}
}

func TestFramesThatBringSomethingAreFree(t *testing.T) {
	c := newCalm(clock.NewMock())
	for _, f := range []*frames{
		of(frameData, 0, 1), of(frameData, flagEndStream, 0), of(frameHeaders, 4, 20), of(frameSettings, flagAck, 0), of(framePing, flagAck, 8),
	} {
		for range 10 * noiseMost {
			require.Empty(t, c.heard(f))
		}
	}
	require.Empty(t, c.heard(of(framePing, 0, 8)))
}

func TestStreamsWithoutAnAnswerAreAllowedUpToTheirLimit(t *testing.T) {
	for name, reset := range map[string]func(c *calm) string{
		"by the client": func(c *calm) string { return c.heard(of(frameReset, 0, 4)) },
		"by the server": func(c *calm) string { return c.hasReset(7, 1) },
	} {
		clk := clock.NewMock()
		c := newCalm(clk)
		for range resetMost {
			require.Empty(t, reset(c), name)
		}
		require.Equal(t, floodResets, reset(c), name)
		for range 3 { // answers
			c.sent(of(frameHeaders, flagEndStream, 20))
		}
		for range 3 {
			require.Empty(t, reset(c), name)
		}
		require.Equal(t, floodResets, reset(c), name)
		clk.Add(time.Second)
		for range resetRate {
			require.Empty(t, reset(c), name)
		}
		require.Equal(t, floodResets, reset(c), name)
	}
	c := newCalm(clock.NewMock())
	for range 10 * resetMost {
		require.Empty(t, c.hasReset(1, 0), "the answer was there")
		require.Empty(t, c.hasReset(1, 2), "the backend broke off")
	}
	for range noiseMost {
		require.Empty(t, c.hasReset(1, codeRefused), "nothing was done")
	}
	require.Equal(t, floodNoise, c.hasReset(1, codeRefused))
}

// stopped is a clock that is moved by hand; clock.Mock takes a millisecond for each move.
type stopped struct {
	clock.Clock
	now time.Time
}

func (s *stopped) Now() time.Time { return s.now }

// A backend that hangs: whoever waits for it gives up after a second, with ninety requests a second, for minutes.
func TestStreamsThatWereWaitedForMayBeReset(t *testing.T) {
	const perSecond, seconds = 90, 300
	clk := &stopped{now: time.Unix(1e9, 0)}
	c := newCalm(clk)
	head, reset := of(frameHeaders, 0, 20), of(frameReset, 0, 4)
	number := func(f *frames, n int) *frames {
		binary.BigEndian.PutUint32(f.head[5:], uint32(2*n+1))
		return f
	}
	for n := range perSecond * seconds {
		clk.now = clk.now.Add(time.Second / perSecond)
		require.Empty(t, c.heard(number(head, n)))
		if n >= perSecond { // the one of a second ago
			require.Empty(t, c.heard(number(reset, n-perSecond)), "request %d", n)
		}
	}
	// What has lived shorter is not free, nor are frames about streams that ended long ago.
	short, old := newCalm(clock.NewMock()), newCalm(clk)
	for n := range resetMost {
		require.Empty(t, short.heard(number(head, n)))
		require.Empty(t, short.heard(number(reset, n)))
	}
	require.Equal(t, floodResets, short.heard(number(reset, resetMost)))
	require.Empty(t, old.heard(number(head, 0)))
	clk.now = clk.now.Add(patience)
	for range noiseMost + noiseRate/2 {
		require.Empty(t, old.heard(number(reset, 0)))
	}
	require.Equal(t, floodNoise, old.heard(number(reset, 0)))
}

func windowBy(n uint32) *frames {
	f := of(frameWindow, 0, 4)
	f.keep = binary.BigEndian.AppendUint32(nil, n)
	return f
}

func TestWindowsThatGiveBackWhatWasSentAreFree(t *testing.T) {
	c := newCalm(clock.NewMock())
	c.sent(of(frameData, 0, 1<<20))
	for range noiseMost {
		require.Empty(t, c.heard(windowBy(windowLeast-1)), "too little")
	}
	require.Equal(t, floodNoise, c.heard(windowBy(windowLeast-1)))
	require.Equal(t, floodNoise, c.heard(windowBy(2<<20+1)), "more than was sent")
	for range 2 << 20 / windowLeast {
		require.Empty(t, c.heard(windowBy(windowLeast)))
	}
	require.Equal(t, floodNoise, c.heard(windowBy(windowLeast)))
}

func TestDataForAStreamThatWasResetBeforeCountsOnce(t *testing.T) {
	c := newCalm(clock.NewMock())
	require.Empty(t, c.hasReset(1, 0))
	for range 10 * resetMost {
		require.Empty(t, c.hasReset(1, codeClosed))
	}
	for i := range uint32(resetMost) { // each opened, and made to be reset
		require.Empty(t, c.hasReset(3+2*i, codeClosed))
	}
	require.Equal(t, floodResets, c.hasReset(9999, codeClosed))
	for i := range uint32(keepOver) {
		_ = c.hasReset(1001+2*i, 0)
	}
	require.Len(t, c.over, keepOver)
	require.Equal(t, floodResets, c.hasReset(1, codeClosed), "long forgotten")
}

// given is a connection that gives what is there in pieces, and keeps what is written.
type given struct {
	net.Conn
	in    []byte
	piece int
	out   bytes.Buffer
}

func (g *given) Read(p []byte) (int, error) {
	if len(g.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.in[:min(g.piece, len(g.in))])
	g.in = g.in[n:]
	return n, nil
}

func (g *given) Write(p []byte) (int, error) { return g.out.Write(p) }

func TestAConnectionThatAsksForTooMuchFindsAFaultBehindItsLastFrame(t *testing.T) {
	var wire bytes.Buffer
	wire.WriteString(preface)
	fr := http2.NewFramer(&wire, nil)
	for range 2 * noiseMost {
		require.NoError(t, fr.WritePing(false, [8]byte{1, 2, 3}))
	}
	for _, piece := range []int{1, 7, 17, 4096, 1 << 20} {
		var told []string
		g := newGuarded(&given{in: wire.Bytes(), piece: piece}, clock.NewMock(), func(why string) { told = append(told, why) }, nil)
		got, err := io.ReadAll(g)
		require.NoError(t, err)
		want := wire.Bytes()[:len(preface)+(noiseMost+1)*17]
		require.Equal(t, append(bytes.Clone(want), fault...), got)
		require.Equal(t, []string{floodNoise}, told)
	}
}

func TestWhatAnHonestClientSendsIsPassedOnAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		wire.WriteString(preface)
		for range rapid.IntRange(0, 50).Draw(t, "frames") {
			kind := rapid.SampledFrom([]byte{frameData, frameHeaders, frameContinuation, framePing, frameReset, 0xbe}).Draw(t, "kind")
			payload := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload")
			head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
			wire.Write(append(head, rapid.Byte().Draw(t, "flags"), 0, 0, 0, 1))
			wire.Write(payload)
		}
		g := newGuarded(&given{in: bytes.Clone(wire.Bytes()), piece: rapid.IntRange(1, 300).Draw(t, "piece")}, clock.NewMock(), nil, nil)
		got, err := io.ReadAll(g)
		require.NoError(t, err)
		require.Equal(t, wire.Bytes(), got)
		require.EqualValues(t, wire.Len(), g.came.Load())
	})
}
