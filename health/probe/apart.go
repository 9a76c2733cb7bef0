package probe

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
	return goOnAtOnce
}

func goOnAtOnce() {}
