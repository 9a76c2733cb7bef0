package scenario

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// This file and http2stream.go are a backend that speaks HTTP/2 (RFC 9113). net/http's server would do, but it starts its handlers in
// no order, and a run would not repeat. Here one goroutine reads, and what a frame brings about happens in the order of the
// frames; services end at instants of their own; and one goroutine at a time writes, what has been decided by then.

// What a backend gives its peers: how much of a request's body may be under way on a stream, and on a connection so much that
// streams never wait for each other.
const (
	streamRoom = 1 << 20
	connRoom   = 1 << 30
	maxWindow  = 1<<31 - 1
	firstRoom  = 65535 // of a connection and a stream, before anybody has said otherwise (RFC 9113 section 6.9.2)
)

// maxOut is how much of answers' bodies waits for the network in one connection at a time; the rest waits in its streams.
const maxOut = 64 << 10

// afterGoAway is how long a connection stays that has said GOAWAY and carries nothing: what its peer has sent meanwhile must not
// meet a closed socket, whose reset could overtake the GOAWAY.
const afterGoAway = time.Second

// h2Conn is one connection.
type h2Conn struct {
	*server
	gate   *gate
	nc     net.Conn
	reader *http2.Framer // of the goroutine that reads

	mu       sync.Mutex // never held over a wait
	out      bytes.Buffer
	writer   *http2.Framer // into out
	encoder  *hpack.Encoder
	block    bytes.Buffer // of the encoder
	flushing bool         // a goroutine is writing, or about to
	closing  bool         // it ends when out is empty
	over     bool         // the connection can carry nothing more

	open    map[uint32]*h2Stream // never walked
	sending []*h2Stream          // those whose answer has begun and not ended, in turn
	last    uint32               // the highest stream that was taken
	taken   int                  // how many were
	leaving bool                 // GOAWAY is said
	faulty  bool                 // because the peer has broken the protocol
	calm    *clock.Timer         // runs while no stream is open and the connection is to end for that

	window    int64 // what the peer allows for all streams together
	first     int64 // and for each new one
	frameSize int
	room      int64 // what we allow the peer, and it has not used
}

// serveConn serves a connection that was accepted in whatever it turns out to speak.
func (s *server) serveConn(nc net.Conn, g *gate) {
	nc = s.papers.server(nc, s.cfg.Address, s.http2)
	if s.http2 {
		reader := bufio.NewReader(nc)
		if s.chosen(nc, reader) {
			serveHTTP2(s, g, nc, reader)
			return
		}
		nc = readConn{nc, reader}
	}
	c := serverConn{server: s, gate: g, nc: nc}
	c.serve()
}

// readConn is a connection of which some has been read.
type readConn struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (c readConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// chosen says whether a client has chosen HTTP/2: by the handshake of TLS, or by beginning with its preface, of which the first four
// bytes are no method that a client of a scenario has.
func (s *server) chosen(nc net.Conn, reader *bufio.Reader) bool {
	if tc, ok := nc.(*tls.Conn); ok {
		return tc.Handshake() == nil && tc.ConnectionState().NegotiatedProtocol == "h2"
	}
	begin, err := reader.Peek(4)
	return err == nil && string(begin) == http2.ClientPreface[:4]
}

// serveHTTP2 serves a connection until its end.
func serveHTTP2(s *server, g *gate, nc net.Conn, reader *bufio.Reader) {
	c := &h2Conn{
		server: s, gate: g, nc: nc, reader: http2.NewFramer(nil, reader), open: make(map[uint32]*h2Stream),
		window: firstRoom, first: firstRoom, frameSize: 16 << 10, room: connRoom,
	}
	c.reader.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	c.reader.MaxHeaderListSize = 1 << 20
	c.reader.SetMaxReadFrameSize(16 << 10)
	c.writer = http2.NewFramer(&c.out, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	s.enter(c)
	if err := c.begin(reader); err == nil {
		c.read()
	}
	c.end()
	s.exit(c)
}

// begin exchanges what both sides begin with.
func (c *h2Conn) begin(reader *bufio.Reader) error {
	c.mu.Lock()
	_ = c.writer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(c.cfg.MaxStreams)},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamRoom},
	)
	_ = c.writer.WriteWindowUpdate(0, connRoom-firstRoom)
	c.restLocked()
	c.flushLocked()
	c.mu.Unlock()
	var preface [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(reader, preface[:]); err != nil || string(preface[:]) != http2.ClientPreface {
		return errors.New("no preface")
	}
	f, err := c.reader.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if err != nil || !ok || settings.IsAck() {
		c.fault(http2.ErrCodeProtocol)
		return errors.New("no SETTINGS")
	}
	return c.settings(settings)
}

// read deals with one frame after the other. A fault of the peer's, be it in one stream, ends the connection.
func (c *h2Conn) read() {
	for {
		f, err := c.reader.ReadFrame()
		if err == nil {
			err = c.frame(f)
		}
		var ofConn http2.ConnectionError
		var ofStream http2.StreamError
		switch {
		case err == nil:
			continue
		case errors.As(err, &ofConn):
			c.fault(http2.ErrCode(ofConn))
		case errors.As(err, &ofStream):
			c.fault(ofStream.Code)
		case errors.Is(err, http2.ErrFrameTooLarge):
			c.fault(http2.ErrCodeFrameSize)
		}
		return
	}
}

func (c *h2Conn) frame(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.enlarge(f.StreamID, int64(f.Increment))
	case *http2.RSTStreamFrame:
		return c.reset(f.StreamID)
	case *http2.PingFrame:
		if !f.IsAck() {
			c.say(func() { _ = c.writer.WritePing(true, f.Data) })
		}
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // PRIORITY, GOAWAY and what is not known ask for nothing
}

// settings takes the peer's in and says so.
func (c *h2Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			return c.resizeLocked(int64(s.Val))
		case http2.SettingMaxFrameSize:
			c.frameSize = int(min(s.Val, 16<<10)) // larger ones would only let streams wait for each other
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(s.Val)
			c.encoder.SetMaxDynamicTableSize(min(s.Val, 4<<10))
		}
		return nil
	})
	if err == nil {
		_ = c.writer.WriteSettingsAck()
		c.flushLocked()
	}
	return err
}

// say writes a frame.
func (c *h2Conn) say(write func()) {
	c.mu.Lock()
	write()
	c.flushLocked()
	c.mu.Unlock()
}

// fault tells the peer what it has done wrong, and ends the connection behind that.
func (c *h2Conn) fault(code http2.ErrCode) {
	c.mu.Lock()
	_ = c.writer.WriteGoAway(c.last, code, nil)
	c.leaving, c.faulty = true, true
	c.restLocked()
	c.flushLocked()
	c.mu.Unlock()
	_, _ = io.Copy(io.Discard, c.nc) // until the peer ends the connection, or the time is over
}

// goAway ends the connection in order: what has been taken is served, and nothing more is taken.
func (c *h2Conn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving || c.over {
		return
	}
	c.leaving = true
	_ = c.writer.WriteGoAway(c.last, http2.ErrCodeNo, nil)
	c.restLocked()
	c.flushLocked()
}

// restLocked begins the time after which a connection ends that carries nothing: soon after its GOAWAY, or, without a word, when
// its backend closes idle ones.
func (c *h2Conn) restLocked() {
	c.busyLocked()
	limit := c.cfg.CloseIdleAfter
	if c.leaving {
		limit = afterGoAway
	}
	if limit == 0 || len(c.open) > 0 && !c.faulty || c.over {
		return
	}
	var mine *clock.Timer
	c.work.Add(1)
	mine = c.clk.AfterFunc(limit, func() {
		defer c.work.Done()
		c.mu.Lock()
		if c.calm == mine {
			c.calm, c.closing = nil, true
			c.flushLocked()
		}
		c.mu.Unlock()
	})
	c.calm = mine
}

// busyLocked ends that time.
func (c *h2Conn) busyLocked() {
	if t := c.calm; t != nil {
		c.calm = nil
		if t.Stop() {
			c.work.Done()
		}
	}
}

// end is that of the connection, known by the goroutine that has read it to its end. Streams that hold a place only because
// their answer cannot leave give it back; those at work do so when that is done, as a server does that looks at its client
// only when it writes.
func (c *h2Conn) end() {
	c.mu.Lock()
	c.over = true
	c.busyLocked()
	held := c.sending
	c.sending = nil
	c.mu.Unlock()
	c.release(held)
}

// release gives back the places of streams that need them no more.
func (c *h2Conn) release(streams []*h2Stream) {
	for _, st := range streams {
		if st.placed && c.gate.leave() {
			c.clk.Sleep(0) // the next request begins in this instant; this connection goes on in another
		}
	}
}

// enter and exit keep the list of connections for faults, in the order in which they began.
func (s *server) enter(c *h2Conn) {
	s.mu.Lock()
	s.sessions = append(s.sessions, c)
	s.mu.Unlock()
}

func (s *server) exit(c *h2Conn) {
	s.mu.Lock()
	if i := slices.Index(s.sessions, c); i >= 0 {
		s.sessions = slices.Delete(s.sessions, i, i+1)
	}
	s.mu.Unlock()
}

// goAway says GOAWAY on all connections, and how many those are.
func (s *server) goAway() int {
	s.mu.Lock()
	all := slices.Clone(s.sessions)
	s.mu.Unlock()
	for _, c := range all {
		c.goAway()
	}
	return len(all)
}
