package pool

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
)

// slowClose is a session whose Close takes a second.
type slowClose struct{ manyLoans }

func (s slowClose) Close() error {
	clock.New().Sleep(time.Second)
	return s.manyLoans.Close()
}

// While a session is being closed it has no loan, and is not idle either: nobody else may retire it.
func TestConnectionPoolRetiresASessionOnceThoughItsCloseTakesTime(t *testing.T) {
	cfg := Config{MaxUses: 1, Setup: func(_ context.Context, nc net.Conn) (Session, error) {
		return slowClose{manyLoans{nc}}, nil
	}}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		released := make(chan struct{})
		go func() {
			defer close(released)
			c.Release()
		}()
		p.clk.Sleep(100 * time.Millisecond) // its last use has ended, and Close runs
		p.Retire()
		<-released
		s := p.Stats()
		require.EqualValues(t, 1, s.RetiredTotal())
		require.EqualValues(t, 1, s.Retired[ReasonMaxUses])
		requireConserved(t, s)
	})
}
