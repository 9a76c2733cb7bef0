package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/netsim"
)

// framer is a client of a backend that writes frames as it likes.
type framer struct {
	*http2.Framer
	t       *testing.T
	nc      net.Conn
	sim     *netsim.Sim
	block   bytes.Buffer
	encoder *hpack.Encoder
	s       *server
}

// againstFrames gives body a connection to a backend, on which both sides have said their SETTINGS.
func againstFrames(t *testing.T, cfg Backend, settings []http2.Setting, body func(c *framer)) {
	t.Helper()
	netsim.Test(t, netsim.Config{Seed: 3}, func(sim *netsim.Sim) {
		cfg.Address = "10.0.0.1:80"
		s := newServer(sim, &cfg, func(*server) {})
		s.http2 = true
		require.NoError(t, s.start())
		nc, err := sim.Host("client", "10.0.0.2").DialContext(context.Background(), "tcp", cfg.Address)
		require.NoError(t, err)
		c := &framer{Framer: http2.NewFramer(nc, nc), t: t, nc: nc, sim: sim, s: s}
		c.encoder = hpack.NewEncoder(&c.block)
		c.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
		_, err = nc.Write([]byte(http2.ClientPreface))
		require.NoError(t, err)
		require.NoError(t, c.WriteSettings(settings...))
		require.Equal(t, fmt.Sprintf("SETTINGS [MAX_CONCURRENT_STREAMS = %d] [INITIAL_WINDOW_SIZE = 1048576]", cfg.MaxStreams), c.next())
		require.Equal(t, "WINDOW_UPDATE 0 1073676289", c.next())
		require.Equal(t, "SETTINGS ACK", c.next())
		require.NoError(t, c.WriteSettingsAck())
		body(c)
		_ = nc.Close()
		sim.Clock().Sleep(time.Minute)
		require.Zero(t, s.opened())
		require.Empty(t, s.sessions)
		s.host.Kill()
		s.work.Wait()
	})
}

// next is the next frame in words, or the end.
func (c *framer) next() string {
	require.NoError(c.t, c.nc.SetReadDeadline(c.sim.Clock().Now().Add(30*time.Second)))
	f, err := c.ReadFrame()
	if err != nil {
		return err.Error()
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return "SETTINGS ACK"
		}
		text := "SETTINGS"
		_ = f.ForeachSetting(func(s http2.Setting) error { text += " " + s.String(); return nil })
		return text
	case *http2.WindowUpdateFrame:
		return fmt.Sprint("WINDOW_UPDATE ", f.StreamID, " ", f.Increment)
	case *http2.MetaHeadersFrame:
		text := fmt.Sprint("HEADERS ", f.StreamID)
		for _, field := range f.Fields {
			text += " " + field.Value
		}
		if f.StreamEnded() {
			text += " END"
		}
		return text
	case *http2.DataFrame:
		text := fmt.Sprint("DATA ", f.StreamID, " ", len(f.Data()))
		if f.StreamEnded() {
			text += " END"
		}
		return text
	case *http2.RSTStreamFrame:
		return fmt.Sprint("RST_STREAM ", f.StreamID, " ", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Sprint("GOAWAY ", f.LastStreamID, " ", f.ErrCode)
	case *http2.PingFrame:
		return fmt.Sprint("PING ", f.IsAck(), " ", string(f.Data[:]))
	}
	return fmt.Sprint(f)
}

// ask writes the head of a request.
func (c *framer) ask(id uint32, method, nonce string, end bool) {
	c.block.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"x-nonce", nonce}} {
		if f[1] != "" {
			require.NoError(c.t, c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
	}
	require.NoError(c.t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end}))
}

func ready() Backend {
	b := defaultBackend()
	b.BodyBytes = 10
	return b
}

func TestABackendAnswersFramesInTheOrderOfVirtualTime(t *testing.T) {
	b := ready()
	b.MaxStreams = 2
	againstFrames(t, b, nil, func(c *framer) {
		c.ask(1, "GET", "one", true)
		c.ask(3, "POST", "two", false) // answered when it is whole
		c.ask(5, "GET", "three", true)
		require.NoError(t, c.WritePing(false, [8]byte([]byte("whatever"))))
		require.Equal(t, "RST_STREAM 5 REFUSED_STREAM", c.next(), "two at a time")
		require.Equal(t, "PING true whatever", c.next())
		require.Equal(t, "HEADERS 1 200 10 one", c.next())
		require.Equal(t, "DATA 1 10 END", c.next())
		require.NoError(t, c.WriteData(5, true, []byte("refused")))
		require.NoError(t, c.WriteData(3, false, []byte("two")))
		c.block.Reset()
		require.NoError(t, c.encoder.WriteField(hpack.HeaderField{Name: "trailer", Value: "x"}))
		require.NoError(t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: true}))
		require.Equal(t, "HEADERS 3 200 10 two", c.next())
		require.Equal(t, "DATA 3 10 END", c.next())
		c.ask(7, "HEAD", "four", true)
		require.Equal(t, "HEADERS 7 200 10 four END", c.next())
		c.ask(9, "GET", "", true)
		require.Equal(t, "HEADERS 9 200 0 END", c.next(), "a check")
	})
}

func TestABackendSendsNoMoreThanTheWindowsOfItsPeer(t *testing.T) {
	b := ready()
	b.BodyBytes = 20
	window := func(n uint32) []http2.Setting { return []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: n}} }
	againstFrames(t, b, window(0), func(c *framer) {
		c.ask(1, "GET", "one", true)
		c.sim.Clock().Sleep(time.Millisecond)
		c.ask(3, "GET", "two", true)
		require.Equal(t, "HEADERS 1 200 20 one", c.next())
		require.Equal(t, "HEADERS 3 200 20 two", c.next())
		require.NoError(t, c.WriteWindowUpdate(3, 7))
		require.Equal(t, "DATA 3 7", c.next())
		require.NoError(t, c.WriteWindowUpdate(1, 19))
		require.Equal(t, "DATA 1 19", c.next())
		require.NoError(t, c.WriteSettings(window(1)...))
		require.ElementsMatch(t, []string{"SETTINGS ACK", "DATA 1 1 END", "DATA 3 1"}, []string{c.next(), c.next(), c.next()})
		require.NoError(t, c.WriteRSTStream(3, http2.ErrCodeCancel))
		require.NoError(t, c.WriteWindowUpdate(3, 100))
		c.ask(5, "GET", "three", true)
		require.Equal(t, "HEADERS 5 200 20 three", c.next())
		require.Equal(t, "DATA 5 1", c.next())
		require.NoError(t, c.WriteWindowUpdate(5, 19))
		require.Equal(t, "DATA 5 19 END", c.next())
	})
	b.BodyBytes = firstRoom + 1
	againstFrames(t, b, window(1<<20), func(c *framer) {
		c.ask(1, "GET", "one", true)
		require.Equal(t, "HEADERS 1 200 65536 one", c.next())
		for range 3 {
			require.Equal(t, "DATA 1 16384", c.next())
		}
		require.Equal(t, "DATA 1 16383", c.next(), "the window of the connection is closed")
		require.NoError(t, c.WriteWindowUpdate(0, 1))
		require.Equal(t, "DATA 1 1 END", c.next())
	})
}

func TestAfterGoAwayABackendServesWhatItHasAndLooksAtNothingElse(t *testing.T) {
	againstFrames(t, ready(), nil, func(c *framer) {
		c.ask(1, "POST", "one", false)
		c.sim.Clock().Sleep(10 * time.Millisecond)
		require.Equal(t, 1, c.s.goAway())
		require.Equal(t, "GOAWAY 1 NO_ERROR", c.next())
		c.ask(3, "GET", "two", true)
		require.NoError(t, c.WriteWindowUpdate(5, 1))
		require.NoError(t, c.WriteRSTStream(3, http2.ErrCodeCancel))
		require.NoError(t, c.WriteData(3, true, nil))
		require.Equal(t, 1, c.s.goAway(), "said once")
		c.sim.Clock().Sleep(5 * time.Second)
		require.NoError(t, c.WriteData(1, true, nil))
		require.Equal(t, "HEADERS 1 200 10 one", c.next())
		require.Equal(t, "DATA 1 10 END", c.next())
		began := c.sim.Elapsed()
		require.Equal(t, "EOF", c.next())
		require.InDelta(t, afterGoAway.Seconds(), (c.sim.Elapsed() - began).Seconds(), 0.01)
	})
}

// Each of these breaks RFC 9113 in one way, and the connection ends by a GOAWAY that says so.
func TestAPeerThatBreaksTheProtocolLosesItsConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(c *framer)
		want string
	}{
		"an even stream":      {func(c *framer) { c.ask(2, "GET", "a", true) }, "GOAWAY 0 PROTOCOL_ERROR"},
		"a lower stream":      {func(c *framer) { c.ask(5, "POST", "a", false); c.ask(3, "GET", "b", true) }, "GOAWAY 5 STREAM_CLOSED"},
		"an idle DATA":        {func(c *framer) { _ = c.WriteData(1, true, nil) }, "GOAWAY 0 PROTOCOL_ERROR"},
		"an idle WINDOW":      {func(c *framer) { _ = c.WriteWindowUpdate(1, 1) }, "GOAWAY 0 PROTOCOL_ERROR"},
		"an idle RST_STREAM":  {func(c *framer) { _ = c.WriteRSTStream(1, 0) }, "GOAWAY 0 PROTOCOL_ERROR"},
		"a window too large":  {func(c *framer) { _ = c.WriteWindowUpdate(0, maxWindow) }, "GOAWAY 0 FLOW_CONTROL_ERROR"},
		"a stream's window":   {func(c *framer) { c.ask(1, "POST", "a", false); _ = c.WriteWindowUpdate(1, maxWindow) }, "GOAWAY 1 FLOW_CONTROL_ERROR"},
		"DATA behind the end": {func(c *framer) { c.ask(1, "GET", "a", true); _ = c.WriteData(1, true, nil) }, "GOAWAY 1 STREAM_CLOSED"},
		"HEADERS behind it":   {func(c *framer) { c.ask(1, "GET", "a", true); c.ask(1, "GET", "a", true) }, "GOAWAY 1 PROTOCOL_ERROR"},
		"a push": {func(c *framer) {
			_ = c.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, "GOAWAY 0 PROTOCOL_ERROR"},
		"a frame too large":    {func(c *framer) { _ = c.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16<<10+1)) }, "GOAWAY 0 FRAME_SIZE_ERROR"},
		"a bad setting":        {func(c *framer) { _ = c.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) }, "GOAWAY 0 PROTOCOL_ERROR"},
		"garbage for a head":   {func(c *framer) { _ = c.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, []byte{0xff}) }, "GOAWAY 0 COMPRESSION_ERROR"},
		"capitals in a field":  {func(c *framer) { c.malformed("X-Nonce", "a") }, "GOAWAY 0 PROTOCOL_ERROR"},
		"more than its window": {func(c *framer) { c.flood() }, "GOAWAY 1 FLOW_CONTROL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			againstFrames(t, ready(), nil, func(c *framer) {
				tc.do(c)
				got := c.next()
				for strings.HasPrefix(got, "WINDOW_UPDATE") {
					got = c.next()
				}
				require.Equal(t, tc.want, got)
				for got != "EOF" && !strings.HasPrefix(got, "read ") {
					got = c.next()
				}
			})
		})
	}
}

// malformed asks with a field that HTTP/2 does not allow.
func (c *framer) malformed(name, value string) {
	c.block.Reset()
	_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: true})
}

// flood sends more of a body than a stream may, as if it had heard no window, and one byte too much behind a window that it heard.
func (c *framer) flood() {
	c.ask(1, "POST", "a", false)
	c.s.mu.Lock()
	session := c.s.sessions[0]
	c.s.mu.Unlock()
	c.sim.Clock().Sleep(10 * time.Millisecond)
	session.mu.Lock()
	session.open[1].room = 9
	session.mu.Unlock()
	_ = c.WriteData(1, false, make([]byte, 10))
}

// A backend goes on with what nobody wants any more, and its place is free when that is done.
func TestTheStreamsOfADeadConnectionGiveTheirPlacesBack(t *testing.T) {
	b := ready()
	b.Concurrency, b.StallRate, b.MaxStreams = 2, 1, 10
	againstFrames(t, b, nil, func(c *framer) {
		for id := uint32(1); id < 10; id += 2 {
			c.ask(id, "GET", "x", true)
			c.sim.Clock().Sleep(time.Millisecond)
		}
		require.Equal(t, "HEADERS 1 200 10 x", c.next())
		require.Equal(t, "DATA 1 5", c.next())
		require.Equal(t, "HEADERS 3 200 10 x", c.next())
		require.Equal(t, "DATA 3 5", c.next())
		require.NoError(t, c.WriteRSTStream(3, http2.ErrCodeCancel))
		require.Equal(t, "HEADERS 5 200 10 x", c.next(), "it had its place")
		session := c.s.sessions[0]
		_ = c.nc.Close()
		c.sim.Clock().Sleep(time.Second)
		session.gate.mu.Lock()
		defer session.gate.mu.Unlock()
		require.Equal(t, 2, session.gate.free)
		require.Empty(t, session.gate.line)
	})
}
