package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

// A request each ten seconds to three backends, whose connections rest for thirty: by chance alone more than four requests in ten
// find that theirs has gone. That two are drawn of which neither has one remains.
func TestSparseRequestsUseTheConnectionsThatAreThere(t *testing.T) {
	for _, strategy := range []string{"p2c", "peak-ewma"} {
		cfg := Config{Strategy: strategy, Pool: pool.Config{IdleTimeout: 30 * time.Second}}
		inBubble(t, 3, cfg, func(t *testing.T, u *Upstream, _ *fakeNet) {
			const requests = 2000
			for range requests {
				finish(u, beginWith(t, u, 0))
				u.clk.Sleep(10 * time.Second)
			}
			var dialled uint64
			for _, b := range u.Stats().Backends {
				dialled += b.Pool.Dialled
				require.NotZero(t, b.Outcomes[OutcomeAnswered], "nobody is forgotten")
			}
			t.Logf("%s: %d dials for %d requests", strategy, dialled, requests)
			require.Less(t, dialled, uint64(requests/4))
		})
	}
}
