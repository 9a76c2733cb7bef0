package proxy

import (
	"sync/atomic"

	"github.com/benbjohnson/clock"
)

// turn lets operations happen one after the other. It is a channel and not a lock, because an operation waits: for the
// instants in which it wakes others, and for listeners that are opened.
type turn struct {
	clk     clock.Clock
	place   chan struct{}
	waiting *atomic.Int32
}

func newTurn(clk clock.Clock) turn {
	return turn{clk: clk, place: make(chan struct{}, 1), waiting: new(atomic.Int32)}
}

// take waits for the turn and returns what ends it.
func (t turn) take() (done func()) {
	t.waiting.Add(1)
	t.place <- struct{}{}
	t.waiting.Add(-1)
	return func() {
		if t.waiting.Load() == 0 {
			<-t.place
			return
		}
		rest := apart(t.clk) // somebody is woken
		<-t.place
		rest()
	}
}
