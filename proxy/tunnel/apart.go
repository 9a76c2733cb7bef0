package tunnel

import "github.com/benbjohnson/clock"

// reserver is what a simulated clock offers beyond clock.Clock: see launch.
type reserver interface{ Reserve() (wait func()) }

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
