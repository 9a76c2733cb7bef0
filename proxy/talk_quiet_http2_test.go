package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// streaming begins an answer to a stream whose body goes on.
func (c *talk) streaming() (w *wire, backend *peer) {
	w = c.wire()
	w.open(1, false, ":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/")
	require.NoError(c.t, w.fr.WriteData(1, false, []byte("ping")))
	backend = c.origins[0].accept()
	backend.head()
	backend.expect("4\r\nping\r\n")
	backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n")
	require.Equal(c.t, "200", w.fate(1))
	return w, backend
}

func TestAConversationOverHTTP2EndsAsAnyOther(t *testing.T) {
	tenMinutes := func(s *config.Config) { s.Upstreams[0].StreamIdleTimeout = 10 * time.Minute }
	off := func(s *config.Config) { s.Upstreams[0].StreamIdleTimeout = config.Off }
	converse(t, []conversation{
		{promise: "when neither side has said anything for stream_idle_timeout", virtual: true, eager: true, tune: tenMinutes, talk: func(c *talk) {
			w, backend := c.streaming()
			begin := c.clk.Now()
			_ = w.nc.SetReadDeadline(begin.Add(time.Hour))
			require.Equal(c.t, "reset", w.fate(1))
			elapsed(c, begin, 10*time.Minute)
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
		{promise: "at once when its client resets it", virtual: true, eager: true, tune: off, talk: func(c *talk) {
			w, backend := c.streaming()
			c.clk.Sleep(3 * time.Hour)
			require.EqualValues(c.t, 1, c.server.Stats().InFlight)
			begin := c.clk.Now()
			require.NoError(c.t, w.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			backend.cut()
			require.Less(c.t, c.clk.Since(begin), time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "at once when its client's connection ends", virtual: true, eager: true, tune: off, talk: func(c *talk) {
			w, backend := c.streaming()
			c.clk.Sleep(3 * time.Hour)
			require.EqualValues(c.t, 1, c.server.Stats().InFlight)
			begin := c.clk.Now()
			require.NoError(c.t, w.nc.Close())
			backend.cut()
			require.Less(c.t, c.clk.Since(begin), time.Second)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "and an answer alone may pause for as long", virtual: true, eager: true, tune: off, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, plainStream...)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			require.Equal(c.t, "200", w.fate(1))
			for range 3 {
				backend.send("4\r\npong\r\n")
				require.Equal(c.t, "pong", w.data(1))
				c.clk.Sleep(8 * time.Minute)
			}
			backend.send("0\r\n\r\n")
			require.Empty(c.t, w.data(1))
			c.counts(1)
		}},
	})
}

// data reads on to the next bytes of a stream's answer, or its end.
func (w *wire) data(id uint32) string {
	for {
		f, err := w.fr.ReadFrame()
		require.NoError(w.c.t, err)
		switch f := f.(type) {
		case *http2.DataFrame:
			if f.StreamID == id {
				return string(f.Data())
			}
		case *http2.RSTStreamFrame:
			require.NotEqual(w.c.t, id, f.StreamID, "it is reset")
		}
	}
}
