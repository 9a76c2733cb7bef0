package http1

import "io"

// Body yields the payload of one message that a Reader has come to. It is a value to be kept and started
// again for each message; it holds no memory but that of Trailers. It belongs to the goroutine of its
// Reader.
//
// Invariant: the Body consumes exactly the bytes of its message from the Reader; behind its end
// Reader.Buffered tells what came of the next message, or, from a backend, what should not have come at
// all.
type Body struct {
	r        *Reader
	framing  Framing
	state    bodyState
	left     int64 // payload bytes to come of the body or of the current chunk
	passed   int64 // payload bytes that have been yielded, or went past the Reader
	waste    int   // bytes of extensions still permitted
	scanned  int   // bytes of the unread trailer section that have been searched for its end
	line     int   // where in it the line begins that the search stands in
	maxHead  int
	maxField int
	err      error // told by every call once set; io.EOF behind the end
	trailers []Field
}

type bodyState uint8

const (
	stateData    bodyState = iota // payload follows, left bytes of it unless UntilClose
	stateSize                     // a chunk-size line follows
	stateDataEnd                  // the CRLF behind the data of a chunk follows
	stateTrailer                  // the trailer section follows
	stateEnd                      // the body has ended
)

// Start begins the body of the message whose head r has just read. length is only used with ContentLength,
// and must not be negative then; a nil lim means the defaults. The Body may be started again at any time.
func (b *Body) Start(r *Reader, framing Framing, length int64, lim *Limits) {
	*b = Body{
		r: r, framing: framing, trailers: b.trailers[:0],
		waste: lim.chunkOverhead(), maxHead: lim.headBytes(), maxField: lim.fields(),
	}
	switch framing {
	case NoBody:
		b.finish()
	case ContentLength:
		if length < 0 {
			panic("http1: Body.Start with a negative length")
		}
		b.left = length
		if length == 0 {
			b.finish()
		}
	case Chunked:
		b.state = stateSize
	case UntilClose:
	default:
		panic("http1: Body.Start with an invalid framing")
	}
}

// Next returns the next run of payload, never empty, reading from the source if none is buffered. The run
// aliases the Reader's buffer and is valid until the next call of Next, Available or a method of the Reader
// that reads. Its errors:
//   - io.EOF behind the end of the body, and behind its trailer section,
//   - io.ErrUnexpectedEOF if the source ended before,
//   - a *ParseError for bad chunk grammar or a limit passed,
//   - any other error of the source as it is; after a timeout Next may be called again.
func (b *Body) Next() ([]byte, error) {
	for {
		if run := b.take(); len(run) > 0 {
			return run, nil
		}
		if b.err != nil {
			return nil, b.err
		}
		if err := b.r.fillBody(); err != nil {
			if err != io.EOF {
				return nil, err
			}
			if b.framing != UntilClose {
				b.err = io.ErrUnexpectedEOF
				return nil, b.err
			}
			b.finish()
		}
	}
}

// Available is Next without reading: it consumes and returns the next run of payload that is buffered
// already, empty if there is none, and whether the body has ended with it. It lets a head and a short body
// leave in one write. A run of Available is valid as long as a run of Next. An error in the bytes behind
// the run is told by the next call of Next.
func (b *Body) Available() (run []byte, ended bool) {
	run = b.take()
	return run, b.Done()
}

// Done reports whether the body has ended well: all of its bytes, framing and trailers included, have been
// consumed.
func (b *Body) Done() bool { return b.state == stateEnd }

// Trailers returns the fields of the trailer section of a chunked body that is Done. They alias the
// Reader's buffer like the head, and have not been filtered: see AppendLastChunk. They must never be merged
// into the fields of the head.
func (b *Body) Trailers() []Field { return b.trailers }

// Remaining returns how many bytes of a ContentLength body are still to come from the Reader, buffered ones
// included; zero for a body that is Done, and -1 where the number is unknown.
func (b *Body) Remaining() int64 {
	switch {
	case b.state == stateEnd:
		return 0
	case b.framing == ContentLength:
		return b.left
	}
	return -1
}

// Bypassed tells the Body that n bytes of its payload went from the source to their destination past the
// Reader, by splice or sendfile; for UntilClose, ended tells that the source ended behind them. It panics
// if payload was still buffered, if the body is chunked, or if n exceeds what Remaining says.
func (b *Body) Bypassed(n int64, ended bool) {
	switch {
	case n == 0 && (!ended || b.framing == ContentLength):
		return
	case n < 0 || b.framing == Chunked || b.state != stateData || b.r.Buffered() > 0:
		panic("http1: Body.Bypassed where the body cannot have been")
	case b.framing == UntilClose:
		b.passed += n
		if ended {
			b.finish()
		}
		return
	case n > b.left:
		panic("http1: Body.Bypassed beyond the end of the body")
	}
	b.left -= n
	b.passed += n
	if b.left == 0 {
		b.finish()
	}
}

// Passed returns how many bytes of payload Next, Available and Bypassed have seen since Start.
func (b *Body) Passed() int64 { return b.passed }

func (b *Body) finish() {
	b.state = stateEnd
	b.err = io.EOF
}

// take consumes what is buffered up to the end of the next run of payload and returns that run, and then
// goes on over the grammar behind it, so that Done is true as soon as the last byte has been buffered. Only
// reading moves bytes, hence the run stays valid meanwhile.
func (b *Body) take() []byte {
	run := b.step()
	if len(run) > 0 && b.framing == Chunked && b.left == 0 {
		b.grammar()
	}
	return run
}

// step returns one run, or nothing if there is an error, the end, or a need for more bytes.
func (b *Body) step() []byte {
	if b.err != nil {
		return nil
	}
	if b.framing == Chunked && !b.grammar() {
		return nil
	}
	r := b.r
	n := r.w - r.r
	if b.framing != UntilClose && int64(n) > b.left {
		n = int(b.left)
	}
	if n == 0 {
		return nil
	}
	run := r.buf[r.r : r.r+n : r.r+n]
	r.r += n
	b.passed += int64(n)
	if b.framing == UntilClose {
		return run
	}
	b.left -= int64(n)
	if b.left == 0 {
		if b.framing == ContentLength {
			b.finish()
		} else {
			b.state = stateDataEnd
		}
	}
	return run
}
