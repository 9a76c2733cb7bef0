package http2

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/benbjohnson/clock"
)

// The frames that are looked for (RFC 9113 section 6), and the flag of a SETTINGS that only answers ours.
const (
	frameHead     = 9
	frameSettings = 4
	frameGoAway   = 7
	flagAck       = 1
)

// watched is a backend's connection in the hands of net/http, which keeps to itself some of what it reads: that the first
// SETTINGS have come, before which it reports a hundred streams; that the backend wants to go; whether anything has come
// at all. Only the heads of frames are looked at.
//
// A Read is called again when what the last one gave has been dealt with. That is when news are told.
type watched struct {
	net.Conn
	clk clock.Clock
	// single gives out one frame at a time, in a simulation: each then has an instant for those that it wakes.
	single  bool
	changed func() // the limits may be others; called without a lock

	// Of the goroutine that reads:
	head     [frameHead]byte
	have     int // bytes of head
	left     int // bytes of the frame's payload to come
	settings int // SETTINGS of the backend's that have been read
	news     bool
	whole    bool // a frame has been given out

	heard  atomic.Uint64 // reads that brought something
	goAway atomic.Bool
	ended  atomic.Bool
	once   sync.Once
	ready  chan struct{} // closed when the first SETTINGS are in force, or there will be none
}

func newWatched(nc net.Conn, clk clock.Clock, changed func()) *watched {
	_, single := clk.(reserver)
	return &watched{Conn: nc, clk: clk, single: single, changed: changed, ready: make(chan struct{})}
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	if w.news {
		w.news = false
		w.tell()
	}
	if w.single {
		if w.whole {
			w.whole = false
			apart(w.clk)() // whom that frame has woken goes first
		}
		most := w.left
		if most == 0 {
			most = frameHead - w.have
		}
		p = p[:min(len(p), most)]
	}
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Add(1)
		w.scan(p[:n])
	}
	return n, err
}

// scan follows the frames.
func (w *watched) scan(p []byte) {
	for len(p) > 0 {
		if w.left > 0 {
			n := min(w.left, len(p))
			w.left -= n
			p = p[n:]
		} else {
			n := copy(w.head[w.have:], p)
			w.have += n
			if p = p[n:]; w.have < frameHead {
				return
			}
			w.left = int(w.head[0])<<16 | int(w.head[1])<<8 | int(w.head[2])
		}
		if w.left == 0 {
			w.frame()
		}
	}
}

// frame notes one that is complete.
func (w *watched) frame() {
	w.have, w.whole = 0, true
	switch w.head[3] {
	case frameSettings:
		if w.head[4]&flagAck == 0 {
			w.settings++
			w.news = true
		}
	case frameGoAway:
		w.goAway.Store(true)
		w.news = true
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
	w.once.Do(func() { rouse(w.clk, w.ready) })
}

// Close implements net.Conn.
func (w *watched) Close() error {
	err := w.Conn.Close()
	if !w.ended.Swap(true) {
		w.begin()
		w.changed()
	}
	return err
}
