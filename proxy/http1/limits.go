package http1

// Defaults of Limits.
const (
	DefaultMaxHeadBytes     = 64 << 10 // bytes of one head or one trailer section
	DefaultMaxFields        = 100      // field lines of one head or one trailer section
	DefaultMaxTargetBytes   = 8 << 10  // bytes of the request target
	DefaultMaxChunkOverhead = 16 << 10 // wasted bytes in the size lines of one chunked body
)

// maxMethodBytes bounds the method. The longest registered one, UPDATEREDIRECTREF, has 17 bytes.
const maxMethodBytes = 32

// maxChunkLine bounds one chunk-size line with its extensions and without its CRLF.
const maxChunkLine = 4 << 10

// Limits bounds what a peer can make us hold or do. A nil *Limits and a field that is zero or negative mean
// the default. A Limits is only read, so one may be shared by any number of goroutines.
type Limits struct {
	// MaxHeadBytes is the longest head, from the first byte of the start line to the last of the blank
	// line, in bytes. It also bounds the trailer section of a chunked body. Default 64 KiB.
	MaxHeadBytes int
	// MaxFields is the largest number of field lines in a head, and again in a trailer section. Default 100.
	MaxFields int
	// MaxTargetBytes is the longest request target, in bytes. Default 8 KiB.
	MaxTargetBytes int
	// MaxChunkOverhead bounds the chunk extensions of one body, in bytes: what each chunk-size line has
	// beyond its first 16 bytes, added up over the body. Default 16 KiB.
	MaxChunkOverhead int
}

func (l *Limits) headBytes() int {
	if l == nil || l.MaxHeadBytes <= 0 {
		return DefaultMaxHeadBytes
	}
	return l.MaxHeadBytes
}

func (l *Limits) fields() int {
	if l == nil || l.MaxFields <= 0 {
		return DefaultMaxFields
	}
	return l.MaxFields
}

func (l *Limits) targetBytes() int {
	if l == nil || l.MaxTargetBytes <= 0 {
		return DefaultMaxTargetBytes
	}
	return l.MaxTargetBytes
}

func (l *Limits) chunkOverhead() int {
	if l == nil || l.MaxChunkOverhead <= 0 {
		return DefaultMaxChunkOverhead
	}
	return l.MaxChunkOverhead
}

// requestLineBytes is the longest request line that could pass, with its CRLF. A longer one is refused
// before its end has arrived, so that an endless target never costs more than the target's limit.
func (l *Limits) requestLineBytes() int {
	return maxMethodBytes + len(" ") + l.targetBytes() + len(" HTTP/1.1\r\n")
}
