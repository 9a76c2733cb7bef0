package lb

// The smooth weighted rotation. Every member has a credit. One step pays each candidate its weight, chooses
// the candidate with the most credit (the first of equals), and charges the chosen one all that was paid. A
// step thus changes the sum of all credits by nothing, each candidate is chosen in proportion to its weight,
// and a heavy one is not chosen many times in a row: weights 5, 1, 1 give a a b a c a a and not a a a a a b
// c.
//
// Only candidates are paid. A member that sits out keeps its credit, neither punished for its absence nor
// owed the turns it missed. Credits stay bounded however the set of candidates changes from step to step.
// Within that bound, while a heavy member has no room, the light ones settle what they owe each other: with
// weights 1000, 1, 1 one of the light ones can be chosen some hundreds of times in a row, until it has no
// room either.

// rotation is one step in progress: what was paid so far, and who has the most credit so far.
type rotation struct {
	paid int64
	best int // -1 when there is no candidate
}

// pay makes the member a candidate of the step.
func (f *fleet) pay(r *rotation, i int) {
	m := &f.members[i]
	m.credit += m.weight
	r.paid += m.weight
	if r.best < 0 || m.credit > f.members[r.best].credit {
		r.best = i
	}
}

// choose ends a step: it charges the chosen member, counts the request at it, and returns its index, or -1.
func (f *fleet) choose(r *rotation) int {
	if r.best < 0 {
		return -1
	}
	m := &f.members[r.best]
	m.credit -= r.paid
	m.inFlight++
	return r.best
}

// settle bounds all credits by the weight that is in rotation. It is called when weights or availability
// change: a credit of a thousand is a place in the order as long as a thousand is paid in each step, but
// would keep a member away (or alone) for a thousand steps once only two are paid.
func (f *fleet) settle() {
	var total int64
	for i := range f.members {
		if f.members[i].available {
			total += f.members[i].weight
		}
	}
	for i := range f.members {
		m := &f.members[i]
		m.credit = min(max(m.credit, -total), total)
	}
}
