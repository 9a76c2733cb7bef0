package netsim

// segment is a piece of one direction's byte stream, or a mark in it. One Write makes one segment unless it
// is long.
type segment struct {
	next *segment
	buf  []byte
	off  int // how much of buf has been read
	kind PacketKind
	seq  uint64 // place in the stream; 0 for a RST, which has none
	at   int64  // when it arrives
	flip uint64 // not 0: one bit of it is to turn on the way, and this draw says which
	tie  uint64

	// Before a shared bottleneck.
	delay  int64 // of the rest of its way
	shared bool  // it has to go through
}

func (g *segment) size() int { return len(g.buf) }

// segQueue is a FIFO of segments.
type segQueue struct{ head, tail *segment }

func (q *segQueue) empty() bool { return q.head == nil }

func (q *segQueue) push(g *segment) {
	g.next = nil
	if q.tail == nil {
		q.head = g
	} else {
		q.tail.next = g
	}
	q.tail = g
}

// insert puts g where its place in the stream is.
func (q *segQueue) insert(g *segment) {
	if q.tail == nil || q.tail.seq < g.seq {
		q.push(g)
		return
	}
	at := &q.head
	for (*at).seq < g.seq {
		at = &(*at).next
	}
	g.next, *at = *at, g
}

func (q *segQueue) pop() *segment {
	g := q.head
	if g != nil {
		q.head = g.next
		if q.head == nil {
			q.tail = nil
		}
		g.next = nil
	}
	return g
}

const (
	maxSegment  = 32 << 10
	minClass    = 512 // bytes of the smallest buffer
	maxFreeSegs = 256 // for each class, so that a burst is not kept for ever
)

// segmentPool keeps used segments by the size of their buffers, each class four times the one before. It is
// a plain list and not a sync.Pool, whose contents depend on the scheduler. Sim.mu guards it.
type segmentPool struct {
	free  [4]segQueue // 512 bytes, 2, 8, 32 KiB
	count [4]int
	marks segQueue // without a buffer
}

func classOf(n int) (class, size int) {
	size = minClass
	for size < n {
		size *= 4
		class++
	}
	return class, size
}

// get returns a segment that holds a copy of b.
func (p *segmentPool) get(kind PacketKind, b []byte) *segment {
	if len(b) == 0 {
		g := p.marks.pop()
		if g == nil {
			g = new(segment)
		}
		g.kind = kind
		return g
	}
	if len(b) > maxSegment {
		return &segment{kind: kind, buf: append([]byte(nil), b...)} // of eager writes; not kept for later
	}
	class, size := classOf(len(b))
	g := p.free[class].pop()
	if g == nil {
		g = &segment{buf: make([]byte, 0, size)}
	} else {
		p.count[class]--
	}
	g.kind, g.off = kind, 0
	g.buf = append(g.buf[:0], b...)
	return g
}

func (p *segmentPool) put(g *segment) {
	if cap(g.buf) == 0 {
		p.marks.push(g)
		return
	}
	if cap(g.buf) > maxSegment {
		return
	}
	class, _ := classOf(cap(g.buf))
	if p.count[class] < maxFreeSegs {
		p.count[class]++
		p.free[class].push(g)
	}
}

func (p *segmentPool) putAll(q *segQueue) {
	for g := q.pop(); g != nil; g = q.pop() {
		p.put(g)
	}
}
