package pool

import (
	"context"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scribbled is a connection on which every holder writes without a lock: the race detector sees two holders.
type scribbled struct {
	fakeConn
	word int
}

type scribbles struct{ made atomic.Int64 }

func (s *scribbles) DialContext(context.Context, string, string) (net.Conn, error) {
	s.made.Add(1)
	return &scribbled{}, nil
}

// Real goroutines on real cores, through the shards' own locks, the lock of all, and the line: what a bubble, where one
// event ends before the next begins, would not show.
func TestConnectionPoolManyCallersOnManyShardsNeverShareAConnection(t *testing.T) {
	const loops = 500
	for _, shards := range []int{1, 4} {
		var dialer scribbles
		p, err := New(Config{Address: "a:1", Dialer: &dialer, MaxConnections: 6, Shards: shards, MaxUses: 300, Patience: -1})
		require.NoError(t, err)
		var wg sync.WaitGroup
		var lends, gaveUp atomic.Uint64
		for i := range 16 {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(shards)))
			wg.Go(func() {
				for range loops {
					ctx, cancel := context.WithCancel(context.Background())
					if rnd.IntN(50) == 0 {
						time.AfterFunc(time.Duration(rnd.IntN(20_000)), cancel)
					}
					c, err := p.LendAt(ctx, time.Now(), i%shards)
					cancel()
					if err != nil {
						gaveUp.Add(1)
						continue
					}
					lends.Add(1)
					c.NetConn().(*scribbled).word++
					switch rnd.IntN(200) {
					case 0:
						c.Discard(ReasonNotReusable)
					case 1:
						_ = c.Take().Close()
					case 2:
						p.Retire()
						c.Release()
					default:
						c.ReleaseAt(time.Now())
					}
				}
			})
		}
		wg.Wait()
		// A dial that outlived the caller who asked for it may be in its last step yet, and counts as lent then.
		s := p.Stats()
		for began := time.Now(); s.Lent+s.Dialling > 0 && time.Since(began) < 5*time.Second; s = p.Stats() {
			runtime.Gosched()
		}
		requireConserved(t, s)
		require.Equal(t, lends.Load(), s.Lends)
		require.EqualValues(t, dialer.made.Load(), s.Dialled)
		require.Zero(t, s.Lent+s.Loans+s.Waiting)
		require.Equal(t, s.Lends, p.Histograms().Lent.Count)
		require.EqualValues(t, 16*loops, lends.Load()+gaveUp.Load())
		p.Close()
	}
}
