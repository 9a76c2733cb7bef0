package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// net/http ends the streams of a connection in no order, and deals with several frames in one go. A simulation must see
// neither.
func TestASimulationWithHTTP2BackendsIsTheSameEachTime(t *testing.T) {
	const n = 40
	cv := conversation{promise: "a connection dies", backends: 2, eager: true, tune: func(s *config.Config) {
		speaksHTTP2(s)
		s.Upstreams[0].Retry.Attempts = 3
	}, talk: func(c *talk) {
		for _, o := range c.origins {
			c.aside(func() {
				f := o.acceptFrames(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2 * n})
				for range n / 2 {
					f.stream()
				}
				c.settle()
				if o == c.origins[0] {
					_ = f.fr.WriteGoAway(n/2, http2.ErrCodeNo, nil)
					c.settle()
				}
				_ = f.nc.Close()
				f = o.acceptFrames()
				for {
					fr, err := f.fr.ReadFrame()
					if err != nil {
						return
					}
					if h, ok := fr.(*http2.MetaHeadersFrame); ok {
						f.okay(h.StreamID)
					}
				}
			})
		}
		var clients []*peer
		for range n {
			clients = append(clients, c.client().send(get))
		}
		for _, p := range clients {
			p.answer()
		}
		c.lenient()
	}}
	hashes := map[uint64]int{}
	for range 8 {
		netsim.Test(t, netsim.Config{Seed: 3, Latency: time.Millisecond, Jitter: 200 * time.Microsecond}, func(s *netsim.Sim) {
			cv.run(t, simTalk(t, s))
			hashes[s.Trace().Hash]++
		})
	}
	require.Len(t, hashes, 1)
}
