package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// served says which backends have seen requests whose nonce begins so.
func (w *simWorld) served(prefix string) (by []int) {
	for i, b := range w.backends {
		b.mu.Lock()
		for nonce := range b.seen {
			if strings.HasPrefix(nonce, prefix) {
				by = append(by, i)
				break
			}
		}
		b.mu.Unlock()
	}
	return by
}

// visits are the requests of users, n each, of which every user has nonces of its own.
func visits(round, users, n int, pause time.Duration) [][]simRequest {
	work := make([][]simRequest, users)
	for u := range work {
		for k := range n {
			work[u] = append(work[u], simRequest{method: "GET", nonce: fmt.Sprintf("%d.user%d.-%d", round, u, k), pause: pause})
		}
	}
	return work
}

// byField has the users of a field stay with their backends.
func byField(strategy string) func(*config.Config) {
	return func(c *config.Config) {
		u := &c.Upstreams[0]
		u.Strategy, u.Hash = strategy, &config.Hash{By: config.HashHeader, Name: "X-User", BalanceFactor: config.Off}
	}
}

func TestAUserStaysWithItsBackendFromAColdStartOnAndMovesOnlyWithIt(t *testing.T) {
	for _, strategy := range []string{"maglev", "ring-hash", "rendezvous"} {
		t.Run(strategy, func(t *testing.T) {
			netsim.Test(t, netsim.Config{Seed: 11}, func(s *netsim.Sim) {
				w := newSimWorld(t, s, 4, byField(strategy))
				for _, b := range w.backends {
					b.service = 3 * time.Millisecond
				}
				const users = 12
				round := func(n int) [][]int {
					// Every user comes with two connections at once, at a proxy that has none to any backend: as many dials
					// as are wanted are allowed (max_dials), so that nobody is passed over.
					var work [][]simRequest
					for range 2 {
						work = append(work, visits(n, users, 5, time.Millisecond)...)
					}
					for k := range work {
						for j := range work[k] {
							work[k][j].user = fmt.Sprintf("user%d", k%users)
						}
					}
					for _, answers := range w.runClients(5*time.Second, work) {
						for _, a := range answers {
							require.Equal(t, 200, a.status, a.err)
						}
					}
					by := make([][]int, users)
					for u := range by {
						by[u] = w.served(fmt.Sprintf("%d.user%d.", n, u))
					}
					return by
				}
				first := round(1)
				used := map[int]bool{}
				for u, by := range first {
					require.Len(t, by, 1, "user %d", u)
					used[by[0]] = true
				}
				require.Len(t, used, 4)
				require.NoError(t, w.server.DrainBackend("web", backendAddr(2)+":80"))
				for u, by := range round(2) {
					require.Len(t, by, 1, "user %d", u)
					if first[u][0] == 2 {
						require.NotEqual(t, 2, by[0])
						continue
					}
					require.Equal(t, first[u], by, "user %d", u)
				}
				require.NoError(t, w.server.UndrainBackend("web", backendAddr(2)+":80"))
				require.Equal(t, first, round(3))
				w.stop()
			})
		})
	}
}

func TestRequestsWithoutTheFieldAreSpread(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 12}, func(s *netsim.Sim) {
		w := newSimWorld(t, s, 4, byField("maglev"))
		w.runClients(5*time.Second, visits(1, 1, 40, time.Millisecond))
		require.Len(t, w.served("1.user0."), 4)
		w.stop()
	})
}

func TestTheSourceOrThePathMayBeTheKey(t *testing.T) {
	for by, want := range map[string]int{config.HashSource: 1, config.HashPath: 4} {
		netsim.Test(t, netsim.Config{Seed: 13}, func(s *netsim.Sim) {
			w := newSimWorld(t, s, 4, func(c *config.Config) {
				c.Upstreams[0].Strategy, c.Upstreams[0].Hash = "maglev", &config.Hash{By: by, BalanceFactor: config.Off}
			})
			w.runClients(5*time.Second, visits(1, 3, 40, time.Millisecond)) // of one address, to many paths
			require.Len(t, w.served("1."), want, by)
			w.stop()
		})
	}
}

func TestATunnelGoesWhereItsSourceDoes(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 14}, func(s *netsim.Sim) {
		w := newSimWorld(t, s, 4, func(c *config.Config) {
			c.Upstreams[0].Strategy = "maglev"
			c.Upstreams[0].Hash = &config.Hash{BalanceFactor: config.Off} // by source, which is the default
			c.Listeners[0].Protocol = config.ProtocolTCP
		})
		w.runClients(5*time.Second, visits(1, 6, 1, time.Millisecond))
		require.Len(t, w.served("1."), 1)
		seen := map[int]bool{w.served("1.")[0]: true}
		for k := range 8 { // one of eight other sources is somebody else's
			other := s.Host(fmt.Sprintf("client %d", k), fmt.Sprintf("10.0.2.%d", k+1))
			nc, err := other.DialContext(context.Background(), "tcp", proxyAddr+frontPort)
			require.NoError(t, err)
			c := &simClient{w: w, timeout: 5 * time.Second, nc: nc}
			c.reader.Reset(nc)
			c.run([]simRequest{{method: "GET", nonce: fmt.Sprintf("2.%d.-1", k)}})
			require.Equal(t, 200, c.answers[0].status)
			by := w.served(fmt.Sprintf("2.%d.", k))
			require.Len(t, by, 1)
			seen[by[0]] = true
		}
		require.Greater(t, len(seen), 1)
		w.stop()
	})
}
