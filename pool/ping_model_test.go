package pool

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// visit is one drawn caller: when it comes, how many connections it wants, how long it holds them and how it ends.
type visit struct {
	after, hold time.Duration
	n           int
	how         string
}

// answer is one drawn reaction of the peer to a ping.
type answer struct {
	after time.Duration // more than a second is too late
	how   string
}

func drawVisits(t *rapid.T) []visit {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
		return visit{
			after: time.Duration(rapid.IntRange(0, 900).Draw(t, "after")) * time.Millisecond,
			hold:  time.Duration(rapid.IntRange(0, 300).Draw(t, "hold")) * time.Millisecond,
			n:     rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3}).Draw(t, "n"),
			how:   rapid.SampledFrom([]string{"release", "release", "release", "broken", "try"}).Draw(t, "how"),
		}
	}), 1, 40).Draw(t, "visits")
}

func drawAnswers(t *rapid.T) []answer {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) answer {
		return answer{
			after: time.Duration(rapid.IntRange(0, 60).Draw(t, "after")) * 20 * time.Millisecond,
			how:   rapid.SampledFrom([]string{"good", "good", "good", "fails", "panics", "deaf"}).Draw(t, "how"),
		}
	}), 1, 8).Draw(t, "answers")
}

// pingWorld knows who uses which connection: at most one borrower or one ping at a time.
type pingWorld struct {
	t       *rapid.T
	p       *Pool
	mu      sync.Mutex
	users   map[net.Conn]string
	answers []answer
	pings   int
	held    int
}

// enter says that somebody uses a connection from now on.
func (w *pingWorld) enter(nc net.Conn, who string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(w.t, w.users[nc], "%s uses a connection in other hands", who)
	require.False(w.t, nc.(*fakeConn).isClosed(), "%s uses a closed connection", who)
	w.users[nc] = who
}

func (w *pingWorld) leave(nc net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.users, nc)
}

// ping reacts as drawn. A deaf one goes on after its time, when the connection is the pool's no more.
func (w *pingWorld) ping(ctx context.Context, nc net.Conn) error {
	w.enter(nc, "a ping")
	w.mu.Lock()
	a := w.answers[w.pings%len(w.answers)]
	w.pings++
	w.mu.Unlock()
	if a.how == "deaf" {
		time.Sleep(a.after + time.Second)
		w.leave(nc)
		return nil
	}
	defer w.leave(nc)
	select {
	case <-time.After(a.after):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch a.how {
	case "fails":
		return errRefused
	case "panics":
		panic("the pinger lost its mind")
	}
	return nil
}

// visit is one caller's goroutine.
func (w *pingWorld) visit(v visit) {
	var conns []Conn
	var err error
	switch {
	case v.how == "try":
		if c, ok := w.p.TryLend(w.p.clk.Now(), 0); ok {
			conns = []Conn{c}
		}
	case v.n == 1:
		conns = make([]Conn, 1)
		conns[0], err = w.p.Lend(context.Background())
	default:
		conns, err = w.p.GetN(context.Background(), 0, v.n)
	}
	require.NoError(w.t, err)
	for _, c := range conns {
		w.enter(c.NetConn(), "a borrower")
	}
	w.count(len(conns))
	time.Sleep(v.hold)
	w.count(-len(conns))
	for i, c := range conns {
		w.leave(c.NetConn())
		if v.how == "broken" && i == 0 {
			c.Discard(ReasonBroken)
		} else {
			c.Release()
		}
	}
}

// count counts connections that borrowers got, and says how many they hold.
func (w *pingWorld) count(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held += n
	return w.held
}

// underPing is how many connections the pool has in its own hands to ping them.
func (w *pingWorld) underPing() int {
	w.p.lock()
	defer w.p.unlock()
	return len(w.p.pings)
}

func TestConnectionPoolServesEverybodyWhateverThePeerAnswersToPings(t *testing.T) {
	pings, suspects := 0, uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			MaxConnections: rapid.IntRange(3, 6).Draw(t, "max"),
			Order:          Order(rapid.IntRange(0, 1).Draw(t, "order")),
			MinIdle:        rapid.IntRange(0, 2).Draw(t, "minIdle"),
			PingAfter:      time.Duration(rapid.IntRange(1, 600).Draw(t, "pingAfter")) * time.Millisecond,
		}
		visits, answers := drawVisits(t), drawAnswers(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			f := newFakeNet(10 * time.Millisecond)
			w := &pingWorld{t: t, users: map[net.Conn]string{}, answers: answers}
			cfg.Address, cfg.Dialer, cfg.Ping = "a:1", f, w.ping
			cfg.Rand = func(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
			p, err := New(cfg)
			require.NoError(t, err)
			w.p = p
			p.Warm()
			var all sync.WaitGroup
			for _, v := range visits {
				time.Sleep(v.after)
				all.Go(func() { w.visit(v) })
				synctest.Wait()
				s := p.Stats()
				requireConserved(t, s)
				require.Equal(t, w.count(0), s.Loans)
				require.Equal(t, s.Lent, s.Loans+w.underPing(), "in whose hands is it: %+v", s)
			}
			all.Wait()
			p.Close()
			time.Sleep(3 * time.Second) // the deaf ones
			s := p.Stats()
			requireConserved(t, s)
			require.Zero(t, f.open())
			pings, suspects = pings+w.pings, suspects+s.Retired[ReasonSuspect]
		})
	})
	require.NotZero(t, pings)
	require.NotZero(t, suspects)
}
