package proxy

import "github.com/benbjohnson/clock"

// reserver is what a simulated clock offers beyond clock.Clock: it fixes the instant at which the caller will go on, and
// returns the wait for it.
type reserver interface{ Reserve() (wait func()) }

// apart is called before waking another goroutine, and what it returns after: in a simulation the woken goroutine then
// has the present instant for itself, and the waker goes on in one that was fixed before, so that the order of what
// both do next does not hang on the scheduler. On a real clock it is nothing.
func apart(clk clock.Clock) (rest func()) {
	if r, ok := clk.(reserver); ok {
		return r.Reserve()
	}
	return atOnce
}

func atOnce() {}

// launch starts a goroutine. In a simulation that takes an instant of its own, which is claimed in the order of these calls,
// where a go statement would leave the order to the scheduler. On the real clock it is a go statement: a timer would cost
// more, and start it later.
func launch(clk clock.Clock, f func()) {
	if _, simulated := clk.(reserver); simulated {
		clk.AfterFunc(0, f)
		return
	}
	go f()
}
