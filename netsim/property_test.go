package netsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plan is a whole scenario as data: it is drawn first and run without draws.
type plan struct {
	cfg    Config
	link   Link
	writes [2][]step // by the client and by the server
	reads  [2][]step
	faults []faultStep
	ends   [2]int // how each end closes: 0 = CloseWrite and drain, 1 = Close, 2 = RST
}

type step struct {
	wait time.Duration
	size int
}

type faultStep struct {
	at, lasts time.Duration
	kind      int
}

func drawPlan(t *rapid.T) plan {
	wait := rapid.Int64Range(0, 50)
	steps := func(name string, n int) (out []step) {
		for range rapid.IntRange(0, n).Draw(t, name+" count") {
			out = append(out, step{time.Duration(wait.Draw(t, name+" wait")) * time.Millisecond,
				rapid.IntRange(0, 3000).Draw(t, name+" size")})
		}
		return out
	}
	p := plan{
		cfg: Config{Seed: rapid.Uint64().Draw(t, "seed"), KeepTrace: true, UserTimeout: 20 * time.Second,
			SendBuffer: rapid.IntRange(1, 4000).Draw(t, "send buffer"),
			RecvBuffer: rapid.IntRange(1, 4000).Draw(t, "receive buffer")},
		link: Link{Latency: time.Duration(rapid.IntRange(0, 5).Draw(t, "latency")) * time.Millisecond,
			Jitter: time.Duration(rapid.IntRange(0, 5).Draw(t, "jitter")) * time.Millisecond,
			Loss:   float64(rapid.IntRange(0, 3).Draw(t, "loss")) / 10},
	}
	for i := range 2 {
		p.writes[i], p.reads[i] = steps("write", 8), steps("read", 8)
		p.ends[i] = rapid.IntRange(0, 2).Draw(t, "end")
	}
	for range rapid.IntRange(0, 4).Draw(t, "faults") {
		p.faults = append(p.faults, faultStep{
			at:    time.Duration(rapid.IntRange(0, 400).Draw(t, "at")) * time.Millisecond,
			lasts: time.Duration(rapid.IntRange(1, 40000).Draw(t, "lasts")) * time.Millisecond,
			kind:  rapid.IntRange(0, 6).Draw(t, "kind"),
		})
	}
	return p
}

// stream is the byte queue that one direction is checked against: what its writer counted as taken.
type stream struct {
	sent, got  []byte
	writeErr   error
	readErr    error
	cleanClose bool // the writer sent its FIN after all of it
}

func (p *plan) fault(s *Sim, f faultStep) {
	var on *Fault
	switch f.kind {
	case 0:
		on = s.Partition("client", "server")
	case 1:
		on = s.PartitionOneWay("client", "server")
	case 2:
		on = s.PartitionOneWay("server", "client")
	case 3:
		on = s.SlowLink("client", "server", Link{Latency: 100 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.2})
	case 4:
		on = s.IdleForget("client", "server", 30*time.Millisecond, f.lasts/time.Millisecond%2 == 0)
	case 5:
		s.ResetConns("client", "server")
		return
	case 6:
		s.Host("server", "").Crash()
		s.Clock().Sleep(f.lasts)
		s.Host("server", "").Restart()
		return
	}
	s.Clock().Sleep(f.lasts)
	on.Stop()
}

// run carries the plan out and returns what happened to both directions.
func (p *plan) run(s *Sim) (up, down stream) {
	ctx, clk := context.Background(), s.Clock()
	client, server := s.Host("client", "10.0.0.1"), s.Host("server", "10.0.0.2")
	l, err := server.Listen(ctx, "tcp", ":80")
	if err != nil {
		panic(err)
	}
	c, err := client.DialContext(ctx, "tcp", "server:80")
	if err != nil {
		panic(err)
	}
	d, err := l.Accept()
	if err != nil {
		panic(err)
	}
	s.SetLink("*", "*", p.link)
	var wg sync.WaitGroup
	for _, f := range p.faults {
		start(clk, &wg, func() {
			clk.Sleep(f.at)
			p.fault(s, f)
		})
	}
	var ends sync.WaitGroup
	p.end(s, &ends, c.(*Conn), 0, &up, &down)
	p.end(s, &ends, d.(*Conn), 1, &down, &up)
	ends.Wait()
	wg.Wait()
	_ = l.Close()
	return up, down
}

// start starts a goroutine at an instant of its own. With a plain go statement both goroutines would go on
// in one instant, and if both ask the clock for something then, the scheduler decides who is first.
func start(clk clock.Clock, wg *sync.WaitGroup, f func()) {
	wg.Add(1)
	clk.AfterFunc(0, func() {
		defer wg.Done()
		f()
	})
}

// end runs one end of the connection: a writer and a reader.
func (p *plan) end(s *Sim, wg *sync.WaitGroup, c *Conn, which int, out, in *stream) {
	clk := s.Clock()
	var mine sync.WaitGroup
	start(clk, &mine, func() {
		next := byte(0)
		for _, w := range p.writes[which] {
			clk.Sleep(w.wait)
			b := make([]byte, w.size)
			for i := range b {
				b[i] = next
				next += 7
			}
			_ = c.SetWriteDeadline(clk.Now().Add(3 * time.Minute)) // the peer may never read
			n, err := c.Write(b)
			out.sent = append(out.sent, b[:n]...)
			if out.writeErr = err; err != nil {
				return
			}
		}
		out.cleanClose = c.CloseWrite() == nil
	})
	start(clk, &mine, func() {
		// A reader that hears nothing for longer than the writer's user timeout must not wait for ever.
		read := func(n int) bool {
			_ = c.SetReadDeadline(clk.Now().Add(3 * time.Minute))
			b := make([]byte, n)
			var got int
			got, in.readErr = io.ReadFull(c, b)
			in.got = append(in.got, b[:got]...)
			return in.readErr == nil
		}
		for _, r := range p.reads[which] {
			clk.Sleep(r.wait)
			if !read(r.size) {
				return
			}
		}
		for p.ends[which] == 0 && read(1000) {
		}
	})
	wg.Go(func() {
		mine.Wait()
		if p.ends[which] == 2 {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	})
}

// check compares a direction with the byte queue. back is the other one: an error that this direction's
// reader might have seen may have been told to the writer of the same end instead.
func (d *stream) check(t require.TestingT, back *stream) {
	require.LessOrEqual(t, len(d.got), len(d.sent), "more arrived than was sent")
	require.True(t, bytes.Equal(d.got, d.sent[:len(d.got)]), "bytes differ or come out of order")
	if eofOf(d.readErr) == io.EOF && back.cleanClose {
		require.Equal(t, len(d.sent), len(d.got), "an end without an error although bytes are missing")
	}
}

func TestBytesArriveInOrderAndCompleteOrTheConnectionFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var up, down stream
		res := Run(p.cfg, func(s *Sim) { up, down = p.run(s) })
		require.NoError(rt, res.Err)
		up.check(rt, &down)
		down.check(rt, &up)
		if len(p.faults) == 0 && p.link.Loss == 0 && p.ends == [2]int{0, 0} {
			for _, d := range []*stream{&up, &down} {
				require.True(rt, d.cleanClose)
				require.Equal(rt, len(d.sent), len(d.got), "without faults everything arrives")
				require.ErrorIs(rt, eofOf(d.readErr), io.EOF)
			}
		}
		var up2, down2 stream
		again := Run(p.cfg, func(s *Sim) { up2, down2 = p.run(s) })
		require.NoError(rt, again.Err)
		require.Empty(rt, Diff(res.Trace, again.Trace))
		require.Equal(rt, fmt.Sprint(up.readErr, up.writeErr, len(up.got)),
			fmt.Sprint(up2.readErr, up2.writeErr, len(up2.got)))
		require.Equal(rt, len(down.got), len(down2.got))
	})
}

// eofOf takes a short read for what it is: the end.
func eofOf(err error) error {
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}
