package proxy

import (
	"net"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

// stepping is a clock that does something between the steps of whoever wakes several.
type stepping struct {
	clock.Clock
	step func()
}

func (c *stepping) Reserve() (wait func()) { return c.step }

// timed is a connection that notes its deadlines.
type timed struct {
	net.Conn
	set []string
}

func (c *timed) SetReadDeadline(time.Time) error {
	c.set = append(c.set, "read")
	return nil
}

func (c *timed) SetWriteDeadline(time.Time) error {
	c.set = append(c.set, "write")
	return nil
}

func TestAnAbortDoesNotTouchABackendConnectionThatHasBeenGivenBack(t *testing.T) {
	for after, want := range [][]string{nil, {"read"}, {"read", "write"}} {
		backend, steps := &timed{}, 0
		clk := &stepping{Clock: clock.New()}
		c := &client{s: &Server{clk: clk}, nc: &timed{}}
		require.True(t, c.hold(backend))
		clk.step = func() {
			if steps == after {
				c.letGo() // the exchange ends here, and another request may have the connection
			}
			steps++
		}
		c.abort()
		require.Equal(t, want, backend.set)
		require.False(t, c.hold(backend))
	}
}
