package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wavepool/wavepool/proxy/upstream"
)

func TestAnHTTP2BackendThatSendsFramesWithoutUseIsCutOff(t *testing.T) {
	var cases []conversation
	for name, one := range map[string]func(f *framed, id uint32) error{
		"SETTINGS":      func(f *framed, _ uint32) error { return f.fr.WriteSettings() },
		"PING":          func(f *framed, _ uint32) error { return f.fr.WritePing(false, [8]byte{}) },
		"WINDOW_UPDATE": func(f *framed, _ uint32) error { return f.fr.WriteWindowUpdate(0, 1) },
		"PRIORITY":      func(f *framed, _ uint32) error { return f.fr.WritePriority(99, http2.PriorityParam{StreamDep: 7}) },
		"nobody knows":  func(f *framed, _ uint32) error { return f.fr.WriteRawFrame(0xbe, 0, 0, nil) },
		"GOAWAY":        func(f *framed, id uint32) error { return f.fr.WriteGoAway(id, http2.ErrCodeNo, nil) },
	} {
		cases = append(cases, conversation{promise: name, eager: true, tune: speaksHTTP2, talk: func(c *talk) {
			client := c.posting()
			f := c.origins[0].acceptFrames()
			id := f.stream().StreamID
			c.aside(f.drain)
			c.aside(func() {
				for range 5000 {
					if one(f, id) != nil {
						return
					}
				}
			})
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			_ = f.nc.Close()
			require.EqualValues(c.t, 1, c.server.Stats().Upstreams[0].Backends[0].Pool.Dialled, "one dial was enough")
			c.lenient()
		}})
	}
	cases = append(cases, conversation{promise: "empty CONTINUATION", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
		client := c.posting()
		f := c.origins[0].acceptFrames()
		id := f.stream().StreamID
		c.aside(f.drain)
		c.aside(func() {
			_ = f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: blockOf(":status", "200")})
			for range 5000 {
				if f.fr.WriteContinuation(id, false, nil) != nil {
					return
				}
			}
		})
		require.Equal(c.t, "502 Bad Gateway", client.answer().start)
		_ = f.nc.Close()
		c.lenient()
	}})
	converse(t, cases)
}

func TestABackendMayAnswerWhatItIsSentWithAsManyFramesAsItNeeds(t *testing.T) {
	converse(t, []conversation{{promise: "a window and a ping for each piece of a long body", eager: true, tune: speaksHTTP2, talk: func(c *talk) {
		client := c.client()
		c.aside(func() { _, _ = client.nc.Write([]byte(upload(large))) })
		f := c.origins[0].acceptFrames()
		id := f.head()
		got := 0
		for got < large {
			frame, err := f.fr.ReadFrame()
			require.NoError(c.t, err)
			d, ok := frame.(*http2.DataFrame)
			if !ok {
				continue
			}
			n := len(d.Data())
			if got += n; n == 0 {
				continue
			}
			require.NoError(c.t, f.fr.WriteWindowUpdate(0, uint32(n)))
			require.NoError(c.t, f.fr.WritePing(false, [8]byte{}))
			if got < large {
				require.NoError(c.t, f.fr.WriteWindowUpdate(id, uint32(n)))
			}
		}
		c.aside(f.drain)
		f.okay(id)
		require.Equal(c.t, "ok", client.answer().body)
		_ = f.nc.Close()
		c.lenient()
	}}})
}

// The stream ends with the try, and its connection does not: it is not the backend that has reset it.
func TestAStreamThatIsSilentForItsTryIsMadeElsewhereAndItsConnectionStays(t *testing.T) {
	converse(t, []conversation{{promise: "and counts as a timeout", backends: 2, eager: true, virtual: true, tune: both(speaksHTTP2, perTry), talk: func(c *talk) {
		client := c.client().send(get)
		silent := c.origins[0].acceptFrames()
		silent.stream()
		begin := c.clk.Now()
		other := c.origins[1].acceptFrames()
		c.aside(silent.drain)
		other.okay(other.stream().StreamID)
		require.Equal(c.t, "ok", client.answer().body)
		elapsed(c, begin, time.Second)
		st := c.server.Stats().Upstreams[0]
		require.EqualValues(c.t, 1, st.Retries)
		require.EqualValues(c.t, 1, st.Backends[0].Outcomes[upstream.OutcomeTimeout])
		require.Zero(c.t, st.Backends[0].Outcomes[upstream.OutcomeReset])
		_, _ = silent.nc.Close(), other.nc.Close()
		c.lenient()
	}}})
}
