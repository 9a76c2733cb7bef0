package tunnel

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// legs is a tunnel over loopback: a client and a server at its ends.
type legs struct {
	client, server *net.TCPConn
	done           chan Result
}

func tcpPair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

func start(t *testing.T, cfg Config) legs {
	t.Helper()
	client, a := tcpPair(t)
	b, server := tcpPair(t)
	l := legs{client: client, server: server, done: make(chan Result, 1)}
	go func() {
		r := Run(cfg, a, b)
		_ = a.Close()
		_ = b.Close()
		l.done <- r
	}()
	return l
}

func TestBytesArriveBothWaysWholeAndInOrder(t *testing.T) {
	l := start(t, Config{})
	up := bytes.Repeat([]byte("up going bytes. "), 1<<16)
	down := bytes.Repeat([]byte("down."), 1<<16)
	go func() {
		_, _ = l.client.Write(up)
		_ = l.client.CloseWrite()
	}()
	go func() {
		_, _ = l.server.Write(down)
		_ = l.server.CloseWrite()
	}()
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(l.client)
		got <- b
	}()
	atServer, err := io.ReadAll(l.server)
	require.NoError(t, err)
	require.True(t, bytes.Equal(up, atServer))
	require.True(t, bytes.Equal(down, <-got))
	r := <-l.done
	require.Equal(t, Result{AToB: int64(len(up)), BToA: int64(len(down)), End: EndBothClosed}, r)
}

func TestOneSideMayEndItsStreamAndStillBeAnswered(t *testing.T) {
	l := start(t, Config{Idle: time.Minute})
	_, err := l.client.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, l.client.CloseWrite())
	q, err := io.ReadAll(l.server)
	require.NoError(t, err)
	require.Equal(t, "question", string(q))
	_, err = l.server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, l.server.Close())
	a, err := io.ReadAll(l.client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(a))
	require.Equal(t, EndBothClosed, (<-l.done).End)
}

func TestAResetOnOneSideEndsBoth(t *testing.T) {
	l := start(t, Config{})
	require.NoError(t, l.server.SetLinger(0))
	require.NoError(t, l.server.Close())
	_, err := io.ReadAll(l.client)
	require.NoError(t, err, "the client's connection is closed in order")
	r := <-l.done
	require.Equal(t, EndB, r.End)
	require.Error(t, r.Err)
}

func TestBytesReadBeforeTheTunnelAreDeliveredFirst(t *testing.T) {
	l := start(t, Config{FromA: []byte("from a, "), FromB: []byte("from b, ")})
	_, _ = l.client.Write([]byte("then more"))
	_ = l.client.CloseWrite()
	_, _ = l.server.Write([]byte("and more"))
	_ = l.server.CloseWrite()
	up, _ := io.ReadAll(l.server)
	down, _ := io.ReadAll(l.client)
	require.Equal(t, "from a, then more", string(up))
	require.Equal(t, "from b, and more", string(down))
	<-l.done
}

func TestATunnelEndsAfterItsIdleTimeAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := net.Pipe()
		b, server := net.Pipe()
		done := make(chan Result, 1)
		begin := time.Now()
		go func() { done <- Run(Config{Idle: 10 * time.Second}, a, b) }()
		// One direction talks every 6 s; the other is silent all the time and must not end the tunnel.
		go func() { _, _ = io.Copy(io.Discard, server) }()
		for range 5 {
			time.Sleep(6 * time.Second)
			_, err := client.Write([]byte("x"))
			require.NoError(t, err)
		}
		r := <-done
		require.Equal(t, EndIdle, r.End)
		require.Equal(t, int64(5), r.AToB)
		require.Equal(t, 40*time.Second, time.Since(begin))
		for _, c := range []net.Conn{client, a, b, server} {
			_ = c.Close()
		}
	})
}

func TestATunnelIsEndedFromOutsideByADeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := net.Pipe()
		b, server := net.Pipe()
		done := make(chan Result, 1)
		go func() { done <- Run(Config{Idle: time.Hour}, a, b) }()
		synctest.Wait()
		for _, c := range []net.Conn{a, b} {
			_ = c.Close()
		}
		require.NotEqual(t, EndBothClosed, (<-done).End)
		_, _ = client.Close(), server.Close()
	})
}

// slowly reads everything, 4 KiB at a time with a pause before each, and returns how much it was.
func slowly(nc net.Conn, pause time.Duration) (n int) {
	buf := make([]byte, 4<<10)
	for {
		<-time.After(pause)
		k, err := nc.Read(buf)
		if n += k; err != nil {
			return n
		}
	}
}

// What waits in the kernel moves on while no call of ours returns: the other direction, where nothing is said, must not take
// that for silence.
func TestAPeerThatTakesBytesSlowlyIsNotIdle(t *testing.T) {
	client, a := tcpPair(t)
	b, server := tcpPair(t)
	for _, c := range []*net.TCPConn{b, server} { // so that little can hide in the kernel
		require.NoError(t, c.SetWriteBuffer(16<<10))
		require.NoError(t, c.SetReadBuffer(16<<10))
	}
	const idle, n = 500 * time.Millisecond, 10 * spliceAfter
	done := make(chan Result, 1)
	go func() { done <- Run(Config{Idle: idle}, a, b) }()
	begin := time.Now()
	go func() {
		_, _ = client.Write(make([]byte, n))
		_ = client.CloseWrite()
	}()
	got := make(chan int, 1)
	go func() { got <- slowly(server, 10*time.Millisecond) }()
	require.Eventually(t, func() bool { return len(done) > 0 || len(got) > 0 }, time.Minute, time.Millisecond)
	if len(got) == 0 {
		t.Fatalf("the tunnel ended: %+v", <-done)
	}
	require.Equal(t, n, <-got)
	require.Greater(t, time.Since(begin), 3*idle, "it was not slow: the test shows nothing")
	_ = server.Close()
	require.Equal(t, Result{AToB: int64(n), End: EndBothClosed}, <-done)
}

// stuck takes nothing: its writes fail with an error.
type stuck struct {
	net.Conn
	err error
}

func (s stuck) Write([]byte) (int, error) { return 0, s.err }

func TestBytesThatFoundADeadPeerAreHandedBack(t *testing.T) {
	for name, first := range map[string]string{"that were read before": "hello", "that came in the tunnel": ""} {
		t.Run(name, func(t *testing.T) {
			client, a := net.Pipe()
			b, server := net.Pipe()
			done := make(chan Result, 1)
			go func() { done <- Run(Config{FromA: []byte(first)}, a, stuck{b, io.ErrClosedPipe}) }()
			if first == "" {
				_, err := client.Write([]byte("hello"))
				require.NoError(t, err)
			}
			require.Equal(t, Result{End: EndB, Err: io.ErrClosedPipe, Unsent: []byte("hello")}, <-done)
			for _, c := range []net.Conn{client, a, b, server} {
				_ = c.Close()
			}
		})
	}
}

func TestOnTrialThePeersEndBeforeAnyByteIsNotPassedOn(t *testing.T) {
	l := start(t, Config{Trial: true})
	require.NoError(t, l.server.Close())
	require.Equal(t, Result{End: EndB, Err: io.EOF}, <-l.done)

	l = start(t, Config{Trial: true})
	_, err := l.server.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, l.server.Close())
	got, err := io.ReadAll(l.client)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	require.NoError(t, l.client.Close())
	require.Equal(t, EndBothClosed, (<-l.done).End)
}

func TestEndsHaveWords(t *testing.T) {
	for e := EndBothClosed; e <= EndB; e++ {
		require.NotEqual(t, "unknown", e.String())
	}
	require.Equal(t, "unknown", End(9).String())
}

func TestATunnelWithAnIdleTimeEndsWhenItIsToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := net.Pipe()
		b, server := net.Pipe()
		var stop atomic.Bool
		done := make(chan Result, 1)
		begin := time.Now()
		go func() { done <- Run(Config{Idle: time.Hour, Stop: stop.Load}, a, b) }()
		// It is busy, so every byte sets new deadlines over those from outside.
		go func() { _, _ = io.Copy(io.Discard, server) }()
		for range 10 {
			_, err := client.Write([]byte("x"))
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		stop.Store(true)
		past := time.Unix(1, 0)
		require.NoError(t, a.SetDeadline(past))
		require.NoError(t, b.SetDeadline(past))
		r := <-done
		require.Equal(t, int64(10), r.AToB)
		require.Contains(t, []End{EndA, EndB}, r.End)
		require.Equal(t, time.Minute, time.Since(begin))
		for _, c := range []net.Conn{client, a, b, server} {
			_ = c.Close()
		}
	})
}

func TestBytesAreCountedWhileTheTunnelRuns(t *testing.T) {
	var up, down atomic.Uint64
	l := start(t, Config{AToB: &up, BToA: &down})
	sum := 0
	for _, n := range []int{10, spliceAfter, spliceAfter, 100} { // through the buffer, and then spliced
		_, err := l.client.Write(make([]byte, n))
		require.NoError(t, err)
		_, err = io.ReadFull(l.server, make([]byte, n))
		require.NoError(t, err)
		sum += n
		// The receiver may see the bytes before they are counted, but the next ones are not moved until they are.
		_, err = l.server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = l.client.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return up.Load() == uint64(sum) }, 5*time.Second, time.Millisecond)
	}
	require.Eventually(t, func() bool { return down.Load() == 4 }, 5*time.Second, time.Millisecond)
	require.NoError(t, l.client.Close())
	require.NoError(t, l.server.Close())
	r := <-l.done
	require.Equal(t, int64(sum), r.AToB)
	require.Equal(t, int64(4), r.BToA)
}

func TestASplicedTunnelThatFallsSilentEndsAfterItsIdleTime(t *testing.T) {
	const idle = 100 * time.Millisecond
	l := start(t, Config{Idle: idle})
	for range 4 { // each within the idle time of the last one, all of them longer
		_, err := l.client.Write(make([]byte, spliceAfter))
		require.NoError(t, err)
		_, err = io.ReadFull(l.server, make([]byte, spliceAfter))
		require.NoError(t, err)
	}
	begin := time.Now()
	r := <-l.done
	require.Equal(t, EndIdle, r.End)
	require.Greater(t, time.Since(begin), idle/2)
	require.Less(t, time.Since(begin), 50*idle)
	require.Equal(t, int64(4*spliceAfter), r.AToB)
}

func TestAPeerThatTakesNothingEndsASplicedTunnel(t *testing.T) {
	l := start(t, Config{Idle: 100 * time.Millisecond})
	go func() {
		for {
			if _, err := l.client.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	select {
	case r := <-l.done:
		require.Contains(t, []End{EndIdle, EndB}, r.End)
		require.Greater(t, r.AToB, int64(spliceAfter))
	case <-time.After(20 * time.Second):
		t.Fatal("the tunnel does not end")
	}
}

func TestTheFirstByteOfBIsToldOnceAndThoseOfAAreNot(t *testing.T) {
	told := make(chan struct{}, 10)
	l := start(t, Config{Answered: func() { told <- struct{}{} }, FromA: []byte("early")})
	got := make([]byte, 9)
	_, err := l.client.Write([]byte(" bird"))
	require.NoError(t, err)
	_, err = io.ReadFull(l.server, make([]byte, 10))
	require.NoError(t, err)
	require.Empty(t, told)
	for range 3 {
		_, err = l.server.Write([]byte("worm"))
		require.NoError(t, err)
		_, err = io.ReadFull(l.client, got[:4])
		require.NoError(t, err)
	}
	_ = l.client.CloseWrite()
	_ = l.server.CloseWrite()
	<-l.done
	require.Len(t, told, 1)
}
