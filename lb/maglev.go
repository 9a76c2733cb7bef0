package lb

import "time"

// slots is the size of Maglev's table: a prime, and large enough that the shares of a hundred backends differ by less
// than the hundredth part (Eisenbud and others, "Maglev: a fast and reliable software network load balancer", 2016,
// section 5.3).
const slots = 65537

// maglev looks the key up in a table of slots, in which every backend has as many as its weight says, to the nearest
// one; those of the slots where a chain of hashes leads to are the next best (neighbouring slots would not do: whose
// they are is no matter of chance). When a backend leaves the table, nearly all slots of
// the others stay theirs (section 3.4 of the paper, whose way of weighing is left open: here a lighter backend misses
// turns).
type maglev struct {
	keyed
	table []int32 // the backend of each slot, by its index; empty without backends
}

func newMaglev(f fleet, o Options) inner {
	p := &maglev{keyed: newKeyed(f, o)}
	p.building = func(of []entrant) func() {
		table := maglevTable(of)
		return func() { p.table = table }
	}
	return p
}

// Pick implements inner.
func (p *maglev) Pick(_ time.Time, q *Query) int {
	at, turn := p.place(q)
	tried := q.tried()
	if len(p.table) > 0 {
		place := at
		for range walk {
			i := int(p.table[part(place, slots)])
			if p.eligible(i, tried) && p.within(&p.members[i]) {
				return p.take(i, turn)
			}
			place = mix(place + golden)
		}
	}
	return p.take(p.search(at, tried), turn)
}

// maglevTable fills the slots: in turn each backend takes the next slot of its own order that is still free. A
// backend of the greatest weight takes one in every round, one of half that weight in every other.
func maglevTable(of []entrant) []int32 {
	if len(of) == 0 {
		return nil
	}
	type taker struct{ next, step, due uint64 }
	takers := make([]taker, len(of))
	var most uint64
	for k, e := range of {
		// The order is an arithmetic progression that meets every slot, since their number is prime.
		takers[k] = taker{next: e.hash % slots, step: mix(e.hash+golden)%(slots-1) + 1}
		most = max(most, uint64(e.weight))
	}
	table := make([]int32, slots)
	for i := range table {
		table[i] = -1
	}
	for left := slots; ; {
		for k := range takers {
			t := &takers[k]
			if t.due += uint64(of[k].weight); t.due < most {
				continue
			}
			t.due -= most
			for table[t.next] >= 0 {
				if t.next += t.step; t.next >= slots {
					t.next -= slots
				}
			}
			table[t.next] = of[k].index
			if left--; left == 0 {
				return table
			}
		}
	}
}
