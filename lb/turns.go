package lb

import "math/bits"

// few is the number of backends up to which looking at all of them costs less than keeping them in order.
const few = 16

// turns keeps many members in the order in which they are to be picked, so that a pick costs the logarithm of their
// number: least load first, and of equal loads the one whose turn is due first (an indexed heap, each node of which
// has four children). Whoever wants turns alone gives everybody no load.
//
// The turns are those of a smooth rotation in another form than smooth.go's, which looks at all members: each has an
// instant, in a time that passes with the picks, at which its next turn is due; a turn puts it off by a stride, the
// reciprocal of the weight (earliest deadline first, as in stride scheduling: Waldspurger and Weihl, 1995). The first
// turns are spread over the strides, so that members of one weight do not have theirs in a row. One that returns after
// it sat out waits a whole stride, which is owed to it no more than the turns that it missed.
//
// Invariant: held are the members that are available and have room, and where[i] is the place of member i in it, or -1.
type turns struct {
	held  []turn
	where []int32
	now   uint64 // when the last turn was due
	stash []turn // those that a pick has put aside because they were tried
}

type turn struct {
	load, weight int64
	due          uint64
	index        int32
}

const (
	// strideOne is the stride of weight 1: large enough that the strides of great weights differ.
	strideOne = 1 << 40
	// endOfTime is when all instants are moved back.
	endOfTime = 1 << 62
)

func (t *turn) stride() uint64 { return uint64(strideOne / t.weight) }

// before is the order. Loads are compared as fractions, multiplied out, so that no rounding makes a tie.
func (t *turn) before(o *turn) bool {
	if t.load|o.load != 0 {
		if a, b := t.load*o.weight, o.load*t.weight; a != b {
			return a < b
		}
	}
	return t.due < o.due || t.due == o.due && t.index < o.index
}

func (h *turns) put(at int, t turn) {
	h.held[at] = t
	h.where[t.index] = int32(at)
}

// up lets a turn at a place rise.
func (h *turns) up(at int, t turn) {
	for at > 0 {
		over := (at - 1) / 4
		if !t.before(&h.held[over]) {
			break
		}
		h.put(at, h.held[over])
		at = over
	}
	h.put(at, t)
}

// down lets a turn at a place sink.
func (h *turns) down(at int, t turn) {
	n := len(h.held)
	for {
		child := 4*at + 1
		if child >= n {
			break
		}
		best := child
		for child++; child < min(4*at+5, n); child++ {
			if h.held[child].before(&h.held[best]) {
				best = child
			}
		}
		if !h.held[best].before(&t) {
			break
		}
		h.put(at, h.held[best])
		at = best
	}
	h.put(at, t)
}

// settle puts a turn that has changed where it belongs.
func (h *turns) settle(at int, t turn) {
	if at > 0 && t.before(&h.held[(at-1)/4]) {
		h.up(at, t)
		return
	}
	h.down(at, t)
}

// grow makes room for the members up to n.
func (h *turns) grow(n int) {
	for len(h.where) < n {
		h.where = append(h.where, -1)
	}
}

// insert adds a member.
func (h *turns) insert(t turn) {
	h.held = append(h.held, t)
	h.up(len(h.held)-1, t)
}

// drop takes the member at a place out.
func (h *turns) drop(at int) {
	h.where[h.held[at].index] = -1
	last := len(h.held) - 1
	t := h.held[last]
	if h.held = h.held[:last]; at < last {
		h.settle(at, t)
	}
}

// know tells what has changed about a member: who may be picked is held, who may not is not.
func (h *turns) know(i int, m *member, load int64) {
	at := int(h.where[i])
	switch ok := m.available && m.ready != 0; {
	case ok && at < 0:
		t := turn{load: load, weight: m.weight, index: int32(i)}
		t.due = h.now + t.stride()
		h.insert(t)
	case !ok && at >= 0:
		h.drop(at)
	case ok:
		t := h.held[at]
		if t.weight != m.weight { // what is left of its wait grows or shrinks with its stride
			t.due = h.now + min(t.due-min(t.due, h.now), uint64(strideOne/m.weight))
		}
		t.load, t.weight = load, m.weight
		h.settle(at, t)
	}
}

// begin holds the members of a fleet from the beginning of time.
func (h *turns) begin(f *fleet, loads bool) {
	h.grow(len(f.members))
	h.held, h.now = h.held[:0], 0
	for i := range f.members {
		m := &f.members[i]
		h.where[i] = -1
		if !m.available || m.ready == 0 {
			continue
		}
		t := turn{weight: m.weight, index: int32(i)}
		// The multiples of the golden ratio spread the first turns of all over their strides.
		if t.due, _ = bits.Mul64(t.stride(), golden*uint64(i+1)); loads {
			t.load = m.inFlight
		}
		h.insert(t)
	}
}

// pick gives the first member that was not tried its turn, and so much load more. It returns -1 when there is none.
func (h *turns) pick(tried []int, more int64) int {
	if len(tried) > 0 {
		h.aside(tried)
		defer h.back()
	}
	if len(h.held) == 0 {
		return -1
	}
	t := h.held[0]
	h.now = max(h.now, t.due)
	t.due = max(h.now, t.due) + t.stride()
	t.load += more
	h.down(0, t)
	if h.now >= endOfTime {
		h.rewind()
	}
	return int(t.index)
}

// aside takes those out that were tried, as far as they come before one that was not.
func (h *turns) aside(tried []int) {
	for _, i := range tried {
		if i >= 0 && i < len(h.where) && h.where[i] >= 0 {
			at := int(h.where[i])
			h.stash = append(h.stash, h.held[at])
			h.drop(at)
		}
	}
}

// back undoes aside.
func (h *turns) back() {
	for _, t := range h.stash {
		h.insert(t)
	}
	h.stash = h.stash[:0]
}

// rewind moves all instants back, which changes no order: the past is cut off, and everybody is due after it.
func (h *turns) rewind() {
	for _, some := range [][]turn{h.held, h.stash} {
		for i := range some {
			some[i].due -= min(some[i].due, h.now)
		}
	}
	h.now = 0
}
