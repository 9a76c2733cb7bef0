package http2

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"

	"github.com/benbjohnson/clock"
)

// The frames that are looked for (RFC 9113 section 6), and their flags. ACK and END_STREAM are the same bit.
const (
	frameHead         = 9
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9
	flagAck           = 1
	flagEndStream     = 1
	flagEndHeaders    = 4
	flagPadded        = 8
	flagPriority      = 32

	settingInitialWindow = 4
)

// watched is a backend's connection in the hands of net/http, which keeps to itself some of what it reads: that the first
// SETTINGS have come, before which it reports a hundred streams; that the backend wants to go; whether anything has come
// at all. Only the heads of frames are looked at, SETTINGS and WINDOW_UPDATE.
//
// A Read is called again when what the last one gave has been dealt with. That is when news are told.
type watched struct {
	net.Conn
	clk clock.Clock
	// single gives out one frame at a time, in a simulation: each then has an instant for those that it wakes.
	single  bool
	changed func()                       // the limits may be others; called without a lock
	cut     func(last uint32, why error) // ends the streams above that number, in a simulation

	in       frames // of the goroutine that reads, like what follows
	settings int    // SETTINGS of the backend's that have been read
	news     bool
	whole    bool   // a frame is complete
	rest     func() // it has been given out; nil: none has
	leaves   bool   // the backend has said GOAWAY, and its streams have not been told
	last     uint32 // of them, the last that it has looked at
	bad      error  // why a frame must not be given out; nil: it may be
	calm     *calm

	out     frames // of whoever writes: one at a time
	preface int    // bytes to come of what is written before the first frame
	windows *windows
	opened  uint32 // the last stream of which the head was written

	heard  atomic.Uint64 // reads that brought something
	goAway atomic.Bool
	ended  atomic.Bool
	lost   atomic.Bool // in a simulation: it has broken off, and its streams are ended one by one
	begun  atomic.Bool
	ready  chan struct{} // closed when the first SETTINGS are in force, or there will be none
}

func newWatched(nc net.Conn, clk clock.Clock, changed func()) *watched {
	_, single := clk.(reserver)
	w := &watched{Conn: nc, clk: clk, single: single, changed: changed, ready: make(chan struct{}), windows: newWindows(), preface: len(preface)}
	w.calm = newCalm(clk)
	w.in.ended = w.read
	w.out.started = func() {
		w.windows.sent(w.out.kind(), w.out.flags(), w.out.id(), w.out.left)
		w.calm.sent(&w.out)
		if w.out.kind() == frameHeaders {
			w.opened = w.out.id()
		}
	}
	return w
}

// preface is what a client of HTTP/2 begins with (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	if w.rest != nil {
		w.rest() // whom that frame has woken goes first
		w.rest = nil
	}
	if w.news {
		w.news = false
		w.tell()
	}
	if w.single {
		p = p[:min(len(p), w.in.want())]
	}
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Add(1)
		if w.in.scan(p[:n]); w.bad != nil {
			n, err = 0, w.bad
		}
	}
	if w.single {
		w.inOrder(err)
		if w.whole {
			w.whole, w.rest = false, apart(w.clk) // reserved before anybody is woken
		}
	}
	return n, err
}

// inOrder ends the streams that end by what has been read, before net/http does.
func (w *watched) inOrder(err error) {
	last, why := w.last, ErrUnprocessed
	switch {
	case err != nil:
		last, why = 0, err
		w.goAway.Store(true) // it takes nothing more
		w.lost.Store(true)
		if err == io.EOF {
			why = io.ErrUnexpectedEOF
		}
	case !w.leaves:
		return
	}
	w.leaves = false
	rest := apart(w.clk)
	w.changed()
	rest()
	w.cut(last, why)
}

// Write implements net.Conn.
func (w *watched) Write(p []byte) (int, error) {
	if w.lost.Load() {
		return len(p), nil // an error would make net/http end all streams at once
	}
	skip := min(w.preface, len(p))
	w.preface -= skip
	w.out.scan(p[skip:])
	return w.Conn.Write(p)
}

// read notes a frame that is complete.
func (w *watched) read(payload []byte) {
	w.whole = true
	if w.in.kind() != frameReset && w.calm.heard(&w.in) != "" { // a backend that refuses many streams is in need
		w.bad = errFlood
	}
	switch w.in.kind() {
	case frameSettings:
		if w.in.flags()&flagAck != 0 {
			return
		}
		if len(payload) == maxKept { // nobody has so much to say
			w.bad = errFlood
		}
		w.settings++
		w.news = true
		for ; len(payload) >= 6; payload = payload[6:] {
			if binary.BigEndian.Uint16(payload) == settingInitialWindow {
				w.windows.begun(int64(binary.BigEndian.Uint32(payload[2:])))
			}
		}
	case frameWindow:
		if len(payload) == 4 && !w.windows.enlarged(w.in.id(), int64(binary.BigEndian.Uint32(payload)&maxWindow)) {
			w.bad = errWindow
		}
	case frameGoAway:
		w.goAway.Store(true)
		w.news = true
		if len(payload) >= 8 {
			w.leaves, w.last = true, binary.BigEndian.Uint32(payload)&maxWindow
			if binary.BigEndian.Uint32(payload[4:]) != 0 {
				w.last = max(w.last, 1) // net/http takes it for the first stream's own fault
			}
		}
	}
}

// tell tells what has become known.
func (w *watched) tell() {
	if w.settings > 0 {
		w.begin()
	}
	w.changed()
}

// begin lets the set-up end.
func (w *watched) begin() {
	if !w.begun.Swap(true) { // a sync.Once would hold its lock while the waker rests
		rouse(w.clk, w.ready)
	}
}

// Close implements net.Conn.
func (w *watched) Close() error {
	err := w.Conn.Close()
	if !w.ended.Swap(true) {
		w.begin()
		if !w.single || !w.goAway.Load() { // else it has been told, and net/http ends it beside the end of its last stream
			w.changed()
		}
	}
	return err
}
