package netsim

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const megabyte = 1_000_000

// uploads has every client send size bytes to the server, all begun in one instant, over the link, which all
// share that send to the server. It returns when each transfer ended, and how many bytes each had when half
// of the time had passed that they need together at a megabyte per second.
func uploads(s *Sim, clients, conns, size int, l Link) (ended []time.Duration, half []int) {
	server := s.Host("server", "10.0.0.1")
	listener, err := server.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	s.SetLink("*", "server", l)
	var wg sync.WaitGroup
	begin := make(chan struct{})
	n := clients * conns
	ended, half = make([]time.Duration, n), make([]int, n)
	var mu sync.Mutex
	counts := make([]int, n)
	for i := range n {
		c, err := s.Host(fmt.Sprint("client", i%clients), "").DialContext(context.Background(), "tcp", "server:80")
		if err != nil {
			panic(err)
		}
		d, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		wg.Go(func() {
			<-begin // all in one instant, against the rule, to see what the bottleneck makes of it
			_, _ = c.Write(make([]byte, size))
			_ = c.Close()
		})
		wg.Go(func() {
			defer d.Close()
			b := make([]byte, 64<<10)
			for {
				n, err := d.Read(b)
				mu.Lock()
				counts[i] += n
				mu.Unlock()
				if err != nil {
					ended[i] = s.Elapsed()
					return
				}
			}
		})
	}
	s.Clock().Sleep(time.Second)
	start := s.Elapsed()
	close(begin)
	s.Clock().Sleep(time.Duration(n*size) * time.Second / megabyte / 2)
	mu.Lock()
	copy(half, counts)
	mu.Unlock()
	wg.Wait()
	_ = listener.Close()
	for i := range ended {
		ended[i] -= start
	}
	return ended, half
}

func TestConnectionsShareABottleneckFairlyAndUseAllOfIt(t *testing.T) {
	for _, c := range []struct {
		name           string
		clients, conns int
		sharing        Sharing
		want           time.Duration
	}{
		{"of one cable", 2, 1, ShareByLink, 4 * time.Second},
		{"of one pair of hosts", 1, 2, ShareByHosts, 4 * time.Second},
		{"four of one cable", 2, 2, ShareByLink, 8 * time.Second},
		{"of two pairs of hosts", 2, 1, ShareByHosts, 2 * time.Second},
		{"nothing", 2, 1, OwnBandwidth, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			Test(t, Config{Seed: 3}, func(s *Sim) {
				ended, half := uploads(s, c.clients, c.conns, 2*megabyte,
					Link{Latency: ms, Bandwidth: megabyte, Sharing: c.sharing})
				last := time.Duration(0)
				for i, e := range ended {
					last = max(last, e)
					require.InDelta(t, c.want, e, 0.05*float64(c.want), "all end at nearly the same time")
					if c.want > 2*time.Second {
						// Each has up to a window of its own before the bottleneck.
						require.InDelta(t, megabyte, half[i], 64<<10, "half way")
					}
				}
				require.InDelta(t, c.want+ms, last, float64(2*ms), "the bandwidth is used to the full, and no more")
			})
		})
	}
}

func TestTheDirectionsOfASharedPathDoNotCompete(t *testing.T) {
	inLab(t, Config{RecvBuffer: megabyte, SendBuffer: megabyte}, func(x *lab) {
		x.SetLink("*", "server", Link{Bandwidth: megabyte, Sharing: ShareByLink})
		c, d := x.connect()
		write := func(c *Conn, n int) {
			_, err := c.Write(make([]byte, n))
			require.NoError(t, err)
		}
		read := func(c *Conn, n int) {
			_, err := io.ReadFull(c, make([]byte, n))
			require.NoError(t, err)
		}
		x.took(200*ms, func() {
			write(x.a, 100_000)
			write(d, 200_000)
			read(x.b, 100_000)
			read(c, 200_000)
		})
		x.took(200*ms, func() {
			write(x.a, 100_000)
			write(c, 100_000)
			read(x.b, 100_000)
			read(d, 100_000)
		})
	})
}

func TestASegmentThatFindsMoreThanTheQueueIsLostAndSentAgain(t *testing.T) {
	for _, sharing := range []Sharing{OwnBandwidth, ShareByHosts, ShareByLink} {
		for _, c := range []struct {
			queue int64
			want  time.Duration // until the third of three segments is there
		}{{2000, 3 * ms}, {1999, 201 * ms}, {0, 3 * ms}} {
			inLab(t, Config{}, func(x *lab) {
				x.SetLink("client", "server", Link{Bandwidth: megabyte, Queue: c.queue, Sharing: sharing})
				x.took(c.want, func() {
					for range 3 {
						_, err := x.a.Write(make([]byte, 1000))
						require.NoError(t, err)
					}
					_, err := io.ReadFull(x.b, make([]byte, 3000))
					require.NoError(t, err)
				})
				for _, e := range x.Trace().Events {
					if e.Kind == "drop" {
						require.Equal(t, queueFull, e.Detail)
					}
				}
			})
		}
	}
}

func TestAFullQueueMakesOthersWaitForAllOfItAndLosesTheirSYNs(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		x.SetLink("client", "server", Link{Latency: ms, Bandwidth: megabyte, Queue: 50_000, Sharing: ShareByHosts})
		fill := func() {
			for range 51 {
				_, err := x.a.Write(make([]byte, 1000))
				require.NoError(t, err)
			}
		}
		fill()
		x.sleep(1001 * time.Microsecond) // one segment has left
		x.write(c, "x")
		x.took(51*ms, func() { x.read(d, "x") }) // the queue, and the path
		_, err := io.ReadFull(x.b, make([]byte, 51_000))
		require.NoError(t, err)
		x.sleep(time.Second)

		fill()
		x.sleep(500 * time.Microsecond)
		dial := func() {
			_, err := x.dial()
			require.NoError(t, err)
		}
		x.took(time.Second+2*ms, dial) // the first SYN is lost
		_, err = io.ReadFull(x.b, make([]byte, 51_000))
		require.NoError(t, err)
		fill()
		x.sleep(5001 * time.Microsecond)
		x.took(48*ms, dial) // the SYN waits like everything else
	})
}

func TestTheRetransmissionTimerKnowsTheQueue(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetLink("client", "server", Link{Bandwidth: 100_000, Queue: 50_000, Sharing: ShareByLink})
		// 51 segments wait, together for 510 ms; the next one is lost and goes again after twice that.
		x.took(1030*ms, func() {
			for range 52 {
				_, err := x.a.Write(make([]byte, 1000))
				require.NoError(t, err)
			}
			_, err := io.ReadFull(x.b, make([]byte, 52_000))
			require.NoError(t, err)
		})
	})
}

func TestAcknowledgementsWaitBehindWhatGoesTheirWay(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		c, d := x.connect()
		x.SetLink("client", "server", Link{Latency: ms, Bandwidth: megabyte, Sharing: ShareByHosts})
		require.NoError(t, c.SetWriteBuffer(1))
		_, err := x.b.Write(make([]byte, 60_000)) // towards the client
		require.NoError(t, err)
		x.sleep(10 * time.Microsecond)
		x.write(c, "x")
		// The byte goes up an empty way, its acknowledgement comes down behind what is left of 60 ms.
		x.took(61*ms-10*time.Microsecond, func() { x.write(c, "y") })
		x.read(d, "xy")
	})
}

func TestASharedBottleneckKeepsBytesInOrderWhateverItsLinkBecomes(t *testing.T) {
	inLab(t, Config{Seed: 2}, func(x *lab) {
		links := []Link{
			{Latency: 20 * ms, Bandwidth: 100_000, Sharing: ShareByLink},
			{Bandwidth: megabyte, Queue: 1500, Sharing: ShareByHosts},
			{},
			{Latency: ms, Bandwidth: megabyte, Queue: 100, Sharing: ShareByLink, Loss: 0.1},
		}
		var sent []byte
		for i := range 400 {
			x.SetLink("client", "server", links[i/7%len(links)])
			b := make([]byte, 1+i*37%500)
			for j := range b {
				b[j] = byte(len(sent) + j)
			}
			sent = append(sent, b...)
			_, err := x.a.Write(b)
			require.NoError(t, err)
			if i%3 == 0 {
				fault := x.AddRule("exactly", func(p Packet) Verdict { return Verdict{Action: Deliver, Delay: ms} })
				x.sleep(50 * time.Nanosecond)
				fault.Stop()
			}
			if i%20 == 0 {
				got := make([]byte, len(sent))
				_, err = io.ReadFull(x.b, got)
				require.NoError(t, err)
				require.Equal(t, sent, got)
				sent = sent[:0]
			}
		}
		require.NoError(t, x.a.Close())
		got, err := io.ReadAll(x.b)
		require.NoError(t, err)
		require.Equal(t, sent, got)
	})
}

func TestWhoPassesABottleneckFirstIsDecidedByTheSeedAndNotByTheScheduler(t *testing.T) {
	program := func(s *Sim) {
		uploads(s, 10, 2, 30_000, Link{Latency: ms, Jitter: ms, Bandwidth: megabyte, Sharing: ShareByLink, Queue: 60_000})
	}
	orders := map[uint64]bool{}
	for seed := range uint64(3) {
		cfg := Config{Seed: seed, KeepTrace: true}
		first := Run(cfg, program)
		require.NoError(t, first.Err)
		lost := 0
		for _, e := range first.Trace.Events {
			if e.Kind == "drop" && e.Detail == queueFull {
				lost++
			}
		}
		require.Positive(t, lost, "the queue must overflow to be tested")
		for i := range 20 {
			before := runtime.GOMAXPROCS(1 + i%3)
			again := Run(cfg, program)
			runtime.GOMAXPROCS(before)
			require.NoError(t, again.Err)
			require.Empty(t, Diff(first.Trace, again.Trace), "seed %d", seed)
		}
		orders[first.Hash] = true
	}
	require.Len(t, orders, 3)
}
