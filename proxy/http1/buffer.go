package http1

import "sync"

// BufferSize is the size in bytes of the buffer that a Reader borrows first.
const BufferSize = 8 << 10

// bodyBufferSize is what a Reader moves to when reads of a body fill the smaller buffer.
const bodyBufferSize = 32 << 10

// The pools hold pointers to arrays, so that lending and taking back allocates nothing. What a pool hands
// out influences no behaviour: only bytes that a read has just written are ever looked at.
var (
	pool8  = sync.Pool{New: func() any { return new([8 << 10]byte) }}
	pool16 = sync.Pool{New: func() any { return new([16 << 10]byte) }}
	pool32 = sync.Pool{New: func() any { return new([32 << 10]byte) }}
	pool64 = sync.Pool{New: func() any { return new([64 << 10]byte) }}
)

// borrow returns a buffer of at least size bytes, and of at least BufferSize.
func borrow(size int) []byte {
	switch {
	case size <= 8<<10:
		return pool8.Get().(*[8 << 10]byte)[:]
	case size <= 16<<10:
		return pool16.Get().(*[16 << 10]byte)[:]
	case size <= 32<<10:
		return pool32.Get().(*[32 << 10]byte)[:]
	case size <= 64<<10:
		return pool64.Get().(*[64 << 10]byte)[:]
	}
	return make([]byte, size)
}

// giveBack returns a buffer of borrow to its pool. Sizes without a pool, which only raised limits cause,
// are left to the garbage collector.
func giveBack(buf []byte) {
	switch len(buf) {
	case 8 << 10:
		pool8.Put((*[8 << 10]byte)(buf))
	case 16 << 10:
		pool16.Put((*[16 << 10]byte)(buf))
	case 32 << 10:
		pool32.Put((*[32 << 10]byte)(buf))
	case 64 << 10:
		pool64.Put((*[64 << 10]byte)(buf))
	}
}
