package lb

import "slices"

// maxClasses is the number of different weights up to which the classes are all looked at for a pick.
const maxClasses = 8

// classes keeps many members of a few different weights in the order of their turns, as turns.go does those of any
// weights, but in constant time: of members of one weight, whose strides are the same, whoever had its turn longest
// ago is due first, so that a list for each weight is in order by itself.
//
// Invariant: in a list are the members that are available and have room, each in the one of its weight, and none is due
// before the one ahead of it.
type classes struct {
	all  []class
	at   []classed // by index
	now  uint64    // when the last turn was due
	many bool      // there are more weights than classes: turns has the members
}

type class struct {
	weight      int64
	stride      uint64
	due         uint64 // of the first
	first, last int32  // -1: nobody
}

type classed struct {
	due        uint64
	prev, next int32 // -1: nobody
	class      int32 // -1: in no list
}

// begin makes the classes of a fleet, at the beginning of time. The first turns of a class are spread evenly over its
// stride, in the order of the indexes.
func (c *classes) begin(f *fleet) {
	c.all, c.now, c.many = c.all[:0], 0, false
	for len(c.at) < len(f.members) {
		c.at = append(c.at, classed{})
	}
	var size [maxClasses]uint64
	for i := range f.members {
		c.at[i].class = -1
		if m := &f.members[i]; m.present {
			k := c.of(m.weight)
			if k < 0 {
				c.many = true
				return
			}
			size[k]++
		}
	}
	var seen [maxClasses]uint64
	for i := range f.members {
		m := &f.members[i]
		if !m.available || m.ready == 0 {
			continue
		}
		k := c.of(m.weight)
		// Half a place on, so that the heavy ones do not all begin before the light ones.
		due := c.all[k].stride / (2 * size[k]) * (2*seen[k] + 1)
		seen[k]++
		c.append(int32(i), k, due)
	}
}

// of returns the class of a weight, which is made if it is new, or -1 when there is no place for it.
func (c *classes) of(weight int64) int {
	for k := range c.all {
		if c.all[k].weight == weight {
			return k
		}
	}
	if len(c.all) == maxClasses {
		return -1
	}
	c.all = append(c.all, class{weight: weight, stride: uint64(strideOne / weight), first: -1, last: -1})
	return len(c.all) - 1
}

// append puts a member behind all others of its class.
func (c *classes) append(i int32, k int, due uint64) {
	l := &c.all[k]
	c.at[i] = classed{due: due, prev: l.last, next: -1, class: int32(k)}
	if l.last >= 0 {
		c.at[l.last].next = i
	} else {
		l.first, l.due = i, due
	}
	l.last = i
}

// remove takes a member out of its list.
func (c *classes) remove(i int32) {
	m := &c.at[i]
	l := &c.all[m.class]
	if m.prev >= 0 {
		c.at[m.prev].next = m.next
	} else {
		if l.first = m.next; m.next >= 0 {
			l.due = c.at[m.next].due
		}
	}
	if m.next >= 0 {
		c.at[m.next].prev = m.prev
	} else {
		l.last = m.prev
	}
	m.class = -1
}

// know tells whether a member may be picked. One that comes back waits a stride.
func (c *classes) know(i int, m *member) {
	ok, in := m.available && m.ready != 0, c.at[i].class >= 0
	switch {
	case ok && !in:
		k := c.of(m.weight)
		c.append(int32(i), k, c.now+c.all[k].stride)
	case !ok && in:
		c.remove(int32(i))
	}
}

// pick gives the member that is due first, of those that were not tried, its turn. It returns -1 when there is none.
func (c *classes) pick(tried []int) int {
	best, due := int32(-1), uint64(0)
	for k := range c.all {
		l := &c.all[k]
		i, at := l.first, l.due
		if len(tried) > 0 {
			for i >= 0 && slices.Contains(tried, int(i)) {
				i = c.at[i].next
			}
			if i >= 0 {
				at = c.at[i].due
			}
		}
		if i >= 0 && (best < 0 || at < due) {
			best, due = i, at
		}
	}
	if best < 0 {
		return -1
	}
	k := int(c.at[best].class)
	c.now = max(c.now, due)
	c.remove(best)
	c.append(best, k, c.now+c.all[k].stride)
	if c.now >= endOfTime {
		c.rewind()
	}
	return int(best)
}

// rewind moves all instants back, which changes no order: the past is cut off, and everybody is due after it.
func (c *classes) rewind() {
	for i := range c.at {
		c.at[i].due -= min(c.at[i].due, c.now)
	}
	for k := range c.all {
		c.all[k].due -= min(c.all[k].due, c.now)
	}
	c.now = 0
}
