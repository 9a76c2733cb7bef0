package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/proxy/config"
)

// goneAt reads on to the next GOAWAY, and returns the last stream that it lets pass.
func (w *wire) goneAt() uint32 {
	for {
		f, err := w.fr.ReadFrame()
		require.NoError(w.c.t, err)
		if g, ok := f.(*http2.GoAwayFrame); ok {
			require.Equal(w.c.t, http2.ErrCodeNo, g.ErrCode)
			return g.LastStreamID
		}
	}
}

// A request that is on its way when the proxy begins to drain may be one that nobody can send again.
func TestADrainWarnsClientsOfHTTP2BeforeItRefusesTheirStreams(t *testing.T) {
	converse(t, []conversation{{promise: "for half a second", eager: true, virtual: true, talk: func(c *talk) {
		w := c.wire()
		w.open(1, true, plainStream...)
		backend := c.origins[0].accept()
		backend.request()
		w.open(3, true, plainStream...)
		other := c.origins[0].accept()
		other.request()
		drained, begin := make(chan error, 1), c.clk.Now()
		c.clk.AfterFunc(0, func() { drained <- c.server.Drain(context.Background()) })
		c.settle()
		backend.send(okay)
		require.Equal(c.t, "200", w.fate(1))
		require.EqualValues(c.t, 1<<31-1, w.goneAt())
		w.open(5, true, plainStream...) // sent before that was read
		backend.request()
		backend.send(okay)
		require.Equal(c.t, "200", w.fate(5))
		require.EqualValues(c.t, 5, w.goneAt())
		elapsed(c, begin, 500*time.Millisecond)
		other.send(okay)
		require.Equal(c.t, "200", w.fate(3))
		require.Equal(c.t, "closed", w.fate(7))
		require.NoError(c.t, <-drained)
		c.counts(3)
	}}})
}

// Ten clients post through one connection at a time, each of which ends after two hundred requests: they are warned twenty before.
func TestPOSTsThatCannotBeSentAgainSurviveTheEndOfTheirConnections(t *testing.T) {
	tune := func(s *config.Config) { s.Listeners[0].MaxRequestsPerConnection = 200 }
	l := beLawful(t, tune, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var failed atomic.Int64
	var work sync.WaitGroup
	for range 10 {
		work.Go(func() {
			for range 400 {
				req, err := http.NewRequest("POST", "http://"+l.address+"/", io.MultiReader(strings.NewReader("body")))
				require.NoError(t, err)
				resp, err := l.client.Do(req)
				if err != nil {
					t.Log(err)
					failed.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	work.Wait()
	t.Logf("failed %d of 4000, connections %d", failed.Load(), l.dials.Load())
	require.GreaterOrEqual(t, l.dials.Load(), int64(10))
	require.Less(t, failed.Load(), int64(8), "one that meets the very end of a connection is net/http's to lose; unwarned 20 to 40 are lost")
}
