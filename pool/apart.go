package pool

// reserver is what a simulated clock offers beyond clock.Clock: it fixes the instant at which the caller will go on, and
// returns the wait for it.
type reserver interface{ Reserve() (wait func()) }

// apart is called before waking another goroutine, and what it returns after: in a simulation the woken goroutine then
// has the present instant for itself, and the waker goes on in one that was fixed before, so that the order of what
// both do next does not hang on the scheduler. On a real clock it is nothing.
func (p *Pool) apart() (rest func()) {
	if p.alone != nil {
		return p.alone.Reserve()
	}
	return goOnAtOnce
}

func goOnAtOnce() {}

// launch starts a goroutine. In a simulation that takes an instant of its own, which is claimed in the order of these
// calls, where a go statement would leave the order to the scheduler. On a clock without instants of its own a go statement
// does as well; and AfterFunc(0), called by two goroutines of a synctest bubble at once, can crash the race detector of Go 1.26,
// since both run the timer on the bubble's one race context.
func (p *Pool) launch(f func()) {
	if p.alone != nil {
		p.clk.AfterFunc(0, f)
		return
	}
	go f()
}
