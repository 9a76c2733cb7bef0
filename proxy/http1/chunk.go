package http1

import "bytes"

// freeChunkLine is how many bytes of each size line cost nothing of Limits.MaxChunkOverhead: every possible
// size in digits, or a usual size and a short extension.
const freeChunkLine = 16

// maxChunkDigits bounds the digits of a size, leading zeros included: no reader on the way may find fewer
// or more of them significant than we do.
const maxChunkDigits = 16

// grammar consumes buffered framing of a chunked body (RFC 9112 section 7.1) up to the next payload. It
// reports whether payload comes next; otherwise more bytes are needed, or err is set.
func (b *Body) grammar() bool {
	for b.err == nil {
		ok := false
		switch b.state {
		case stateData:
			return true
		case stateSize:
			ok = b.size()
		case stateDataEnd:
			ok = b.dataEnd()
		case stateTrailer:
			ok = b.trailer()
		}
		if !ok {
			return false
		}
	}
	return false
}

// size reads a chunk-size line. A line is only consumed as a whole.
func (b *Body) size() bool {
	data := b.r.Peek()
	bound := min(len(data), maxChunkLine+2)
	end := bytes.IndexByte(data[:bound], '\n')
	line := data[:bound]
	if end >= 0 {
		line = data[:end+1]
	}
	if len(line) == 0 {
		return false
	}
	// Digits are judged as they come, so that garbage is refused at once and in the same way however it is
	// cut.
	n, digits, err := chunkSize(line)
	switch {
	case err != nil:
		return b.fail(err)
	case end < 0 && bound == maxChunkLine+2:
		return b.fail(ErrChunkOverhead)
	case end < 0:
		return false
	case line[end-1] != '\r':
		return b.fail(ErrBareLF)
	}
	if ext := line[digits : end-1]; len(ext) > 0 {
		if err := checkValue(ext); err == ErrBareCR {
			return b.fail(err)
		} else if err != nil {
			return b.fail(ErrBadChunkExtension)
		}
	}
	if b.waste -= max(0, end-1-freeChunkLine); b.waste < 0 {
		return b.fail(ErrChunkOverhead)
	}
	b.r.Discard(end + 1)
	b.left = n
	b.state = stateData
	if n == 0 {
		b.state = stateTrailer
	}
	return true
}

// chunkSize reads the digits at the beginning of a size line, of which only a part may have come. It
// returns the size and the number of digits. What follows them must be ';', CR, or nothing yet.
func chunkSize(line []byte) (n int64, digits int, err error) {
	for _, c := range line {
		if charTable[c]&charHex == 0 {
			break
		}
		if n >= 1<<58 || digits == maxChunkDigits {
			return 0, 0, ErrChunkTooLarge
		}
		d := int64(c - '0')
		if c > '9' {
			d = int64(c|0x20-'a') + 10
		}
		n = n<<4 | d
		digits++
	}
	switch {
	case digits == len(line):
		return n, digits, nil
	case line[digits] == '\n':
		return 0, 0, ErrBareLF
	case digits == 0 || line[digits] != ';' && line[digits] != '\r':
		return 0, 0, ErrBadChunkSize
	case line[digits] == '\r' && digits+1 < len(line) && line[digits+1] != '\n':
		return 0, 0, ErrBareCR
	}
	return n, digits, nil
}

// dataEnd consumes the CRLF behind the data of a chunk.
func (b *Body) dataEnd() bool {
	data := b.r.Peek()
	switch {
	case len(data) > 0 && data[0] == '\n':
		return b.fail(ErrBareLF)
	case len(data) > 0 && data[0] != '\r', len(data) > 1 && data[1] != '\n':
		return b.fail(ErrBadChunkEnd)
	case len(data) < 2:
		return false
	}
	b.r.Discard(2)
	b.state = stateSize
	return true
}

// trailer consumes the trailer section, as a whole, and ends the body. Line ends are judged as they come.
func (b *Body) trailer() bool {
	data := b.r.Peek()
	bound := min(len(data), b.maxHead)
	for {
		i := bytes.IndexByte(data[b.scanned:bound], '\n')
		if i < 0 {
			b.scanned = bound
			if bound == b.maxHead {
				return b.fail(ErrTrailerTooLarge)
			}
			return false
		}
		end := b.scanned + i
		if end == b.line || data[end-1] != '\r' {
			return b.fail(ErrBareLF)
		}
		blank := end == b.line+1
		b.scanned, b.line = end+1, end+1
		if blank {
			break
		}
	}
	section := data[:b.line]
	var err error
	if b.trailers, err = parseFields(section, b.trailers[:0], b.maxField, nil); err != nil {
		b.trailers = b.trailers[:0]
		return b.fail(err)
	}
	b.r.Discard(len(section))
	if len(b.trailers) > 0 {
		b.r.base = b.r.r // the trailers now lie where nothing is overwritten
	}
	b.finish()
	return true
}

func (b *Body) fail(err error) bool {
	b.err = err
	return false
}
