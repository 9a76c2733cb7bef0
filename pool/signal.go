package pool

import "context"

// signal wakes one waiter, once. It holds one: giving it never blocks.
type signal chan struct{}

// wait waits for the signal; false when the context ended, which may have happened also when it is true.
func (s signal) wait(ctx context.Context) bool {
	done := ctx.Done()
	if done == nil { // a receive is much cheaper than a select
		<-s
		return true
	}
	select {
	case <-s:
		return true
	case <-done:
		return false
	}
}
