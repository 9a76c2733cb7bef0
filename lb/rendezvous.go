package lb

import "time"

// rendezvous takes the backend with the highest random weight for the key (Thaler and Ravishankar, 1998). It needs no
// table: nothing is to be rebuilt, a backend that comes or goes moves exactly the keys that it gains or loses, and
// shares are those of the weights but for chance. In exchange each pick looks at all backends.
type rendezvous struct{ keyed }

func newRendezvous(f fleet, o Options) inner { return &rendezvous{newKeyed(f, o)} }

// Pick implements inner.
func (p *rendezvous) Pick(_ time.Time, q *Query) int {
	at, turn := p.place(q)
	return p.take(p.search(at, q.tried()), turn)
}
