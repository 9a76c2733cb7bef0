package http2

import (
	"encoding/binary"
	"errors"
	"sync"
)

// windows keeps the account of the streams' windows that a backend gives us, which is net/http's affair but for one fault: a
// WINDOW_UPDATE that takes a stream's window beyond 2^31-1 makes it lock a mutex that it holds (Go 1.26: processWindowUpdate
// calls endStreamError under cc.mu), and whoever asks the connection anything then waits for ever. Such a frame must
// therefore not reach it. What is counted here is never less than net/http's own count.
type windows struct {
	mu      sync.Mutex // never held over a wait
	initial int64
	of      map[uint32]int64 // updates less bytes sent, of the streams that we have opened
	over    []uint32         // those of them that have ended, oldest first; net/http may still know them
}

// maxWindow is the largest window (RFC 9113 section 6.9.1), keepEnded how many ended streams are remembered.
const (
	maxWindow = 1<<31 - 1
	keepEnded = 256
)

var (
	errWindow = errors.New("http2: the backend has enlarged a window beyond 2^31-1")
	errFlood  = errors.New("http2: the backend sends too many frames without use")
)

func newWindows() *windows { return &windows{initial: 65535, of: map[uint32]int64{}} }

// sent notes a frame of ours.
func (w *windows) sent(kind, flags byte, id uint32, length int) {
	if id == 0 || kind != frameData && kind != frameHeaders && kind != frameReset {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	have, known := w.of[id]
	switch {
	case kind == frameHeaders && !known:
		w.of[id] = 0
	case kind == frameData:
		w.of[id] = have - int64(length)
	}
	if kind == frameReset || flags&flagEndStream != 0 {
		if w.over = append(w.over, id); len(w.over) > keepEnded {
			delete(w.of, w.over[0])
			w.over = w.over[1:]
		}
	}
}

// enlarged notes a WINDOW_UPDATE, and says whether the window can be so large.
func (w *windows) enlarged(id uint32, by int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	have, known := w.of[id]
	if !known {
		return true
	}
	w.of[id] = have + by
	return w.initial+have+by <= maxWindow
}

// begun notes the window with which streams begin. It takes the largest that there was.
func (w *windows) begun(size int64) {
	w.mu.Lock()
	w.initial = max(w.initial, size)
	w.mu.Unlock()
}

// frames follows the heads of frames in a stream of bytes.
type frames struct {
	head    [frameHead]byte
	have    int
	size    int // bytes of the payload
	left    int // of those, the ones to come
	keep    []byte
	started func()               // the head is complete
	part    func(p []byte)       // a part of the payload of HEADERS or CONTINUATION, where it is wanted
	ended   func(payload []byte) // so is the payload, of which maxKept bytes are here at most
	stop    bool                 // set by ended: scan goes no further
}

// maxKept is how much of the payload of a frame is kept for ended, where it is wanted.
const maxKept = 1 << 10

func (f *frames) kind() byte  { return f.head[3] }
func (f *frames) flags() byte { return f.head[4] }
func (f *frames) id() uint32  { return binary.BigEndian.Uint32(f.head[5:]) & maxWindow }

// want is how many bytes the part of the frame has that is under way.
func (f *frames) want() int {
	if f.left > 0 {
		return f.left
	}
	return frameHead - f.have
}

// scan follows the bytes, and says how many: all of them, unless it was stopped.
func (f *frames) scan(p []byte) int {
	for all := len(p); ; {
		if len(p) == 0 || f.stop {
			return all - len(p)
		}
		if f.left == 0 {
			n := copy(f.head[f.have:], p)
			f.have += n
			if p = p[n:]; f.have < frameHead {
				return all
			}
			f.size = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
			f.left = f.size
			f.keep = f.keep[:0]
			if f.started != nil {
				f.started()
			}
		} else {
			n := min(f.left, len(p))
			if k := f.kind(); f.ended != nil && (k == frameSettings || k == frameWindow || k == frameReset || k == frameGoAway) {
				f.keep = append(f.keep, p[:min(n, maxKept-len(f.keep))]...)
			}
			if k := f.kind(); f.part != nil && (k == frameHeaders || k == frameContinuation) {
				f.part(p[:n])
			}
			f.left -= n
			p = p[n:]
		}
		if f.left == 0 {
			f.have = 0
			if f.ended != nil {
				f.ended(f.keep)
			}
		}
	}
}
