package http1

import (
	"bytes"
	"io"
)

// minRead is the room in bytes below which the Reader first moves things about rather than read in crumbs.
const minRead = 1 << 10

// maxEmptyReads is how often a source may return neither bytes nor an error before it is given up.
const maxEmptyReads = 100

// Reader reads heads and bodies from an io.Reader, usually a connection. It borrows a buffer of BufferSize
// bytes when it must read and has none, and keeps it until ReleaseBuffer or Reset; a read that fails while
// nothing is buffered gives it back by itself. A larger head moves to buffers of twice the size each, up to
// Limits.MaxHeadBytes; the next head shrinks back.
//
// The zero value is ready after Reset. A Reader belongs to one goroutine at a time.
//
// Invariants: the unread bytes are buf[r:w], with base <= r <= w <= len(buf). Nothing below base is
// overwritten: there lies the head whose slices the caller still holds. When the head's buffer had too
// little room behind it, it waits in pinned, and buf is a second buffer with base 0.
type Reader struct {
	src        io.Reader
	buf        []byte
	pinned     []byte
	base, r, w int
	scanned    int  // bytes of the unread head that have been searched for its end
	line       int  // where, among the unread bytes, the line begins that the search stands in
	skipped    bool // the one permitted CRLF before the head was there
	started    bool // a byte of the head is there
	full       bool // the last read filled all the room it was given
	err        error
}

// Reset makes the Reader read from src, as if new: borrowed buffers go back, unread bytes and a pending
// error are forgotten. A nil src only lets go of the old one.
func (r *Reader) Reset(src io.Reader) {
	r.dropBuffers()
	*r = Reader{src: src}
}

// ReadRequest reads one head and parses it into req. It returns
//   - io.EOF if the source ended before a byte of the head (one CRLF may have come),
//   - io.ErrUnexpectedEOF if it ended within the head,
//   - a *ParseError if the head was refused,
//   - any other error of the source as it is; after a timeout ReadRequest may be called again and goes on
//     where it stood.
//
// The slices of the Request or Response read before become invalid at the call. Bytes of the body are left
// to a Body.
func (r *Reader) ReadRequest(req *Request, lim *Limits) error {
	head, err := r.readHead(lim.headBytes(), lim.requestLineBytes(), true)
	if err != nil {
		return err
	}
	return req.Parse(head, lim)
}

// ReadResponse reads one head, which may be a 1xx one, and parses it into resp; method is that of the
// request it answers. Its errors are those of ReadRequest; no CRLF is skipped.
func (r *Reader) ReadResponse(resp *Response, method []byte, lim *Limits) error {
	head, err := r.readHead(lim.headBytes(), lim.headBytes(), false)
	if err != nil {
		return err
	}
	return resp.Parse(head, method, lim)
}

// Started reports whether a byte of the head has arrived that the last ReadRequest or ReadResponse was to
// read, whether or not it succeeded. It tells a slow request (408) from a silent client, and an answer
// begun from none.
func (r *Reader) Started() bool { return r.started }

// Buffered returns how many bytes have been read from the source and not yet consumed.
func (r *Reader) Buffered() int { return r.w - r.r }

// Peek returns the buffered bytes without consuming them. They are valid until the next call that reads.
func (r *Reader) Peek() []byte { return r.buf[r.r:r.w:r.w] }

// Discard consumes n buffered bytes. It panics if there are fewer.
func (r *Reader) Discard(n int) {
	if n < 0 || n > r.w-r.r {
		panic("http1: Reader.Discard of more than is buffered")
	}
	r.r += n
	r.scanned, r.line = 0, 0
}

// Fill reads from the source once and adds what came to the buffered bytes: to sniff a protocol, or to read
// on behind the last message of a connection, as a tunnel does. It returns the source's error if no byte
// came. Peeked bytes and data of a Body become invalid; a head and trailers do not.
func (r *Reader) Fill() error {
	err := r.fill()
	r.tidy(err)
	return err
}

// Room returns where bytes from the source can be put, for a caller that reads from it itself and then calls Filled. It
// borrows a buffer if there is none, as a read would. Peeked bytes and data of a Body become invalid; a head does not.
func (r *Reader) Room() []byte {
	r.makeRoom()
	return r.buf[r.w:]
}

// Filled says that n bytes have been put into what Room returned. It panics if they do not fit there.
func (r *Reader) Filled(n int) {
	if n < 0 || n > len(r.buf)-r.w {
		panic("http1: Reader.Filled with more than Room had")
	}
	r.full = n == len(r.buf)-r.w
	r.w += n
}

// ReleaseBuffer gives the borrowed memory back if no unread byte is buffered, so that an idle connection
// holds none; it reports whether the Reader now holds none. Slices of the last head and its trailers become
// invalid in either case.
func (r *Reader) ReleaseBuffer() bool {
	if r.w > r.r {
		return false
	}
	r.dropBuffers()
	return true
}

func (r *Reader) dropBuffers() {
	if r.pinned != nil {
		giveBack(r.pinned)
		r.pinned = nil
	}
	if r.buf != nil {
		giveBack(r.buf)
		r.buf = nil
	}
	r.base, r.r, r.w = 0, 0, 0
	r.full = false
}

// tidy gives buffers back after a failed read that leaves nothing to keep them for.
func (r *Reader) tidy(err error) {
	if err != nil && r.r == r.w && r.base == 0 && r.pinned == nil {
		r.dropBuffers()
	}
}

// readHead returns the next complete head. Nothing before it is needed any more.
func (r *Reader) readHead(maxHead, maxLine int, request bool) ([]byte, error) {
	r.begin()
	for {
		n, err := r.scanHead(maxHead, maxLine, request)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			head := r.buf[r.r : r.r+n : r.r+n]
			r.r += n
			r.base = r.r
			r.scanned, r.line, r.skipped = 0, 0, false
			return head, nil
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			r.tidy(err)
			return nil, err
		}
	}
}

// begin forgets the previous head and goes back to the small buffer where the unread bytes allow it.
func (r *Reader) begin() {
	r.started = false
	r.base = 0
	if r.pinned != nil {
		giveBack(r.pinned)
		r.pinned = nil
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if len(r.buf) > BufferSize && r.w-r.r <= BufferSize/2 {
		r.relocate(BufferSize)
	}
	r.full = false
}

// scanHead searches the unread bytes for the end of the head and returns the head's length, or 0 if more
// bytes are needed. It goes on where it stopped. Line ends are judged here already, since a peer that ends
// its lines otherwise would never send the end that is waited for. Only the first maxHead bytes are looked
// at, whatever else has arrived, so that the verdict does not depend on how the bytes were cut.
func (r *Reader) scanHead(maxHead, maxLine int, request bool) (int, error) {
	if r.scanned == 0 {
		if ok, err := r.scanFirst(request); !ok {
			return 0, err
		}
	}
	r.started = true
	data := r.buf[r.r:r.w]
	limit := min(len(data), maxHead)
	for {
		bound := limit
		if r.line == 0 {
			bound = min(limit, maxLine)
		}
		i := bytes.IndexByte(data[r.scanned:bound], '\n')
		if i < 0 {
			r.scanned = bound
			switch {
			case bound == maxHead:
				return 0, ErrHeaderTooLarge
			case r.line == 0 && bound == maxLine:
				return 0, ErrTargetTooLong
			}
			return 0, nil
		}
		end := r.scanned + i
		if end == r.line || data[end-1] != '\r' {
			return 0, ErrBareLF
		}
		r.scanned = end + 1
		if end == r.line+1 {
			return end + 1, nil
		}
		r.line = end + 1
	}
}

// scanFirst judges the beginning of a head: it skips the one permitted CRLF, and refuses what cannot begin
// a start line without waiting for more. It reports whether the first byte is there and good.
func (r *Reader) scanFirst(request bool) (bool, error) {
	if request && !r.skipped && r.w > r.r && r.buf[r.r] == '\r' {
		if r.w-r.r == 1 {
			return false, nil
		}
		if r.buf[r.r+1] != '\n' {
			return false, ErrBareCR
		}
		r.r += 2
		r.skipped = true
	}
	if r.w == r.r {
		return false, nil
	}
	switch c := r.buf[r.r]; {
	case request && is(c, charToken), !request && c == 'H':
		return true, nil
	case c == '\n':
		r.started = true
		return false, ErrBareLF
	case request && c == '\r':
		r.started = true
		return false, ErrBadRequestLine
	case request:
		r.started = true
		return false, ErrBadMethod
	default:
		r.started = true
		return false, ErrBadStatusLine
	}
}

// fill reads from the source once. It returns nil if at least one byte came; an error that came with bytes
// is kept for the next call, and told once.
func (r *Reader) fill() error {
	if r.err != nil {
		err := r.err
		r.err = nil
		return err
	}
	r.makeRoom()
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.w:])
		if n < 0 || n > len(r.buf)-r.w {
			panic("http1: source returned an impossible count from Read")
		}
		r.full = n == len(r.buf)-r.w
		r.w += n
		if n > 0 {
			r.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom sees to it that there is room to read into, without touching anything below base.
func (r *Reader) makeRoom() {
	if r.buf == nil {
		r.buf = borrow(BufferSize)
		return
	}
	if r.r == r.w {
		r.r, r.w = r.base, r.base
	}
	room := len(r.buf) - r.w
	if room >= minRead {
		return
	}
	if r.r > r.base {
		r.w = r.base + copy(r.buf[r.base:], r.buf[r.r:r.w])
		r.r = r.base
		room = len(r.buf) - r.w
	}
	switch unread := r.w - r.r; {
	case r.base > 0 && room < minRead:
		r.relocate(max(BufferSize, 2*unread))
	case room == 0:
		r.relocate(2 * len(r.buf))
	}
}

// relocate moves the unread bytes to the beginning of another buffer of the size. The old buffer is pinned
// if it holds a head that is still needed. If it holds trailers while a head is pinned already, it is left
// to the garbage collector: that takes a second large section and bytes behind the message, which no steady
// state has.
func (r *Reader) relocate(size int) {
	buf := borrow(size)
	n := copy(buf, r.buf[r.r:r.w])
	switch {
	case r.base == 0:
		giveBack(r.buf)
	case r.pinned == nil:
		r.pinned = r.buf
	}
	r.buf, r.base, r.r, r.w = buf, 0, 0, n
}

// fillBody is fill for a body: once reads fill all the room they get, there is more to come than a small
// buffer carries well, and it goes on in a larger one.
func (r *Reader) fillBody() error {
	if r.full && r.r == r.w && r.buf != nil && len(r.buf) < bodyBufferSize {
		r.relocate(bodyBufferSize)
	}
	err := r.fill()
	r.tidy(err)
	return err
}
