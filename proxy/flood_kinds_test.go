package proxy_test

import (
	"net"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames sends frames of a kind, some hundred at a time, until the connection takes no more or it is told to stop: what it sends
// then would only make it spend more.
func (a *attacker) frames(n int, one func(i int)) *attacker {
	for i := 0; i < n; i++ {
		one(i)
		if a.buf.Len() > 4<<10 && (!a.flush() || a.told.Load()) {
			return a
		}
	}
	a.flush()
	return a
}

// stopped is how the end of its connection looks to a client.
var stopped = []string{"PROTOCOL_ERROR", "ENHANCE_YOUR_CALM", "NO_ERROR", "cut"}

const many = 20000

// noise is a flood of one kind of frame that nobody needs.
func noise(name string, one func(a *attacker)) flood {
	return flood{name: name, ends: stopped, attack: func(s *siege) *attacker {
		a := s.attack()
		return a.frames(many, func(int) { one(a) })
	}}
}

// allowed stays below the limit, comes to an end in order, and begins again.
func allowed(name string, n int, one func(a *attacker)) flood {
	return flood{name: name, requests: resetsAtOnce, attack: func(s *siege) *attacker {
		a := s.attack()
		for range n {
			one(a)
		}
		a.flush()
		require.NoError(s.t, a.nc.(*net.TCPConn).CloseWrite())
		how := <-a.ended // when all of it has been dealt with
		a.ended <- how
		return a
	}}
}

// provoked is a flood of streams each of which is opened and then made to be reset.
func provoked(name string, one func(a *attacker, id uint32)) flood {
	return flood{name: name, requests: resetsAtOnce, ends: append(stopped, "FLOW_CONTROL_ERROR", "STREAM_CLOSED", "FRAME_SIZE_ERROR"), attack: func(s *siege) *attacker {
		a := s.attack()
		return a.frames(many, func(int) { one(a, a.open(true, "/")) })
	}}
}

// resetsAtOnce is what proxy/http2 lets a client have at once, some time for more, and the streams that may be open.
const resetsAtOnce = 200 + 100 + 100

func floods() []flood {
	return append(resets(), append(noises(), heavy()...)...)
}

func resets() []flood {
	return []flood{
		provoked("rapid reset", func(a *attacker, id uint32) { _ = a.fr.WriteRSTStream(id, http2.ErrCodeCancel) }),
		provoked("a window enlarged by 0", func(a *attacker, id uint32) { _ = a.fr.WriteWindowUpdate(id, 0) }),
		provoked("a window beyond its limit", func(a *attacker, id uint32) { _ = a.fr.WriteWindowUpdate(id, 1<<31-1) }),
		provoked("data behind the end", func(a *attacker, id uint32) { _ = a.fr.WriteData(id, false, []byte("x")) }),
		provoked("a head behind the end", func(a *attacker, id uint32) {
			_ = a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.head.Bytes(), EndHeaders: true, EndStream: true})
		}),
		provoked("a stream that depends on itself", func(a *attacker, id uint32) {
			_ = a.fr.WritePriority(id, http2.PriorityParam{StreamDep: id})
		}),
		provoked("a reset of the wrong size", func(a *attacker, id uint32) { _ = a.fr.WriteRawFrame(http2.FrameRSTStream, 0, id, []byte("xxx")) }),
		allowed("resets, as many as are allowed", 199, func(a *attacker) {
			_ = a.fr.WriteRSTStream(a.open(true, "/"), http2.ErrCodeCancel)
		}),
		{name: "answers that are cancelled late", requests: 400, ends: nil, attack: func(s *siege) *attacker {
			a := s.attack()
			return a.frames(50, func(int) {
				id := a.open(true, "/")
				a.flush()
				_ = a.fr.WriteRSTStream(id, http2.ErrCodeCancel)
			})
		}},
	}
}

func noises() []flood {
	return []flood{
		allowed("PING, as many as are allowed", 990, func(a *attacker) { _ = a.fr.WritePing(false, [8]byte{}) }),
		noise("SETTINGS", func(a *attacker) { _ = a.fr.WriteSettings() }),
		noise("SETTINGS that change", func(a *attacker) {
			_ = a.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(a.buf.Len())})
		}),
		noise("PING", func(a *attacker) { _ = a.fr.WritePing(false, [8]byte{}) }),
		noise("PRIORITY", func(a *attacker) { _ = a.fr.WritePriority(9, http2.PriorityParam{StreamDep: 7}) }),
		noise("frames that nobody knows", func(a *attacker) { _ = a.fr.WriteRawFrame(0xbe, 0, 0, nil) }),
		noise("GOAWAY", func(a *attacker) { _ = a.fr.WriteGoAway(0, http2.ErrCodeNo, nil) }),
		noise("WINDOW_UPDATE of the connection", func(a *attacker) { _ = a.fr.WriteWindowUpdate(0, 1) }),
		{name: "empty DATA", requests: 1, ends: stopped, attack: func(s *siege) *attacker {
			a := s.attack()
			id := a.open(false, "/")
			return a.frames(many, func(int) { _ = a.fr.WriteData(id, false, nil) })
		}},
		{name: "empty CONTINUATION", ends: stopped, attack: func(s *siege) *attacker { return s.attack().continued(many, "") }},
		{name: "long CONTINUATION", ends: append(stopped, "COMPRESSION_ERROR"), attack: func(s *siege) *attacker {
			return s.attack().continued(2000, strings.Repeat("\x00\x01a\x7f\x81\x00"+strings.Repeat("x", 255), 30))
		}},
	}
}

// continued is a head without end.
func (a *attacker) continued(n int, fragment string) *attacker {
	_ = a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x82")})
	return a.frames(n, func(int) { _ = a.fr.WriteContinuation(1, false, []byte(fragment)) })
}

// inEach is a flood of requests with one field that costs a byte after the first time, always as many of them as may be open, until the
// connection ends or a thousand have been made.
func inEach(name string, size int) flood {
	return flood{name: name, requests: 1000, attack: func(s *siege) *attacker {
		a := s.attack()
		long := hpack.HeaderField{Name: "a", Value: strings.Repeat("x", size)}
		for range 100 {
			a.open(true, "/", long)
		}
		a.flush()
		for made, answered := 100, 0; answered < made; {
			head, more := <-a.fates
			if !more {
				break
			}
			if head {
				answered++
			}
			if a.told.Load() {
				made = min(made, int(a.last.Load()+1)/2) // no more will be answered
			} else if made < 1000 {
				a.open(true, "/", long)
				made++
				a.flush()
			}
		}
		return a
	}}
}

// inPlenty comes as near to the limit of a connection as it can, with the shortest letters of Huffman's code, and then fills one head.
func inPlenty() flood {
	return flood{name: "a field of 4 KiB, as often as may be, and a last time in plenty", requests: 500, attack: func(s *siege) *attacker {
		a := s.attack()
		long := hpack.HeaderField{Name: "a", Value: strings.Repeat("0", 4000)}
		for came, made := 2560, 0; made+2*4300 < 80*came; came += 14 {
			a.open(true, "/", long)
			a.flush()
			require.True(s.t, <-a.fates)
			made += 4300
		}
		a.open(true, "/", slices.Repeat([]hpack.HeaderField{long}, 15)...)
		a.flush()
		<-a.fates
		return a
	}}
}

func heavy() []flood {
	return []flood{
		{name: "a field of 4 KiB, again and again", requests: 400, ends: []string{"NO_ERROR", "cut"}, attack: func(s *siege) *attacker {
			a := s.attack()
			long := hpack.HeaderField{Name: "a", Value: strings.Repeat("x", 4000)}
			var all []hpack.HeaderField
			for range 14 {
				all = append(all, long)
			}
			for range 200 {
				a.open(true, "/", all...)
				if !a.flush() {
					break
				}
			}
			return a
		}},
		inEach("a field of 4 KiB, once in each head", 4000),
		inEach("a field of 2 KiB, once in each head", 2000),
		inEach("a field of 1 KiB, once in each head", 1000),
		inPlenty(),
		{name: "a head of a mebibyte", ends: nil, attack: func(s *siege) *attacker {
			a := s.attack()
			a.head.Reset()
			for range 256 {
				_ = a.enc.WriteField(hpack.HeaderField{Name: "a", Value: strings.Repeat("x", 4096), Sensitive: true})
			}
			rest := a.head.Bytes()
			_ = a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: rest[:16<<10]})
			for rest = rest[16<<10:]; len(rest) > 16<<10; rest = rest[16<<10:] {
				_ = a.fr.WriteContinuation(1, false, rest[:16<<10])
			}
			_ = a.fr.WriteContinuation(1, true, rest)
			a.flush()
			return a
		}},
		{name: "big answers byte by byte", requests: 100, ends: nil, attack: func(s *siege) *attacker {
			a := s.attack(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			var ids []uint32
			for range 100 {
				ids = append(ids, a.open(true, "/big"))
			}
			a.flush()
			for range 100 {
				<-a.data
			}
			for range 20 {
				for _, id := range ids {
					_ = a.fr.WriteWindowUpdate(id, 1)
				}
				if !a.flush() {
					break
				}
				for range ids {
					<-a.data
				}
			}
			return a
		}},
	}
}
