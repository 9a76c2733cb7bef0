package proxy_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/http1"
)

// hasty is a backend that closes each connection when it has been idle for a short while, another one each time: the
// proxy often sends in the moment in which it is closed.
type hasty struct {
	clk    clock.Clock
	ln     net.Listener
	serves sync.WaitGroup
	closed atomic.Int64 // connections that it has closed for being idle
}

func (b *hasty) accept() {
	for n := uint64(0); ; n++ {
		nc, err := b.ln.Accept()
		if err != nil {
			return
		}
		rnd := rand.New(rand.NewPCG(n, 7))
		b.serves.Add(1)
		b.clk.AfterFunc(0, func() {
			defer b.serves.Done()
			defer nc.Close()
			b.serve(nc, rnd)
		})
	}
}

func (b *hasty) serve(nc net.Conn, rnd *rand.Rand) {
	var r http1.Reader
	var req http1.Request
	r.Reset(nc)
	defer r.Reset(nil)
	for first := true; ; first = false {
		idle := 100 * time.Millisecond
		if !first {
			idle = time.Duration(1+rnd.IntN(12)) * time.Millisecond
		}
		if nc.SetReadDeadline(b.clk.Now().Add(idle)) != nil {
			return
		}
		if err := r.ReadRequest(&req, nil); err != nil {
			b.closed.Add(1)
			return
		}
		if _, err := nc.Write([]byte(okay)); err != nil {
			return
		}
	}
}

// keepAliveRace sends 401 requests on eight connections, with pauses about as long as the backend's patience, and returns how
// many were not answered well.
func keepAliveRace(t *testing.T, clk clock.Clock, dial func() (net.Conn, error)) (lost int64) {
	var clients sync.WaitGroup
	var left, bad atomic.Int64
	left.Store(401)
	for i := range 8 {
		clients.Add(1)
		clk.AfterFunc(0, func() {
			defer clients.Done()
			rnd := rand.New(rand.NewPCG(uint64(i), 9))
			nc, err := dial()
			require.NoError(collectorOf(t), err)
			defer nc.Close()
			var r http1.Reader
			var resp http1.Response
			var body http1.Body
			r.Reset(nc)
			defer r.Reset(nil)
			for left.Add(-1) >= 0 {
				if _, err := nc.Write([]byte(get)); err != nil {
					bad.Add(1)
					return
				}
				if err := r.ReadResponse(&resp, []byte("GET"), nil); err != nil {
					bad.Add(1)
					return
				}
				if resp.Status != 200 {
					bad.Add(1)
				}
				for body.Start(&r, resp.Framing, resp.ContentLength, nil); !body.Done(); {
					if _, err := body.Next(); err != nil && !body.Done() {
						bad.Add(1)
						return
					}
				}
				clk.Sleep(time.Duration(rnd.IntN(15000)) * time.Microsecond)
			}
		})
	}
	clients.Wait()
	return bad.Load()
}

func TestABackendThatClosesIdleConnectionsCostsNoIdempotentRequest(t *testing.T) {
	check := func(t *testing.T, st *start, dial func(front string) (net.Conn, error)) {
		ln, err := st.listen(0)
		require.NoError(t, err)
		b := &hasty{clk: st.talk.clk, ln: ln}
		accepting := make(chan struct{})
		b.clk.AfterFunc(0, func() { defer close(accepting); b.accept() })
		st.doors.Settings = talkSettings(st.front, []string{ln.Addr().String()})
		s, err := proxy.New(st.doors)
		require.NoError(t, err)
		require.NoError(t, s.Start(context.Background()))
		st.talk.server = s
		lost := keepAliveRace(t, b.clk, func() (net.Conn, error) { return dial(st.talk.front()) })
		stats := s.Stats()
		require.NoError(t, s.Drain(context.Background()))
		_ = ln.Close()
		<-accepting
		b.serves.Wait()
		require.Zero(t, lost, "of 401")
		require.EqualValues(t, 401, stats.Answered)
		require.Greater(t, b.closed.Load(), int64(20), "it did close connections in use")
		t.Logf("closed for being idle: %d; repeated on a fresh connection: %d", b.closed.Load(), stats.Repeated)
	}
	for seed := range uint64(5) {
		t.Run("netsim/"+strconv.FormatUint(seed, 10), func(t *testing.T) {
			netsim.Test(t, netsim.Config{Seed: seed, Latency: 300 * time.Microsecond}, func(s *netsim.Sim) {
				st := simTalk(t, s)
				check(t, st, func(front string) (net.Conn, error) {
					return st.talk.dialer.DialContext(context.Background(), "tcp", front)
				})
			})
		})
	}
	t.Run("loopback", func(t *testing.T) {
		check(t, loopbackTalk(t), func(front string) (net.Conn, error) { return net.Dial("tcp", front) })
	})
}
