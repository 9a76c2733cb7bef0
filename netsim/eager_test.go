package netsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair dials one connection and accepts it.
func pair(t *testing.T, s *Sim) (client, server *Conn) {
	t.Helper()
	l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
	require.NoError(t, err)
	c, err := s.Host("client", "10.0.0.2").DialContext(context.Background(), "tcp", "server:80")
	require.NoError(t, err)
	d, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return c.(*Conn), d.(*Conn)
}

// writesUnderALock is a library that writes while it holds a lock which its reader needs too.
func writesUnderALock(s *Sim, limit int) int {
	l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	dial := s.Host("client", "10.0.0.2").DialContext
	if limit > 0 {
		dial = EagerDial(dial, limit)
	}
	c, err := dial(context.Background(), "tcp", "server:80")
	if err != nil {
		panic(err)
	}
	d, _ := l.Accept()
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Go(func() {
		mu.Lock()
		defer mu.Unlock()
		_, _ = c.Write(make([]byte, 300_000)) // waits for a reader, when the buffer is full
	})
	s.Clock().Sleep(time.Second)
	mu.Lock()
	s.Note("library", "has the lock", "")
	mu.Unlock()
	wg.Go(func() { _ = c.(*Conn).CloseWrite() })
	n, _ := io.Copy(io.Discard, d)
	wg.Wait()
	_, _ = c.Close(), d.Close()
	_ = l.Close()
	return int(n)
}

func TestALibraryThatWritesUnderALockHangsWithoutEagerWrites(t *testing.T) {
	_, errs, status := child(t, "write under a lock")
	require.Equal(t, exitStuck, status, errs)
	require.Contains(t, errs, "writesUnderALock", "the stacks must show the culprit")
}

func TestALibraryThatWritesUnderALockRunsWithEagerWrites(t *testing.T) {
	got := 0
	res := Run(Config{Latency: time.Millisecond}, func(s *Sim) { got = writesUnderALock(s, 1<<20) })
	require.NoError(t, res.Err)
	require.Equal(t, 300_000, got, "nothing is lost")
}

func TestEagerWritesArriveWholeAndInOrder(t *testing.T) {
	Test(t, Config{Seed: 3, Latency: time.Millisecond, Jitter: time.Millisecond, RecvBuffer: 5000}, func(s *Sim) {
		s.SetLink("*", "*", Link{Latency: time.Millisecond, Loss: 0.05})
		c, d := pair(t, s)
		require.NoError(t, c.SetEagerWrites(0))
		rnd := s.Rand("writer")
		var want bytes.Buffer
		for i := range 300 {
			b := bytes.Repeat([]byte{byte(i)}, rnd.IntN(2000))
			n, err := c.Write(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			want.Write(b)
			clear(b) // it must have been copied
			if i%3 == 0 {
				s.Clock().Sleep(time.Duration(rnd.Int64N(int64(time.Millisecond))))
			}
		}
		require.NoError(t, c.CloseWrite())
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		got, err := io.ReadAll(d)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want.Bytes(), got))
		_, err = d.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, d.Close())
		got, err = io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		require.NoError(t, c.Close())
	})
}

func TestWhatIsWrittenInOneInstantLeavesTogether(t *testing.T) {
	sends := func(order []int, wait time.Duration, kind string) (n int, hash uint64) {
		res := Run(Config{Seed: 1, Latency: time.Millisecond, KeepTrace: true}, func(s *Sim) {
			c, d := pair(t, s)
			require.NoError(t, c.SetEagerWrites(0))
			for _, size := range order {
				_, err := c.Write(make([]byte, size))
				require.NoError(t, err)
			}
			if wait > 0 {
				s.Clock().Sleep(wait)
			}
			require.NoError(t, c.Close())
			got, _ := io.Copy(io.Discard, d)
			require.EqualValues(t, order[0]+order[1]+order[2], got)
			require.NoError(t, d.Close())
		})
		require.NoError(t, res.Err)
		for _, e := range res.Trace.Events {
			if e.Kind == kind && e.N != 0 {
				n++
				require.EqualValues(t, order[0]+order[1]+order[2], e.N)
				require.True(t, e.Rough)
				require.Contains(t, e.String(), kind+" ~")
			}
		}
		return n, res.Hash
	}
	for wait, kind := range map[time.Duration]string{time.Second: "send", 0: "fin"} {
		n, hash := sends([]int{100, 200, 300}, wait, kind)
		require.Equal(t, 1, n, kind)
		n, other := sends([]int{300, 120, 200}, wait, kind)
		require.Equal(t, 1, n, kind)
		require.Equal(t, hash, other, "whoever was first, and however long they are together")
	}
}

func TestEagerWritesAreBoundedByTheirLimit(t *testing.T) {
	Test(t, Config{Latency: time.Millisecond, RecvBuffer: 1000}, func(s *Sim) {
		c, d := pair(t, s)
		require.NoError(t, c.SetEagerWrites(3000))
		_, err := c.Write(make([]byte, 2500))
		require.NoError(t, err)
		n, err := c.Write(make([]byte, 501)) // one byte too much
		require.Zero(t, n)
		require.ErrorIs(t, err, ErrEagerFull)
		require.ErrorAs(t, err, new(*net.OpError))
		_, err = c.Write(make([]byte, 500)) // just what there is room for
		require.NoError(t, err)
		s.Clock().Sleep(time.Second)
		_, err = c.Write(make([]byte, 1))
		require.ErrorIs(t, err, ErrEagerFull, "all has arrived, and nobody has read it")
		_, err = io.ReadFull(d, make([]byte, 1000))
		require.NoError(t, err)
		_, err = c.Write(make([]byte, 1001))
		require.ErrorIs(t, err, ErrEagerFull)
		_, err = c.Write(make([]byte, 1000))
		require.NoError(t, err)
		require.NoError(t, c.SetWriteBuffer(1), "it has no effect any more")
		require.NoError(t, c.CloseWrite())
		got, err := io.Copy(io.Discard, d)
		require.NoError(t, err)
		require.EqualValues(t, 3000, got, "and 1000 before")
		require.NoError(t, c.Close())
		require.NoError(t, d.Close())
		require.ErrorIs(t, c.SetEagerWrites(1), net.ErrClosed)
		require.Panics(t, func() { _ = d.SetEagerWrites(-1) })
	})
}

func TestEagerWritesTellErrorsAtTheNextWrite(t *testing.T) {
	Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
		c, d := pair(t, s)
		require.NoError(t, c.SetEagerWrites(0))
		require.NoError(t, c.SetWriteDeadline(s.Clock().Now().Add(time.Second)))
		s.Clock().Sleep(2 * time.Second)
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		require.NoError(t, d.SetLinger(0))
		require.NoError(t, d.Close())
		_, err = c.Write([]byte("x"))
		require.NoError(t, err, "the RST is under way")
		s.Clock().Sleep(time.Second)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		require.NoError(t, c.Close())
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestACrashTakesWhatEagerWritesHaveQueuedAndAKillDoesNot(t *testing.T) {
	for _, crash := range []bool{true, false} {
		Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
			c, d := pair(t, s)
			require.NoError(t, c.SetEagerWrites(0))
			s.Clock().Sleep(time.Second)
			_, err := c.Write([]byte("last words"))
			require.NoError(t, err)
			if crash {
				c.host.Crash()
			} else {
				c.host.Kill()
			}
			require.NoError(t, d.SetReadDeadline(s.Clock().Now().Add(time.Second)))
			got, err := io.ReadAll(d)
			if crash {
				require.Empty(t, got)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			} else {
				require.Equal(t, "last words", string(got))
				require.NoError(t, err)
			}
			require.NoError(t, d.Close())
		})
	}
}

func TestWhatWasWrittenEagerlyBeforeAPauseLeavesAndWhatIsWrittenDuringItWaits(t *testing.T) {
	Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
		c, d := pair(t, s)
		require.NoError(t, c.SetEagerWrites(0))
		_, err := c.Write([]byte("before"))
		require.NoError(t, err)
		pause := s.Pause("client")
		_, err = c.Write([]byte("during"))
		require.NoError(t, err)
		b := make([]byte, 20)
		n, err := d.Read(b)
		require.NoError(t, err)
		require.Equal(t, "before", string(b[:n]))
		s.Clock().AfterFunc(time.Minute, pause.Stop)
		n, err = d.Read(b)
		require.NoError(t, err)
		require.Equal(t, "during", string(b[:n]))
		require.Greater(t, s.Elapsed(), time.Minute)
		require.NoError(t, c.Close())
		require.NoError(t, d.Close())
	})
}

func TestEagerWritesWorkOnTheRealClock(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	c, d := pair(t, s)
	require.NoError(t, c.SetEagerWrites(0))
	go func() {
		_, _ = c.Write(make([]byte, 200_000))
		_ = c.Close()
	}()
	n, err := io.Copy(io.Discard, d)
	require.NoError(t, err)
	require.EqualValues(t, 200_000, n)
	require.NoError(t, d.Close())
}

func TestEagerListenersAndDialersPassErrorsOnAndRefuseForeignConnections(t *testing.T) {
	Test(t, Config{}, func(s *Sim) {
		h := s.Host("server", "10.0.0.1")
		_, err := EagerDial(h.DialContext, 0)(context.Background(), "tcp", "server:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		l, err := h.Listen(context.Background(), "tcp", ":80")
		require.NoError(t, err)
		eager := EagerListener(l, 0)
		require.NoError(t, eager.Close())
		_, err = eager.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		foreign := func(context.Context, string, string) (net.Conn, error) { return &net.TCPConn{}, nil }
		require.Panics(t, func() { _, _ = EagerDial(foreign, 0)(context.Background(), "", "") })
		require.Panics(t, func() { EagerListener(l, -1) })
		require.Panics(t, func() { EagerDial(foreign, -1) })
	})
}

func TestTLSRunsOverEagerWrites(t *testing.T) {
	Test(t, Config{Latency: time.Millisecond}, func(s *Sim) {
		cert, roots := certificate("server")
		l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":443")
		require.NoError(t, err)
		secure := tls.NewListener(EagerListener(l, 0), &tls.Config{Certificates: []tls.Certificate{cert}})
		var wg sync.WaitGroup
		wg.Go(func() {
			c, err := secure.Accept()
			if err == nil {
				_, err = io.Copy(c, c)
				err = errors.Join(err, c.Close())
			}
			s.Note("server", "ends", fmt.Sprint(err))
		})
		c, err := EagerDial(s.Host("client", "").DialContext, 0)(context.Background(), "tcp", "server:443")
		require.NoError(t, err)
		tc := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "server"})
		want := bytes.Repeat([]byte("secret"), 50_000)
		_, err = tc.Write(want)
		require.NoError(t, err)
		require.NoError(t, tc.CloseWrite())
		got, err := io.ReadAll(tc)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
		require.NoError(t, tc.Close())
		wg.Wait()
		require.NoError(t, secure.Close())
	})
}
