package proxy_test

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

var showQueue = flag.Bool("show-queue", false, "log what clients see while one of three backends is slow")

// crowd is what clients of one kind have seen.
type crowd struct {
	waits   []time.Duration // of those that the other two answered
	slowly  int             // answered by the slow one
	refused int             // 503
	others  int             // whatever else was no answer
	mu      sync.Mutex
}

func (c *crowd) p99() time.Duration {
	slices.Sort(c.waits)
	return c.waits[(len(c.waits)-1)*99/100]
}

// slowOne is a group of three backends with four connections each, of which one may be slow: what those see who have sessions, and
// those who have none.
type slowOne struct {
	slow     time.Duration // what the first backend takes; the others take 5 ms
	queue    config.Queue
	sessions int
	burst    int // those without a session come so many at once; 0: one by one
}

func (o slowOne) play(t *testing.T) (bound, loose *crowd, st proxy.Stats) {
	bound, loose = &crowd{}, &crowd{}
	netsim.Test(t, netsim.Config{Seed: 21}, func(s *netsim.Sim) {
		w := newSimWorld(t, s, 3, func(c *config.Config) {
			u := &c.Upstreams[0]
			u.Pool.MaxConnections, u.Queue = 4, o.queue
			u.Retry.Attempts, u.Health.Passive.ConsecutiveFailures = 1, config.Off // to be slow is no fault
			u.Sticky = &config.Sticky{Cookie: "sid", SecretFiles: []string{"secret"}}
		})
		for _, b := range w.backends {
			b.service = 5 * time.Millisecond
		}
		visitors := make([]*simClient, o.sessions)
		w.each(o.sessions, func(i int) {
			w.clk.Sleep(time.Duration(i) * 3 * time.Millisecond)
			visitors[i] = &simClient{w: w, timeout: 10 * time.Second, cookies: true}
			_, err := visitors[i].exchange(simRequest{method: "GET", nonce: fmt.Sprintf("first.%d.-1", i)})
			require.NoError(collector{w}, err)
		})
		w.backends[0].service = o.slow
		end := w.clk.Now().Add(8 * time.Second)
		one := func(to *crowd, c *simClient, nonce string) {
			begun := w.clk.Now()
			a, err := c.exchange(simRequest{method: "GET", nonce: nonce})
			if err != nil {
				c.hangUp()
			}
			to.mu.Lock()
			defer to.mu.Unlock()
			switch {
			case err != nil || a.status != 200 && a.status != 503:
				to.others++
			case a.status == 503:
				to.refused++
			case w.backends[0].saw(nonce):
				to.slowly++
			default:
				to.waits = append(to.waits, w.clk.Now().Sub(begun))
			}
		}
		const anybody = 20
		w.each(o.sessions+max(anybody, o.burst), func(i int) {
			to, c, pause := loose, &simClient{w: w, timeout: 10 * time.Second}, 20*time.Millisecond
			switch {
			case i < o.sessions:
				to, c, pause = bound, visitors[i], 500*time.Millisecond
				w.clk.Sleep(time.Duration(i) * 5 * time.Millisecond)
			case o.burst == 0:
				w.clk.Sleep(time.Second + time.Duration(i)*time.Millisecond) // the queue is full by then
			}
			for n := 1; w.clk.Now().Before(end); n++ {
				if i >= o.sessions && o.burst > 0 {
					w.clk.Sleep(w.clk.Until(end.Add(time.Duration(n-20) * 370 * time.Millisecond)))
				}
				one(to, c, fmt.Sprintf("%d.%d.-1", i, n))
				w.clk.Sleep(pause)
			}
			c.hangUp()
		})
		w.clk.Sleep(0)
		st = w.server.Stats()
		w.stop()
	})
	if *showQueue {
		t.Logf("one takes %s: without a session %d and %d answered, %d refused, %d otherwise, p99 %s; with one %d and %d answered, %d refused, %d otherwise, p99 %s; cookies %v",
			o.slow, len(loose.waits), loose.slowly, loose.refused, loose.others, loose.p99(), len(bound.waits), bound.slowly, bound.refused, bound.others, bound.p99(), st.Sticky)
	}
	return bound, loose, st
}

// saw says whether a request was served here.
func (b *simBackend) saw(nonce string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[nonce] > 0
}

// each runs n goroutines and waits for them.
func (w *simWorld) each(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		w.clk.AfterFunc(0, func() {
			defer wg.Done()
			do(i)
		})
	}
	wg.Wait()
}

func TestSessionsThatWaitForASlowBackendTakeNobodyElsesPlaceInTheQueue(t *testing.T) {
	world := slowOne{slow: 5 * time.Millisecond, queue: config.Queue{MaxWaiting: 60, Timeout: 5 * time.Second}, sessions: 240}
	_, usual, _ := world.play(t)
	world.slow = 500 * time.Millisecond
	bound, loose, st := world.play(t)
	require.Zero(t, loose.refused+loose.others, "two backends have room")
	require.LessOrEqual(t, loose.p99(), usual.p99()*3/2)
	require.Zero(t, bound.refused+bound.others, "who finds no place goes elsewhere")
	require.Positive(t, st.Sticky[proxy.StickyMoved])
}

func TestSessionsThatWaitForASlowBackendDoNotMakeTheQueueStandForOthers(t *testing.T) {
	world := slowOne{slow: 5 * time.Millisecond, burst: 48, sessions: 90,
		queue: config.Queue{MaxWaiting: 300, Timeout: 5 * time.Second, Target: 10 * time.Millisecond, Interval: 100 * time.Millisecond}}
	_, usual, _ := world.play(t)
	require.Zero(t, usual.refused, "a burst is over within the interval")
	world.slow = 500 * time.Millisecond
	_, loose, _ := world.play(t)
	require.Zero(t, loose.refused+loose.others)
	require.LessOrEqual(t, loose.p99(), usual.p99()*2, "a third of the group is missing")
}
