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

// reset waits for the end of a stream that the proxy has given up.
func (f *framed) reset(id uint32) http2.ErrCode {
	for {
		fr, err := f.fr.ReadFrame()
		require.NoError(f.c.t, err)
		if r, ok := fr.(*http2.RSTStreamFrame); ok && r.StreamID == id {
			return r.ErrCode
		}
	}
}

func TestAStreamThatIsGivenUpForItsTryIsResetAndAPostIsMadeOnce(t *testing.T) {
	converse(t, []conversation{
		{promise: "the backend learns that nobody waits any more", backends: 2, eager: true, virtual: true, tune: both(speaksHTTP2, perTry), talk: func(c *talk) {
			client := c.client().send(get)
			silent := c.origins[0].acceptFrames()
			id := silent.stream().StreamID
			begin := c.clk.Now()
			c.aside(func() {
				other := c.origins[1].acceptFrames()
				other.okay(other.stream().StreamID)
				other.drain()
			})
			require.Equal(c.t, http2.ErrCodeCancel, silent.reset(id))
			elapsed(c, begin, time.Second)
			require.Equal(c.t, "ok", client.answer().body)
			_ = silent.nc.Close()
			c.lenient()
		}},
		{promise: "what may not be made twice has the whole time", backends: 2, eager: true, virtual: true, tune: both(speaksHTTP2, perTry), talk: func(c *talk) {
			begin := c.clk.Now()
			client := c.posting()
			silent := c.origins[0].acceptFrames()
			silent.stream()
			c.aside(silent.drain)
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			elapsed(c, begin, 3*time.Second)
			require.Zero(c.t, c.server.Stats().Upstreams[0].Retries)
			require.Zero(c.t, c.server.Stats().Upstreams[0].Backends[1].Pool.Lends)
			_ = silent.nc.Close()
			c.lenient()
		}},
	})
}

// Whoever cannot have a place is shut out, and whoever says nothing gives his back.
func TestAConnectionWhoseHeaderNeverComesGivesItsPlaceBack(t *testing.T) {
	one := func(s *config.Config) {
		s.Listeners[0].MaxConnectionsPerSource, s.Listeners[0].MaxConnections = 1, 2
		s.Listeners[0].ProxyProtocol.Timeout = time.Second
	}
	converse(t, []conversation{
		{promise: "in time", virtual: true, tune: both(heralded, one), talk: func(c *talk) {
			for range 5 {
				mute, slow := c.client(), c.client().send(toldV1[:9])
				mute.ended()
				slow.ended()
			}
			backend := c.acceptAside(c.client().send(toldV1))
			_ = backend
			c.client().send(toldV1 + get).cut()
			require.EqualValues(c.t, 10, c.server.Stats().HeadersRefused)
			require.EqualValues(c.t, 1, c.server.Stats().Refused)
			c.counts(1)
		}},
		{promise: "and the deadline of the header does not stay", virtual: true, tune: both(heralded, one), talk: func(c *talk) {
			client := c.client().send(toldV1)
			backend := c.acceptAside(client)
			c.clk.Sleep(20 * time.Second)
			c.exchange(client, backend)
			c.counts(2)
		}},
	})
}

func TestAPostIsNotSentAgainToABackendThatHangsUpOnTheHeader(t *testing.T) {
	converse(t, []conversation{{promise: "once it may have been read", virtual: true, backends: 2, tune: telling(config.SendProxyV1), talk: func(c *talk) {
		client := c.client().send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
		bad := c.origins[0].accept()
		c.is(client, bad.told())
		require.Equal(t, "hi", bad.request().body)
		bad.abort()
		require.Contains(t, client.answer().start, "502 ")
		c.origins[1].untouched()
		c.retires(pool.ReasonBroken)
		c.counts(0, proxy.FailReset)
	}}})
}
