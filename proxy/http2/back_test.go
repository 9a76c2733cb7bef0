package http2

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// scripted is a backend in the hands of a test, at the other end of a session.
func scripted(t *testing.T, settings ...http2.Setting) (*Session, *http2.Framer, net.Conn) {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	fr := http2.NewFramer(far, far)
	done := make(chan error, 1)
	go func() {
		if _, err := io.ReadFull(far, make([]byte, len(preface))); err != nil {
			done <- err
			return
		}
		for range 2 { // SETTINGS and the connection's window
			if _, err := fr.ReadFrame(); err != nil {
				done <- err
				return
			}
		}
		err := fr.WriteSettings(settings...)
		if err == nil {
			_, err = fr.ReadFrame() // the answer to them
		}
		done <- err
	}()
	s, err := NewBack(BackConfig{}).Setup(context.Background(), near)
	require.NoError(t, err)
	require.NoError(t, <-done)
	t.Cleanup(func() { _ = s.Close() })
	return s, fr, far
}

func TestASessionKnowsItsStreamsFromTheFirst(t *testing.T) {
	for _, most := range []uint32{1, 7, 100, 250} {
		s, _, _ := scripted(t, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: most})
		require.EqualValues(t, most, s.Available())
	}
}

func TestASessionTellsOfNewLimitsAndOfItsEnd(t *testing.T) {
	s, fr, far := scripted(t, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 5})
	told := make(chan int, 10)
	s.OnChange(func() { told <- s.Available() })
	go func() { _, _ = io.Copy(io.Discard, far) }()
	require.NoError(t, fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 9}))
	require.NoError(t, fr.WritePing(false, [8]byte{}))
	require.Equal(t, 9, <-told)
	require.NoError(t, fr.WriteGoAway(0, http2.ErrCodeNo, nil))
	require.NoError(t, fr.WritePing(false, [8]byte{}))
	require.Zero(t, <-told)
	require.NoError(t, far.Close())
	<-told
	require.Error(t, s.Err())
}

// The errors that net/http has no names for are known by their texts, and a release of Go may change those. This is where it
// is noticed.
func TestTheErrorsOfNetHTTPStillReadAsTheyAreUnderstood(t *testing.T) {
	ask := func(s *Session) error {
		req, err := http.NewRequestWithContext(context.Background(), "GET", "http://a.test/", nil)
		require.NoError(t, err)
		resp, err := s.cc.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	for name, c := range map[string]struct {
		does func(fr *http2.Framer, far net.Conn)
		want error
	}{
		"GOAWAY": {func(fr *http2.Framer, _ net.Conn) {
			_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		}, ErrUnprocessed},
		"REFUSED_STREAM": {func(fr *http2.Framer, _ net.Conn) {
			_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
		}, ErrRefused},
		"a broken frame": {func(_ *http2.Framer, far net.Conn) {
			_, _ = far.Write([]byte{0, 0, 1, frameWindow, 0, 0, 0, 0, 1, 0})
		}, errMalformed},
		"a frame that is too large": {func(_ *http2.Framer, far net.Conn) {
			_, _ = far.Write([]byte{255, 255, 255, 0, 0, 0, 0, 0, 1})
		}, errMalformed},
		"an answer that is none": {func(fr *http2.Framer, _ net.Conn) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encoded("x", "y"), EndHeaders: true, EndStream: true})
		}, errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			s, fr, far := scripted(t)
			go func() {
				_, _ = fr.ReadFrame()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				c.does(fr, far)
			}()
			require.ErrorIs(t, reasonOf(ask(s)), c.want)
		})
	}
	t.Run("a connection that is over", func(t *testing.T) {
		s, _, far := scripted(t)
		told := make(chan struct{}, 10)
		s.OnChange(func() { told <- struct{}{} })
		_ = far.Close()
		<-told
		require.ErrorIs(t, reasonOf(ask(s)), ErrUnprocessed)
	})
	require.NotErrorIs(t, reasonOf(io.ErrUnexpectedEOF), ErrUnprocessed)
	require.False(t, errors.Is(reasonOf(io.ErrUnexpectedEOF), errMalformed))
}

func encoded(name, value string) []byte {
	var b writer
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value})
	return b
}

type writer []byte

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func TestAWindowMayGrowToItsLimitAndNotBeyond(t *testing.T) {
	w := newWindows()
	w.sent(frameHeaders, 0, 1, 10)
	require.True(t, w.enlarged(1, maxWindow-65535))
	w.sent(frameData, 0, 1, 1000)
	require.True(t, w.enlarged(1, 1000), "as much again as was sent")
	require.False(t, w.enlarged(1, 1))
	require.True(t, w.enlarged(3, maxWindow), "a stream that we have not opened: net/http does not look at it")
	for id := uint32(5); id < 5+4*keepEnded; id += 2 {
		w.sent(frameHeaders, flagEndStream, id, 1)
	}
	require.LessOrEqual(t, len(w.of), keepEnded+2)
}
