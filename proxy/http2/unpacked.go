package http2

// unpacked follows the heads that a client sends, compressed by HPACK (RFC 7541), and knows how large the fields are that they stand
// for. net/http makes these, and tells nobody in time: a field of 4 KiB, once sent, costs a byte in each later head. Only lengths
// are kept, those of the fields in the dynamic table. What it cannot read is a fault by which net/http ends the connection.
type unpacked struct {
	size int64 // bytes of names and values, of all heads together
	bad  bool

	// The dynamic table (section 2.3.2). The newest field is the last; those before first have been evicted.
	table      []fieldSize
	first      int
	used, most int

	step    unpackStep
	literal bool   // else the field stands in a table as a whole
	insert  bool   // it goes into the table
	number  uint64 // an integer under way (section 5.1)
	shift   uint
	name    int // length of the name
	value   bool
	huffman bool
	left    uint64 // bytes of a string that are to come
	symbols int    // of it, so far
	code    uint64 // bits that are no symbol yet, the first of them the highest
	bits    uint   // how many they are
}

type fieldSize struct{ name, value uint16 }

// unpackStep is what the next byte is a part of.
type unpackStep uint8

const (
	stepField unpackStep = iota
	stepIndex            // the rest of an index
	stepResize
	stepString // the length of a string
	stepLength // the rest of that
	stepBytes
)

const (
	// tableSize is what the table may hold: net/http grants what the protocol begins with. Less must not be granted: its decoder would
	// begin with that, while clients may use all of it until they have read so (RFC 9113 section 4.3.1).
	tableSize = 4096
	// entryBeside is what an entry counts for beside its bytes (section 4.1).
	entryBeside = 32
)

func newUnpacked() *unpacked { return &unpacked{most: tableSize} }

// feed takes bytes of a header block.
func (u *unpacked) feed(p []byte) {
	for len(p) > 0 && !u.bad {
		if u.step == stepBytes {
			n := int(min(u.left, uint64(len(p))))
			u.text(p[:n])
			p = p[n:]
			continue
		}
		u.byte(p[0])
		p = p[1:]
	}
}

// byte takes one that is not of a string.
func (u *unpacked) byte(b byte) {
	switch u.step {
	case stepField:
		u.begin(b)
	case stepString:
		u.huffman = b&0x80 != 0
		u.prefix(b, 7, stepLength)
	default:
		if u.number += uint64(b&0x7f) << u.shift; b&0x80 == 0 {
			u.whole()
		} else if u.shift += 7; u.shift >= 63 {
			u.bad = true
		}
	}
}

// begin takes the first byte of a representation (section 6).
func (u *unpacked) begin(b byte) {
	u.literal, u.insert, u.value = b&0x80 == 0, b&0xc0 == 0x40, false
	switch {
	case !u.literal:
		u.prefix(b, 7, stepIndex)
	case u.insert:
		u.prefix(b, 6, stepIndex)
	case b&0xe0 == 0x20:
		u.prefix(b, 5, stepResize)
	default:
		u.prefix(b, 4, stepIndex)
	}
}

// prefix begins an integer, of which this byte holds some bits.
func (u *unpacked) prefix(b byte, bits uint, of unpackStep) {
	most := byte(1)<<bits - 1
	u.step, u.number, u.shift = of, uint64(b&most), 0
	if b&most < most {
		u.whole()
	}
}

// whole takes an integer.
func (u *unpacked) whole() {
	switch u.step {
	case stepResize:
		u.bad = u.number > tableSize
		u.most = int(min(u.number, tableSize))
		u.evict(0)
		u.step = stepField
	case stepIndex:
		u.index(u.number)
	default:
		u.left, u.symbols, u.code, u.bits = u.number, 0, 0, 0
		if u.step = stepBytes; u.left == 0 {
			u.text(nil)
		}
	}
}

func (u *unpacked) index(i uint64) {
	if i == 0 && u.literal { // the name follows
		u.step = stepString
		return
	}
	var f fieldSize
	switch {
	case i == 0, i > uint64(len(staticSizes)+len(u.table)-u.first):
		u.bad = true
		return
	case i <= uint64(len(staticSizes)):
		f = staticSizes[i-1]
	default:
		f = u.table[len(u.table)+len(staticSizes)-int(i)]
	}
	if !u.literal {
		u.size += int64(f.name) + int64(f.value)
		u.step = stepField
		return
	}
	u.name, u.value, u.step = int(f.name), true, stepString
}

// text takes bytes of a string.
func (u *unpacked) text(p []byte) {
	u.left -= uint64(len(p))
	if u.huffman {
		u.decode(p)
	} else {
		u.symbols += len(p)
	}
	switch {
	case u.left > 0:
	case !u.value:
		u.name, u.value, u.step = u.symbols, true, stepString
	default:
		u.size += int64(u.name) + int64(u.symbols)
		if u.insert {
			u.add(u.name, u.symbols)
		}
		u.step = stepField
	}
}

// decode counts the symbols of a string in Huffman's code, which is canonical (appendix B): those of one length are consecutive. Every
// sequence of 30 bits begins with a symbol.
func (u *unpacked) decode(p []byte) {
	code, bits, symbols := u.code, u.bits, u.symbols
	for _, b := range p {
		code |= uint64(b) << (56 - bits)
		bits += 8
		for {
			n := uint(lengths[code>>56])
			if n == 0 {
				n = lengthOf(code)
			}
			if n > bits { // more is to come of it
				break
			}
			code <<= n
			bits -= n
			symbols++
		}
	}
	u.code, u.bits, u.symbols = code, bits, symbols
}

// lengthOf is the number of bits of the symbol with which the code begins.
func lengthOf(code uint64) uint {
	for n := uint(5); ; n++ {
		if h := &huffman[n]; uint32(code>>(64-n))-h.first < h.count {
			return n
		}
	}
}

// lengths are those of symbols by the first eight bits; 0 where these are not all.
var lengths = func() (of [256]uint8) {
	for b := range of {
		if n := lengthOf(uint64(b) << 56); n <= 8 {
			of[b] = uint8(n)
		}
	}
	return of
}()

// add puts a field into the table (section 4.4).
func (u *unpacked) add(name, value int) {
	size := name + value + entryBeside
	u.evict(size)
	if size > u.most {
		return
	}
	if u.first > 0 && len(u.table) == cap(u.table) {
		u.table = u.table[:copy(u.table, u.table[u.first:])]
		u.first = 0
	}
	u.table = append(u.table, fieldSize{uint16(name), uint16(value)})
	u.used += size
}

// evict makes room, as much as there may be.
func (u *unpacked) evict(room int) {
	for ; u.used+room > u.most && u.first < len(u.table); u.first++ {
		u.used -= int(u.table[u.first].name) + int(u.table[u.first].value) + entryBeside
	}
}

// staticSizes are the lengths of the names and values in the static table (appendix A).
var staticSizes = [...]fieldSize{
	{10, 0}, {7, 3}, {7, 4}, {5, 1}, {5, 11}, {7, 4}, {7, 5}, {7, 3}, {7, 3}, {7, 3}, {7, 3}, {7, 3},
	{7, 3}, {7, 3}, {14, 0}, {15, 13}, {15, 0}, {13, 0}, {6, 0}, {27, 0}, {3, 0}, {5, 0}, {13, 0}, {13, 0},
	{19, 0}, {16, 0}, {16, 0}, {14, 0}, {16, 0}, {13, 0}, {12, 0}, {6, 0}, {4, 0}, {4, 0}, {6, 0}, {7, 0},
	{4, 0}, {4, 0}, {8, 0}, {17, 0}, {13, 0}, {8, 0}, {19, 0}, {13, 0}, {4, 0}, {8, 0}, {12, 0}, {18, 0},
	{19, 0}, {5, 0}, {7, 0}, {7, 0}, {11, 0}, {6, 0}, {10, 0}, {25, 0}, {17, 0}, {10, 0}, {4, 0}, {3, 0},
	{16, 0},
}

// huffman has, for each number of bits, the first code and how many there are.
var huffman = [...]struct{ first, count uint32 }{
	5: {0x0, 10}, 6: {0x14, 26}, 7: {0x5c, 32}, 8: {0xf8, 6}, 10: {0x3f8, 5}, 11: {0x7fa, 3}, 12: {0xffa, 2}, 13: {0x1ff8, 6},
	14: {0x3ffc, 2}, 15: {0x7ffc, 3}, 19: {0x7fff0, 3}, 20: {0xfffe6, 8}, 21: {0x1fffdc, 13}, 22: {0x3fffd2, 26},
	23: {0x7fffd8, 29}, 24: {0xffffea, 12}, 25: {0x1ffffec, 4}, 26: {0x3ffffe0, 15}, 27: {0x7ffffde, 19}, 28: {0xfffffe2, 29},
	30: {0x3ffffffc, 4},
}
