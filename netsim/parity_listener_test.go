package netsim

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// withBacklog makes the listener's backlog so small that n connections fill it.
func withBacklog(t *testing.T, l net.Listener, n int) {
	t.Helper()
	switch l := l.(type) {
	case *Listener:
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		l.s.cfg.Backlog = n
	case *net.TCPListener:
		raw, err := l.SyscallConn()
		require.NoError(t, err)
		var set error
		// A second listen(2) changes the backlog; Linux takes one more than it is told.
		require.NoError(t, raw.Control(func(fd uintptr) { set = syscall.Listen(int(fd), n-1) }))
		require.NoError(t, set)
	}
}

// wantSilence asks for the error of a dial whose SYNs were neither answered nor refused. Whether it is that of the
// context or of the poller, which have the same text, is a race inside the net package.
func wantSilence(t *testing.T, err error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	require.True(t, ok, "want a *net.OpError, got %v", err)
	require.Equal(t, "dial", oe.Op)
	require.True(t, oe.Timeout())
	require.Equal(t, "i/o timeout", oe.Err.Error())
}

func TestParityOfABacklogThatIsFull(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		l, err := w.listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		defer l.Close()
		withBacklog(t, l, 3)
		dial := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c, err := w.dial(ctx, "tcp", port(t, l))
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
			return err
		}
		for range 3 {
			require.NoError(t, dial(time.Minute), "just within it")
		}
		w.settle()
		start := time.Now()
		err = dial(100 * time.Millisecond)
		wantSilence(t, err)
		require.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond)
		c, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, dial(time.Minute), "there is room again")
		w.settle()
		wantSilence(t, dial(100*time.Millisecond))
	})
}

func TestParityOfAConnectionThatIsGoneBeforeItIsAccepted(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		l, err := w.listen(context.Background(), "tcp", ":0")
		require.NoError(t, err)
		defer l.Close()
		dial := func() tcpConn {
			c, err := w.dial(context.Background(), "tcp", port(t, l))
			require.NoError(t, err)
			return c.(tcpConn)
		}
		accept := func() net.Conn {
			c, err := l.Accept()
			require.NoError(t, err, "Accept still gives it out")
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		t.Log("closed: what it had sent can be read")
		c := dial()
		_, err = c.Write([]byte("testament"))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		w.settle()
		all, err := io.ReadAll(accept())
		require.NoError(t, err)
		require.Equal(t, "testament", string(all))

		t.Log("reset")
		c = dial()
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		w.settle()
		_, err = accept().Read(make([]byte, 1))
		wantOp(t, err, "read", syscall.ECONNRESET)

		t.Log("bytes that arrive before Accept wait for it")
		c = dial()
		_, err = c.Write([]byte("early"))
		require.NoError(t, err)
		w.settle()
		d := accept()
		got := make([]byte, 5)
		_, err = io.ReadFull(d, got)
		require.NoError(t, err)
		require.Equal(t, "early", string(got))
		require.NoError(t, c.Close())
	})
}

func TestParityOfDialsAcceptsAndACloseThatRace(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		for range 5 {
			l, err := w.listen(context.Background(), "tcp", ":0")
			require.NoError(t, err)
			address := port(t, l)
			var all sync.WaitGroup
			const dialers, accepters = 8, 3
			dialed, accepted := make(chan error, dialers), make(chan error, accepters)
			for range accepters {
				all.Go(func() {
					for {
						c, err := l.Accept()
						if err != nil {
							accepted <- err
							return
						}
						_, _ = c.Write([]byte("x"))
						_ = c.Close()
					}
				})
			}
			for range dialers {
				all.Go(func() {
					c, err := w.dial(context.Background(), "tcp", address)
					if err == nil {
						_, err = c.Read(make([]byte, 1)) // served, or reset because nobody accepted it
						_ = c.Close()
					}
					if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) {
						err = nil // the kernel may tell either of them to a dial, too
					}
					dialed <- err
				})
			}
			all.Go(func() { _ = l.Close() })
			all.Wait()
			for range dialers {
				require.NoError(t, <-dialed, "a connection is served, reset or refused, and nothing else")
			}
			for range accepters {
				wantOp(t, <-accepted, "accept", net.ErrClosed)
			}
			_, err = w.dial(context.Background(), "tcp", address)
			wantOp(t, err, "dial", syscall.ECONNREFUSED)
			l, err = w.listen(context.Background(), "tcp", address[len("127.0.0.1"):])
			require.NoError(t, err, "the port is free again")
			require.NoError(t, l.Close())
		}
	})
}

func TestParityOfClosesThatRaceWithReadsAndWrites(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, w *world) {
		for range 5 {
			a, b := w.pair(t)
			errs := make(chan error, 4)
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					var err error
					for err == nil {
						_, err = a.Read(make([]byte, 100))
					}
					errs <- err
				})
				all.Go(func() {
					var err error
					for err == nil {
						_, err = a.Write(make([]byte, 100_000))
					}
					errs <- err
				})
			}
			closed := make(chan error, 3)
			for range 3 {
				all.Go(func() { closed <- a.Close() })
			}
			all.Wait()
			for range 4 {
				require.ErrorIs(t, <-errs, net.ErrClosed)
			}
			good := 0
			for range 3 {
				if err := <-closed; err == nil {
					good++
				} else {
					wantOp(t, err, "close", net.ErrClosed)
				}
			}
			require.Equal(t, 1, good, "one Close closes, the others are told")
			require.NoError(t, b.Close())
		}
	})
}
