package proxy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
)

func TestHeadsAndTrailersThatMakeTooMuchAreEachAccountedFor(t *testing.T) {
	var full []string
	for range 90 {
		full = append(full, "a", strings.Repeat("0", 600))
	}
	converse(t, []conversation{
		{promise: "a head is answered 431, the backend never sees a byte", eager: true, talk: func(c *talk) {
			w := c.wire()
			w.open(1, true, append(append([]string(nil), plainStream...), full...)...)
			require.Equal(t, "431", w.fate(1))
			require.Equal(t, "NO_ERROR", w.goneAway())
			c.origins[0].untouched()
			c.counts(0, proxy.FailBadRequest)
		}},
		{promise: "a stream with trailers is reset, and its backend's connection is given up", eager: true, talk: func(c *talk) {
			w := c.wire()
			fields := append([]string(nil), plainStream...)
			fields[1] = "POST"
			w.open(1, false, append(fields, "trailer", "a")...)
			require.NoError(t, w.fr.WriteData(1, false, []byte("hello")))
			backend := c.origins[0].accept()
			backend.until("hello\r\n")
			w.open(1, true, full...)
			require.Equal(t, "reset", w.fate(1))
			backend.cut()
			c.await("nothing is under way", func() bool { return c.server.Stats().InFlight == 0 })
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
	})
}
